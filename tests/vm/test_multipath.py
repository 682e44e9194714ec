# SPDX-License-Identifier: LGPL-2.1-or-later
"""The multipath laboratory itself: is there a real map, and does it fence?

Three iSCSI sessions are the paths of one map, one host; a fourth I_T nexus of the same LUN, over
tcm_loop, is another host. Here mpathpersist(8) does what the helper is to do.
"""
import contextlib
import errno
import os
from typing import Callable, Iterator, Optional

import guest
import lab
import multipath
from host import WRITE_EXCLUSIVE_REGISTRANTS
from maps import KEY, MAP, NODE, OTHER_KEY, Devices
from support import scsi, tap
from support.tap import limit, test

PACKAGES = ["multipath"]


class Context(tap.Context):
    def __init__(self, shared: Devices, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.daemons, self.disk, self.target = shared.daemons, shared.disk, shared.target
        self.other = shared.other
        shared.reset()

    def keys(self) -> list:
        return sorted(one.key for one in self.disk.registrations())

    def write(self, path: str) -> Optional[int]:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        try:
            return lab.transfer(fd, 0x5A)
        finally:
            os.close(fd)

    def log(self) -> str:
        return "\n".join([*self.daemons.log(), *guest.kernel_log()])


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = Devices()
    try:
        yield lambda one: Context(shared, one.full_name)
    finally:
        shared.daemons.close()


def register(t: Context) -> None:
    multipath.persist(NODE, "--out", "--register-ignore", f"--param-sark={KEY:x}")
    t.equal(t.keys(), [KEY] * 3, "keys in configfs")


@test
def kind(t: Context) -> None:
    """By what the helper tells a multipath map from any other device."""
    name = os.path.basename(os.path.realpath(NODE))
    t.check(lab.read(f"/sys/block/{name}/dm/uuid").startswith("mpath-"), "the map's uuid")
    t.equal(len(os.listdir(f"/sys/block/{name}/slaves")), 3, "paths of the map")


@test
def registered_by_every_path(t: Context) -> None:
    register(t)
    t.equal([one.initiator for one in t.disk.registrations()],
            sorted(one.name for one in t.target.initiators), "registered I_T nexuses")


@test
def fenced(t: Context) -> None:
    register(t)
    multipath.persist(NODE, "--out", "--reserve", f"--param-rk={KEY:x}",
                      f"--prout-type={WRITE_EXCLUSIVE_REGISTRANTS}")
    t.equal((t.write(NODE), t.write(t.other.path)), (None, errno.EBADE),
            "writes of the map and of the other host")
    lab.pr_out(t.other.fd, scsi.REGISTER, action_key=OTHER_KEY)
    lab.pr_out(t.other.fd, scsi.PREEMPT, WRITE_EXCLUSIVE_REGISTRANTS, OTHER_KEY, KEY)
    t.equal(t.keys(), [OTHER_KEY], "keys in configfs")
    t.equal((t.write(NODE), t.write(t.other.path)), (errno.EBADE, None),
            "writes of the map, fenced, and of the other host")


@test
@limit(60)
def path_fails_and_returns(t: Context) -> None:
    path = t.target.initiators[0]
    path.offline()
    t.cleanup.callback(path.online)
    t.daemons.wait_paths(MAP, 2, failed=1)
    t.equal(t.write(NODE), None, "write by the others")
    path.online()
    t.daemons.wait_paths(MAP, 3)


@test
@limit(60)
def path_goes_and_comes(t: Context) -> None:
    """A path that is new to the map gets the map's key."""
    path = t.target.initiators[0]
    path.delete()
    t.daemons.wait_paths(MAP, 2)
    multipath.persist(NODE, "--out", "--register-ignore", f"--param-sark={KEY:x}")
    t.equal(t.keys(), [KEY] * 2, "keys in configfs without the path")
    path = t.target.rescan(path)
    t.check(path.block in [one.device for one in t.daemons.wait_paths(MAP, 3)], "it is back")
    lab.wait_for("three keys in configfs", lambda: t.keys() == [KEY] * 3)
