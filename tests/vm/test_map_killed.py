# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker is killed at every point of each command on a real map: before and after each command to a
path, each write of its journal, each message to multipathd, and the answer. Another one is started: what
was under way is finished or withdrawn. A map that another host has fenced meanwhile never writes again.
Two hosts write all the time (writers.py).

TEST_MAP_POINTS=all: every point; else those around commands to paths, each third of them.
"""
import os
import shutil
import time
from typing import Callable, List, NamedTuple, Optional, Tuple

import context
import lab
from host import CONFLICT, GOOD, Host
from maps import KEY, MAP, NEW_KEY, NO_COMMUNICATION, NODE, OTHER_KEY, PATHS
from points import Points
from support import client, scaled, scsi
from support.process import Helper
from support.tap import cases, limit
from test_map_table import ALL, JOURNAL, KIND, POLLED, TableContext, TableLab, told
from writers import EITHER, MUST, MUST_NOT

PACKAGES = ["multipath"]

EVERY = os.environ.get("TEST_MAP_POINTS") == "all"
#: A key that the map never has.
WRONG_KEY = 0x999


class Command(NamedTuple):
    action: int
    key: int
    new: int
    kind: int = 0
    #: Before it: not registered, registered, or holding a reservation of KIND.
    before: str = "reserved"


COMMANDS = {
    "register": Command(scsi.REGISTER, 0, KEY, before=""),
    "change the key": Command(scsi.REGISTER, KEY, NEW_KEY),
    "unregister": Command(scsi.REGISTER, KEY, 0),
    "reserve": Command(scsi.RESERVE, KEY, 0, KIND, "registered"),
    "release": Command(scsi.RELEASE, KEY, 0, KIND),
    "preempt the other host": Command(scsi.PREEMPT, KEY, OTHER_KEY, KIND),
    "preempt itself": Command(scsi.PREEMPT, KEY, KEY, KIND, "registered"),
    "preempt itself to another type": Command(scsi.PREEMPT, KEY, KEY, ALL),
    "clear": Command(scsi.CLEAR, KEY, 0),
}


class KilledLab(TableLab):
    def __init__(self, settings: dict):
        super().__init__(settings)
        self.points = Points()


class KilledContext(TableContext):
    def __init__(self, shared: KilledLab, name: str):
        super().__init__(shared, name)
        self.points = shared.points
        self.guest: Optional[Host] = None
        self.helper: Optional[Helper] = None
        self.cleanup.callback(self.end)

    def end(self) -> None:
        if self.guest:
            self.guest.close()
        if self.helper:
            self.helper.close()
        self.guest = self.helper = None

    def begin(self, command: Command) -> None:
        """The map as it is before the command, and nothing remembered of it."""
        for writer in (self.mine, self.theirs):
            writer.rule(EITHER)
        self.end()
        self.points.arm()
        shutil.rmtree(JOURNAL, ignore_errors=True)
        self.lab.reset()
        self.helper = self.lab.start("root", f"--mpath-worker={self.points.path}").wait_ready()
        self.guest = Host(self.helper.socket_path, NODE, os.O_RDWR, timeout=60)
        # A worker that is there, in any case.
        self.tell(scsi.RESERVE, WRONG_KEY, 0, KIND, CONFLICT)
        if command.before:
            self.tell(scsi.REGISTER, 0, KEY)
        self.other_registers()
        self.drain()
        if command.before == "reserved":
            self.tell(scsi.RESERVE, KEY, 0, KIND)
            self.drain()

    def tell(self, action: int, key: int, new: int, kind: int = 0,
             wanted: client.Reply = GOOD) -> None:
        assert self.guest
        self.replied(self.guest.tell(action, kind, key, new), wanted, f"service action {action}")

    def killed_at(self, command: Command, point: int) -> bool:
        """False: the command has no such point."""
        assert self.guest
        self.settle()
        self.points.arm(kill_at=point)
        reply = self.guest.tell(command.action, command.kind, command.key, command.new)
        self.settle()
        if self.points.is_armed:
            return False
        # At the last points it is answered already.
        self.check(reply in (GOOD, NO_COMMUNICATION), f"point {point}: answered {told(reply)}")
        return True

    def settle(self) -> None:
        """An answer may be here before the worker is at the point after it."""
        lab.wait_for("the worker has passed its last point, or is dead",
                     lambda: self.points.is_settled or self.points.was_killed, 10)

    def points_of(self, command: Command) -> List[Tuple[int, str]]:
        """Number, and what it is (points.py)."""
        self.begin(command)
        self.settle()
        self.points.arm()
        self.tell(command.action, command.key, command.new, command.kind)
        self.settle()
        trace = self.points.trace()
        print(f"# its points: {trace}", flush=True)
        chosen = [(at, what) for at, what in enumerate(trace, 1) if EVERY or what in "oO"]
        return chosen if EVERY else chosen[::3]

    def at_each_point(self, command: Command, judge: Callable[[], None]) -> bool:
        """judge: what is to be right after the worker was killed. All points are tried, before those
        where it was not are told. Returns whether the last one was judged: the command may have had
        one less this time."""
        killed, wrong, is_judged = 0, [], False
        for point, what in self.points_of(command):
            before = [len(writer.failures) for writer in (self.mine, self.theirs)]
            try:
                self.begin(command)
                is_judged = self.killed_at(command, point)
                if not is_judged:
                    continue
                killed += 1
                judge()
            except AssertionError as error:
                wrong.append(f"point {point}, {what}: {error}")
            wrong += [f"point {point}, {what}: {failure}" for count, writer in
                      zip(before, (self.mine, self.theirs)) for failure in writer.failures[count:]]
        print(f"# {killed} points", flush=True)
        self.check(killed, "it was never killed")
        self.equal(wrong, [], "what was wrong")
        return is_judged

    def returns(self) -> None:
        """Another worker, which has done what there was to be done."""
        seen: List[client.Reply] = []

        def served() -> bool:
            assert self.guest
            seen[:] = [self.guest.tell(scsi.RELEASE, KIND, WRONG_KEY)]
            return seen[0] == CONFLICT
        try:
            lab.wait_for("another worker", served, 60)
        except AssertionError as error:
            raise AssertionError(f"{error}; last {told(seen[0])}") from None

    def forgotten(self, command: Command) -> None:
        """multipathd registers no path; and has no key any more when the last client is gone. CLEAR is in
        no journal: of one that was executed before the worker died, the next worker sees what another
        host's CLEAR leaves, which is for the guest to hear of; multipathd is told by the last client's
        end."""
        if command.action != scsi.CLEAR:
            self.check(not self.daemons.registered(MAP), "multipathd's prstatus")
        assert self.guest
        self.guest.close()
        self.guest = None
        lab.wait_for("multipathd has no prkey, and no prstatus",
                     lambda: not self.daemons.key(MAP) and not self.daemons.registered(MAP), 30)

    @property
    def ours(self) -> List[int]:
        return [one.key for one in self.disk.registrations() if one.initiator in self.names]

    @property
    def theirs_may(self) -> bool:
        """Whether the other host may write (SPC-4 5.13.1). Without a reservation any I_T nexus may. Both
        types that are used here, KIND and ALL, let each registered I_T nexus write, and no other."""
        is_reserved = self.disk.reservation()[0] is not None
        is_registered = any(one.initiator == self.other.name for one in self.disk.registrations())
        return is_registered or not is_reserved


open_lab = context.opener(KilledLab, KilledContext)


@cases(*((name, command) for name, command in COMMANDS.items()))
@limit(900 if EVERY else 180)
def repaired_or_withdrawn(t: KilledContext, command: Command) -> None:
    """All paths have one key, or none has; the guest and the other host write as these say."""
    def judge() -> None:
        t.returns()
        keys = t.ours
        t.check(keys == [] or len(keys) == PATHS and len(set(keys)) == 1 and
                keys[0] in (KEY, NEW_KEY), f"keys {[hex(key) for key in keys]}")
        if command.before == "reserved" and command.action == scsi.REGISTER and keys:
            t.held(t.names)
        t.daemons.wait_paths(MAP, PATHS)
        t.mine.rule(MUST)
        t.theirs.rule(MUST if t.theirs_may else MUST_NOT)
        if keys:
            t.followed(keys[0])
        else:
            t.forgotten(command)
    t.at_each_point(command, judge)


@cases(*((name, command) for name, command in COMMANDS.items()))
@limit(900 if EVERY else 180)
def fenced(t: KilledContext, command: Command) -> None:
    """The other host takes all registrations of the map, before the next worker comes. From then on not
    one write of the map lands, no matter what that worker finishes, and by which path."""
    def judge() -> None:
        t.other.drain()  # of what the command has told it
        t.equal(lab.pr_out(t.other.fd, scsi.REGISTER_AND_IGNORE, action_key=OTHER_KEY).status,
                scsi.GOOD, "the other host registers")
        t.other.drain()
        for key in (KEY, NEW_KEY):
            lab.pr_out(t.other.fd, scsi.PREEMPT, KIND, OTHER_KEY, key)
        lab.pr_out(t.other.fd, scsi.RESERVE, KIND, OTHER_KEY)
        t.registered(0, OTHER_KEY)
        t.equal(t.disk.reservation()[0], t.other.name, "holder before another worker comes")
        t.mine.rule(MUST_NOT)
        t.returns()
        t.registered(0, OTHER_KEY)
        t.held([t.other.name])
        t.daemons.wait_paths(MAP, PATHS)
        t.is_fenced()
        t.theirs.rule(MUST)
    if t.at_each_point(command, judge):
        time.sleep(scaled(POLLED))
        t.registered(0, OTHER_KEY)
        t.is_fenced()
