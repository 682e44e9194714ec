# SPDX-License-Identifier: LGPL-2.1-or-later
"""The filter of worker and opener: each entry has its caller in our source, and is made here."""
import fcntl
import os
import platform
import signal

from support import callers, procfs, scsi, strace
from support.attempts import NUMBERS
from support.tap import Skip, test

from .fixture import ALL, BUSY, KEY, Context, Session

SOURCE = "mpath/sandbox.c"
#: Of ours on x86-64 with the GNU C library never made, and who needs them.
ELSEWHERE = {
    "fstat": "musl; other versions of glibc",
    "statx": "architectures and C libraries that make fstatat of it",
    "ppoll": "architectures without poll, such as aarch64",
    "clock_gettime": "where the vDSO cannot serve it",
    "nanosleep": "musl; older versions of glibc",
    "madvise": "a thread's stack of the C library's own; none of ours",
    "ioctl": "SG_IO, which the simulated target takes before the kernel does",
    "brk": "a heap that grows after the start",
}


def found() -> list:
    return [entry for array in ("sandbox_allowed", "sandbox_conditional", "sandbox_open")
            for entry in callers.entries(SOURCE, array)]


@test
def each_entry_has_a_caller(t: Context) -> None:
    t.equal([entry.fault() for entry in found() if entry.fault()], [], "faults")
    names = [entry.name for entry in found() if entry.name not in ("openat", "fcntl", "fcntl64")]
    t.equal([name for name in names if names.count(name) > 1], [], "entries that are there twice")


def use(s: Session) -> None:
    """A life, another process at the map, SIGSTOP, the end. With each call traced multipathd's time may
    be over before it is asked: then the answer is BUSY, and the initiator tries again."""
    for _ in range(9):
        if s.tell(scsi.REGISTER, 0, KEY).code != BUSY:
            break
    s.good(scsi.REGISTER, KEY, KEY)
    s.good(scsi.RESERVE, KEY, kind=ALL)
    s.good(scsi.PREEMPT, KEY, 0, ALL)
    s.read()
    s.worker.farewell(7)
    s.worker.suspend_in_poll()
    s.worker.signal(signal.SIGCONT)
    with open(s.machine.path("journal/mpath-mpatha"), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pending = s.send(scsi.RELEASE, KEY, kind=ALL)
        s.worker.wait_until("it waits for the lock", lambda: waits(s.worker.pid))
    assert pending.reply(30)


def waits(pid: int) -> bool:
    """A thread sleeps."""
    return any(procfs.system_call(int(tid)) == NUMBERS["clock_nanosleep"]
               for tid in os.listdir(f"/proc/{pid}/task"))


@test
def each_entry_is_needed(t: Context) -> None:
    """And nothing is made that is not on the list."""
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Skip("what other C libraries call is not known here")
    machine = t.machine()
    made_map = machine.make_map(3)
    trace = machine.path("trace")
    worker = machine.start(prefix=strace.prefix(trace))
    t.check(worker.hello().ready, "not ready")
    tracer = int(procfs.status(worker.pid)["TracerPid"])
    use(Session(t, machine, made_map, worker))
    t.equal(worker.end(20), 0, "exit code")
    t.check(procfs.wait_gone(tracer, 5), "strace is still there")
    calls = strace.filtered(trace)
    made = {call.name for call in calls if "ENOSYS" not in call.text}
    t.equal({call.name for call in calls if "ENOSYS" in call.text} - {"clone3"}, set(),
            "made, and refused")
    ours = {entry.name for entry in found() if callers.is_known(entry.name)}
    t.equal(sorted(ours - made - set(ELSEWHERE)), [], "on the list, and never made")
    t.equal(sorted(set(ELSEWHERE) - ours), [], "reasons for what is not on the list")
