# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the helper's socket that can also do everything a client should not."""
import array
import errno
import os
import select
import socket
import struct
import time
from typing import Iterable, NamedTuple, Optional, Sequence

from . import scaled, scsi
from .tap import Skip

REPLY_SIZE = 8 + scsi.SENSE_SIZE


class Disconnected(Exception):
    """The helper closed the connection, having sent only the bytes in .received."""

    def __init__(self, received: bytes = b""):
        super().__init__(f"connection closed by the helper after {len(received)} bytes")
        self.received = received


def needs_truncation() -> None:
    """For tests that pass more fds than a receive has room for."""
    if os.environ.get("TEST_EMULATED"):
        raise Skip("qemu-user takes fds that do not fit, keeps them, and does not say so")


class Reply(NamedTuple):
    status: int
    size: int
    sense: bytes
    payload: bytes

    def encode(self) -> bytes:
        return struct.pack(">ii", self.status, self.size) + self.sense + self.payload


def reply(status: int = scsi.GOOD, payload: bytes = b"", sense: bytes = scsi.NO_SENSE) -> Reply:
    """The one correct encoding of an answer."""
    return Reply(status, len(payload), sense.ljust(scsi.SENSE_SIZE, b"\0"), payload)


def check_condition(key: int, asc: int, ascq: int) -> Reply:
    return reply(scsi.CHECK_CONDITION, sense=scsi.sense(key, asc, ascq))


def ancillary(fds: Sequence[int]) -> list:
    if not fds:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]


class Connection:
    """A stream to the helper. Every wait ends: after timeout seconds a socket.timeout is raised."""

    def __init__(self, path: str, handshake: bool = True, features: int = 0,
                 timeout: float = 10.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(scaled(timeout))
        self.offered: Optional[int] = None
        try:
            self._connect(path, scaled(timeout))
            if handshake:
                self.handshake(features)
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, path: str, timeout: float) -> None:
        # With a time limit set the socket is non-blocking, and a full backlog says EAGAIN at once.
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.socket.connect(path)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    # -- bytes

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send everything; the fds go with the first byte."""
        try:
            sent = self.socket.sendmsg([data], ancillary(fds))
            if sent < len(data):
                self.socket.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Disconnected from None

    def push(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """send() to a helper that may already have closed, as it should."""
        try:
            self.send(data, fds)
        except Disconnected:
            pass

    def receive_some(self, most: int = 65536) -> bytes:
        """What has come, at least one byte; nothing at the end of file."""
        try:
            return self.socket.recv(most)
        except ConnectionResetError:
            return b""

    def receive(self, size: int) -> bytes:
        """Exactly size bytes, else Disconnected."""
        data = bytearray()
        while len(data) < size:
            piece = self.receive_some(size - len(data))
            if not piece:
                raise Disconnected(bytes(data))
            data += piece
        return bytes(data)

    def receive_at_most(self, size: int) -> bytes:
        """size bytes, or what there is up to the end of file."""
        try:
            return self.receive(size)
        except Disconnected as error:
            return error.received

    def receive_rest(self) -> bytes:
        """All bytes up to the end of file."""
        data = bytearray()
        while piece := self.receive_some():
            data += piece
        return bytes(data)

    def end(self) -> None:
        """Nothing more will be sent; the other direction stays open."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def readable(self, seconds: float) -> bool:
        poll = select.poll()  # select(2) ends at fd 1,023
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(scaled(seconds) * 1000))

    # -- the protocol

    def handshake(self, features: int = 0) -> int:
        self.offered = struct.unpack(">I", self.receive(4))[0]
        self.send(struct.pack(">I", features))
        return self.offered

    def send_request(self, cdb: bytes, fds: Iterable[int] = (), parameters: bytes = b"") -> None:
        """As QEMU does it: the CDB with the fd, then the parameter list."""
        self.send(cdb, list(fds))
        if parameters:
            self.send(parameters)

    def receive_reply(self) -> Reply:
        head = self.receive(REPLY_SIZE)
        status, size = struct.unpack(">ii", head[:8])
        if not 0 <= size <= scsi.DATA_MAX:
            raise AssertionError(f"reply says {size} bytes follow: {head.hex()}")
        return Reply(status, size, head[8:], self.receive(size))

    def command(self, cdb: bytes, fd: int, parameters: bytes = b"") -> Reply:
        self.send_request(cdb, [fd], parameters)
        return self.receive_reply()
