# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest on a map of the multipath worker, another host, and all that goes wrong beside them."""
import collections
import random
import signal
import time
from typing import Callable, Counter, Dict, List, NamedTuple, Set, Tuple

from mpath.fixture import BUSY, CONFLICT, GOOD, NO_PATH, OTHER, OTHER_KEY, Context, Session
from support import procfs, scaled, scsi
from support.target import HANG, LATE

PATHS = 3
#: The WWN of the first path's initiator port (fixture.initiator).
FIRST_PORT = 0x2100000000000000
#: Registrants only, all registrants.
KINDS = (5, 6, 7, 8)
NAMES = {scsi.REGISTER: "REGISTER", scsi.RESERVE: "RESERVE", scsi.RELEASE: "RELEASE",
         scsi.CLEAR: "CLEAR", scsi.PREEMPT: "PREEMPT",
         scsi.REGISTER_AND_IGNORE: "REGISTER AND IGNORE"}
#: What a path may say instead of executing a command: fields of a path at the target.
FAULTS: List[Dict] = [
    dict(error=19), dict(host_status=1), dict(host_status=0x0F), dict(status=8, times=3),
    dict(status=0x28, times=3), dict(status=2, sense=(2, 4, 0x0A)),
    dict(status=2, sense=(2, 4, 0x0B)), dict(status=2, sense=(2, 4, 0x0C)),
    dict(status=2, sense=(5, 0x25, 0)), dict(status=2, sense=(5, 0x94, 1)),
    dict(status=2, sense=(6, 0x29, 0), times=2)]
#: Seconds within which each command is answered, with all but one path silent.
PROMISED = 5.0
#: The same with paths that answer all but PERSISTENT RESERVE OUT: half of the deadline is theirs.
SLY = 13.0
#: Seconds within which a map with all of its paths is whole again.
REPAIRED = 20.0

#: Steps until all paths are well again.
ROUND = 12

#: Honest answers, by name: done, not done, and not known.
ANSWERS = {GOOD: "GOOD", CONFLICT: "RESERVATION CONFLICT", BUSY: "BUSY", NO_PATH: "no path",
           (2, 0xB, 0x08, 0x00): "unknown", (2, 0xB, 0x08, 0x01): "time-out",
           (2, 5, 0x26, 0x00): "refused", (2, 5, 0x26, 0x04): "invalid release"}


class Sight(NamedTuple):
    """What the target has at one instant."""
    keys: Tuple[int, ...]  # of the map's paths; 0: not registered
    type: int              # of the reservation; 0: none
    is_ours: bool          # a path of the map holds it
    has_other: bool        # the other host is registered


class Sent(NamedTuple):
    """A command of the guest's."""
    action: int
    key: int
    new: int
    type: int

    @property
    def registers(self) -> bool:
        return self.action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE)


class State(NamedTuple):
    """What a worker has when nothing is asked of it."""
    fds: int
    private_kb: int


class Load:
    """One worker, its map and its world. `wrong` has a line for each thing that may not be."""

    def __init__(self, context: Context, seed: int, deaths: bool,
                 meddle: Callable[["Load"], None] = lambda load: None):
        """meddle: called between an answer and its judgement; it stands for a faulty worker."""
        self.meddle = meddle
        self.dice = random.Random(f"{seed} {deaths}")
        self.deaths = deaths
        self.s: Session = context.start(PATHS, new=bool(self.dice.getrandbits(1)))
        self.s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
        self.counts: Counter[str] = collections.Counter()
        self.wrong: List[str] = []
        self.story: collections.deque = collections.deque(maxlen=12)
        self.ill: Set[int] = set()  # paths that have failed or hung since all were well
        self.silent: Set[int] = set()  # those that do now
        self.sly: Set[int] = set()  # that hang with PERSISTENT RESERVE OUT only
        self.key = 0  # the guest's, as far as it knows
        self.next_key = 0x1000
        self.fenced = False  # for certain: no command of the guest is older and not yet executed
        self.states: List[State] = []  # one for each time that all was well

    # -- the world

    def look(self) -> Sight:
        keys, kind, is_ours, has_other = [0] * PATHS, 0, False, False
        for one in self.s.target.descriptors(OTHER):
            number = int.from_bytes(one[32:40], "big") - FIRST_PORT
            if 0 <= number < PATHS:
                keys[number] = int.from_bytes(one[:8], "big")
            else:
                has_other = True
            if one[12] & 1:
                kind = one[13] & 0xF
                is_ours = is_ours or 0 <= number < PATHS
        return Sight(tuple(keys), kind, is_ours, has_other)

    def tell(self, text: str) -> None:
        self.story.append(text)

    def blame(self, kind: str, text: str) -> None:
        self.counts[f"wrong.{kind}"] += 1
        if len(self.wrong) < 20:
            self.wrong.append(f"{kind}: {text}; {'; '.join(self.story)}")

    def disturb(self) -> None:
        path = self.dice.randrange(PATHS)
        what = self.dice.randrange(10)
        if what < 5 and self.silent | {path} == set(range(PATHS)):
            return  # with none the deadline is all that ends a command
        if what < 3:
            fault = self.dice.choice(FAULTS)
            self.s.target.fail(path, **fault)
            self.tell(f"path {path} fails: {fault}")
            self.counts["path.fails"] += 1
        elif what < 5:
            how = self.dice.choice((HANG, LATE))
            only_out = bool(self.dice.getrandbits(1))
            self.s.target.hang(path, how, only_out)
            (self.sly.add if only_out else self.sly.discard)(path)
            self.tell(f"path {path} hangs{', and executes' if how == LATE else ''}")
            self.counts["path.hangs"] += 1
        elif what < 9:
            self.s.target.heal(path)
            self.s.target.go_on(path)
            self.silent.discard(path)
            self.sly.discard(path)
            self.tell(f"path {path} returns")
            self.counts["path.returns"] += 1
            return
        else:
            new = bool(self.dice.getrandbits(1))
            self.s.multipathd.restart(new)
            self.tell(f"multipathd is {'new' if new else 'old'}")
            self.counts["multipathd.restarts"] += 1
            return
        self.ill.add(path)
        self.silent.add(path)

    def kill(self) -> None:
        """As by the kernel's memory killer; then another one."""
        self.s.worker.signal(signal.SIGKILL)
        self.s.worker.process.wait()
        self.s.target.control.lock = 0  # it may have had it
        self.s.restart()
        self.tell("the worker is killed and started")
        self.counts["worker.deaths"] += 1

    # -- the other host

    def other(self, under_way: bool = False) -> None:
        """under_way: beside a command of the guest."""
        out = self.s.target.out
        what = self.dice.randrange(4)
        out(OTHER, scsi.REGISTER_AND_IGNORE, 0, OTHER_KEY)
        if what == 0:
            done = out(OTHER, scsi.RESERVE, OTHER_KEY, kind=self.dice.choice(KINDS))
            self.tell(f"the other host reserves: {done}")
        elif what == 1:
            out(OTHER, scsi.RELEASE, OTHER_KEY, kind=self.s.held or 5)
            self.fenced = False
            self.tell("the other host releases")
        elif what == 2:
            out(OTHER, scsi.CLEAR, OTHER_KEY)
            out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
            self.fenced = False
            self.tell("the other host clears")
        else:
            for key in sorted(set(self.look().keys) - {0}):
                out(OTHER, scsi.PREEMPT, OTHER_KEY, key, 5)
            out(OTHER, scsi.RESERVE, OTHER_KEY, kind=5)
            self.tell("the other host fences the guest")
            now = self.look()
            self.fenced = (not under_way and not self.ill and self.key_is_known
                           and now.type == 5 and not any(now.keys))
            self.counts["other.fences"] += 1
        self.counts["other.commands"] += 1

    # -- the guest

    @property
    def key_is_known(self) -> bool:
        return self.key >= 0

    def guest(self) -> None:
        action = self.dice.choice((scsi.REGISTER, scsi.REGISTER, scsi.REGISTER_AND_IGNORE,
                                   scsi.RESERVE, scsi.RESERVE, scsi.RELEASE, scsi.CLEAR,
                                   scsi.PREEMPT, scsi.PREEMPT))
        before = self.look()
        key = self.key if self.key_is_known else max(before.keys)
        if self.dice.randrange(10) == 0:
            key = self.dice.choice((0, OTHER_KEY, 0x1001))
        new = 0
        if action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE):
            self.next_key += 1
            new = self.dice.choice((0, self.next_key, self.next_key, self.next_key))
        elif action == scsi.PREEMPT:
            new = self.dice.choice((key, OTHER_KEY, OTHER_KEY))
        self.command(Sent(action, key, new, before.type or self.dice.choice(KINDS)), before)

    def command(self, sent: Sent, before: Sight) -> None:
        was_well = not self.ill
        self.tell(f"{NAMES[sent.action]} {sent.key:x}, {sent.new:x}, type {sent.type} at {before}")
        began = time.monotonic()
        pending = self.s.send(*sent, io_timeout=2.0, deadline=20.0)
        beside = self.beside()
        reply = pending.reply(60)
        took = time.monotonic() - began
        if beside == "death":
            self.key, self.fenced = -1, False
            return
        if reply is None:
            self.blame("no_answer", NAMES[sent.action])
            return
        self.counts["guest.commands"] += 1
        if took > scaled(SLY if self.sly else PROMISED) and beside != "path":
            self.blame("late", f"{took:.1f} s")
        self.meddle(self)
        name = "unit attention" if reply.code[:3] == (2, 6, 0x2A) else ANSWERS.get(reply.code)
        self.tell(f"{name or reply.code}")
        if not name:
            self.blame("answer", f"{reply.code} ({reply.text})")
            return
        self.counts[f"answer.{name}"] += 1
        after = self.look()
        if self.fenced and not (sent.registers and sent.new) and any(after.keys):
            self.blame("revived", f"{after}")
        self.learn(sent, name)
        if was_well and not self.ill and not beside:
            self.judge(sent, reply.code, before, after)

    def learn(self, sent: Sent, name: str) -> None:
        """What the guest knows by such an answer."""
        if sent.registers and sent.new:
            self.fenced = False
        if name in ("unknown", "time-out"):
            self.key = -1
        elif name == "GOOD" and sent.registers:
            self.key = sent.new
        elif name == "GOOD" and sent.action == scsi.CLEAR:
            self.key = 0
        elif name == "GOOD" and sent.action == scsi.PREEMPT and sent.new == sent.key:
            self.key = -1  # depends on the reservation that there was

    def beside(self) -> str:
        """What happens while a command is under way."""
        what = self.dice.randrange(20)
        if what < 6:
            time.sleep(self.dice.random() * 0.02)
        if what == 0 and self.deaths:
            self.kill()
            return "death"
        if what < 3:
            self.other(under_way=True)
            return "other host"
        if what < 6:
            self.disturb()
            return "path"
        return ""

    def judge(self, sent: Sent, code: tuple, before: Sight, after: Sight) -> None:
        """With all paths well, and nothing beside: what the target has now is what a plain LUN would
        have (SPC-4 5.13)."""
        was = before.keys[0]
        if len(set(before.keys)) != 1:
            return  # is under repair
        self.counts["judged"] += 1
        is_right = sent.key == was or sent.action == scsi.REGISTER_AND_IGNORE
        if code != GOOD:
            if after != before:
                self.blame("changed", f"{code}, but {after}")
            if code == CONFLICT and is_right and sent.registers:
                self.blame("needless_conflict", f"{before}")
            return
        if not is_right or (not was and not sent.registers):
            self.blame("good_with_a_wrong_key", f"{before}")
        wanted = was
        if sent.registers:
            wanted = sent.new
        elif sent.action == scsi.CLEAR:
            wanted = 0
        elif sent.action == scsi.PREEMPT and sent.new == was and (not before.is_ours or
                                                                 before.type >= 7):
            wanted = 0  # only a holder keeps its registration
        if after.keys != (wanted,) * PATHS:
            self.blame("keys", f"{after}, not {wanted:x}")
        if sent.action == scsi.RESERVE and not (after.is_ours and after.type == sent.type):
            self.blame("not_reserved", f"{after}")
        if sent.action == scsi.RELEASE and before.is_ours and after.type:
            self.blame("not_released", f"{after}")
        if sent.registers and sent.new and before.is_ours and not after.is_ours:
            self.blame("reservation_lost", f"{after}")
        goes = sent.action == scsi.CLEAR or (sent.action == scsi.PREEMPT and sent.new == OTHER_KEY)
        if before.has_other and after.has_other == goes:
            self.blame("other_host", f"{after}")

    # -- all is well again

    def quiet(self) -> None:
        for path in range(PATHS):
            self.s.target.heal(path)
            self.s.target.go_on(path)
        deadline = time.monotonic() + scaled(REPAIRED)
        while True:
            reply = self.s.tell(scsi.RELEASE, OTHER_KEY + 1, kind=1)
            keys = self.look().keys
            if reply.code == CONFLICT and len(set(keys)) == 1:
                break
            if time.monotonic() > deadline:
                self.blame("not_repaired", f"{reply.code} {reply.text}, keys {keys}, "
                           f"log {self.s.worker.log()[-600:]}")
                break
            time.sleep(0.02)
        self.tell(f"all is well: {keys}")
        self.counts["quiet"] += 1
        self.ill.clear()
        self.silent.clear()
        self.sly.clear()
        self.key = keys[0]
        if self.fenced and (any(keys) or any(map(self.s.target.may_write, range(PATHS)))):
            self.blame("fenced_writes", f"{keys}")

    def run(self, seconds: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not is_enough():
            for _ in range(ROUND):
                what = self.dice.randrange(8)
                (self.disturb if what == 0 else self.other if what < 3 else self.guest)()
            self.quiet()
            pid = self.s.worker.pid
            self.states.append(State(len(procfs.fds(pid)), procfs.private_kb(pid)))
