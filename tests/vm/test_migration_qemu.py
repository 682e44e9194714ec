# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live migration by QEMU itself, which from 11.0 on takes the reservation along (scsi-block's property
migrate-pr): on plain disks, from a disk to a map and back. Older ones have nothing of that: then there
is nothing to try.

What test_migration.py and test_migration_map.py play is what this QEMU does.
"""
import os
from typing import Dict

import context
import lab
import migration
import multipath
import qemu
from host import Host, Reservation
from migration import KEY, can_write, drain
from support import scsi
from support.tap import Skip, cases, limit

PACKAGES = ["multipath", "qemu"]

MAP = "mpatha"
NODE = f"/dev/mapper/{MAP}"
WORKER = "/payload/bin/qemu-pr-mpath"
PATHS = 3


class Lab:
    def __init__(self, settings: dict):
        self.daemons = multipath.Multipath()
        self.disk = lab.Backstore("shared")
        self.paths = lab.Iscsi(self.disk, PATHS).initiators
        self.plain = [lab.Loopback(self.disk, number).initiator for number in (1, 2)]
        self.helpers = migration.start_helpers(settings["helper"], [f"--mpath-worker={WORKER}"])
        for name in ("source", "destination"):
            os.chmod(f"/run/{name}", 0o755)
        for helper in self.helpers:
            os.chmod(helper.socket_path, 0o777)
        self.daemons.wait_paths(MAP, PATHS)
        lab.wait_for(NODE, lambda: os.path.exists(NODE))
        self.started = 0

    def close(self) -> None:
        for helper in self.helpers:
            helper.close()
        self.daemons.close()


class Incoming(qemu.Machine):
    """Waits for a guest."""

    def __init__(self, name: str, directory: str, disk: str, helper: str):
        self.uri = f"unix:{directory}/incoming"
        super().__init__(name, directory, disk, helper, 64, [
            "-S", "-qtest", f"unix:{directory}/qtest,server=on,wait=off", "-qtest-log", "/dev/null",
            "-incoming", self.uri])


class Context(migration.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(shared.helpers, name)
        self.lab, self.disk, self.daemons = shared, shared.disk, shared.daemons
        lab.reset([*shared.plain, *shared.paths])
        for command in (f"unsetprstatus map {MAP}", f"unsetprkey map {MAP}"):
            self.daemons.ask(command)
        drain(*shared.plain, *shared.paths)

    def directory(self) -> str:
        self.lab.started += 1
        return f"/run/qemu{self.lab.started}"

    def own(self, machine: qemu.Machine) -> None:
        self.programs[machine.name] = machine.program
        self.cleanup.callback(machine.close)
        self.cleanup.callback(self.programs.pop, machine.name)

    def log(self) -> str:
        return "\n".join([super().log(), *self.daemons.log()])

    def keys_of(self, node: str) -> Dict[str, int]:
        """By LIO's own table, of the host with this device."""
        names = ([one.name for one in self.lab.paths] if node == NODE else
                 [next(one.name for one in self.lab.plain if one.path == node)])
        return {one.initiator: one.key for one in self.disk.registrations()
                if one.initiator in names}

    def migrated(self, source: qemu.Guest, destination: Incoming) -> None:
        source.qmp.command("cont")
        source.qmp.command("migrate", {"uri": destination.uri})
        status: Dict[str, object] = {}

        def ended() -> bool:
            status.update(source.qmp.command("query-migrate"))
            return status.get("status") in ("completed", "failed")
        lab.wait_for("the migration's end", ended, 60)
        self.equal(status.get("status"), "completed", f"migration: {status.get('error-desc')}")
        destination.qmp.command("cont")
        lab.wait_for("the guest runs", lambda: destination.qmp.command("query-status")["running"], 30)


open_lab = context.opener(Lab, Context)

PLAIN, OTHER = "a disk", "another disk"
WAYS = [(PLAIN, OTHER), (PLAIN, "a map"), ("a map", PLAIN)]
#: Reservation type; 0: the guest has registered and holds no reservation. Not 7 and 8: QEMU 11.1.3 does not
#: know a reservation of all registrants as its guest's, and its PREEMPT makes type 1 of it.
STATES = [(f"type {kind}" if kind else "registered", kind) for kind in (5, 0)]


@cases(*((f"{name}, from {way[0]} to {way[1]}", way, kind) for way in WAYS for name, kind in STATES))
@limit(240)
def migrates(t: Context, way: tuple, kind: int) -> None:
    """The destination has key and reservation, by each path of a map; nothing is left of the source."""
    nodes = {PLAIN: t.lab.plain[0].path, OTHER: t.lab.plain[1].path, "a map": NODE}
    here, there = (nodes[name] for name in way)
    source = qemu.Guest("the source's QEMU", t.directory(), here, t.helpers[0].socket_path)
    t.own(source)
    source.start()
    version = source.qmp.command("query-version")["qemu"]
    if version["major"] < 11:
        raise Skip(f"QEMU {version['major']}.{version['minor']} does not migrate reservations")
    t.equal(source.tell(scsi.REGISTER, 0, 0, KEY).status, scsi.GOOD, "REGISTER of the guest")
    if kind:
        t.equal(source.tell(scsi.RESERVE, kind, KEY).status, scsi.GOOD, "RESERVE of the guest")
    source.drain()
    t.equal(set(t.keys_of(here).values()), {KEY}, "keys of the source before")

    destination = Incoming("the destination's QEMU", t.directory(), there, t.helpers[1].socket_path)
    t.own(destination)
    destination.start()
    t.migrated(source, destination)

    wanted = PATHS if there == NODE else 1
    lab.wait_for("the destination's registrations",
                 lambda: list(t.keys_of(there).values()) == [KEY] * wanted, 30)
    t.equal(t.keys_of(here), {}, "keys of the source afterwards")
    drain(*t.lab.plain, *t.lab.paths)
    seen = Host(t.helpers[1].socket_path, there)
    t.cleanup.callback(seen.close)
    t.equal(seen.reservation(), Reservation(KEY, kind) if kind else None, "reservation")
    t.equal(can_write(there), True, "whether the destination can write")
    if kind:
        t.equal(can_write(here), False, "whether the source can write")
    if there == NODE:
        t.matches(f"0x{KEY:x}", t.daemons.ask(f"getprkey map {MAP}"), "multipathd's key")
    print(f"# QEMU {version['major']}.{version['minor']}.{version['micro']}", flush=True)
    source.close()
    if here == NODE:
        # With its last client gone, multipathd is to register no path of the source again.
        lab.wait_for("multipathd's key is gone", lambda: t.daemons.ask(f"getprkey map {MAP}").strip()
                     in ("none", "unknown"), 30)
    t.equal(t.programs["destination"].running, True, "the helper of the destination")
