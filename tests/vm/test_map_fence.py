# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pacemaker's fence_scsi and fence_mpath, unmodified, as a guest drives them: one node has a disk that is a
multipath map of its host, which it does not know; the other a plain one. See test_fence_scsi.py. And
fence_mpath as the host itself drives it on that map, beside the helper.
"""
import os
import stat
import subprocess
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
#: What mpathpersist(8) sends on a map of one path, as a guest has it, sg_persist sends to that path; both
#: have the same options.
GUEST_PERSIST = f"{PLACE}/mpathpersist"
HOST_STORE = f"{PLACE}/host"


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
        os.makedirs(HOST_STORE)
        lab.write(GUEST_PERSIST, '#!/bin/sh\nexec sg_persist -n "$@"\n')
        os.chmod(GUEST_PERSIST, 0o755)
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

    def fence_mpath(self, node: int, action: str, key: str) -> int:
        """In a guest."""
        return self.run(node, "fence_mpath", "-o", action, "-k", key, "-d", self.path(node), "-v",
                        f"--mpathpersist-path={GUEST_PERSIST}", f"--store-path={STORE}").returncode

    def host_fence(self, action: str, key: str) -> int:
        """On the host with the map, which is a cluster's node itself."""
        command = ["fence_mpath", "-o", action, "-k", key, "-d", NODE, "-v",
                   f"--store-path={HOST_STORE}"]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        self.said.append(f"host: {' '.join(command)}: {result.returncode}")
        self.said += [f"    {line}" for line in result.stdout.splitlines()[-context.LOG_LINES:]]
        return result.returncode

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
def fence_mpath(t: Context) -> None:
    """The same by fence_mpath in both guests, as far as it goes over tcm_loop."""
    t.equal(t.fence_mpath(0, "on", KEY_A), 0, "exit status of on, node 0")
    t.held(0)
    t.equal(t.fence_mpath(1, "on", KEY_B), 0, "exit status of on, node 1")
    t.held(0)
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")
    for node, key in ((0, KEY_A), (1, KEY_B)):
        t.equal(t.fence_mpath(node, "status", key), 0, f"exit status of status, node {node}")

    t.equal(t.fence_mpath(0, "off", KEY_B), 0, "exit status of off, of node 1 by node 0")
    t.held(0)
    t.equal(t.keys(), [KEY_A], "keys in configfs")
    t.lab.initiators[1].drain()
    t.equal((t.write(0), t.write(1)), (True, False), "who can write")
    t.equal(t.fence_mpath(0, "status", KEY_B), 2, "exit status of status: node 1 is off")
    t.equal(t.fence_mpath(0, "monitor", KEY_A), 0, "exit status of monitor, node 0")

    t.equal(t.fence_mpath(1, "on", KEY_B), 0, "exit status of on, node 1 again")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")


@test
@limit(180)
def fence_mpath_on_the_host(t: Context) -> None:
    """The host fences by mpathpersist(8) on its map; the helper tells its guests what is, and does not
    interfere, a worker that looks at the map included."""
    t.equal(t.host_fence("on", KEY_A), 0, "exit status of on, the host")
    t.held(0)
    t.equal(t.fence(1, "on", KEY_B), 0, "exit status of on, node 1")
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    keys = t.persist(0, "--in", "-k").stdout
    for key in (KEY_A, KEY_B):
        t.check(f"0x{key}" in keys, f"{key} is told to the map's guest: {keys}")
    # A command of that guest's that is refused: the worker looks, and leaves all as it is.
    t.equal(t.persist(0, "--out", "--release", "--param-rk=c1c2", "--prout-type=5").returncode,
            fence.CONFLICT, "a guest's RELEASE by another key")
    t.held(0)
    t.equal(t.host_fence("off", KEY_B), 0, "exit status of off, of node 1 by the host")
    t.held(0)
    t.equal(t.keys(), [KEY_A], "keys in configfs")
    t.lab.initiators[1].drain()
    t.equal((t.write(0), t.write(1)), (True, False), "who can write")
    t.equal(t.host_fence("status", KEY_A), 0, "exit status of status, the host")


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
