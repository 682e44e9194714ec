# SPDX-License-Identifier: LGPL-2.1-or-later
"""Some clients at once, and a judge of what they are told."""
import os
import socket
from typing import Optional

from protocol.fixture import DEFAULT_DATA, Disk
from support import scsi
from support.client import Connection, Disconnected, Reply

from .fixture import PATIENCE, Context, read_status

READ_KEYS = scsi.pr_in(16)
REGISTER = scsi.pr_out(24, scsi.REGISTER)
PARAMETERS = scsi.parameters(0, 0x1234)
KEYS = Reply(scsi.GOOD, 16, scsi.NO_SENSE, DEFAULT_DATA)
DONE = Reply(scsi.GOOD, 0, scsi.NO_SENSE, b"")

#: What a CHECK CONDITION may say of a command that a failing system call has kept from its device:
#: ILLEGAL REQUEST where it cannot be told what the device is, ABORTED COMMAND, HARDWARE ERROR.
SENSE_KEYS = (0x2, 0x4, 0x5, 0xB)


class Client:
    """One that connects again when it is hung up on, as QEMU does."""

    def __init__(self, clients: "Clients", disk: Disk):
        self._clients, self._t, self.disk = clients, clients.t, disk
        self._connection: Optional[Connection] = None
        self.fd = clients.t.own(disk.open())

    def connect(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._clients.socket_path, timeout=PATIENCE)
        return self._connection

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def send(self, cdb: bytes, *pieces: bytes) -> None:
        """A request; its parameter list in pieces, the helper having waited for each."""
        self._before = self.disk.entered
        self._sent = False
        try:
            self.connect().send_request(cdb, [self.fd])
            for piece in pieces:
                self._clients.settle()
                self.connect().send(piece)
            self._sent = True
        except (Disconnected, ConnectionError):
            self._failed()

    def _failed(self) -> None:
        self.close()
        self._clients.imperfect += 1

    def hear(self, wanted: Reply) -> None:
        """The answer, which is the wanted one, or true in another way."""
        if not self._sent:
            return
        try:
            reply = self.connect().receive_reply()
        except (Disconnected, ConnectionError) as error:
            received = getattr(error, "received", b"")
            self._t.equal(received, b"", "bytes before the end")
            self._failed()
            return
        except socket.timeout:
            self.close()
            raise AssertionError("no answer, and no end") from None
        self._judge(reply, wanted, self.disk.entered - self._before)

    def _judge(self, reply: Reply, wanted: Reply, calls: int) -> None:
        t = self._t
        if reply.status == scsi.GOOD:
            t.equal(reply, wanted, "answer")
            t.equal(calls, 1, "commands on the device, of one that is GOOD")
            return
        self._clients.imperfect += 1
        t.equal(reply.payload, b"", "data of a command that has failed")
        if reply.status == scsi.BUSY:
            t.equal(reply.sense, scsi.NO_SENSE, "sense data of BUSY")
            t.equal(calls, 0, "commands on the device, of one that is BUSY")
            return
        t.equal(reply.status, scsi.CHECK_CONDITION, "status")
        t.equal(reply.sense[0], 0x70, "format of the sense data")
        t.check(reply.sense[2] in SENSE_KEYS, f"sense key {reply.sense[2]:x}h")


class Clients:
    """What a helper is asked over and over."""

    def __init__(self, t: Context, socket_path: str, status_path: str, settle):
        self.t, self.socket_path, self.status_path = t, socket_path, status_path
        self.settle = settle
        self.imperfect = 0  # answers that were not the wanted ones
        self.first = Client(self, t.disk)
        self.second = Client(self, t.other_disk)

    def go_through(self) -> int:
        """Everything once. Returns how many of them had a worse answer than usual."""
        self.imperfect = 0
        try:
            self.first.send(READ_KEYS)
            self.first.hear(KEYS)
            self.first.send(REGISTER, PARAMETERS[:10], PARAMETERS[10:])
            self.first.hear(DONE)
            self._side_by_side()
            self._read_status()
            self._break_off()
        finally:
            self.first.close()
            self.second.close()
        return self.imperfect

    def _side_by_side(self) -> None:
        """One client's disk hangs; the other client is served."""
        disk = self.second.disk
        disk.hold()
        try:
            self.second.send(READ_KEYS)
            self.settle()
            self.first.send(READ_KEYS)
            self.first.hear(KEYS)
        finally:
            disk.release()
        self.second.hear(KEYS)

    def _read_status(self) -> None:
        try:
            if not read_status(self.status_path):
                self.imperfect += 1
        except ConnectionError:
            self.imperfect += 1

    def _break_off(self) -> None:
        """Clients that do not do as they should."""
        try:
            with Connection(self.socket_path, timeout=PATIENCE) as connection:
                connection.push(REGISTER, [self.first.fd])
                connection.push(PARAMETERS[:1])
            with Connection(self.socket_path, timeout=PATIENCE) as connection:
                connection.push(bytes(16))
                self.t.equal(connection.receive_some(), b"", "answer to what is no request")
        except (Disconnected, ConnectionError):
            self.imperfect += 1
