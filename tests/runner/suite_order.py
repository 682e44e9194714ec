# SPDX-License-Identifier: LGPL-2.1-or-later
"""Suites side by side: what runs beside what, and whose lines are where."""
import os
import time
from unittest import mock

from support.tap import cases, limit, test

from .schedule import Idle, processors

#: Each waits for the other one, which a FIFO tells: they pass side by side only.
MEET = ("cat there >/dev/null; echo >here; echo ok 1 - met",
        "echo >there; cat here >/dev/null; echo ok 1 - met")
#: Passes if no other suite does the same.
ALONE = "mkdir busy && sleep 0.1 && rmdir busy && echo ok 1 - alone"


def meet(t, **settings):
    t.run([t.script("fifos", "mkfifo here there; echo ok 1 - made")])
    t.run([t.script(name, text, limit=5, **settings) for name, text in zip("ab", MEET)], jobs=2)


@test
def side_by_side(t):
    meet(t)
    t.equal({name: t.results[name].failed for name in "ab"}, {"a": 0, "b": 0}, "failures")


@test
def lines_of_a_suite_are_together(t):
    meet(t)
    found = [line.split()[1].rstrip(":") for line in t.lines if "fifos" not in line]
    t.equal(sorted(found), ["a"] * 3 + ["b"] * 3, "lines")
    t.check(found in (sorted(found), sorted(found, reverse=True)), f"mixed: {found}")


@cases(("it measures", {"alone": True}), ("they write to one place", {"lock": "place"}),
       ("there is memory for one", {"megabytes": 1 << 40}))
def one_at_a_time(t, settings):
    t.run([t.script(f"suite {number}", ALONE, **settings) for number in range(4)], jobs=4)
    t.equal([result.counts for result in t.results.values()], [(1, 0, 0)] * 4, "results")


#: Passes as one of so many at a time, at most.
CROWD = ("mkdir $$; sleep 0.1; test $(ls | grep -c '^[0-9]*$') -le {most} && echo ok; rmdir $$")


@cases(("idle", 1.0, 3), ("busy", 0.1, 2))
def more_while_idle(t, idle, most):
    """One more, if there may be one more; of a busy machine as many as there are processors."""
    with mock.patch("runner.schedule.PAUSE", 0.05):
        t.run([t.script(f"{number}", CROWD.format(most=most)) for number in range(6)], jobs=2, extra=1,
              idle=lambda: idle)
    t.equal([result.counts for result in t.results.values()], [(1, 0, 0)] * 6, "results")


@test
@limit(15)
def third_beside_two_that_wait(t):
    t.run([t.script("fifo", "mkfifo here there; echo ok")])
    t.run([t.script("a", "cat here; echo ok"), t.script("b", "cat there; echo ok"),
           t.script("c", "echo >here; echo >there; echo ok")], jobs=2, extra=1,
          idle=lambda: 0.5)
    t.equal({name: t.results[name].failed for name in "abc"}, {"a": 0, "b": 0, "c": 0}, "failures")


@test
def lines_on_one_processor(t):
    """There are two at a time even so."""
    t.run([t.script("fifo", "mkfifo here there; echo ok")])
    t.lines.clear()
    t.run([t.script("a", "echo one; cat here; echo ok"), t.script("b", "echo two; echo >here; echo ok")],
          jobs=1, extra=1, idle=lambda: 0.5)
    found = [line.split(":")[0].split()[-1] for line in t.lines if not line.startswith("    ")]
    t.check(found in (list("aaabbb"), list("bbbaaa")), f"{t.lines}")


@test
def idle_processors(t):
    """Of this machine: a share that is one."""
    idle = Idle()
    time.sleep(0.2)
    t.check(0 <= idle() <= processors(), "share")


@test
def what_measures_comes_last(t):
    suites = [t.script("first", "echo ok", alone=True), *(t.script(f"{n}", "echo ok") for n in "ab")]
    t.run(suites, jobs=3)
    t.equal(list(t.results)[-1], "first", "the last one")


@test
def longest_first(t):
    """By what they took before. There is memory for one at a time, so that they wait."""
    suites = [t.script(name, "echo ok", megabytes=1 << 40) for name in "abc"]
    t.run(suites, jobs=2, seconds={"a": 1.0, "b": 3.0, "c": 2.0})
    t.equal(list(t.results), ["b", "c", "a"], "order")


@test
def usually_longest_first(t):
    """In a first run; by its limit what of that is not known either."""
    suites = [t.script(name, "echo ok", megabytes=1 << 40, **more) for name, more in
              [("a", {"usual": 1.0}), ("b", {"limit": 3}), ("c", {"usual": 30.0}), ("d", {"usual": 60.0})]]
    t.run(suites, jobs=2, seconds={"d": 2.0})
    t.equal(list(t.results), ["c", "b", "d", "a"], "order")


@test
def order_of_the_table(t):
    t.run([t.script(name, "echo ok") for name in "abc"], seconds={"c": 9.0})
    t.equal(list(t.results), ["a", "b", "c"], "order")


@cases(("quiet", 1.0, {}, False, 1), ("others are busy", 4.5, {}, False, 4.5),
       ("busy on purpose", 1.0, {"busy": 3.0}, False, 3), ("it measures", 4.5, {}, True, 1))
def limits_by_load(t, load, settings, alone, scale):
    """Of the suite and, as it is told, of its tests."""
    with mock.patch.dict(os.environ, TEST_TIME_SCALE="1"):
        t.run([t.script("one", "echo ok 1 - $TEST_TIME_SCALE", limit=20, alone=alone)],
              current_load=lambda: load, **settings)
    t.equal(t.lines[:2], [f"----  one: at most {20 * scale:.0f} s", f"ok    one: {scale}"], "lines")


@test
def limits_of_a_slow_machine(t):
    """What is given counts as long as the load is less; it is in the suite's limit already."""
    for load, scale in ((2.0, 3), (6.0, 6)):
        with mock.patch.dict(os.environ, TEST_TIME_SCALE="3"):
            t.run([t.script("one", "echo ok 1 - $TEST_TIME_SCALE", limit=60)],
                  current_load=lambda: load)
        t.equal(t.lines[-3:-1], [f"----  one: at most {20 * scale} s", f"ok    one: {scale}"], "lines")


@test
@limit(15)
def command_that_does_not_exist(t):
    """A defect of the table, which must not be a suite that is silently left out."""
    try:
        t.run([t.script("one", "echo ok")._replace(command=["/nonexistent/command"])], jobs=2)
    except FileNotFoundError:
        return
    t.check(False, "it was not noticed")
