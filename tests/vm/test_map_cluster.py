# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Windows failover cluster of test_windows_cluster.py, one node of which has its disk by a
multipath map: to the others it is a node as they are.
"""
import os
from typing import List

import context
import lab
import test_windows_cluster as windows
from host import REGISTRATIONS_PREEMPTED
from maps import MAP, NODE, PATHS, WORKER, Devices
from support import scsi
from support.process import Helper
from support.tap import limit, test
from test_windows_cluster import Node, key_of

PACKAGES = ["multipath"]

ALONE = "map"  # the one storage here
DEFENCES = 12


class MapDisk:
    """A map in the place of an initiator."""
    path = NODE

    def __init__(self, devices: Devices):
        self._devices = devices

    def open(self, flags: int) -> int:
        return os.open(NODE, flags | os.O_CLOEXEC)

    def drain(self) -> None:
        self._devices.drain()


class MapStorage:
    """A helper for each node; the first has the map."""

    def __init__(self, settings: dict):
        self.devices = Devices()
        self.initiators = [MapDisk(self.devices), self.devices.other]
        self._program, self._starts = settings["helper"], 0

    def close(self) -> None:
        self.devices.close()

    def start(self, t: windows.Context) -> None:
        self.devices.reset()
        self.restart(t)

    def restart(self, t: windows.Context) -> None:
        for program in t.programs.values():
            t.equal(program.stop(), 0, "exit status of a helper")
        self._starts += 1
        t.programs.clear()
        for number in range(len(self.initiators)):
            directory = f"/run/helper{self._starts}.{number}"
            os.mkdir(directory)
            t.watched(f"helper of node {number}",
                      Helper(self._program, directory, [f"--mpath-worker={WORKER}"]))
        for helper in t.programs.values():
            helper.wait_ready()
        self.devices.drain()

    def node(self, t: windows.Context, number: int) -> Node:
        node = Node(number, t.programs[f"helper of node {number}"].socket_path,
                    self.initiators[number].path, self.initiators[number])
        node.connection.socket.settimeout(60)
        return node


class Context(windows.Context):
    storage: MapStorage

    def __init__(self, shared: MapStorage, name: str):
        super().__init__({ALONE: shared}, name, False)

    def registered(self, reader: Node, *nodes: Node) -> None:
        """The map's key as often as it has paths, which is once to those who count nodes."""
        wanted = [node.key for node in nodes for _ in range(1 if node.number else PATHS)]
        self.equal(sorted(reader.keys()[1]), sorted(wanted), f"keys that {reader.name} reads")

    def told(self, node: Node, attention: tuple) -> None:
        """PERSISTENT RESERVE IN goes down one path or another, each of which may tell."""
        answers = [node.ask(scsi.READ_KEYS) for _ in range(1 if node.number else PATHS)]
        answers = [one for one in answers if one.status != scsi.GOOD]
        self.check(answers, f"{node.name} learns nothing")
        for answer in answers:
            self.attention(answer, attention, f"what {node.name} learns")
        self.nothing_told([node])


open_lab = context.opener(MapStorage, Context)


@test
@limit(60)
def defended(t: Context) -> None:
    """By the map's node."""
    windows.defended(t, ALONE)


@test
@limit(60)
def taken_over(t: Context) -> None:
    """From the map's node, and by it."""
    windows.taken_over(t, ALONE)


@test
@limit(60)
def both_restart(t: Context) -> None:
    windows.both_restart(t, ALONE)


@test
@limit(90)
def validation(t: Context) -> None:
    windows.validation(t, ALONE, 2)


def challenge(t: Context, nodes: List[Node]) -> None:
    """The owner defends once; who remembers its key from before has lost."""
    owner, challenger = nodes
    remembered = owner.key
    t.check(owner.defend(), "the owner cannot defend")
    t.equal(owner.key, key_of(owner.number, (remembered >> 32 & 0xFFFF) + 1), "its key")
    t.conflict(challenger.preempt(remembered), "PREEMPT by an old key of the owner")
    t.owns(owner, nodes)


@test
@limit(120)
def paths_come_and_go(t: Context) -> None:
    """While the map's node defends: none of its defences fails. One path after the other is away, and
    back; at the end it is silent, and has lost by all of them."""
    nodes = owner, challenger = windows.owner_and_challenger(t, ALONE)
    devices = t.storage.devices
    for number in range(DEFENCES):
        path = devices.target.initiators[number // 2 % PATHS]
        if number % 2 == 0:
            path.offline()
            t.cleanup.callback(path.online)
            devices.daemons.wait_paths(MAP, PATHS - 1, 1)
        else:
            path.online()
            devices.daemons.wait_paths(MAP, PATHS)
        challenge(t, nodes)
        t.equal(owner.writes(), True, "whether the owner can write")
    lab.wait_for("each path is registered",
                 lambda: len(devices.disk.registrations()) == PATHS + 1, 20)
    challenge(t, nodes)
    t.good(challenger.preempt(owner.key), "PREEMPT by the challenger")
    t.told(owner, REGISTRATIONS_PREEMPTED)
    t.writers(nodes, challenger)
    for path in devices.target.initiators:
        fd = path.open(os.O_RDWR | os.O_DIRECT)
        t.check(lab.transfer(fd, 0x33) is not None, f"{path.block} writes")
        os.close(fd)
    t.check(owner.tell(scsi.REGISTER, key=owner.key, action_key=1).status != scsi.GOOD,
            "the owner could defend what it has lost")
