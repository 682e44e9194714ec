# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loop devices over sparse files: block devices that a test may do anything to. To the programs that
a run starts they are SCSI disks, by the /sys of support/sysfs.py."""
import ctypes
import errno
import fcntl
import os
import stat
import struct
from typing import Optional

from . import sysfs

LOOP_SET_FD = 0x4C00
LOOP_SET_STATUS64 = 0x4C04
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4
LO_FLAGS_PARTSCAN = 8
#: struct loop_info64: its size, and where its flags are.
INFO_SIZE = 232
INFO_FLAGS = 52

BLKPG = 0x1269
BLKPG_ADD_PARTITION = 1
BLKPG_DEL_PARTITION = 2
#: struct blkpg_partition: start and length in bytes, number, two names.
PARTITION = "<qqi64s64s4x"


class Unavailable(Exception):
    """There are no loop devices here; the message says why."""


class Loop:
    """One loop device. The kernel detaches it at its last close, so nothing is left behind even if
    the run is killed. scsi=False: no SCSI disk."""

    def __init__(self, directory: str, size: int = 4 << 20, scsi: bool = True):
        try:
            self._tree = sysfs.tree() if scsi else None
        except sysfs.Unavailable as reason:
            raise Unavailable(str(reason)) from None
        backing = os.path.join(directory, "disk")
        fd = os.open(backing, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(backing)
            os.ftruncate(fd, size)
            self._attach(fd)
        finally:
            os.close(fd)
        self.rdev = os.fstat(self._keep).st_rdev
        self._partition: Optional[str] = None
        if self._tree:
            self._tree.add_disk(self.rdev, os.path.basename(self.path))

    def _attach(self, fd: int) -> None:
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
                        if error.errno != errno.EBUSY:  # else another process was faster
                            raise
                else:
                    raise Unavailable("every free loop device was taken by another process")
        except OSError as error:
            raise Unavailable(f"no loop device to be had: {error}") from error
        info = bytearray(INFO_SIZE)
        # With the second flag partitions go with the device, should we be killed.
        struct.pack_into("<I", info, INFO_FLAGS, LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN)
        fcntl.ioctl(self._keep, LOOP_SET_STATUS64, bytes(info))

    def open(self, flags: int = os.O_RDWR) -> int:
        return os.open(self.path, flags | os.O_CLOEXEC)

    def close(self) -> None:
        if self._partition:
            if self._tree:
                self._tree.remove_partition(os.stat(self._partition).st_rdev)
            os.unlink(self._partition)
            self._tell_partition(BLKPG_DEL_PARTITION)
        if self._tree:
            self._tree.remove_disk(self.rdev)
        os.close(self._keep)

    def _tell_partition(self, operation: int) -> None:
        partition = ctypes.create_string_buffer(
            struct.pack(PARTITION, 1 << 20, 1 << 20, 1, b"", b""))
        fcntl.ioctl(self._keep, BLKPG, struct.pack("@iiiP", operation, 0, len(partition.raw) - 1,
                                                   ctypes.addressof(partition)))

    def make_partition(self, path: str) -> int:
        """Make a partition, if there is none yet, and a node for it at path; its st_rdev."""
        if self._partition:
            rdev = os.stat(self._partition).st_rdev
            os.mknod(path, stat.S_IFBLK | 0o600, rdev)
            return rdev
        try:
            self._tell_partition(BLKPG_ADD_PARTITION)
            name = os.path.basename(self.path)
            with open(f"/sys/class/block/{name}/{name}p1/dev", encoding="ascii") as file:
                rdev = os.makedev(*map(int, file.read().split(":")))
            if self._tree:
                self._tree.add_partition(self.rdev, rdev, f"{name}p1")
            os.mknod(path, stat.S_IFBLK | 0o600, rdev)
        except OSError as error:
            raise Unavailable(f"no partition to be had on a loop device: {error}") from error
        self._partition = path
        return rdev
