# SPDX-License-Identifier: LGPL-2.1-or-later
"""A /sys in which loop devices are SCSI disks.

The helper takes a block device for a disk only if sysfs says that it is one, and loop devices have
no SCSI device there. A run that calls enter() has a mount namespace of its own, in which
/sys/dev/block and /sys/block are directories of ours: they lead to the kernel's entries, but for the
disks of the run. No other process sees them, and they are gone with the last process of the run.

A disk looks as the SCSI disk driver makes it look (Documentation/ABI/stable/sysfs-block, and
drivers/scsi/scsi_sysfs.c of the kernel), as far as our programs ask:

    /sys/dev/block/7:3 -> .devices/host7/target7:0:0/7:0:0:3/block/loop3
    .../loop3/device   -> ../../../7:0:0:3
    .../7:0:0:3/subsystem -> ../../../../.bus/scsi
"""
import os
import shutil
from typing import List, Optional

from . import mounts

NUMBERS = "/sys/dev/block"
NAMES = "/sys/block"


class Unavailable(Exception):
    """There is no such /sys here; the message says why."""


def number(rdev: int) -> str:
    return f"{os.major(rdev)}:{os.minor(rdev)}"


def address(rdev: int) -> str:
    """HOST:CHANNEL:TARGET:LUN of the SCSI device that a disk of this number gets."""
    return f"{os.major(rdev)}:0:0:{os.minor(rdev)}"


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _link(target: str, path: str) -> None:
    """Also in the place of another one."""
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


class Tree:
    """Disks and partitions below `numbers`, which is or becomes a /sys/dev/block, and their names
    below `names`, a /sys/block."""

    def __init__(self, numbers: str, names: Optional[str] = None):
        self._numbers, self._names = numbers, names

    def _scsi_device(self, rdev: int) -> str:
        host = os.major(rdev)
        return os.path.join(f".devices/host{host}/target{host}:0:0", address(rdev))

    def directory(self, rdev: int) -> str:
        """Where the disk or partition of this number is."""
        return os.path.realpath(os.path.join(self._numbers, number(rdev)))

    def scsi_device(self, rdev: int) -> str:
        """The directory of a disk's SCSI device."""
        return os.path.join(self._numbers, self._scsi_device(rdev))

    def add_disk(self, rdev: int, name: str) -> None:
        where = self._scsi_device(rdev)
        device = os.path.join(self._numbers, where)
        disk = os.path.join(device, "block", name)
        os.makedirs(os.path.join(self._numbers, ".bus/scsi"), exist_ok=True)
        for attribute, value in (("vendor", "standin "), ("model", name.ljust(16)), ("rev", "1   "),
                                 ("type", "0"), ("scsi_level", "7"), ("state", "running")):
            write(os.path.join(device, attribute), f"{value}\n")
        _link("../../../../.bus/scsi", os.path.join(device, "subsystem"))
        for attribute, value in (("dev", number(rdev)), ("ro", "0"), ("removable", "0")):
            write(os.path.join(disk, attribute), f"{value}\n")
        for neighbours in ("holders", "slaves"):
            os.makedirs(os.path.join(disk, neighbours), exist_ok=True)
        _link(f"../../../{address(rdev)}", os.path.join(disk, "device"))
        self._publish(rdev, os.path.join(where, "block", name))

    def add_partition(self, disk: int, rdev: int, name: str) -> None:
        """Of a disk that was added before."""
        where = os.path.join(os.readlink(os.path.join(self._numbers, number(disk))), name)
        write(os.path.join(self._numbers, where, "partition"), "1\n")
        write(os.path.join(self._numbers, where, "dev"), f"{number(rdev)}\n")
        _link(where, os.path.join(self._numbers, number(rdev)))

    def _publish(self, rdev: int, where: str) -> None:
        _link(where, os.path.join(self._numbers, number(rdev)))
        if self._names:
            _link(os.path.join(os.path.relpath(self._numbers, self._names), where),
                  os.path.join(self._names, os.path.basename(where)))

    def remove_partition(self, rdev: int) -> None:
        directory = self.directory(rdev)
        os.unlink(os.path.join(self._numbers, number(rdev)))
        shutil.rmtree(directory)

    def remove_disk(self, rdev: int) -> None:
        """What it was before: a device without a SCSI device."""
        name = os.path.basename(self.directory(rdev))
        shutil.rmtree(os.path.join(self._numbers, self._scsi_device(rdev)))
        self._publish(rdev, f"../../devices/virtual/block/{name}")


_tree: Optional[Tree] = None
_reason = "nothing has made a /sys for this run"


def _links(directory: str) -> List[tuple]:
    return [(os.readlink(os.path.join(directory, name)), name) for name in os.listdir(directory)]


def enter() -> None:
    """From now on this process and its children have such a /sys, if that can be done: tree() tells.
    This has to come before there are threads."""
    global _tree, _reason
    if _tree:
        return
    try:
        mounts.make_private()
        kept = [(directory, _links(directory)) for directory in (NUMBERS, NAMES)]
        for directory, links in kept:
            mounts.mount("tmpfs", directory, "tmpfs")
            os.chmod(directory, 0o755)
            for target, name in links:
                os.symlink(target, os.path.join(directory, name))
    except OSError as error:
        _reason = f"no mount namespace with a /sys of its own: {error}"
        return
    _tree = Tree(NUMBERS, NAMES)


def tree() -> Tree:
    """The one that enter() has mounted."""
    if not _tree:
        raise Unavailable(_reason)
    return _tree
