# SPDX-License-Identifier: LGPL-2.1-or-later
"""Children that end in other ways than the one that is meant, and maps that they leave suspended."""
import os
import signal

from support import scsi
from support.tap import Skip, cases, test

from .fixture import (BUSY, EXIT, FAILED, FLOOD, GOOD, HANG, OVERRUN, PRINT_EXIT, RAISE, SUSPEND,
                      TIMED_OUT, Context, Gate, Session, minor, write)


def goes_on(t: Context, s: Session) -> None:
    t.answered(s.simple().reply(), GOOD)
    t.answered(s.simple("mpathb").reply(), GOOD)


@cases(("0", 0), ("1", 1), ("3", 3))
def library_exits(t: Context, code: int) -> None:
    s = t.start()
    t.answered(s.do(EXIT, code).reply(), FAILED,
               f"^mpatha: libmpathpersist's process ended with exit code {code} during REGISTER "
               "AND IGNORE EXISTING KEY, outcome unknown$")
    goes_on(t, s)


@test
def library_exits_with_a_word(t: Context) -> None:
    s = t.start()
    t.answered(s.do(PRINT_EXIT, 1).reply(), FAILED,
               "exit code 1 .*unknown: device-mapper cannot be used$")
    goes_on(t, s)


@cases(("segv", signal.SIGSEGV), ("abrt", signal.SIGABRT), ("kill", signal.SIGKILL),
       ("alrm", signal.SIGALRM))
def library_raises(t: Context, number: int) -> None:
    if t.lab.sanitized and number == signal.SIGSEGV:
        raise Skip("a sanitizer makes an exit of it")
    s = t.start()
    t.answered(s.do(RAISE, number).reply(), FAILED, f"was killed by signal {int(number)} ")
    goes_on(t, s)


@test
def library_overruns_memory(t: Context) -> None:
    if t.lab.sanitized:
        raise Skip("a sanitizer needs more memory than any limit would leave")
    s = t.start()
    t.answered(s.do(OVERRUN).reply(), FAILED, "killed by signal 6 .*out of memory$")
    goes_on(t, s)


@test
def library_prints_without_end(t: Context) -> None:
    s = t.start()
    reply = s.do(FLOOD, 13).reply()
    t.answered(reply, FAILED, r"failed with 13: 0{20}\d*( rising)?$")
    assert reply
    t.check("19999" not in reply.text, "all of it was kept")
    goes_on(t, s)


@test
def child_killed(t: Context) -> None:
    s = t.start()
    pending = s.do(HANG)
    child, = s.wait_children(1)
    os.kill(child, signal.SIGKILL)
    t.answered(pending.reply(), FAILED, r"was killed by signal 9 \(Killed\) during")
    goes_on(t, s)


# -- a map that is left suspended


def suspended_by_child(t: Context, s: Session, **times: float):
    """Start a command during which the library suspends the map and hangs."""
    pending = s.do(SUSPEND, minor("mpatha"), **times)
    s.worker.wait_until("suspended", lambda: "suspended" in s.machine.calls())
    t.check(s.machine.suspended(), "the map is not suspended")
    return pending


@test
def resumed_after_time_out(t: Context) -> None:
    s = t.start()
    t.answered(suspended_by_child(t, s, deadline=1).reply(), TIMED_OUT, "outcome unknown")
    s.worker.wait_until("resumed", lambda: not s.machine.suspended())
    s.wait_children(0)
    goes_on(t, s)


@test
def resumed_after_death(t: Context) -> None:
    s = t.start()
    pending = suspended_by_child(t, s)
    child, = s.wait_children(1)
    os.kill(child, signal.SIGKILL)
    t.answered(pending.reply(), FAILED, "killed by signal 9")
    s.worker.wait_until("resumed", lambda: not s.machine.suspended())
    s.wait_children(0)
    goes_on(t, s)


@test
def not_resumed_if_not_ours(t: Context) -> None:
    """It was suspended before: somebody else knows why."""
    s = t.start()
    write(s.machine.path(f"dm/{minor('mpatha')}"), "1")
    pending = s.do(HANG)
    child, = s.wait_children(1)
    os.kill(child, signal.SIGKILL)
    t.answered(pending.reply(), FAILED, "killed by signal 9")
    goes_on(t, s)
    t.check(s.machine.suspended(), "it was resumed")


@test
def not_resumed_if_unknown(t: Context) -> None:
    """Whether it was suspended when the child began could not be learnt."""
    s = t.start()
    state = s.machine.path(f"dm/{minor('mpatha')}")
    os.rename(state, state + "-away")
    pending = s.do(HANG)
    child, = s.wait_children(1)
    os.rename(state + "-away", state)
    write(state, "1")
    os.kill(child, signal.SIGKILL)
    t.answered(pending.reply(), FAILED, "killed by signal 9")
    goes_on(t, s)
    t.check(s.machine.suspended(), "it was resumed")


@test
def locked_until_resumed(t: Context) -> None:
    """To resume a map may take its time. Nobody else waits for it."""
    s = t.start()
    gate = Gate(s.machine.path("dm/gate"))
    t.answered(suspended_by_child(t, s, deadline=1).reply(), TIMED_OUT, "outcome unknown")
    s.worker.wait_until("a child that resumes it", lambda: BUSY == s.out(new=1).reply().code)
    t.answered(s.simple("mpathb").reply(), GOOD)
    t.check(s.machine.suspended(), "it was resumed")
    gate.open()
    s.worker.wait_until("resumed", lambda: not s.machine.suspended())
    s.wait_children(0)
    goes_on(t, s)


@test
def resumed_at_the_end(t: Context) -> None:
    """The channel is closed while the child hangs: the map is looked after all the same."""
    s = t.start()
    pending = suspended_by_child(t, s, deadline=1)
    s.worker.channel.close()
    t.answered(pending.reply(), TIMED_OUT, "outcome unknown")
    t.equal(s.worker.wait_exit(), 0, "exit code")
    t.check(not s.machine.suspended(), "it is still suspended")


@test
def suspended_after_answer(t: Context) -> None:
    """A library that returns knows what it did: what it leaves is not touched."""
    s = t.start()
    write(s.machine.path(f"dm/{minor('mpatha')}"), "0")
    t.answered(s.out(scsi.RESERVE, 1).reply(), GOOD)
    write(s.machine.path(f"dm/{minor('mpatha')}"), "1")
    t.answered(s.out(scsi.RESERVE, 1).reply(), GOOD)
    t.check(s.machine.suspended(), "it was resumed")
