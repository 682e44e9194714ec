# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: workers, maps whose paths lead to a simulated target, a multipathd."""
import contextlib
import os
import pty
import socket
import struct
import sys
import threading
import tty
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from support import mounts, scsi, tap
from support.process import Program
from support.scratch import Scratch
from support.target import Target
from support.worker import Pending, Reply, Worker

GOOD = (scsi.GOOD, 0, 0, 0)
BUSY = (scsi.BUSY, 0, 0, 0)
CONFLICT = (scsi.RESERVATION_CONFLICT, 0, 0, 0)
UNKNOWN = (scsi.CHECK_CONDITION, 0xB, 0x08, 0x00)
NO_PATH = (scsi.CHECK_CONDITION, 0xB, 0x05, 0x00)
REFUSED = (scsi.CHECK_CONDITION, 0x5, 0x20, 0x00)
BAD_CDB = (scsi.CHECK_CONDITION, 0x5, 0x24, 0x00)
BAD_LENGTH = (scsi.CHECK_CONDITION, 0x5, 0x1A, 0x00)
BAD_LIST = (scsi.CHECK_CONDITION, 0x5, 0x26, 0x00)

#: Keys of the map's guest and of the other host.
KEY, NEW_KEY, OTHER_KEY = 0x123ABC, 0xA1A2A3A4A5A6A7A8, 0xDEF456
#: Registrants only, all registrants.
KIND, ALL = 5, 7
#: The other host's I_T nexus.
OTHER = 250


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Lab(Scratch):
    """What a run shares: programs and a directory."""

    def __init__(self, build: str):
        build = mounts.open_to_all(build)
        self.real = os.path.join(build, "qemu-pr-mpath")
        self.binary = os.path.join(build, "tests", "standin", "qemu-pr-mpath-test")
        self.target = os.path.join(build, "tests", "standin", "libtarget.so")
        for path in (self.real, self.binary, self.target):
            if not os.path.exists(path):
                sys.exit(f"{path} is missing: build first, or name another --build")
        with open(self.binary, "rb") as file:
            program = file.read()
        #: No system call filter.
        self.sanitized = b"__asan_init" in program or b"__tsan_init" in program
        super().__init__("prm-")


class Multipathd:
    """Remembers key and prstatus of each map, as a version does that is `new` (0.13) or not; or
    answers what `answers` has for a command: None hangs up, a function is called. Each map's key is
    `configured`, or what it is told if that is "file"."""

    def __init__(self, path: str, new: bool = False):
        self.new = new
        self.configured = "file"
        self.connections = 0
        self.asked: List[str] = []
        self.key: Dict[str, str] = {}
        self.set: Dict[str, bool] = {}
        self.answers: Dict[str, object] = {}
        self._path = path
        self._open: List[socket.socket] = []
        self._start()

    def _start(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self._path)
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def restart(self, new: bool) -> None:
        """As another version. It has what was written down, the keys."""
        self.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        os.unlink(self._path)
        self.new = new
        self._start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        head = struct.Struct("@N")
        with connection, contextlib.suppress(OSError, struct.error):
            while True:
                size, = head.unpack(connection.recv(head.size, socket.MSG_WAITALL))
                command = connection.recv(size, socket.MSG_WAITALL).rstrip(b"\0").decode()
                self.asked.append(command)
                answer = self.answers.get(command, self.answers.get(command.partition(" ")[0],
                                                                    self._answer))
                if callable(answer):
                    answer = answer(command)
                if answer is None:
                    return
                assert isinstance(answer, bytes)
                connection.sendall(head.pack(len(answer) + 1) + answer + b"\0")

    def _answer(self, command: str) -> bytes:
        words = command.split()
        name = words[2] if len(words) > 2 else ""
        if words[0] == "getprstatus":
            return b"set\n" if self.set.get(name) else b"unset\n"
        if words[0] == "getprkey":
            return f"{self._key(name)}\n".encode()
        if words[0] == "getprhold":
            return b"unset\n" if self.new else b"fail\n"
        if words[0] == "setprkey":
            self.key[name] = f"0x{words[4]}"
            return b"ok\n" if self._key(name) == f"0x{words[4]}" else b"fail\n"
        elif words[0] == "unsetprkey":
            self.key.pop(name, None)
        elif words[0] in ("setprstatus", "unsetprstatus"):
            if len(words) > 3 and not self.new:
                return b"fail\n"
            self.set[name] = words[0] == "setprstatus"
        return b"ok\n"

    def _key(self, name: str) -> str:
        return self.key.get(name, "none") if self.configured == "file" else self.configured

    def close(self) -> None:
        """No client can connect any more. May be called again."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def _number(rdev: int) -> str:
    return f"{os.major(rdev)}:{os.minor(rdev)}"


class Map:
    """A pseudo-terminal that stands for a map, and more that stand for its paths."""

    def __init__(self, machine: "Machine", name: str):
        self.machine, self.name = machine, name
        self.node, self.rdev = machine.device()
        self.kernel_name = f"dm-{os.minor(self.rdev)}"
        self.sys = machine.path(f"sys/{_number(self.rdev)}")
        self.names: List[str] = []
        self.rdevs: List[int] = []
        write(f"{self.sys}/dm/uuid", f"mpath-{name}\n")
        write(f"{self.sys}/dm/name", f"{name}\n")
        os.mkdir(f"{self.sys}/slaves")

    def add_path(self, host: int = -1, session: int = -1) -> int:
        """Its number in the map. host, session: what sysfs says it hangs on; -1: nothing."""
        node, rdev = self.machine.device()
        name = os.path.basename(node)
        where = f"devices/{f'host{host}/' if host >= 0 else ''}"
        where += f"{f'session{session}/' if session >= 0 else ''}target0:0:{name}/block/{name}"
        write(self.machine.path(f"{where}/inflight"), "0 0\n")
        os.symlink(f"../{where}", self.machine.path(f"sys/{_number(rdev)}"))
        write(f"{self.sys}/slaves/{name}/dev", f"{_number(rdev)}\n")
        self.names.append(name)
        self.rdevs.append(rdev)
        return len(self.names) - 1

    def set_in_flight(self, number: int, writes: int) -> None:
        write(self.machine.path(f"sys/{_number(self.rdevs[number])}/inflight"), f"0 {writes}\n")

    def remove_path(self, number: int) -> None:
        os.rename(f"{self.sys}/slaves/{self.names[number]}",
                  self.machine.path(f"gone-{self.names[number]}"))

    def open(self, flags: int = os.O_RDWR) -> int:
        return self.machine.context.own(os.open(self.node, flags | os.O_CLOEXEC | os.O_NOCTTY))


#: How sysfs tells of a path's initiator port: in full, its name alone, or not at all.
Wiring = Sequence[Tuple[str, int]]


def initiator(kind: str, number: int) -> str:
    if kind == "fc":
        return f"fc:{0x2100000000000000 + number:016x}"
    return f"iqn.2026-01.example:node{number // 2 if kind == 'same' else number}," \
           f"i,0x00023d{number + 1:06x}"


class Machine:
    """A directory that is the worker's whole machine."""

    def __init__(self, context: "Context", new: bool = False):
        self.context = context
        self.directory = context.lab.make_directory()
        self.multipathd = Multipathd(self.path("multipathd"), new)
        context.cleanup.callback(self.multipathd.close)
        self.target: Optional[Target] = None
        os.mkdir(self.path("sys"))

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def device(self) -> Tuple[str, int]:
        """A device of its own: node and number."""
        ours, theirs = (self.context.own(fd) for fd in pty.openpty())
        tty.setraw(theirs)
        del ours
        return os.ttyname(theirs), os.fstat(theirs).st_rdev

    def make_target(self) -> Target:
        """Its other host is there."""
        self.target = Target(self.context.lab.target, self.path("target"))
        self.target.login(OTHER, "sas:5000c50000000001", 4)
        return self.target

    def make_map(self, count: int = 3, kind: str = "fc", ports: int = 2, shared: int = 0,
                 name: str = "mpatha") -> Map:
        """A map whose paths lead to the target, each from an initiator port of its own, in turn to
        the target ports. kind: see initiator(). shared: as many paths have one registration."""
        target = self.target or self.make_target()
        made = Map(self, name)
        base = target.control.n_paths
        for at in range(base, base + count):
            nexus, port = (at // shared * shared if shared else at), at % ports + 1
            port = nexus % ports + 1 if shared else port
            made.add_path(host=at, session=at if kind in ("iscsi", "same") else -1)
            target.add_path(made.rdevs[-1], nexus, port)
            if nexus == at:
                target.login(nexus, initiator(kind, at), port)
            self.wire(kind, at, nexus)
        return made

    def wire(self, kind: str, at: int, nexus: int) -> None:
        text = initiator(kind, nexus)
        if kind == "fc":
            write(self.path(f"class/fc_host/host{at}/port_name"), f"0x{text[3:]}\n")
        elif kind in ("iscsi", "same"):
            session = f"class/iscsi_session/session{at}"
            write(self.path(f"{session}/initiatorname"), f"{text.partition(',')[0]}\n")
            write(self.path(f"{session}/targetname"), "iqn.2026-01.example:target\n")
            write(self.path(f"class/iscsi_connection/connection{at}:0/persistent_address"),
                  f"192.0.2.{at}\n")

    def start(self, binary: Optional[str] = None, **arguments) -> Worker:
        environment = dict(arguments.pop("env", None) or {})
        if self.target:
            preload = filter(None, (environment.get("LD_PRELOAD"), self.context.lab.target))
            environment.update(LD_PRELOAD=":".join(preload), TARGET_CONTROL=self.target.file)
            # The target only wraps ioctl, so it may come before the sanitizer's run-time.
            options = filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"))
            environment.update(ASAN_OPTIONS=":".join(options))
        worker = Worker(binary or self.context.lab.binary, self.directory, cwd=self.directory,
                        env=environment, **arguments)
        self.context.programs.append(worker)
        self.context.cleanup.callback(worker.close)
        return worker


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self.programs: List[Program] = []

    def machine(self, **arguments) -> Machine:
        return Machine(self, **arguments)

    def start(self, count: int = 3, new: bool = False, **wiring) -> "Session":
        """A worker that is ready, and a map of so many paths."""
        machine = self.machine(new=new)
        made = machine.make_map(count, **wiring)
        return Session(self, machine, made, self.ready(machine))

    def ready(self, machine: Machine, **arguments) -> Worker:
        worker = machine.start(**arguments)
        hello = worker.hello()
        self.check(hello.ready, f"not ready: {hello.text}")
        return worker

    def own(self, fd: int) -> int:
        self.cleanup.callback(os.close, fd)
        return fd

    def answered(self, got: Optional[Reply], wanted: tuple, text: str = "^$") -> None:
        self.check(got is not None, "no answer came")
        assert got
        self.equal(got.code, wanted, f"answer ({got.text})")
        self.matches(text, got.text, "text for the administrator")

    def log(self) -> str:
        return "\n".join(line for program in self.programs
                         for line in program.log().splitlines()[-8:])


class Session:
    """A running worker, its machine, its target and a map."""

    def __init__(self, context: Context, machine: Machine, map_: Map, worker: Worker):
        self.context = context
        self.machine, self.map, self.worker = machine, map_, worker
        assert machine.target
        self.target = machine.target
        self.multipathd = machine.multipathd

    def restart(self, kill: Optional[Callable[[], None]] = None) -> None:
        """Another worker on the same machine."""
        if kill:
            kill()
        self.worker.close()
        self.worker = self.context.ready(self.machine)

    def send(self, action: int, key: int = 0, new: int = 0, kind: int = 0, flags: int = 0,
             tail: bytes = b"", on: Optional[Map] = None, mode: int = os.O_RDWR,
             **times: float) -> Pending:
        """PERSISTENT RESERVE OUT; key and new: RESERVATION KEY and SERVICE ACTION RESERVATION
        KEY."""
        data = scsi.parameters(key, new, flags) + tail
        return self.worker.send((on or self.map).open(mode), scsi.pr_out(len(data), action, kind),
                                data, **times)

    def tell(self, action: int, key: int = 0, new: int = 0, kind: int = 0, **more) -> Reply:
        reply = self.send(action, key, new, kind, **more).reply(30)
        assert reply, "no answer came"
        return reply

    def good(self, action: int, key: int = 0, new: int = 0, kind: int = 0, **more) -> None:
        self.context.answered(self.tell(action, key, new, kind, **more), GOOD, "")

    def read(self, action: int = scsi.READ_KEYS, on: Optional[Map] = None,
             **times: float) -> Reply:
        reply = self.worker.send((on or self.map).open(os.O_RDONLY), scsi.pr_in(8192, action),
                                 **times).reply(30)
        assert reply, "no answer came"
        return reply

    @property
    def keys(self) -> List[int]:
        return self.target.keys(OTHER)

    @property
    def held(self) -> int:
        """The type of the reservation."""
        return self.target.holder(OTHER)[0]

    def registered(self, key: int, paths: int = 3, *others: int) -> None:
        self.context.equal(self.keys, sorted([key] * paths + list(others)), "keys at the target")

    def told(self, key: int) -> None:
        """What multipathd knows: by this key a path that returns is registered, or not at all."""
        name = self.map.kernel_name
        self.context.equal((self.multipathd.key.get(name, "none"),
                            self.multipathd.set.get(name, False)),
                           (f"0x{key:x}" if key else "none", bool(key)), "multipathd")
