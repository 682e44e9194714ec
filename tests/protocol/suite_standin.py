# SPDX-License-Identifier: LGPL-2.1-or-later
"""The /sys of support/sysfs.py, as the helper sees it: the disks of the run are SCSI disks, what is
none has not become one, and nothing outside of the run is told."""
import os
import stat

from support import loop
from support.sysfs import NAMES, NUMBERS, address, number
from support.tap import Skip, ours, test

from protocol.suite_status import Told


def of(pid, directory, name):
    return os.path.join(f"/proc/{pid}/root{directory}", name)


def kind(entry):
    """What a strict reader takes the directory of a block device for."""
    if os.path.exists(os.path.join(entry, "dm")):
        return "map"
    if os.path.exists(os.path.join(entry, "partition")):
        return "partition"
    if not os.path.exists(os.path.join(entry, "device", "scsi_level")):
        return "no SCSI disk"
    subsystem = os.path.realpath(os.path.join(entry, "device", "subsystem"))
    return "SCSI disk" if os.path.basename(subsystem) == "scsi" else "no SCSI disk"


def by_number(t, rdev):
    return of(t.helper.pid, NUMBERS, number(rdev))


@test
def disk(t):
    rdev, name = t.disk.rdev, os.path.basename(t.disk.path)
    entry = by_number(t, rdev)
    t.equal(kind(entry), "SCSI disk", "kind")
    t.equal(os.path.basename(os.readlink(entry)), name, "name")
    t.equal(os.path.basename(os.readlink(os.path.join(entry, "device"))), address(rdev), "address")
    t.equal(os.path.realpath(of(t.helper.pid, NAMES, name)), os.path.realpath(entry), "by its name")
    with open(os.path.join(entry, "dev"), encoding="ascii") as file:
        t.equal(file.read(), f"{number(rdev)}\n", "number")


@test
def partition(t):
    disk = t.lab.disk(2)
    path = os.path.join(t.directory(), "partition")
    try:
        rdev = disk.make_partition(path)
    except loop.Unavailable as reason:
        raise Skip(str(reason)) from None
    entry = by_number(t, rdev)
    t.equal(kind(entry), "partition", "kind")
    t.equal(os.path.dirname(os.path.realpath(entry)), os.path.realpath(by_number(t, disk.rdev)),
            "where it is")


@test
def loop_device_of_no_suite(t):
    try:
        device = loop.Loop(t.directory(), scsi=False)
    except loop.Unavailable as reason:
        raise Skip(str(reason)) from None
    t.cleanup.callback(device.close)
    t.equal(kind(by_number(t, device.rdev)), "no SCSI disk", "kind")


@test
def what_it_was_afterwards(t):
    try:
        device = loop.Loop(t.directory())
    except loop.Unavailable as reason:
        raise Skip(str(reason)) from None
    entry = by_number(t, device.rdev)
    t.equal(kind(entry), "SCSI disk", "kind")
    device.close()
    t.equal(kind(entry), "no SCSI disk", "kind")
    t.check(stat.S_ISDIR(os.stat(entry).st_mode), "the kernel's entry is back")


@test
def others_are_told_nothing(t):
    starter = os.getppid()  # of the whole run
    mine = {os.path.basename(t.lab.disk(one).path) for one in range(3)}
    outside, inside = (of(pid, NUMBERS, "") for pid in (starter, t.helper.pid))
    try:
        t.check(os.readlink(f"/proc/{starter}/ns/mnt") != os.readlink("/proc/self/ns/mnt"),
                "the run has a namespace of its own")
        entries = os.listdir(outside)
    except PermissionError:
        raise Skip("the process that has started the run is not ours to look at") from None
    t.check(entries, "there are devices")
    for entry in entries:
        link = os.readlink(outside + entry)
        name = os.path.basename(link)
        if name in mine:
            t.check(not os.path.exists(os.path.join(outside, entry, "device")),
                    f"{name} is a SCSI disk to others")
        elif not name.startswith("loop"):  # those come and go with other runs
            t.equal(os.readlink(inside + entry), link, name)


@test
@ours("the peer has no status")
def helper_in_its_sandbox(t):
    """It follows the links of the stand-in where it has confined itself."""
    told = Told(t)
    t.works(told.helper)
    found, = told.read()["devices"]
    t.equal((found["device"], found["kind"], found["name"], found["nexus"]),
            (number(t.disk.rdev), "block", os.path.basename(t.disk.path), address(t.disk.rdev)),
            "the disk")
