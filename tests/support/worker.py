# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helper's side of the channel to qemu-pr-mpath (src/proto/worker.h)."""
import array
import ctypes
import os
import select
import socket
import struct
import subprocess
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from . import procfs, scaled, scsi, tap
from .process import Program

CHANNEL = 3
TEXT_SIZE = 512
HELLO = struct.Struct(f">HHII{TEXT_SIZE}s")
REQUEST = struct.Struct(f">HHIII16s{scsi.DATA_MAX}s")
REPLY = struct.Struct(f">HHII{scsi.SENSE_SIZE}s{TEXT_SIZE}s{scsi.DATA_MAX}s")
FAREWELL = struct.Struct(">HHI")
KIND = {name: ord(letter) << 8 | 3 for name, letter in
        [("hello", "h"), ("request", "q"), ("reply", "p"), ("farewell", "f")]}


#: src/proto/maptable.h: a map, and one of its paths.
SLOT, PATH = struct.Struct("@I4xqIII130s2x"), struct.Struct("@II32sBB2x")
SLOT_SIZE, PATHS_MAX = SLOT.size + 64 * PATH.size, 64
TABLE_SIZE = 1024 * SLOT_SIZE
STATES, REGISTERED = ("up", "away", "hangs", "failed"), (False, True, None)


class Hello(NamedTuple):
    ready: bool
    text: str
    later: bool = False


class Told(NamedTuple):
    """A path, as the worker's table has it."""
    state: str
    registered: Optional[bool]


def table(*maps: Tuple[str, Dict[str, Told]]) -> bytes:
    """That of a worker, with the uuid and the paths of each map; numbers are 253:N and 8:N."""
    data = bytearray(TABLE_SIZE)
    for n, (uuid, paths) in enumerate(maps):
        at = n * SLOT_SIZE
        SLOT.pack_into(data, at, 2, 0, 253, n, len(paths), uuid.encode())
        for i, (name, told) in enumerate(paths.items()):
            PATH.pack_into(data, at + SLOT.size + i * PATH.size, 8, i, name.encode(),
                           STATES.index(told.state), REGISTERED.index(told.registered))
    return bytes(data)


class Reply(NamedTuple):
    status: int
    sense: bytes
    data: bytes
    text: str

    @property
    def code(self) -> tuple:
        """Status, sense key, ASC, ASCQ; the last three of fixed format sense data."""
        return self.status, self.sense[2] & 0x0F, self.sense[12], self.sense[13]


def request(cdb: bytes, data: bytes = b"", deadline: float = 60.0,
            io_timeout: float = 30.0, connection: int = 7) -> bytes:
    """The message for a command; times in seconds."""
    return REQUEST.pack(0, KIND["request"], int(deadline * 1000), int(io_timeout * 1000),
                        connection, cdb, data)


def told(message: bytes) -> Tuple[str, int]:
    """Which kind of message this is for a worker, and of the client in which slot."""
    if len(message) == REQUEST.size:
        return "request", REQUEST.unpack(message)[4]
    zero, kind, slot = FAREWELL.unpack(message)
    assert (zero, kind) == (0, KIND["farewell"])
    return "farewell", slot


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode()


class Pending:
    """A request that was sent. Its answer comes on a socket of its own."""

    def __init__(self, ours: socket.socket):
        self.socket = ours

    def is_answered(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])

    def reply(self, timeout: float = 10.0) -> Optional[Reply]:
        """None at end of file: no answer came."""
        with self.socket:
            self.socket.settimeout(scaled(timeout))
            message = self.socket.recv(REPLY.size + 1)
        if not message:
            return None
        zero, kind, status, size, sense, text, data = REPLY.unpack(message)
        if (zero, kind) != (0, KIND["reply"]):
            raise AssertionError(f"a reply of kind {zero:x} {kind:x}")
        return Reply(status, sense, data[:size], _text(text))


class Opener:
    """The worker's end of the channel to the process that opens paths (src/mpath/opener.c), as
    an attacker has it who runs code in the worker."""
    REQUEST, REPLY = struct.Struct(">II32s"), struct.Struct(">I")
    PIDFD_GETFD = 438

    def __init__(self, worker: "Worker"):
        pidfd = os.pidfd_open(worker.pid)
        number = min(fd for fd, name in procfs.fds(worker.pid).items()
                     if name.startswith("socket:") and fd > CHANNEL)
        fd = ctypes.CDLL(None, use_errno=True).syscall(self.PIDFD_GETFD, pidfd, number, 0)
        os.close(pidfd)
        if fd < 0:
            raise tap.Skip("another process's fd cannot be had here")
        self._channel = socket.socket(fileno=fd)

    def _send(self, message: bytes, fd: int) -> None:
        socket.send_fds(self._channel, [message], [fd])

    def ask(self, map_rdev: int, name: str, map_fd: int = -1) -> int:
        """0: it was opened; else a negative errno. map_fd: the map, which is shown before."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if map_fd >= 0:
            self._send(b"\0", map_fd)
        with ours:
            with theirs:
                self._send(self.REQUEST.pack(os.major(map_rdev), os.minor(map_rdev),
                                             name.encode()), theirs.fileno())
            ours.settimeout(scaled(5))
            message, opened, _, _ = socket.recv_fds(ours, self.REPLY.size, 1)
        for fd in opened:
            os.close(fd)
        error, = self.REPLY.unpack(message)
        assert (error == 0) == bool(opened)
        return -error


class Worker(Program):
    """The program, started as the keeper starts it."""

    def __init__(self, binary: str, directory: str, prefix: Sequence[str] = (),
                 options: Sequence[str] = (),
                 channel: Optional[Tuple[socket.socket, socket.socket]] = None, **arguments):
        self.channel, theirs = channel or socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.table = -1
        before = arguments.pop("before_exec", None)

        def before_exec() -> None:
            if before:
                before()
            os.dup2(theirs.fileno(), CHANNEL)  # inheritable

        with theirs:
            super().__init__([*prefix, binary, *options], directory, pass_fds=[CHANNEL], before_exec=before_exec,
                             **arguments)

    def hello(self, timeout: float = 30.0) -> Hello:
        self.channel.settimeout(scaled(timeout))
        message, fds, _, _ = socket.recv_fds(self.channel, HELLO.size + 1, 1)
        if fds:
            self.table, = fds
        if not message:
            raise AssertionError(f"no hello; stderr: {self.log()!r}")
        zero, kind, ready, _pid, text = HELLO.unpack(message)
        if (zero, kind) != (0, KIND["hello"]) or ready > 2:
            raise AssertionError(f"a hello of kind {zero:x} {kind:x}, ready {ready}")
        return Hello(ready == 1, _text(text), ready == 2)

    def maps(self) -> Dict[str, Dict[str, Told]]:
        """What the table that came with the hello says of each path, by map and path."""
        found: Dict[str, Dict[str, Told]] = {}
        data = os.pread(self.table, os.fstat(self.table).st_size, 0) if self.table >= 0 else b""
        for at in range(0, len(data), SLOT_SIZE):
            sequence, _, _, _, n_paths, uuid = SLOT.unpack_from(data, at)
            if sequence == 0:
                break
            paths = (PATH.unpack_from(data, at + SLOT.size + i * PATH.size) for i in range(n_paths))
            found[_text(uuid)] = {_text(name): Told(STATES[state], REGISTERED[registered])
                                  for _, _, name, state, registered in paths}
        return found

    def send_raw(self, message: bytes, fds: Sequence[int]) -> None:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.channel.sendmsg([message], control)

    def send(self, device: int, cdb: bytes, data: bytes = b"", **times: float) -> Pending:
        """device: an fd."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.send_raw(request(cdb, data, **times), [device, theirs.fileno()])
        return Pending(ours)

    def opener(self) -> Opener:
        return Opener(self)

    def farewell(self, connection: int) -> None:
        """A client is gone."""
        self.send_raw(FAREWELL.pack(0, KIND["farewell"], connection), [])

    def end(self, timeout: float = 10.0) -> int:
        """Close the channel and wait for the exit code."""
        self.channel.close()
        return self.wait_exit(timeout)

    def close(self) -> None:
        self.channel.close()
        if self.table >= 0:
            os.close(self.table)
            self.table = -1
        try:
            self.process.wait(scaled(1))
        except subprocess.TimeoutExpired:
            pass
        super().close()
