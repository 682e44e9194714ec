# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: simulators, LUNs, and hosts that send commands to them."""
import contextlib
import os
import sys
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from support import binding, mounts, procfs, scaled, scsi, tap
from support.client import Connection, Reply, check_condition, reply
from support.process import Program, serving
from support.scratch import Scratch

GOOD = reply()
CONFLICT = reply(scsi.RESERVATION_CONFLICT)
REFUSED = check_condition(5, 0x20, 0)
FAILED = check_condition(4, 0x44, 0)

#: Unit attentions.
PREEMPTED = check_condition(6, 0x2A, 3)
RELEASED = check_condition(6, 0x2A, 4)
REGISTRATION_PREEMPTED = check_condition(6, 0x2A, 5)

APTPL = 1
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, REGISTRANTS_ONLY, ALL_REGISTRANTS = 1, 3, 5, 7


class Lab(Scratch):
    """What a run shares: the program and a directory."""

    def __init__(self, build: str):
        build = mounts.open_to_all(build)
        self.build = build
        self.binary = os.path.join(build, "qemu-pr-simulator")
        if not os.access(self.binary, os.X_OK):
            sys.exit(f"{self.binary} is missing: build first, or name another --build")
        super().__init__("prs-")
        self.resources = contextlib.ExitStack()  # of no single test

    def close(self) -> None:
        self.resources.close()
        super().close()


class Simulator(Program):
    """A simulator with a socket DIRECTORY/NAME for each nexus."""

    def __init__(self, binary: str, directory: str, nexuses: Sequence[str],
                 options: Sequence[str] = (), **arguments):
        self.sockets = {name: os.path.join(directory, name) for name in nexuses}
        argv = [binary]
        for name, path in self.sockets.items():
            argv += ["--nexus", f"{name}={path}"]
        super().__init__(argv + list(options), directory, **arguments)

    def wait_ready(self) -> "Simulator":
        for path in self.sockets.values():
            self.wait_until("serving", lambda path=path: serving(path))
        return self


class Status(NamedTuple):
    """What READ FULL STATUS says of one registration."""
    key: int
    holder: bool
    type: int
    port: int
    transportid: bytes


class Host:
    """A client of one nexus, with the fd of the LUN that it uses."""

    def __init__(self, connection: Connection, lun: int, read_with: Optional[Callable] = None):
        self.connection = connection
        self.lun = lun
        self.read_with = read_with
        self._reader = None

    def close(self) -> None:
        """Done with the LUN, so that its file can go."""
        self.connection.close()
        if self._reader:
            self._reader.close()
        os.close(self.lun)

    @property
    def reader(self):
        """A connection of libprhelper's to the same nexus, for what is not about bytes."""
        if not self._reader:
            self._reader = self.read_with()
        return self._reader

    def out(self, action: int, key: int = 0, action_key: int = 0, kind: int = 0,
            flags: int = 0) -> Reply:
        parameters = scsi.parameters(key, action_key, flags)
        return self.connection.command(scsi.pr_out(len(parameters), action, kind), self.lun,
                                       parameters)

    def register(self, key: int, old: int = 0, flags: int = 0) -> Reply:
        return self.out(scsi.REGISTER, old, key, flags=flags)

    def reserve(self, key: int, kind: int = WRITE_EXCLUSIVE) -> Reply:
        return self.out(scsi.RESERVE, key, kind=kind)

    def query(self, action: int = scsi.READ_KEYS, allocation: int = scsi.DATA_MAX) -> Reply:
        return self.connection.command(scsi.pr_in(allocation, action), self.lun)

    def keys(self) -> Tuple[int, List[int]]:
        """PRGENERATION and the registered keys."""
        found = self.reader.read_keys(self.lun)
        return found.generation, found.keys

    def reservation(self) -> Optional[Tuple[int, int]]:
        """The holder's key and the type."""
        found = self.reader.read_reservation(self.lun)
        return (found.key, found.type) if found.held else None

    def full_status(self) -> List[Status]:
        return [Status(one.key, one.holder, one.type, one.target_port, one.transportid)
                for one in self.reader.read_full_status(self.lun).registrants]


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self.programs: List[Program] = []

    def directory(self) -> str:
        return self.lab.make_directory()

    def own(self, fd: int) -> int:
        def close() -> None:
            try:
                os.close(fd)
            except OSError:
                pass  # the test was faster
        self.cleanup.callback(close)
        return fd

    def open(self, path: str, flags: int = os.O_RDWR) -> int:
        """An fd that is closed at the end of the test."""
        return self.own(os.open(path, flags | os.O_CLOEXEC, 0o666))

    def make_lun(self, name: str = "lun") -> str:
        path = os.path.join(self.directory(), name)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        return path

    def start(self, *options: str, nexuses: Sequence[str] = ("a", "b"),
              directory: Optional[str] = None, **arguments) -> Simulator:
        """A simulator that serves, ended with the test."""
        simulator = Simulator(self.lab.binary, directory or self.directory(), nexuses, options,
                              **arguments)
        self.programs.append(simulator)
        self.cleanup.callback(simulator.close)
        return simulator.wait_ready()

    def run(self, *argv: str) -> Program:
        """The program with exactly these arguments, until it ends."""
        program = Program([self.lab.binary, *argv], self.directory())
        self.programs.append(program)
        self.cleanup.callback(program.close)
        program.wait_exit()
        return program

    def host(self, simulator: Simulator, nexus: str, lun: str, flags: int = os.O_RDWR) -> Host:
        path = simulator.sockets[nexus]
        connection = Connection(path)
        self.cleanup.callback(connection.close)
        return Host(connection, self.open(lun, flags), lambda: self.cleanup.enter_context(
            binding.load(self.lab.build).Connection(path, timeout=scaled(20))))

    def hosts(self, simulator: Simulator, lun: str) -> List[Host]:
        """One for each nexus, all on the same LUN."""
        return [self.host(simulator, nexus, lun) for nexus in simulator.sockets]

    def replied(self, got: Reply, wanted: Reply, what: str) -> None:
        self.equal(got.encode(), wanted.encode(), what)

    def good(self, got: Reply, what: str = "answer") -> None:
        self.replied(got, GOOD, what)

    def eventually(self, what: str, condition: Callable[[], bool],
                   helper: Optional[Program] = None) -> None:
        (helper or self.programs[-1]).wait_until(what, condition)

    def gone(self, pid: int, what: str, timeout: float = 10.0) -> None:
        self.check(procfs.wait_gone(pid, timeout), f"{what} (pid {pid}) is still there")

    def log(self) -> str:
        return "\n".join(program.report() for program in self.programs)
