# SPDX-License-Identifier: LGPL-2.1-or-later
"""A multipath map as its virtual machine sees it: one nexus, no matter what happens to its paths. Two hosts
write all the time, one on the map and one on the other host, and each knows which of its writes may
land (writers.py).

Each of these scenarios has gone wrong by libmpathpersist, in some of its versions. With
TEST_MAP_BY=mpathpersist it is that program's turn in place of a helper's; docs/multipath.md has what
came of it.
"""
import os
import time
from typing import Callable, List, Optional, Union

import context
import guest
import lab
import multipath
from host import CONFLICT, GOOD, WRITE_EXCLUSIVE_ALL, WRITE_EXCLUSIVE_REGISTRANTS, Host
from maps import KEY, MAP, NEW_KEY, NODE, OTHER_KEY, PATHS, Context, Lab, find_worker
from support import client, procfs, scaled, scsi
from support.tap import cases, limit, test
from writers import EITHER, MUST, MUST_NOT, Writer

PACKAGES = ["multipath"]

KIND, ALL = WRITE_EXCLUSIVE_REGISTRANTS, WRITE_EXCLUSIVE_ALL
DISK = "/run/shared.img"
JOURNAL = "/run/qemu-pr-mpath"
INVALID_RELEASE = client.check_condition(5, 0x26, 4)
#: Some seconds until multipathd has looked at a path that is back, and has done what it does.
POLLED = 3
EACH_PATH = [(f"path {number}", number) for number in range(PATHS)]


class Tool:
    """mpathpersist(8) in the place of a host with a helper."""
    #: Its exit status: success, MPATH_PR_ILLEGAL_REQ, MPATH_PR_RESERV_CONFLICT.
    REPLIES = {0: GOOD, 5: INVALID_RELEASE, 11: CONFLICT}
    ACTIONS = {scsi.REGISTER: "--register", scsi.RESERVE: "--reserve", scsi.RELEASE: "--release",
               scsi.CLEAR: "--clear", scsi.PREEMPT: "--preempt"}

    def tell(self, action: int, kind: int = 0, key: int = 0, new: int = 0) -> client.Reply:
        options = [f"--param-rk={key:x}"] if key else []
        if new or action == scsi.REGISTER:
            options.append(f"--param-sark={new:x}")
        if kind:
            options.append(f"--prout-type={kind}")
        status = multipath.persist_status(NODE, "--out", self.ACTIONS[action], *options)
        return self.REPLIES.get(status, client.check_condition(0xB, 8, 0))


BY_TOOL = os.environ.get("TEST_MAP_BY") == "mpathpersist"


class TableLab(Lab):
    def __init__(self, settings: dict):
        super().__init__(settings, file=DISK)


class TableContext(Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(shared, name)
        self.mine = Writer("the map", NODE, DISK, 1)
        self.theirs = Writer("the other host", self.other.path, DISK, 2)
        for writer in (self.mine, self.theirs):
            self.cleanup.callback(self.judged, writer)
        self.first = self.lab.helpers["root"]
        self.host: Union[Host, Tool] = Tool() if BY_TOOL else self.open(self.first, timeout=60)

    def judged(self, writer: Writer) -> None:
        writer.close()
        self.equal(writer.failures, [], f"writes of {writer.name}")

    def log(self) -> str:
        """Without what each fenced write makes the kernel say."""
        kernel = [f"kernel: {line}" for line in guest.kernel_log(1000)
                  if "reservation conflict" not in line]
        return "\n".join([*super().log().splitlines(), *kernel[-30:]])

    # -- the map's guest

    def tells(self, action: int, kind: int = 0, key: int = 0, new: int = 0,
              wanted: client.Reply = GOOD) -> None:
        self.replied(self.host.tell(action, kind, key, new), wanted, f"service action {action}")

    def registers(self, key: int = 0, new: int = KEY) -> None:
        self.tells(scsi.REGISTER, 0, key, new)
        self.drain()

    def begins(self, kind: int = KIND) -> None:
        """The map is registered and holds the reservation; the other host is shut out."""
        self.registers()
        self.tells(scsi.RESERVE, kind, KEY)
        self.drain()
        self.mine.rule(MUST)
        self.theirs.rule(MUST_NOT)

    def both_write(self) -> None:
        """Both are registered."""
        self.theirs.rule(EITHER)
        self.other_registers()
        self.other.drain()
        for writer in (self.mine, self.theirs):
            writer.rule(MUST)

    def is_fenced(self) -> None:
        """By every path: by those of the map, and by each of them as a disk of its own."""
        self.mine.rule(MUST_NOT)
        for path in self.target.initiators:
            path.drain()
            self.check(self._written(path) is not None, f"a write by {path.block} of the map landed")

    def _written(self, path: lab.Initiator) -> Optional[int]:
        fd = path.open(os.O_RDWR | os.O_DIRECT)
        try:
            return lab.transfer(fd, 0x33)
        finally:
            os.close(fd)

    def fences(self, key: int) -> None:
        """The other host takes the map's registration away."""
        self.mine.rule(EITHER)
        self.equal(lab.pr_out(self.other.fd, scsi.PREEMPT, KIND, OTHER_KEY, key).status, scsi.GOOD,
                   "the other host preempts")

    @property
    def holder(self) -> lab.Initiator:
        return self.path_of(self.held(self.names))

    def others_of(self, path: lab.Initiator) -> List[lab.Initiator]:
        return [one for one in self.target.initiators if one is not path]

    def alone(self) -> None:
        """Before differs(): a helper that can end before the others do, and that no worker is beside."""
        if BY_TOOL:
            return
        shared = find_worker(self.lab.helpers["root"])
        lab.wait_for("the other worker has let go of the map",
                     lambda: shared is None or len(procfs.threads(shared)) == 1, 30)
        self.first = self.start("root")
        self.host = self.open(self.first, timeout=60)

    def differs(self, path: lab.Initiator, old: int, new: int) -> None:
        """This path's registration alone is changed, behind the map's back, and a helper comes that
        does not know how it was: to one that does, a path without the key says that another host has
        fenced the map, and multipathd has brought some paths back. It would see that when it looks
        after its paths, some seconds after their first command, so it has ended by then."""
        self.mine.rule(EITHER)
        if not BY_TOOL:
            worker = find_worker(self.first)
            self.first.close()
            self.check(worker is None or procfs.wait_gone(worker, scaled(10)), "its worker is still there")
            for name in os.listdir(JOURNAL):
                os.unlink(os.path.join(JOURNAL, name))
            self.host = self.open(self.start("root"), timeout=60)
        self.equal(lab.pr_out(path.fd, scsi.REGISTER, 0, old, new).status, scsi.GOOD, "one differs")
        path.close()


open_lab = context.opener(TableLab, TableContext)


def told(reply: client.Reply) -> str:
    sense = reply.sense
    return f"status {reply.status:#x}, sense {sense[2]:x}/{sense[12]:02x}/{sense[13]:02x}"


@cases(*((what, what, key, is_holder) for what, key, is_holder in
         [("another key", 0x777, False), ("no key", 0, False),
          ("another key, the holder", 0x777, True)]))
@limit(120)
def one_path_differs(t: TableContext, what: str, key: int, is_holder: bool) -> None:
    """A new key for the map, of which one path has another key or none. The reservation is not lost."""
    t.alone()
    t.begins()
    holder = t.holder
    path = holder if is_holder else t.others_of(holder)[0]
    t.differs(path, KEY, key)
    t.drain()
    reply = t.host.tell(scsi.REGISTER, 0, KEY, NEW_KEY)
    t.held(t.names)
    if reply == GOOD:
        t.registered(NEW_KEY)
        t.mine.rule(MUST)
    t.theirs.rule(MUST_NOT)
    print(f"# one path has {what}: {told(reply)}", flush=True)


@test
@limit(120)
def unregisters_without_the_holder(t: TableContext) -> None:
    """Gone is gone, with the reservation."""
    t.begins()
    path = t.holder
    t.fail(path)
    for writer in (t.mine, t.theirs):
        writer.rule(EITHER)
    t.tells(scsi.REGISTER, 0, KEY)
    t.registered(0)
    t.not_held()
    t.theirs.rule(MUST)
    t.mine.rule(MUST)
    t.restore(path)
    time.sleep(POLLED)
    t.registered(0)


@cases(*EACH_PATH)
@limit(120)
def unregistered_and_a_path_comes_back(t: TableContext, number: int) -> None:
    """It may not write past another host's reservation."""
    t.registers()
    t.mine.rule(MUST)
    path = t.target.initiators[number]
    t.fail(path)
    t.mine.rule(EITHER)
    t.tells(scsi.REGISTER, 0, KEY)
    t.other_registers()
    t.other_tells(scsi.RESERVE, KIND)
    t.restore(path)
    time.sleep(POLLED)
    t.registered(0, OTHER_KEY)
    t.is_fenced()
    t.theirs.rule(MUST)


@cases(("holder", True), ("another", False))
@limit(120)
def fenced_by_the_new_key(t: TableContext, is_holder: bool) -> None:
    """A path is away when the map changes its key; who preempts the new one has fenced all."""
    t.begins()
    path = t.holder if is_holder else t.others_of(t.holder)[0]
    t.fail(path)
    t.mine.rule(MUST)
    t.tells(scsi.REGISTER, 0, KEY, NEW_KEY)
    t.mine.rule(MUST)
    t.theirs.rule(MUST_NOT)
    t.both_write()
    t.fences(NEW_KEY)
    t.restore(path)
    time.sleep(POLLED)
    t.registered(0, OTHER_KEY)
    t.is_fenced()
    t.theirs.rule(MUST)


@cases(*EACH_PATH)
@limit(120)
def reserves_again(t: TableContext, number: int) -> None:
    """The holder may ask again for what it has, whichever path holds it."""
    t.registers()
    t.mine.rule(MUST)
    path = t.target.initiators[number]
    t.fail(path)
    t.theirs.rule(EITHER)
    t.tells(scsi.RESERVE, KIND, KEY)
    t.theirs.rule(MUST_NOT)
    t.restore(path)
    t.tells(scsi.RESERVE, KIND, KEY)
    t.fail(t.holder)
    t.tells(scsi.RESERVE, KIND, KEY)
    t.restore(t.holder)
    t.mine.rule(MUST)


@cases(*((f"{name}, path {number}", action, number) for number in range(PATHS) for name, action in
         [("reserve", scsi.RESERVE), ("preempt", scsi.PREEMPT), ("clear", scsi.CLEAR)]))
@limit(120)
def one_path_unregistered(t: TableContext, action: int, number: int) -> None:
    """By one of the others."""
    t.alone()
    t.registers()
    t.both_write()
    t.differs(t.target.initiators[number], KEY, 0)
    t.drain()
    t.theirs.rule(EITHER)
    t.mine.rule(EITHER)
    t.tells(action, KIND, KEY, OTHER_KEY if action == scsi.PREEMPT else 0)
    if action == scsi.CLEAR:
        t.registered(0)
        t.mine.rule(MUST)
        t.theirs.rule(MUST)
    else:
        t.held(t.names if action == scsi.RESERVE else [None, *t.names])


# -- PREEMPT of the own key


@test
@limit(60)
def preempts_itself_unreserved(t: TableContext) -> None:
    """As on one path: it is unregistered, and may register from no key."""
    t.registers()
    t.mine.rule(MUST)
    t.tells(scsi.PREEMPT, KIND, KEY, KEY)
    t.registered(0)
    t.registers(0, NEW_KEY)
    t.registered(NEW_KEY)


@cases(*((f"type {kind} to {new}, {state}", kind, new, state) for kind, new in [(KIND, ALL), (ALL, KIND)]
         for state in ("all paths", "a path away", "the holder away", "a path hangs",
                       "the holder hangs") if kind == KIND or "holder" not in state))
@limit(120)
def preempts_itself(t: TableContext, kind: int, new: int, state: str) -> None:
    """All the time the guest writes, and not one of its writes fails; or the command is refused, and
    nothing was sent."""
    t.begins(kind)
    holder = t.disk.reservation()[0]
    path = next(one for one in t.target.initiators if (one.name == holder) == ("holder" in state))
    if "away" in state:
        t.fail(path)
        t.mine.rule(MUST)
    elif "hangs" in state:
        t.unplug(path)
    if kind == ALL:
        t.mine.rule(EITHER)  # docs/multipath.md has why
    before, generation = t.disk.registrations(), t.disk.generation()
    reply = t.host.tell(scsi.PREEMPT, new, KEY, KEY)
    t.check(reply == GOOD or t.disk.generation() == generation and
            t.disk.registrations() == before, f"refused by {reply}, and nothing was sent")
    print(f"# PREEMPT of type {kind} to {new}, {state}: {told(reply)}", flush=True)
    if "away" in state:
        t.equal(reply.encode(), GOOD.encode(), "preempts")
        t.restore(path)
    t.plug()
    t.daemons.wait_paths(MAP, PATHS)
    lab.wait_for("each path is registered", lambda: [one.key for one in t.disk.registrations()]
                 == [KEY] * PATHS, 30)
    t.mine.rule(MUST, 12)
    t.theirs.rule(MUST_NOT)


@test
@limit(120)
def preempts_itself_and_a_path_flaps(t: TableContext) -> None:
    """What all registrants hold, and nothing else would change. multipathd knows how the map stands, so
    a path that comes back is as the others are."""
    t.begins(ALL)
    t.mine.rule(EITHER)
    t.theirs.rule(EITHER)
    t.tells(scsi.PREEMPT, ALL, KEY, KEY)
    key = KEY if t.disk.registrations() else 0
    t.followed(key)
    t.mine.rule(MUST)
    for path in t.target.initiators:
        t.fail(path)
        t.restore(path)
        time.sleep(1)
    t.registered(key)
    t.mine.rule(MUST, 12)
    t.theirs.rule(MUST_NOT if key else MUST)


# -- RELEASE


@cases(("7", 7), ("8", 8))
@limit(120)
def releases_once(t: TableContext, kind: int) -> None:
    """Of all registrants. What the other host reserves right after it is not released as well."""
    t.registers()
    t.both_write()
    t.tells(scsi.RESERVE, kind, KEY)
    t.drain()
    generation = t.disk.generation()
    t.tells(scsi.RELEASE, kind, KEY)
    t.not_held()
    t.equal(t.disk.generation(), generation, "generation")
    lab.drain(t.other.fd)
    t.other_tells(scsi.RESERVE, kind)
    time.sleep(0.5)
    t.check(t.disk.reservation()[0] is not None or "All Registrants" in t.disk.reservation()[1],
            f"the other host's reservation: {t.disk.reservation()}")
    for writer in (t.mine, t.theirs):
        writer.rule(MUST)


@test
@limit(60)
def releases_by_a_wrong_key(t: TableContext) -> None:
    t.begins()
    t.tells(scsi.RELEASE, KIND, NEW_KEY, wanted=CONFLICT)
    t.held(t.names)
    reply = t.host.tell(scsi.RELEASE, 6, KEY)
    # LIO says the one, SPC-4 the other.
    t.check(reply in (CONFLICT, INVALID_RELEASE), f"RELEASE of another type: {told(reply)}")
    t.held(t.names)
    t.theirs.rule(MUST_NOT)


@cases(("away", True), ("hangs", False))
@limit(120)
def releases_without_the_holder(t: TableContext, away: bool) -> None:
    """Not one write of the guest fails."""
    t.begins()
    path = t.holder
    if away:
        t.fail(path)
        t.mine.rule(MUST)
    else:
        t.unplug(path)
    t.theirs.rule(EITHER)
    reply = t.host.tell(scsi.RELEASE, KIND, KEY)
    print(f"# RELEASE, the holding path {'away' if away else 'hangs'}: "
          f"{told(reply)}", flush=True)
    if away:
        t.equal(reply.encode(), GOOD.encode(), "releases")
    if reply == GOOD:
        t.not_held()
        t.theirs.rule(MUST)
    else:
        t.held(t.names)
    if away:
        t.restore(path)
    t.plug()
    t.daemons.wait_paths(MAP, PATHS)
    t.mine.rule(MUST, 12)


# -- paths without an answer


def timed(call: Callable[[], client.Reply]) -> tuple:
    started = time.monotonic()
    return call(), time.monotonic() - started


@cases(*((f"{name}, {hung} of {PATHS} hang", action, hung) for hung in (1, 2) for name, action in
         [("preempt", scsi.PREEMPT), ("reserve", scsi.RESERVE), ("release", scsi.RELEASE)]))
@limit(120)
def paths_hang(t: TableContext, action: int, hung: int) -> None:
    """By the ones that answer, soon: within 2 s, and within 5 s by the last one."""
    t.registers()
    t.both_write()
    if action != scsi.RESERVE:
        t.tells(scsi.RESERVE, KIND, KEY)
        t.drain()
    holder = t.disk.reservation()[0]
    paths = [one for one in t.target.initiators if one.name != holder][:hung]
    t.theirs.rule(EITHER)
    t.unplug(*paths)
    reply, took = timed(lambda: t.host.tell(action, KIND, KEY,
                                            OTHER_KEY if action == scsi.PREEMPT else 0))
    t.replied(reply, GOOD, f"service action {action}")
    print(f"# service action {action}, {hung} of {PATHS} paths without an answer: {took:.2f} s",
          flush=True)
    t.check(took < scaled(2 if hung == 1 else 5), f"took {took:.2f} s")
    if action == scsi.PREEMPT:
        t.theirs.rule(MUST_NOT)
    t.plug()
    t.daemons.wait_paths(MAP, PATHS)
    t.mine.rule(MUST, 12)


# -- the other host


@test
@limit(60)
def fenced(t: TableContext) -> None:
    """The map is: by all of its paths at once."""
    t.begins()
    t.both_write()
    t.fences(KEY)
    t.is_fenced()
    t.theirs.rule(MUST)
    t.check(t.host.tell(scsi.RESERVE, KIND, KEY).status != scsi.GOOD, "it hears of it")
    t.replied(t.host.tell(scsi.RESERVE, KIND, KEY), CONFLICT, "and is none any more")


@test
@limit(60)
def fences(t: TableContext) -> None:
    """The other host is, by the map."""
    t.registers()
    t.both_write()
    t.other_tells(scsi.RESERVE, KIND)
    t.drain()
    t.theirs.rule(EITHER)
    t.tells(scsi.PREEMPT, KIND, KEY, OTHER_KEY)
    t.theirs.rule(MUST_NOT)
    t.registered(KEY)
    t.held(t.names)
    t.mine.rule(MUST, 12)
