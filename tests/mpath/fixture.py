# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: workers, maps that are none, and a multipathd."""
import contextlib
import os
import socket
import struct
import sys
import threading
from typing import Dict, List, Optional

from support import mounts, procfs, scsi, tap
from support.process import Program
from support.scratch import Scratch
from support.worker import Pending, Reply, Worker

GOOD = (scsi.GOOD, 0, 0, 0)
BUSY = (scsi.BUSY, 0, 0, 0)
CONFLICT = (scsi.RESERVATION_CONFLICT, 0, 0, 0)
TIMED_OUT = (scsi.CHECK_CONDITION, 0xB, 0x08, 0x01)
FAILED = (scsi.CHECK_CONDITION, 0xB, 0x08, 0x00)
NO_PATH = (scsi.CHECK_CONDITION, 0xB, 0x05, 0x00)
REFUSED = (scsi.CHECK_CONDITION, 0x5, 0x20, 0x00)
BAD_CDB = (scsi.CHECK_CONDITION, 0x5, 0x24, 0x00)
BAD_LENGTH = (scsi.CHECK_CONDITION, 0x5, 0x1A, 0x00)
BAD_LIST = (scsi.CHECK_CONDITION, 0x5, 0x26, 0x00)

#: Devices that everybody may open for reading and writing: what the stand-in takes for maps.
MAPS = {"mpatha": "/dev/zero", "mpathb": "/dev/full", "mpathc": "/dev/urandom"}

(RETURN, EXIT, RAISE, OVERRUN, HANG, SUSPEND, SAY, GATE, FLOOD, PRINT_EXIT) = range(1, 11)


def key(verb: int, argument: int = 0) -> int:
    """A reservation key that tells the stand-in what to do (tests/standin/mpathpersist.c)."""
    return 0x53544E44 << 32 | verb << 24 | argument & 0xFFFF


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def number(map_name: str) -> str:
    """MAJOR:MINOR"""
    rdev = os.stat(MAPS[map_name]).st_rdev
    return f"{os.major(rdev)}:{os.minor(rdev)}"


def minor(map_name: str) -> int:
    return os.minor(os.stat(MAPS[map_name]).st_rdev)


class Lab(Scratch):
    """What a run shares: programs and a directory."""

    def __init__(self, build: str):
        build = mounts.open_to_all(build)
        self.real = os.path.join(build, "qemu-pr-mpath")
        self.binary = os.path.join(build, "tests", "standin", "qemu-pr-mpath-test")
        self.library = os.path.join(build, "tests", "standin", "libmpathpersist.so.0")
        for path in (self.real, self.binary, self.library):
            if not os.path.exists(path):
                sys.exit(f"{path} is missing: build first, or name another --build")
        with open(self.binary, "rb") as file:
            program = file.read()
        #: No sandbox, no limit on memory, other ends than signals.
        self.sanitized = b"__asan_init" in program or b"__tsan_init" in program
        super().__init__("prm-")


class Multipathd:
    """Answers "ok", or what `answers` has for a command or for its first word; None: hangs up."""

    def __init__(self, path: str):
        self.asked: List[str] = []
        self.answers: Dict[str, Optional[bytes]] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = struct.Struct("@N")
        size, = head.unpack(connection.recv(head.size, socket.MSG_WAITALL))
        command = connection.recv(size, socket.MSG_WAITALL).rstrip(b"\0").decode()
        self.asked.append(command)
        answer = self.answers.get(command, self.answers.get(command.partition(" ")[0], b"ok\n"))
        if answer is not None:
            connection.sendall(head.pack(len(answer) + 1) + answer + b"\0")

    def close(self) -> None:
        """Nobody can connect any more. May be called again."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


class Machine:
    """A directory that is the worker's whole machine."""

    def __init__(self, context: "Context"):
        self._context = context
        self.directory = context.lab.make_directory()
        os.symlink(context.lab.library, self.path("libmpathpersist.so.0"))
        for name in MAPS:
            node = self.path(f"sys/{number(name)}")
            write(f"{node}/dm/uuid", f"mpath-{name}\n")
            write(f"{node}/dm/name", f"{name}\n")
            os.mkdir(f"{node}/slaves")
            write(self.path(f"dm/{minor(name)}"), "0")
        self.multipathd = Multipathd(self.path("multipathd"))
        context.cleanup.callback(self.multipathd.close)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def start(self, binary: Optional[str] = None, **arguments) -> Worker:
        worker = Worker(binary or self._context.lab.binary, self.directory, cwd=self.directory,
                        **arguments)
        self._context.programs.append(worker)
        self._context.cleanup.callback(worker.close)
        return worker

    def add_path(self, name: str, device: str, map_name: str = "mpatha") -> None:
        """A path of that name, which sysfs says to have this MAJOR:MINOR."""
        write(self.path(f"sys/{number(map_name)}/slaves/{name}/dev"), f"{device}\n")

    def calls(self) -> List[str]:
        """What the library was asked, oldest first."""
        try:
            with open(self.path("calls"), encoding="ascii") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def suspended(self, map_name: str = "mpatha") -> bool:
        with open(self.path(f"dm/{minor(map_name)}"), encoding="ascii") as file:
            return file.read() == "1"


class Gate:
    """A FIFO that a child of the worker opens, and waits for us to open, too."""

    def __init__(self, path: str):
        self.path = path
        os.mkfifo(path)

    def open(self) -> None:
        """Let whoever is there go on. Waits for somebody to come."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CLOEXEC))


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self.programs: List[Program] = []

    def machine(self) -> Machine:
        return Machine(self)

    def start(self) -> "Session":
        """A worker that is ready."""
        machine = self.machine()
        worker = machine.start()
        hello = worker.hello()
        self.check(hello.ready, f"not ready: {hello.text}")
        return Session(self, machine, worker)

    def open(self, map_name: str = "mpatha", flags: int = os.O_RDWR) -> int:
        """An fd on a map, closed at the end of the test."""
        return self.own(os.open(MAPS[map_name], flags | os.O_CLOEXEC))

    def own(self, fd: int) -> int:
        self.cleanup.callback(os.close, fd)
        return fd

    def answered(self, got: Optional[Reply], wanted: tuple, text: str = "^$") -> None:
        self.check(got is not None, "nobody answered")
        assert got
        self.equal(got.code, wanted, f"answer ({got.text})")
        self.matches(text, got.text, "text for the administrator")

    def log(self) -> str:
        return "\n".join(line for program in self.programs
                         for line in program.log().splitlines()[-8:])


class Session:
    """A running worker and its machine."""

    def __init__(self, context: Context, machine: Machine, worker: Worker):
        self._context = context
        self.machine, self.worker = machine, worker

    def out(self, action: int = scsi.REGISTER_AND_IGNORE, old: int = 0, new: int = 0,
            map_name: str = "mpatha", flags: int = 0, scope_type: int = 0, tail: bytes = b"",
            **times: float) -> Pending:
        """PERSISTENT RESERVE OUT; old and new: RESERVATION KEY and SERVICE ACTION RESERVATION
        KEY."""
        data = scsi.parameters(old, new, flags) + tail
        return self.worker.send(self._context.open(map_name),
                                scsi.pr_out(len(data), action, scope_type), data, **times)

    def do(self, verb: int, argument: int = 0, map_name: str = "mpatha", known: bytes = b"",
           **times: float) -> Pending:
        """A REGISTER AND IGNORE EXISTING KEY during which the library does this. known: the key
        that multipathd has then; normally the same."""
        self.machine.multipathd.answers["getprkey"] = known or b"0x%x\n" % key(verb, argument)
        return self.out(new=key(verb, argument), map_name=map_name, **times)

    def simple(self, map_name: str = "mpatha", **times: float) -> Pending:
        """One that is GOOD."""
        return self.do(RETURN, 0, map_name, **times)

    def gate(self, which: int) -> Gate:
        return Gate(self.machine.path(f"gate-{which}"))

    def wait_calls(self, count: int) -> None:
        """Until the library has been called so often."""
        self.worker.wait_until(f"{count} calls", lambda: len(self.machine.calls()) >= count)

    def wait_children(self, count: int) -> List[int]:
        """Until so many commands are under way."""
        self.worker.wait_until(f"{count} children",
                               lambda: len(procfs.children(self.worker.pid)) == count)
        return procfs.children(self.worker.pid)
