# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hours' worth of commands on a multipath map, judged; and whether the judge is awake."""
import os

from mpath.fixture import OTHER, OTHER_KEY, Context, Lab
from support import scsi
from support.tap import cases, limit, test

from .maps import ROUND, Load

#: What one worker has more at the end than in the beginning, at most, in kB.
GROWTH_KB = 256
#: Rounds until it has all that it keeps.
WARM = 20


def make(t, *arguments) -> Load:
    lab = Lab(os.path.dirname(t.lab.helper))
    t.cleanup.callback(lab.close)
    context = Context(lab)
    t.cleanup.enter_context(context.cleanup)
    return Load(context, t.lab.seed, *arguments)


def served(t, deaths: bool) -> Load:
    """After half of the time, with nothing wrong."""
    load = make(t, deaths)
    load.run(t.lab.seconds / 2)
    for name, number in sorted(load.counts.items()):
        print(f"# {name:44} {number:12,}", flush=True)
    for line in load.wrong:
        print(f"# {line}", flush=True)
    t.equal(len(load.wrong), 0, "violations")
    return load


@test
@limit(10**6)
def workers_that_die(t) -> None:
    load = served(t, True)
    t.check(load.counts["worker.deaths"] > 0 or t.lab.seconds < 20, "no worker has died")


@test
@limit(10**6)
def one_worker(t) -> None:
    """It serves all the time, and has no more in the end."""
    load = served(t, False)
    first, last = load.states[min(WARM, len(load.states) - 1)], load.states[-1]
    print(f"# after {min(WARM, len(load.states) - 1) * ROUND} steps {first}, then {last}")
    t.check(last.fds <= first.fds, f"fds: {first.fds}, then {last.fds}")
    t.check(t.lab.sanitized() or last.private_kb <= first.private_kb + GROWTH_KB,
            f"kB of private memory: {first.private_kb}, then {last.private_kb}")


def forgets_a_path(load: Load) -> None:
    load.s.target.out(0, scsi.REGISTER, load.look().keys[0], 0)


def revives(load: Load) -> None:
    if load.fenced:
        load.s.target.out(1, scsi.REGISTER, 0, 0x77)


def takes_the_other(load: Load) -> None:
    load.s.target.out(OTHER, scsi.REGISTER, OTHER_KEY, 0)


def loses_the_reservation(load: Load) -> None:
    now = load.look()
    if now.is_ours:
        for path in range(3):
            load.s.target.out(path, scsi.RELEASE, now.keys[path], kind=now.type)


def does_not_fence(load: Load) -> None:
    load.s.target.out(OTHER, scsi.REGISTER_AND_IGNORE, 0, OTHER_KEY)


@cases(("nothing", lambda load: None, None), ("forgets a path", forgets_a_path, "keys"),
       ("revives a fenced path", revives, "revived"),
       ("takes another host's registration", takes_the_other, "other_host"),
       ("loses the reservation", loses_the_reservation, "not_reserved"),
       ("does not fence", does_not_fence, "other_host"))
@limit(120)
def caught(t, meddle, wanted) -> None:
    """What a faulty worker would do at the target, done after each command."""
    load = make(t, False, meddle)
    kind = f"wrong.{wanted}"
    load.run(5 if not wanted else 60, lambda: load.counts[kind] > 0)
    found = {name for name in load.counts if name.startswith("wrong.")}
    if wanted:
        t.check(kind in found, f"not noticed, but {found}")
    else:
        t.equal(load.wrong, [], "found where nothing is wrong")
