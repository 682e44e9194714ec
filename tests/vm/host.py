# SPDX-License-Identifier: LGPL-2.1-or-later
"""One host's view of a disk, as a virtual machine has it: reservations through a helper, data past
it; and what the answers mean."""
import os
import stat
import struct
from typing import List, NamedTuple, Optional

import lab
from support import scsi
from support.client import Connection, Reply


class Host:
    """One host's view of the disk: commands through a helper, data past it."""

    def __init__(self, connection: Connection, path: str, flags: int = os.O_RDWR):
        self.connection = connection
        if stat.S_ISBLK(os.stat(path).st_mode):
            flags |= os.O_DIRECT
        self.fd = os.open(path, flags | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.fd)
        self.connection.close()

    def ask(self, action: int, allocation: int = scsi.DATA_MAX) -> Reply:
        return self.connection.command(scsi.pr_in(allocation, action), self.fd)

    def tell(self, action: int, scope_type: int = 0, key: int = 0, action_key: int = 0,
             flags: int = 0) -> Reply:
        return self.tell_raw(action, scope_type, scsi.parameters(key, action_key, flags))

    def tell_raw(self, action: int, scope_type: int, parameters: bytes) -> Reply:
        return self.connection.command(scsi.pr_out(len(parameters), action, scope_type), self.fd,
                                       parameters)

    def write(self, byte: int = 0x5A) -> Optional[int]:
        return lab.transfer(self.fd, byte)

    def read(self) -> Optional[int]:
        return lab.transfer(self.fd)


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
