# SPDX-License-Identifier: LGPL-2.1-or-later
"""One host's view of a LUN, as a virtual machine has it: reservations through a helper, data past
it; and what the answers mean."""
import os
import stat
import struct
from typing import List, NamedTuple, Optional, Tuple

import lab
from support import client, scsi
from support.client import Connection, Reply

#: Reservation types; SPC-4 table 68
(WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, WRITE_EXCLUSIVE_REGISTRANTS, EXCLUSIVE_ACCESS_REGISTRANTS,
 WRITE_EXCLUSIVE_ALL, EXCLUSIVE_ACCESS_ALL) = 1, 3, 5, 6, 7, 8
APTPL, SPEC_I_PT = 0x01, 0x08

GOOD, CONFLICT = client.reply(), client.reply(scsi.RESERVATION_CONFLICT)
#: Unit attentions: sense key, additional sense code and its qualifier.
RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED = (6, 0x2A, 3), (6, 0x2A, 4)
REGISTRATIONS_PREEMPTED = (6, 0x2A, 5)


class Reservation(NamedTuple):
    key: int
    type: int


class Host:
    """One host's view of a LUN: an fd of its own, commands through a helper, data past it. The LUN
    is a device's path, or a simulator's file."""

    def __init__(self, socket_path: str, lun: str, flags: int = os.O_RDWR, name: str = "",
                 timeout: float = 10.0, user: int = 0):
        """user: whose rights this process has from now on, but for the LUN, which it has open."""
        self.name = name or lun
        self.socket_path, self.timeout = socket_path, timeout
        if stat.S_ISBLK(os.stat(lun).st_mode):
            flags |= os.O_DIRECT
        self.fd = os.open(lun, flags | os.O_CLOEXEC)
        if user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        self.connection = Connection(socket_path, timeout=timeout)

    def close(self) -> None:
        os.close(self.fd)
        self.connection.close()

    def reconnect(self) -> None:
        self.connection.close()
        self.connection = Connection(self.socket_path, timeout=self.timeout)

    def ask(self, action: int, allocation: int = scsi.DATA_MAX) -> Reply:
        return self.connection.command(scsi.pr_in(allocation, action), self.fd)

    def tell(self, action: int, scope_type: int = 0, key: int = 0, action_key: int = 0,
             flags: int = 0) -> Reply:
        return self.tell_raw(action, scope_type, scsi.parameters(key, action_key, flags))

    def tell_raw(self, action: int, scope_type: int, parameters: bytes) -> Reply:
        return self.connection.command(scsi.pr_out(len(parameters), action, scope_type), self.fd,
                                       parameters)

    def cleanup(self) -> Reply:
        return self.connection.command(scsi.cleanup(), self.fd)

    def write(self, byte: int = 0x5A) -> Optional[int]:
        return lab.transfer(self.fd, byte)

    def read(self) -> Optional[int]:
        return lab.transfer(self.fd)

    # -- what a driver makes of the answers

    def keys(self) -> Tuple[int, List[int]]:
        """PRGENERATION and the keys, as many as there are: read as every driver does it, with a
        buffer that grows to the length that the device tells."""
        allocation = 136
        while True:
            answer = self.ask(scsi.READ_KEYS, allocation)
            if answer.status != scsi.GOOD or answer.size < 8:
                raise AssertionError(f"READ KEYS of {self.name}: {answer}")
            generation, size = struct.unpack_from(">II", answer.payload)
            if 8 + size <= allocation:
                return generation, [key for key, in struct.iter_unpack(
                    ">Q", answer.payload[8:8 + size])]
            allocation = 8 + size

    def reservation(self) -> Optional[Reservation]:
        answer = self.ask(scsi.READ_RESERVATION, 24)
        if answer.status != scsi.GOOD or answer.size < 8:
            raise AssertionError(f"READ RESERVATION of {self.name}: {answer}")
        if not struct.unpack_from(">I", answer.payload, 4)[0]:
            return None
        return Reservation(*struct.unpack_from(">Q5xB", answer.payload, 8))


class FullStatus(NamedTuple):
    """One registration as READ FULL STATUS has it."""
    initiator: str
    key: int
    holder: bool
    scope_type: int  # 0 unless it is a holder


def full_status(data: bytes) -> List[FullStatus]:
    """The full status descriptors of iSCSI initiators, by name; SPC-4 6.15.5, READ FULL STATUS."""
    found = []
    at = 8
    while at < len(data):
        key, flags, scope_type, _, size = struct.unpack_from(">Q4xBB4xHI", data, at)
        name = data[at + 24 + 4:at + 24 + size].rstrip(b"\0").decode().partition(",i,")[0]
        holder = bool(flags & 1)
        found.append(FullStatus(name, key, holder, scope_type if holder else 0))
        at += 24 + size
    return sorted(found)
