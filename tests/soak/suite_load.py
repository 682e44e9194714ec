# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hours' worth of load, judged; and whether the judge is awake."""
from soak.fixture import DISKS
from support.tap import Skip, cases, limit, test

#: Not everything can be expected of a run that is shorter than this, in seconds.
WHOLE = 20


@test
@limit(10**6)
def nothing_is_wrong(t):
    result = t.lab.load()
    for name, number in sorted(result.numbers.items()):
        print(f"# {name:44} {number:12,}")
    print(f"# the helper that was never restarted: fds {result.before.fds}, then "
          f"{result.after.fds}; private memory {result.before.private_kb} kB, then "
          f"{result.after.private_kb}", flush=True)
    t.equal(result.wrong(), {}, "violations; " + "; ".join(result.notes[:20]))


@test
def everything_has_happened(t):
    """A load that no longer does what it should proves nothing."""
    if t.lab.seconds < WHOLE:
        raise Skip(f"cannot be expected within {t.lab.seconds} s")
    may_be_none = ("wrong.", "unanswered.hung")
    missing = [name for name, number in t.lab.load().numbers.items()
               if not number and not name.startswith(may_be_none)]
    t.equal(missing, [], "what never happened")


@test
def nothing_is_left_behind(t):
    """By the helper that has served all the time."""
    t.equal(t.lab.load().leaked(), "", "left behind")


@test
def status_knows_of_every_command(t):
    """Also of those whose clients were dead by then."""
    result = t.lab.load()
    told = sum(one["count"] for device in result.status["devices"] for one in device["latency"])
    t.equal(told, result.numbers["commands.by_the_veteran"], "commands by the status document")
    t.equal([device["in_flight_total"] for device in result.status["devices"]], [0] * DISKS,
            "commands in flight at the end")
    t.equal(result.status["connections"], [], "connections at the end")


@cases(("none", None),
       ("good", "wrong.reply"),
       ("forget", "wrong.reply_to_what_was_not_done"),
       ("twice", "wrong.executed_twice"),
       ("repeat", "wrong.executed_twice"),
       ("alter", "wrong.command_altered"),
       ("data", "wrong.reply"),
       ("sense", "wrong.reply"),
       ("residue", "wrong.reply"),
       ("disk", "wrong.command_that_nobody_sent"),
       ("stuck", "wrong.no_reply_in_time"),
       ("die", "wrong.helper"),
       ("leak", "fds"))
@limit(60)
def caught(t, wanted):
    """A helper with such a fault (mailbox.h explains each) does not get through."""
    mutant = t.name.partition("[")[2].rstrip("]")
    settings = {"seed": t.lab.seed, "seconds": 2, "clients": 16, "restart-ms": 3600000}
    if mutant == "stuck":
        settings.update({"patience": 2, "hang-ms": 3600000, "seconds": 3})
    elif mutant == "repeat":
        settings["errors"] = 50  # time-outs are rare among them
    result = t.lab.run(mutant=mutant, **settings)
    found = {**result.wrong(), **({"fds": result.leaked()} if result.leaked() else {})}
    if not wanted:
        t.equal(found, {}, "found where nothing is wrong; " + "; ".join(result.notes))
    else:
        t.check(wanted in found, f"{wanted} was not noticed, but {found}; {result.notes}")
