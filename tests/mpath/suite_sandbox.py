# SPDX-License-Identifier: LGPL-2.1-or-later
"""What whoever has taken over the worker or one of its children could do (support/attempts.py)."""
import contextlib
import errno
import os
import signal
from typing import Dict, Iterator, NamedTuple

from support import inject, loop, procfs
from support.attempts import AT_FDCWD, ATTEMPTS, MEMORY, NUMBERS, Target, bystander, prove
from support.process import kill_and_reap
from support.tap import Skip, cases

from .fixture import GATE, Context, Session

#: What libraries may want is left to them: the worker is root, so files and disks are open to it.
LEFT = ("read /etc/shadow", "read /etc/passwd", "list /", "open the disk by name",
        "open the disk for writing", "open /dev/null for writing", "open, the old call",
        "open its memory", "open another's memory", "make a file", "make a file without a name",
        "unix socket", "fork by clone", "signal a process", "raise a limit", "memory to execute",
        "file in memory", "read the disk elsewhere", "size of its blocks", "copy an fd by fcntl",
        "change an fd's flags", *MEMORY)
FATAL = ("call by the numbers of i386",)
REFUSED = [name for name in ATTEMPTS if name not in LEFT + FATAL]


class Taken(NamedTuple):
    """A worker with a child in the middle of a command; what attempts on them are about."""
    session: Session
    pids: Dict[str, int]
    target: Target

    def make(self, who: str, name: str) -> int:
        """With a disk that it opens itself, as children may, and under our number of it."""
        pid, there = self.pids[who], self.target
        opened = inject.call(pid, NUMBERS["openat"], AT_FDCWD, there.disk.encode(), os.O_RDWR)
        if opened < 0:
            raise AssertionError(f"the {who} cannot open a disk: {os.strerror(-opened)}")
        return ATTEMPTS[name].make(pid, there._replace(disk_fd=opened))


@contextlib.contextmanager
def taken(t: Context, name: str) -> Iterator[Taken]:
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    inject.needs_injection()
    session = t.start()
    session.gate(1)
    session.do(GATE, 1)
    child, = session.wait_children(1)
    session.wait_calls(1)
    session.worker.wait_until("the child at the gate", lambda: procfs.state(child) == "S" and
                              procfs.system_call(child) == NUMBERS["openat"])
    try:
        disk = loop.Loop(t.lab.make_directory(), scsi=False)
    except loop.Unavailable as reason:
        raise Skip(str(reason)) from None
    t.cleanup.callback(disk.close)
    with bystander() as victim:
        target = Target(disk.path, t.own(disk.open()), t.lab.make_directory(), victim)
        prove(name, target)
        try:
            yield Taken(session, {"worker": session.worker.pid, "child": child}, target)
        finally:
            kill_and_reap(child)  # the worker ends with its last child


@cases(*REFUSED)
def refused(t: Context, name: str) -> None:
    with taken(t, name) as one:
        for who in one.pids:
            t.equal(one.make(who, name), -errno.ENOSYS, f"{name}, by the {who}")


@cases(*[(f"{name}, by the {who}", name, who) for name in FATAL for who in ("worker", "child")])
def fatal(t: Context, name: str, who: str) -> None:
    with taken(t, name) as one:
        try:
            result = one.make(who, name)
        except inject.Killed as end:
            t.equal(end.signal, signal.SIGSYS, "signal")
        else:
            raise AssertionError(f"it goes on, with {result}")
        t.check(procfs.wait_gone(one.pids[who], 5), f"the {who} is still there")


@cases(*LEFT)
def left(t: Context, name: str) -> None:
    """What libraries may want is left to them, so the tests above prove something."""
    with taken(t, name) as one:
        for who in one.pids:
            result = one.make(who, name)
            t.check(result >= 0, f"{name}, by the {who}: {errno.errorcode.get(-result, result)}")
            if ATTEMPTS[name].call == "clone":
                kill_and_reap(result)
