# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's corosync and Pacemaker with fence_scsi, in two virtual machines that share a disk through a
helper each. The active one fails; the other takes over, and no write of the first one lands from then
on, until it has joined again.

TEST_PACEMAKER_ROUNDS: how often each fault comes.
"""
import os
import statistics
import time
from typing import Callable, Dict, List, Optional, Tuple

import cluster
import context
import qemu
from cluster import Cluster, Guide, Node
from support import scaled, tap
from support.tap import cases, limit
from writers import EITHER, MUST, MUST_NOT

PACKAGES = ["multipath", "pacemaker", "qemu"]
MEMORY = 1536
ROOT = True
#: What a node is.
KIND = {"qemu": cluster.Guest, "container": cluster.Container}[
    os.environ.get("TEST_PACEMAKER_NODES", "container")]
ROUNDS = int(os.environ.get("TEST_PACEMAKER_ROUNDS", "1"))
#: Real seconds that a step may take, which are many more than those of the nodes' clocks.
STEP_SECONDS = 900.0 if KIND is cluster.Guest else 100.0
#: Of each node, before and after each change.
WRITES = 3
MOUNT = "/srv/shared"
JOURNAL = f"{MOUNT}/journal"


class Lab(qemu.Lab):
    """The LUN; two hosts, each with one I_T nexus; and a cluster that lasts from test to test."""
    #: Of the helpers.
    options: List[str] = []

    def __init__(self, settings: dict):
        super().__init__(settings, cluster.MEGABYTES)
        self.join(settings)

    def directory(self) -> str:
        """A node has a /run of its own."""
        self._directories += 1
        return f"/var/tmp/test{self._directories}"

    def join(self, settings: dict) -> None:
        self.settings = settings
        self.network = cluster.Network()
        self.cluster: Optional[Cluster] = None

    def disks(self) -> List[str]:
        """The LUN as each host has it."""
        return [host.path for host in self.hosts]

    def names(self, number: int) -> List[str]:
        """The initiators of a host."""
        return [self.hosts[number].name]

    def end(self) -> None:
        if self.cluster:
            self.cluster.close()
            self.cluster = None

    def close(self) -> None:
        self.end()


class Timeline:
    """What happened when, since the fault: in seconds here, and by the clock of the node that stays."""

    def __init__(self, node: Node):
        self.node = node
        self._began = self._now()
        self.steps: Dict[str, Tuple[float, float]] = {}

    def _now(self) -> Tuple[float, float]:
        return time.monotonic(), self.node.read("/proc/version")[1]

    def mark(self, step: str) -> None:
        seconds, clock = self._now()
        self.steps[step] = seconds - self._began[0], clock - self._began[1]
        print(f"# {step} {seconds - self._began[0]:.0f}", flush=True)

    def show(self, name: str) -> None:
        print(f"# timeline {name}: " + "; ".join(
            f"{step} {clock:.1f} ({seconds:.0f})" for step, (seconds, clock) in self.steps.items()),
            flush=True)


def summarize(name: str, timelines: List[Timeline]) -> None:
    """Of several rounds: when each step was, by the clock of the node that stays."""
    print(f"# rounds of {name}: {len(timelines)}; " + "; ".join(
        f"{step} {statistics.median(found):.0f}, at worst {max(found):.0f}"
        for step in timelines[0].steps
        for found in [[one.steps[step][1] for one in timelines]]), flush=True)


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        self.lab, self.name = shared, name
        self._log: List[str] = []

        def keep(failed: object, *_error) -> None:
            if failed:  # the next test has a new one
                if self.lab.cluster:
                    self._log = self.lab.cluster.log()
                self.lab.end()
        self.cleanup.push(keep)

    def log(self) -> str:
        """Of the cluster that has ended with the test."""
        return "\n".join(self._log)

    # -- what is to be seen

    def form(self) -> Cluster:
        """Both nodes, as the guide says."""
        if self.lab.cluster:
            return self.lab.cluster
        self.lab.reset()
        self.lab.cluster = made = Cluster(self.lab, KIND, self.lab.settings, self.lab.disks())
        nodes = [made.boot(number) for number, _ in enumerate(cluster.NAMES)]
        for node in nodes:
            made.set_up(node)
            self.say(f"{node.name} has booted")
        guide = Guide(made.disk(nodes[0]))
        for command in guide.commands("on one node: the file system"):
            nodes[0].done("sh", "-c", command)
        for node in nodes:
            node.put("/etc/corosync/corosync.conf", guide.file("/etc/corosync/corosync.conf"))
            made.start(node)
            self.say(f"{node.name} has started")
        self.wait(lambda: all(node.joined() for node in nodes), "both nodes have joined")
        self.say("both have joined")
        nodes[0].put("/root/cluster.crm", guide.file("/root/cluster.crm"))
        for command in guide.commands("on one node: the resources"):
            print("# " + nodes[0].done("sh", "-c", command, seconds=STEP_SECONDS).replace("\n", "\n# "))
        self.wait(lambda: all(self.registered(node.number) for node in nodes),
                  "both nodes are registered")
        self.say("both are registered")
        self.active()
        return made

    def say(self, text: str) -> None:
        print(f"# {time.monotonic():.0f} s: {text}", flush=True)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + scaled(STEP_SECONDS)
        while not condition():
            self.check(time.monotonic() < deadline, f"{what}: not in {scaled(STEP_SECONDS):.0f} s")
            time.sleep(1.0)

    def mounted(self, node: Node) -> bool:
        return f" {MOUNT} " in node.read("/proc/mounts")[0]

    def active(self) -> int:
        """Which of the nodes has the file system."""
        nodes = self.lab.cluster.nodes
        self.wait(lambda: any(self.mounted(node) for node in nodes), "one node has mounted")
        having = [node.number for node in nodes if self.mounted(node)]
        self.equal(len(having), 1, "nodes that have mounted")
        return having[0]

    def registered(self, number: int) -> bool:
        """By LIO's table, with each of its paths."""
        there = [one.initiator for one in self.lab.disk.registrations()]
        return all(name in there for name in self.lab.names(number))

    def fenced(self, number: int) -> bool:
        there = [one.initiator for one in self.lab.disk.registrations()]
        return not any(name in there for name in self.lab.names(number))


open_lab = context.opener(Lab, Context)


FAULTS = ("killed", "hung", "cut off")


def fail(node: Node, fault: str) -> None:
    {"killed": node.kill, "hung": node.hang, "cut off": node.cut_off}[fault]()


def taken_over(t: Context, fault: str, name: str) -> Timeline:
    made = t.form()
    first = t.active()
    lost, stays = made.nodes[first], made.nodes[1 - first]
    theirs, ours = made.writers[first], made.writers[1 - first]
    for writer in (theirs, ours):
        writer.rule(MUST, WRITES)
    lost.done("sh", "-ec", f"echo {lost.name} before {name} >> {JOURNAL}; sync {JOURNAL}")

    timeline = Timeline(stays)
    theirs.rule(EITHER)
    fail(lost, fault)
    t.wait(lambda: t.fenced(first), f"{lost.name} is fenced")
    timeline.mark("fenced")
    t.wait(lambda: t.mounted(stays), f"{stays.name} has mounted")
    timeline.mark("mounted")
    landed = theirs.landed()
    t.matches(f"{lost.name} before {name}", stays.done("cat", JOURNAL), "what the other reads")
    stays.done("sh", "-ec", f"echo {stays.name} after {name} >> {JOURNAL}; sync {JOURNAL}")
    timeline.mark("written")
    ours.rule(MUST, WRITES)

    # The first comes back as it was, if it can, and then as after a boot.
    if fault == "hung":
        lost.resume()
    if fault == "cut off":
        lost.cut_off(False)
    if fault != "killed":
        theirs.rule(MUST_NOT, WRITES)
        timeline.mark("comes back, refused")
        made.end(lost)
        t.equal(theirs.failures, [], f"writes of {lost.name}")
    else:
        theirs.close()
    lost = made.boot(first)
    made.set_up(lost)
    theirs = made.writers[first]
    theirs.rule(MUST_NOT, WRITES)
    timeline.mark("booted, refused")
    t.check(t.fenced(first), f"{lost.name} is registered before its cluster starts")
    t.equal(theirs.landed(), landed, f"the last write of {lost.name}")
    theirs.rule(EITHER)
    made.start(lost)
    t.wait(lambda: t.registered(first), f"{lost.name} is registered")
    timeline.mark("unfenced")
    theirs.rule(MUST, WRITES)
    t.wait(lost.joined, f"{lost.name} has joined")
    t.matches("Online: .*node-a node-b", stays.done("crm_mon", "-1"), "what the other says")
    timeline.mark("online")
    t.check(t.mounted(stays) and not t.mounted(lost), "the file system is where it was")
    for writer in (theirs, ours):
        t.equal(writer.failures, [], f"writes of {writer.name}")
    timeline.show(name)
    return timeline


def rounds(t: Context, fault: str, kind: str) -> None:
    """Of one fault, in one cluster that is whole again after each."""
    summarize(f"{kind}, {fault}", [taken_over(t, fault, f"{kind}, {fault}, {number}")
                                   for number in range(1, ROUNDS + 1)])


@cases(*FAULTS)
@limit(6000 * ROUNDS)
def plain(t: Context, fault: str) -> None:
    rounds(t, fault, "LUN")
