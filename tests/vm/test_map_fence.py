# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pacemaker's fence_scsi, unmodified, as a guest drives it: one node has a disk that is a multipath
map of its host, which it does not know; the other a plain one. See test_fence_scsi.py.
"""
import os
import stat
from typing import List

import context
import lab
import test_fence_scsi as fence
from maps import MAP, NODE, PATHS, WORKER, Devices
from support import scsi
from support.process import Helper
from support.tap import limit, test
from test_fence_scsi import KEY_A, KEY_B, PLACE, STORE, TYPE, USER

PACKAGES = ["multipath", "fence"]
#: fence_scsi takes a device whose name begins with dm for a map of its own.
GUEST_DISK = f"{PLACE}/disk"


class MapDisk:
    """The map in the place of an initiator, with one node that does not tell."""
    path = GUEST_DISK

    def __init__(self, devices: Devices):
        self._devices = devices
        os.mknod(self.path, 0o600 | stat.S_IFBLK, os.stat(NODE).st_rdev)

    def open(self, flags: int) -> int:
        return os.open(self.path, flags | os.O_CLOEXEC)

    def drain(self) -> None:
        self._devices.drain()

    def close(self) -> None:
        pass


class FenceLab:
    def __init__(self, settings: dict):
        self.devices = Devices()
        self.disk = self.devices.disk
        self.initiators = [MapDisk(self.devices), self.devices.other]
        os.mkdir(f"{PLACE}/helper")
        self.helper = Helper(settings["helper"], f"{PLACE}/helper", [f"--mpath-worker={WORKER}"],
                             before_exec=lambda: os.umask(0) and None).wait_ready()
        os.makedirs(STORE, exist_ok=True)
        for number, initiator in enumerate(self.initiators):
            os.chown(initiator.path, USER, USER)
            os.mkdir(f"{PLACE}/node{number}")
            os.chown(f"{PLACE}/node{number}", USER, USER)

    def close(self) -> None:
        self.helper.close()
        self.devices.close()


class Context(fence.Context):
    lab: FenceLab

    def prepare(self) -> None:
        self.lab.devices.reset()

    def keys(self) -> List[str]:
        """A map is one node, however many paths it has."""
        keys = super().keys()
        self.check(keys.count(KEY_A) in (0, PATHS), f"each path or none: {keys}")
        return sorted(set(keys))

    def held(self, node: int) -> None:
        holder, kind = self.disk.reservation()
        names = ([one.name for one in self.lab.devices.target.initiators] if node == 0
                 else [self.lab.devices.other.name])
        self.check(holder in names, f"holder in configfs: {holder}, not {names}")
        self.equal(kind, f"SPC-3 Reservation Type: {TYPE}", "type in configfs")


open_lab = context.opener(FenceLab, Context)


@test
@limit(180)
def fence_scsi(t: Context) -> None:
    """Two nodes come; the map's fences the other, which comes back. (Over tcm_loop the other one's
    PREEMPT AND ABORT would hang.)"""
    t.equal(t.fence(0, "on", KEY_A), 0, "exit status of on, node 0")
    t.held(0)
    t.check(t.fence(0, "off", KEY_A) != 0, "node 0 fenced itself")
    t.equal(t.fence(1, "on", KEY_B), 0, "exit status of on, node 1")
    t.held(0)
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")
    t.equal(t.fence(0, "monitor", KEY_A), 0, "exit status of monitor, node 0")

    t.equal(t.fence(0, "off", KEY_B), 0, "exit status of off, of node 1 by node 0")
    t.held(0)
    t.equal(t.keys(), [KEY_A], "keys in configfs")
    t.lab.initiators[1].drain()
    t.equal((t.write(0), t.write(1)), (True, False), "who can write")
    t.equal(t.fence(0, "status", KEY_B), 2, "exit status of status: node 1 is off")

    t.equal(t.fence(1, "on", KEY_B), 0, "exit status of on, node 1 again")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")


@test
@limit(180)
def a_path_comes_back(t: Context) -> None:
    """The map's node is fenced while one of its paths is away."""
    t.equal(t.fence(0, "on", KEY_A), 0, "exit status of on, node 0")
    t.equal(t.fence(1, "on", KEY_B), 0, "exit status of on, node 1")
    path = t.lab.devices.target.initiators[0]
    t.cleanup.callback(path.online)
    path.offline()
    t.lab.devices.daemons.wait_paths(MAP, PATHS - 1, 1)
    other = t.lab.devices.other
    other.drain()
    t.equal(lab.pr_out(other.fd, scsi.PREEMPT, 5, int(KEY_B, 16), int(KEY_A, 16)).status, scsi.GOOD,
            "node 1 preempts")
    other.close()
    path.online()
    t.lab.devices.daemons.wait_paths(MAP, PATHS)
    t.lab.devices.drain()
    t.equal(t.keys(), [KEY_B], "keys in configfs")
    t.held(1)
    t.equal((t.write(0), t.write(1)), (False, True), "who can write")
    t.equal(t.fence(0, "on", KEY_A), 0, "exit status of on, node 0 again")
    t.equal(t.write(0), True, "whether node 0 can write")
