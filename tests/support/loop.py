# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loop devices over sparse files: block devices that a test may do anything to."""
import errno
import fcntl
import os
import stat
import struct
import time
from typing import List, Optional

from . import scaled

LOOP_SET_FD = 0x4C00
LOOP_CLR_FD = 0x4C01
LOOP_SET_STATUS64 = 0x4C04
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4
LO_FLAGS_PARTSCAN = 8
#: struct loop_info64 up to its flags, and its size.
INFO_HEAD = "<QQQQQIIII"
INFO_SIZE = 232

SECTOR = 512


class Unavailable(Exception):
    """There are no loop devices here; the message says why."""


def partition_table(first: int, count: int) -> bytes:
    """A master boot record with one partition; sectors."""
    entry = struct.pack("<B3sB3sII", 0, b"\0\0\0", 0x83, b"\0\0\0", first, count)
    return (bytes(446) + entry).ljust(510, b"\0") + b"\x55\xaa"


class Loop:
    """One loop device. The kernel detaches it at its last close, so nothing is left behind even if
    the run is killed."""

    def __init__(self, directory: str, size: int = 4 << 20, partition: bool = False):
        backing = os.path.join(directory, "disk")
        fd = os.open(backing, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(backing)
            os.ftruncate(fd, size)
            if partition:
                os.pwrite(fd, partition_table(2048, 2048), 0)
            self._attach(fd, LO_FLAGS_AUTOCLEAR | (LO_FLAGS_PARTSCAN if partition else 0))
        finally:
            os.close(fd)
        self.rdev = os.fstat(self._keep).st_rdev

    def _attach(self, fd: int, flags: int) -> None:
        try:
            with open("/dev/loop-control", "rb", buffering=0) as loops:
                for _ in range(64):
                    number = fcntl.ioctl(loops, LOOP_CTL_GET_FREE)
                    self.path = f"/dev/loop{number}"
                    if not os.path.exists(self.path):
                        os.mknod(self.path, stat.S_IFBLK | 0o600, os.makedev(7, number))
                    self._keep = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                    try:
                        fcntl.ioctl(self._keep, LOOP_SET_FD, fd)
                        break
                    except OSError as error:
                        os.close(self._keep)
                        if error.errno != errno.EBUSY:  # else somebody was faster
                            raise
                else:
                    raise Unavailable("every free loop device was taken by somebody else")
        except OSError as error:
            raise Unavailable(f"no loop device to be had: {error}") from error
        info = bytearray(INFO_SIZE)
        struct.pack_into("<I", info, 52, flags)
        fcntl.ioctl(self._keep, LOOP_SET_STATUS64, bytes(info))

    def open(self, flags: int = os.O_RDWR) -> int:
        return os.open(self.path, flags | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._keep)

    def partition_path(self) -> Optional[str]:
        """A node of the first partition, None if the kernel made none."""
        name = os.path.basename(self.path)
        number = f"/sys/class/block/{name}/{name}p1/dev"
        deadline = time.monotonic() + scaled(2)
        while not os.path.exists(number):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        return number


def devices(directory: str, count: int) -> List[Loop]:
    return [Loop(directory) for _ in range(count)]
