# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Windows failover cluster's disk: how its nodes arbitrate, and what storage validation tries.

Arbitration. Every node registers. The owner holds a reservation, write exclusive for registrants
only, and defends it: every three seconds it changes its registered key (a count is part of it) and
looks whether the reservation is still its own. A challenger registers, remembers the holder's key,
waits for two of the owner's intervals, and preempts by the key that it remembers. If the owner has
defended meanwhile there is no such key any more, and the challenger has lost. All are registered
to persist through power loss, so that both may restart in between.

No clock is involved here: "to wait" is to let the owner defend so often, or not.

The same scripts run on LIO, where each node is an I_T nexus with a helper of its own and its writes
tell the truth, and on qemu-pr-simulator, whose word is all there is.
"""
import contextlib
import os
from typing import Callable, Dict, Iterator, List, Optional

import context
import lab
from host import (APTPL, GOOD, REGISTRATIONS_PREEMPTED, RESERVATIONS_PREEMPTED,
                  RESERVATIONS_RELEASED, WRITE_EXCLUSIVE_REGISTRANTS, Host, Reservation)
from support import scsi
from support.client import Reply
from support.process import Helper, Program, serving
from support.tap import Skip, cases, limit

SIMULATOR = "/payload/bin/qemu-pr-simulator"
NODES = 4
TYPE = WRITE_EXCLUSIVE_REGISTRANTS
SIGNATURE = 0x4D534674  # "MSFt": the low half of every node's key


def key_of(node: int, count: int = 0) -> int:
    return (node + 1) << 48 | count << 32 | SIGNATURE


class Node(Host):
    """A node of the cluster: its way to the disk, and what the cluster's disk driver does there."""

    def __init__(self, number: int, socket_path: str, lun: str,
                 initiator: Optional[lab.Initiator] = None):
        super().__init__(socket_path, lun, name=f"node {number}")
        self.number, self.initiator = number, initiator
        self.key = key_of(number)

    def register(self) -> Reply:
        return self.tell(scsi.REGISTER_AND_IGNORE, action_key=self.key, flags=APTPL)

    def reserve(self) -> Reply:
        return self.tell(scsi.RESERVE, TYPE, self.key)

    def preempt(self, key: int) -> Reply:
        return self.tell(scsi.PREEMPT, TYPE, self.key, key)

    def defend(self) -> bool:
        """Whether the disk is still ours."""
        new = key_of(self.number, (self.key >> 32 & 0xFFFF) + 1)
        if self.tell(scsi.REGISTER, key=self.key, action_key=new, flags=APTPL) != GOOD:
            return False
        self.key = new
        return self.reservation() == Reservation(self.key, TYPE)

    def writes(self) -> Optional[bool]:
        """Whether it can write; None where there is nothing to write to."""
        if not self.initiator:
            return None
        fd = self.initiator.open(os.O_RDWR | os.O_DIRECT)
        try:
            return lab.transfer(fd, 0x5A) is None
        finally:
            os.close(fd)


class Lio:
    """A helper for each node: each is a host."""

    def __init__(self, settings: dict):
        self.disk = lab.Backstore("quorum")
        self.initiators = lab.Iscsi(self.disk, NODES).initiators
        self._program, self._starts = settings["helper"], 0

    def start(self, t: "Context") -> None:
        lab.reset(self.initiators)
        self.restart(t)

    def restart(self, t: "Context") -> None:
        for program in t.programs.values():
            t.equal(program.stop(), 0, "exit status of a helper")
        self._starts += 1
        t.programs.clear()
        for number in range(NODES):
            directory = f"/run/helper{self._starts}.{number}"
            os.mkdir(directory)
            t.watched(f"helper of node {number}", Helper(self._program, directory))
        for helper in t.programs.values():
            helper.wait_ready()

    def node(self, t: "Context", number: int) -> Node:
        return Node(number, t.programs[f"helper of node {number}"].socket_path,
                    self.initiators[number].path, self.initiators[number])


class Simulated:
    """One simulator, a socket for each node, a file as the disk."""

    def __init__(self) -> None:
        self._tests = 0

    def start(self, t: "Context") -> None:
        self._tests += 1
        os.makedirs(f"/run/simulated{self._tests}/state")
        with open(f"/run/simulated{self._tests}/lun", "wb"):
            pass
        self.restart(t)

    def restart(self, t: "Context") -> None:
        for program in t.programs.values():
            t.equal(program.stop(), 0, "exit status of the simulator")
        t.programs.clear()
        directory = f"/run/simulated{self._tests}"
        sockets = {f"node{number}": f"{directory}/node{number}" for number in range(NODES)}
        nexuses = [word for name, path in sockets.items()
                   for word in ("--nexus", f"{name}={path}")]
        program = t.watched("simulator", Program(
            [SIMULATOR, *nexuses, f"--state={directory}/state"], directory))
        for path in sockets.values():
            program.wait_until("serving", lambda path=path: serving(path))

    def node(self, _t: "Context", number: int) -> Node:
        directory = f"/run/simulated{self._tests}"
        return Node(number, f"{directory}/node{number}", f"{directory}/lun")


class Context(context.Context):
    def __init__(self, storages: Dict[str, object], name: str, peer: bool):
        super().__init__(name)
        self.storages, self.peer = storages, peer
        self._open: List[Node] = []
        self.cleanup.callback(self._close)

    def _close(self) -> None:
        for node in self._open:
            node.close()
        self._open.clear()

    def nodes(self, kind: str, count: int) -> List[Node]:
        if self.peer and kind == "simulator":
            raise Skip("not for the peer: the simulator is ours")
        self.storage = self.storages[kind]
        self.storage.start(self)
        return self._nodes(count)

    def _nodes(self, count: int) -> List[Node]:
        self._open += [self.storage.node(self, number) for number in range(count)]
        return list(self._open)

    def restart(self, old: List[Node]) -> List[Node]:
        """All hosts at once; what a node knows of itself is on its own disk."""
        self._close()
        self.storage.restart(self)
        nodes = self._nodes(len(old))
        for before, after in zip(old, nodes):
            after.key = before.key
        return nodes

    # -- checks

    def owns(self, node: Node, nodes: List[Node]) -> None:
        """By every node's reading, and by who can write."""
        for one in nodes:
            self.equal(one.reservation(), Reservation(node.key, TYPE),
                       f"reservation that {one.name} reads")

    def registered(self, reader: Node, *nodes: Node) -> None:
        self.equal(sorted(reader.keys()[1]), sorted(node.key for node in nodes),
                   f"keys that {reader.name} reads")

    def writers(self, nodes: List[Node], *wanted: Node) -> None:
        for node in nodes:
            able = node.writes()
            if able is not None:
                self.equal(able, node in wanted, f"whether {node.name} can write")

    def told(self, node: Node, attention: tuple) -> None:
        """The node's next command says what has happened, and the one after that is carried out."""
        self.attention(node.ask(scsi.READ_KEYS), attention, f"what {node.name} learns")
        self.equal(node.ask(scsi.READ_KEYS).status, scsi.GOOD, f"status of {node.name} after that")

    def nothing_told(self, nodes: List[Node]) -> None:
        for node in nodes:
            self.equal(node.ask(scsi.READ_KEYS).status, scsi.GOOD,
                       f"status of {node.name}, which nothing has happened to")


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[object], Context]]:
    lab.write("/proc/sys/kernel/printk", 1)  # LIO says something about every conflict
    storages = {"LIO": Lio(settings), "simulator": Simulated()}
    yield lambda one: Context(storages, one.full_name, settings["peer"])


EACH = [("LIO", "LIO"), ("simulator", "simulator")]


def owner_and_challenger(t: Context, kind: str) -> List[Node]:
    """A node that owns the disk, and one that has registered."""
    owner, challenger = nodes = t.nodes(kind, 2)
    t.good(owner.register(), "REGISTER AND IGNORE EXISTING KEY of the owner")
    t.good(owner.reserve(), "RESERVE of the owner")
    t.good(challenger.register(), "REGISTER AND IGNORE EXISTING KEY of the challenger")
    t.owns(owner, nodes)
    return nodes


@cases(*EACH)
@limit(60)
def defended(t: Context, kind: str) -> None:
    """The owner is alive: a challenger loses, whenever that is."""
    nodes = owner, challenger = owner_and_challenger(t, kind)
    for defences in (1, 2, 3):
        remembered = challenger.reservation().key
        for _ in range(defences):
            t.check(owner.defend(), "the owner cannot defend")
        t.conflict(challenger.preempt(remembered), "PREEMPT by an old key of the owner")
        t.conflict(challenger.reserve(), "RESERVE of the challenger")
        t.nothing_told(nodes)
        t.owns(owner, nodes)
        t.registered(challenger, owner, challenger)
    t.writers(nodes, owner, challenger)


@cases(*EACH)
@limit(60)
def taken_over(t: Context, kind: str) -> None:
    """The owner is silent for two intervals, and comes back when it has lost the disk."""
    nodes = owner, challenger = owner_and_challenger(t, kind)
    t.check(owner.defend(), "the owner cannot defend")
    remembered = challenger.reservation().key
    t.good(challenger.preempt(remembered), "PREEMPT by the challenger")
    t.told(owner, REGISTRATIONS_PREEMPTED)
    t.writers(nodes, challenger)
    t.check(not owner.defend(), "the owner could defend what it has lost")
    t.conflict(owner.reserve(), "RESERVE of the former owner")
    t.owns(challenger, nodes)
    t.registered(challenger, challenger)
    t.check(challenger.defend(), "the new owner cannot defend")

    # It is a node as any other now.
    t.good(owner.register(), "REGISTER AND IGNORE EXISTING KEY of the former owner")
    t.conflict(owner.reserve(), "RESERVE of the former owner")
    t.writers(nodes, owner, challenger)
    t.good(owner.preempt(challenger.reservation().key), "PREEMPT by the former owner")
    t.told(challenger, REGISTRATIONS_PREEMPTED)
    t.owns(owner, nodes)


@cases(*EACH)
@limit(60)
def both_restart(t: Context, kind: str) -> None:
    """Registrations and reservation outlive the hosts, and the simulator outlives itself."""
    nodes = owner_and_challenger(t, kind)
    t.check(nodes[0].defend(), "the owner cannot defend")
    for _ in range(2):
        nodes = t.restart(nodes)
        owner, challenger = nodes
        for node in nodes if kind == "LIO" else []:
            node.initiator.drain()
        t.owns(owner, nodes)
        t.registered(challenger, owner, challenger)
        t.writers(nodes, owner, challenger)
        t.conflict(challenger.reserve(), "RESERVE of the challenger")
        t.good(owner.reserve(), "RESERVE of the owner, which holds it already")
        t.check(owner.defend(), "the owner cannot defend")
    t.good(challenger.preempt(owner.key), "PREEMPT by the challenger")
    t.told(owner, REGISTRATIONS_PREEMPTED)
    t.owns(challenger, nodes)


@cases(*((f"{count} nodes, {kind}", kind, count) for kind, _ in EACH
         for count in range(1, NODES + 1)))
@limit(90)
def validation(t: Context, kind: str, count: int) -> None:
    """What storage validation does with each node in turn."""
    nodes = t.nodes(kind, count)
    for number, owner in enumerate(nodes):
        others = [node for node in nodes if node is not owner]
        for node in nodes:
            t.good(node.register(), f"REGISTER AND IGNORE EXISTING KEY of {node.name}")
        t.good(owner.reserve(), f"RESERVE of {owner.name}")
        t.owns(owner, nodes)
        t.registered(owner, *nodes)
        t.writers(nodes, *nodes)
        for node in others:
            t.conflict(node.reserve(), f"RESERVE of {node.name}")
            t.good(node.tell(scsi.RELEASE, TYPE, node.key), f"RELEASE of {node.name}, no holder")
            leave_and_return(t, node, nodes)
        t.nothing_told(nodes)
        t.owns(owner, nodes)
        if others:
            hand_over(t, owner, nodes[(number + 1) % count], nodes)
        else:
            t.good(owner.tell(scsi.RELEASE, TYPE, owner.key), f"RELEASE of {owner.name}")
            t.good(owner.tell(scsi.CLEAR, key=owner.key), f"CLEAR of {owner.name}")
        t.registered(owner)
        t.equal(owner.reservation(), None, "reservation")
        t.writers(nodes, *nodes)


def leave_and_return(t: Context, node: Node, nodes: List[Node]) -> None:
    """A node that is not registered is locked out."""
    t.good(node.tell(scsi.REGISTER, key=node.key), f"REGISTER of {node.name}, which leaves")
    t.writers(nodes, *(one for one in nodes if one is not node))
    t.good(node.register(), f"REGISTER AND IGNORE EXISTING KEY of {node.name}")


def hand_over(t: Context, owner: Node, successor: Node, nodes: List[Node]) -> None:
    """Preempt, release, reserve, clear: and whom each of these concerns."""
    bystanders = [node for node in nodes if node not in (owner, successor)]
    t.conflict(successor.tell(scsi.PREEMPT, TYPE, owner.key, owner.key), "PREEMPT by a wrong key")
    t.conflict(successor.preempt(0xDEAD), "PREEMPT of no host's key")
    t.nothing_told(nodes)
    t.good(successor.preempt(owner.key), f"PREEMPT of {owner.name} by {successor.name}")
    t.nothing_told([successor, *bystanders])
    t.told(owner, REGISTRATIONS_PREEMPTED)
    t.writers(nodes, successor, *bystanders)
    t.conflict(owner.reserve(), f"RESERVE of {owner.name}, preempted")
    t.registered(owner, successor, *bystanders)
    t.owns(successor, nodes)

    t.good(owner.register(), f"REGISTER AND IGNORE EXISTING KEY of {owner.name}")
    t.good(successor.tell(scsi.RELEASE, TYPE, successor.key), f"RELEASE of {successor.name}")
    for node in (owner, *bystanders):
        t.told(node, RESERVATIONS_RELEASED)
    t.nothing_told([successor])

    t.good(successor.reserve(), f"RESERVE of {successor.name}")
    t.good(owner.tell(scsi.CLEAR, key=owner.key), f"CLEAR of {owner.name}")
    for node in (successor, *bystanders):
        t.told(node, RESERVATIONS_PREEMPTED)
    t.nothing_told([owner])
