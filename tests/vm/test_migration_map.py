# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live migration from and to a host whose LUN is a multipath map; see migration.py. All paths of
the map are that host, an I_T nexus over tcm_loop is the other one.
"""
import os
from typing import List

import context
import lab
import migration
import multipath
from host import Host, Reservation
from migration import KEY, can_write, drain, migrate
from support import client, scsi
from support.tap import Skip, limit, ours, test

PACKAGES = ["multipath"]

MAP = "mpatha"
NODE = f"/dev/mapper/{MAP}"
WORKER = "/payload/bin/qemu-pr-mpath"
NOT_ON_MAPS = client.check_condition(5, 0x20, 0)


class Lab:
    def __init__(self, settings: dict):
        self.daemons = multipath.Multipath()
        self.disk = lab.Backstore("shared")
        self.paths = lab.Iscsi(self.disk, 3).initiators
        self.outside = lab.Loopback(self.disk).initiator
        options = [] if settings["peer"] else [f"--mpath-worker={WORKER}"]
        self.helpers = migration.start_helpers(settings["helper"], options)
        self.daemons.wait_paths(MAP, len(self.paths))
        lab.wait_for(NODE, lambda: os.path.exists(NODE))

    def close(self) -> None:
        for helper in self.helpers:
            helper.close()
        self.daemons.close()


class Context(migration.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(shared.helpers, name)
        self.lab, self.disk, self.daemons = shared, shared.disk, shared.daemons
        # By the host outside: it may clear what an earlier test has left.
        lab.reset([shared.outside, *shared.paths])
        for command in (f"unsetprstatus map {MAP}", f"unsetprkey map {MAP}"):
            self.daemons.ask(command)

    def log(self) -> str:
        return "\n".join([super().log(), *self.daemons.log()])

    def keys(self) -> List[int]:
        """By LIO's own table: one for each path."""
        return sorted(one.key for one in self.disk.registrations())


open_lab = context.opener(Lab, Context)


@test
def cleanup_of_a_reading_client(t: Context) -> None:
    """CLEANUP changes something, so it takes an fd that is open for writing."""
    fd = os.open(NODE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        t.replied(t.source(NODE).connection.command(scsi.cleanup(), fd), NOT_ON_MAPS, "CLEANUP")
    finally:
        os.close(fd)


def needs_maps(t: Context, host: Host) -> None:
    """Register the guest's key on the map."""
    answer = host.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY)
    if answer == NOT_ON_MAPS:
        raise Skip("this helper refuses PERSISTENT RESERVE OUT on multipath maps")
    t.good(answer, "REGISTER AND IGNORE EXISTING KEY on the map")


@test
@limit(120)
@ours("the peer registers one path of a map")
def from_a_map(t: Context) -> None:
    """The source's paths are all let go, and multipathd forgets the key."""
    source = t.source(NODE)
    needs_maps(t, source)
    destination = t.destination(t.lab.outside.path)
    t.good(source.tell(scsi.RESERVE, 5, KEY), "RESERVE on the map")
    t.equal(t.keys(), [KEY] * 3, "keys in configfs")
    migrate(t, source, destination)
    t.equal(t.keys(), [KEY], "keys in configfs afterwards")
    t.equal(t.daemons.ask(f"getprkey map {MAP}").strip(), "none", "multipathd's key")
    drain(t.lab.outside, *t.lab.paths)
    t.equal(destination.reservation(), Reservation(KEY, 5), "reservation")
    t.equal((can_write(NODE), can_write(t.lab.outside.path)), (False, True),
            "whether source and destination can write")


@test
@limit(120)
@ours("the peer registers one path of a map")
def to_a_map(t: Context) -> None:
    """All paths of the destination are registered, and new ones would be."""
    destination = t.destination(NODE)
    needs_maps(t, destination)
    t.good(destination.tell(scsi.REGISTER_AND_IGNORE), "REGISTER of no key on the map")
    source = t.source(t.lab.outside.path)
    t.good(source.tell(scsi.REGISTER, action_key=KEY), "REGISTER of the guest")
    t.good(source.tell(scsi.RESERVE, 5, KEY), "RESERVE of the guest")
    migrate(t, source, destination)
    drain(t.lab.outside, *t.lab.paths)
    t.equal(t.keys(), [KEY] * 3, "keys in configfs")
    t.equal(destination.reservation(), Reservation(KEY, 5), "reservation")
    t.equal((can_write(NODE), can_write(t.lab.outside.path)), (True, False),
            "whether destination and source can write")
    t.matches(f"0x{KEY:x}", t.daemons.ask(f"getprkey map {MAP}"), "multipathd's key")
