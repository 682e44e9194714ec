# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker's filter: each entry has its caller, in our source or in a library, and what is ours
is made here. What the real libraries make of it is for tests/vm to see."""
import os
import platform
import signal

from support import callers, procfs, strace
from support.tap import Skip, test

from .fixture import GOOD, HANG, SAY, SUSPEND, TIMED_OUT, Context, Session, minor

SOURCE = "mpath/sandbox.c"
#: Of ours on x86-64 with the GNU C library never made, and who needs them.
ELSEWHERE = {
    "fstat": "musl; other versions of glibc",
    "ppoll": "architectures without poll, such as aarch64",
    "setrlimit": "C libraries that do not make prlimit64 of it",
    "clock_gettime": "where the vDSO cannot serve it",
}


@test
def each_entry_has_a_caller(t: Context) -> None:
    if not os.path.exists("/usr/include/mpath_persist.h"):
        raise Skip("multipath-tools are not installed")
    found = [entry for array in ("sandbox_allowed", "sandbox_fcntls", "sandbox_ioctls",
                                     "sandbox_prctls")
             for entry in callers.entries(SOURCE, array)]
    t.check(len(found) > 90, f"{len(found)} entries")
    t.equal([entry.fault() for entry in found if entry.fault()], [], "faults")
    names = [entry.name for entry in found]
    t.equal([name for name in names if names.count(name) > 1], [], "entries that are there twice")


def use(t: Context, session: Session) -> None:
    """A command, one that prints, one that hangs with its map suspended; SIGSTOP; the end."""
    worker = session.worker
    t.answered(session.simple().reply(), GOOD)
    session.do(SAY, 1).reply()
    session.out(7).reply()
    hanging = session.do(HANG, map_name="mpathb", deadline=3.0)
    session.wait_children(1)
    worker.suspend_in_poll()
    worker.signal(signal.SIGCONT)
    t.answered(hanging.reply(), TIMED_OUT, "")
    suspended = session.do(SUSPEND, minor("mpatha"), deadline=0.5)
    t.answered(suspended.reply(), TIMED_OUT, "")
    worker.wait_until("resumed", lambda: not session.machine.suspended())
    session.wait_children(0)


@test
def each_entry_is_needed(t: Context) -> None:
    """Of ours; and nothing is made that is not on the list."""
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Skip("what other C libraries call is not known here")
    machine = t.machine()
    trace = machine.path("trace")
    worker = machine.start(prefix=strace.prefix(trace))
    t.check(worker.hello().ready, "not ready")
    tracer = int(procfs.status(worker.pid)["TracerPid"])
    use(t, Session(t, machine, worker))
    t.equal(worker.end(), 0, "exit code")
    t.check(procfs.wait_gone(tracer, 5), "strace is still there")

    calls = strace.filtered(trace)
    made = {call.name for call in calls if "ENOSYS" not in call.text}
    t.equal({call.name for call in calls if "ENOSYS" in call.text} - {"clone3"}, set(),
            "made, and refused")
    ours = {entry.name for entry in callers.entries(SOURCE, "sandbox_allowed")
            if entry.is_ours and callers.is_known(entry.name)}
    t.equal(sorted(ours - made - set(ELSEWHERE)), [], "ours on the list, and never made")
    t.equal(sorted(made & set(ELSEWHERE)), [], "made, but said to be for other machines")
    t.equal(sorted(set(ELSEWHERE) - ours), [], "reasons for what is not on the list")
