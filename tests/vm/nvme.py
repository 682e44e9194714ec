# SPDX-License-Identifier: LGPL-2.1-or-later
"""An NVMe namespace with reservations, made by the kernel's own NVMe target (6.13 and later), as several
NVMe hosts have it; and the ioctls of <linux/pr.h>, by which the kernel tells and changes the
reservations of a disk of either kind."""
import ctypes
import fcntl
import os
import re
import struct
import uuid
from typing import List, NamedTuple, Optional

import lab

NVMET = f"{lab.CONFIGFS}/nvmet"
NQN = "nqn.2026-01.test.invalid:shared"
IOC_PR_REGISTER, IOC_PR_PREEMPT = 0x401870C8, 0x401870CB
IOC_PR_READ_KEYS, IOC_PR_READ_RESERVATION = 0xC01070CE, 0x801070CF
KEYS_MAX = 16
#: enum pr_type
WRITE_EXCLUSIVE_REGISTRANTS = 3


class Reservation(NamedTuple):
    key: int
    type: int  # enum pr_type


class Namespace:
    """In memory; connected by nvme-loop once for each NVMe host."""

    def __init__(self, name: str, hosts: int = 2, megabytes: int = 8):
        lab.mount_configfs()
        lab.load("nvmet", "nvme-loop")
        lab.run("modprobe", "brd", "rd_nr=1", f"rd_size={megabytes << 10}")
        subsystem = f"{NVMET}/subsystems/{NQN}"
        os.makedirs(f"{subsystem}/namespaces/1")
        lab.write(f"{subsystem}/attr_allow_any_host", 1)
        lab.write(f"{subsystem}/namespaces/1/device_path", "/dev/ram0")
        lab.write(f"{subsystem}/namespaces/1/resv_enable", 1)
        lab.write(f"{subsystem}/namespaces/1/enable", 1)
        os.makedirs(f"{NVMET}/ports/1")
        lab.write(f"{NVMET}/ports/1/addr_trtype", "loop")
        os.symlink(subsystem, f"{NVMET}/ports/1/subsystems/{NQN}")
        self.name = name
        #: The disk of each host
        self.disks = [self._connect() for _ in range(hosts)]

    @staticmethod
    def _connect() -> str:
        """As a host of its own: what it registers is its own."""
        identity = uuid.uuid4()
        fd = os.open("/dev/nvme-fabrics", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(fd, f"transport=loop,nqn={NQN},hostid={identity},"
                         f"hostnqn=nqn.2014-08.org.nvmexpress:uuid:{identity}".encode())
            instance = re.search(r"instance=(\d+)", os.read(fd, 256).decode()).group(1)
        finally:
            os.close(fd)
        path = f"/dev/nvme{instance}n1"
        lab.wait_for(path, lambda: os.path.exists(path))
        return path


class Refused(Exception):
    """By the disk: its NVMe status."""


class Native:
    """A program that uses reservations of a disk by the kernel, not by SCSI commands."""

    def __init__(self, path: str):
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)

    def close(self) -> None:
        os.close(self.fd)

    def _ioctl(self, request: int, argument: "bytes | bytearray") -> None:
        """The kernel returns what the disk has said: 0, or its status."""
        status = fcntl.ioctl(self.fd, request, argument)
        if isinstance(status, int) and status:
            raise Refused(f"status {status:#x}")

    def register(self, key: int, old: int = 0) -> None:
        self._ioctl(IOC_PR_REGISTER, bytearray(struct.pack("QQII", old, key, 0, 0)))

    def preempt(self, key: int, victim: int, kind: int) -> None:
        self._ioctl(IOC_PR_PREEMPT, bytearray(struct.pack("QQII", key, victim, kind, 0)))

    def keys(self) -> List[int]:
        room = (ctypes.c_uint64 * KEYS_MAX)()
        asked = bytearray(struct.pack("IIQ", 0, KEYS_MAX, ctypes.addressof(room)))
        self._ioctl(IOC_PR_READ_KEYS, asked)
        return sorted(room[:struct.unpack_from("I", asked, 4)[0]])

    def reservation(self) -> Optional[Reservation]:
        asked = bytearray(16)
        self._ioctl(IOC_PR_READ_RESERVATION, asked)
        key, _, kind = struct.unpack("QII", asked)
        return Reservation(key, kind) if kind else None
