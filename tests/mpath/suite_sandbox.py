# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an attacker could do in the worker or its opener (support/attempts.py)."""
import contextlib
import ctypes
import errno
import os
import signal
from typing import Dict, Iterator, NamedTuple

from support import inject, loop, procfs, scsi
from support.attempts import ATTEMPTS, MEMORY, Target, bystander, prove
from support.process import kill_and_reap
from support.tap import Skip, cases, test
from support.target import HANG

from .fixture import GOOD, KEY, Context, Session, write

LANDLOCK_CREATE_RULESET, LANDLOCK_VERSION = 444, 1
#: By Landlock, where the kernel has it: they open something by name.
BY_NAME = ("read /etc/shadow", "read /etc/passwd", "list /", "open the disk by name",
           "open the disk for writing", "open /dev/null for writing", "open its memory",
           "open another's memory", "make a file", "make a file without a name", *MEMORY)
#: What serving needs: sockets to multipathd, reading an fd that it has.
LEFT = ("unix socket", "read the disk elsewhere")
FATAL = ("call by the numbers of i386",)
REFUSED = [name for name in ATTEMPTS if name not in (*LEFT, *FATAL, *BY_NAME)]
WHO = ("worker", "opener")


def has_landlock() -> bool:
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION) >= 1


class Taken(NamedTuple):
    """A worker in the middle of a command on a map that is a disk, so that it has a disk's fd; and
    what attempts are about."""
    session: Session
    pids: Dict[str, int]
    target: Target

    def make(self, who: str, name: str) -> int:
        return ATTEMPTS[name].make(self.pids[who], self.target)


@contextlib.contextmanager
def taken(t: Context, name: str) -> Iterator[Taken]:
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    inject.needs_injection()
    s = t.start(1)
    try:
        disk = loop.Loop(t.lab.make_directory(), scsi=False)
    except loop.Unavailable as reason:
        raise Skip(str(reason)) from None
    t.cleanup.callback(disk.close)
    fd = t.own(disk.open())
    rdev = os.fstat(fd).st_rdev
    sys = s.machine.path(f"sys/{os.major(rdev)}:{os.minor(rdev)}")
    write(f"{sys}/dm/uuid", "mpath-disk\n")
    os.symlink(f"{s.map.sys}/slaves", f"{sys}/slaves")
    s.target.hang(0, HANG)
    s.worker.send(fd, scsi.pr_out(24, scsi.REGISTER), scsi.parameters(0, KEY))

    def theirs() -> list:
        return [number for number, path in procfs.fds(s.worker.pid).items() if path == disk.path]
    s.worker.wait_until("the disk's fd", theirs)
    opener, = procfs.children(s.worker.pid)
    with bystander() as victim:
        target = Target(disk.path, fd, t.lab.make_directory(), victim)
        prove(name, target)
        try:
            yield Taken(s, {"worker": s.worker.pid, "opener": opener},
                        target._replace(disk_fd=theirs()[0]))
        finally:
            s.target.go_on(0)


def of(names) -> list:
    """Those about the disk's fd for the worker alone: the opener keeps none."""
    return [(f"{name}, by the {who}", name, who) for name in names for who in WHO
            if who == "worker" or "disk" not in name or "by name" in name or "for writing" in name]


@cases(*of([name for name in REFUSED if name != "size of its blocks"]),
       ("size of its blocks, by the worker", "size of its blocks", "worker"))
def refused(t: Context, name: str, who: str) -> None:
    with taken(t, name) as one:
        t.equal(one.make(who, name), -errno.ENOSYS, name)


@cases(*of(BY_NAME))
def out_of_reach(t: Context, name: str, who: str) -> None:
    """The worker has no way to /dev, and the opener opens for reading."""
    if not has_landlock():
        raise Skip("the kernel has no Landlock")
    with taken(t, name) as one:
        t.check(one.make(who, name) in (-errno.EACCES, -errno.ENOSYS), name)


@cases(*of(FATAL))
def fatal(t: Context, name: str, who: str) -> None:
    with taken(t, name) as one:
        try:
            result = one.make(who, name)
        except inject.Killed as end:
            t.equal(end.signal, signal.SIGSYS, "signal")
        else:
            raise AssertionError(f"it goes on, with {result}")
        t.check(procfs.wait_gone(one.pids[who], 5), f"the {who} is still there")


@cases(*of(LEFT))
def left(t: Context, name: str, who: str) -> None:
    """What serving needs, so the tests above prove something."""
    with taken(t, name) as one:
        result = one.make(who, name)
        t.check(result >= 0, f"{name}: {errno.errorcode.get(-result, result)}")
        if ATTEMPTS[name].call == "clone":
            kill_and_reap(result)


@test
def opener_opens_paths_of_seen_maps_alone(t: Context) -> None:
    """Asked by a worker under an attacker's control: a disk that is no path of a map, a path of a
    map that no client has passed, and a name that leads elsewhere stay closed."""
    s = t.start(2)
    other = s.machine.make_map(1, name="mpathb")
    s.good(scsi.REGISTER, 0, KEY)
    opener = s.worker.opener()
    ask = lambda map_, name: opener.ask(map_.rdev, name)  # noqa: E731
    t.check(ask(s.map, s.map.names[0]) >= 0, "a path of a map that was passed")
    for map_, name in [(other, other.names[0]), (s.map, other.names[0]), (s.map, "../null"),
                       (s.map, "."), (s.map, ""), (s.map, f"../pts/{s.map.names[0]}")]:
        t.equal(ask(map_, name), -errno.EPERM, f"{name} of {map_.name}")
    path_only = os.open(other.node, os.O_PATH)
    t.own(path_only)
    t.equal(opener.ask(other.rdev, other.names[0], path_only), -errno.EPERM,
            "shown by an fd that any user can make")
    t.check(opener.ask(other.rdev, other.names[0], other.open()) >= 0, "shown as a client would")


@test
def small_filter(t: Context) -> None:
    """Fewer than 45 names of x86-64."""
    from support import callers
    names = [entry.name for array in ("sandbox_allowed", "sandbox_conditional")
             for entry in callers.entries("mpath/sandbox.c", array)] + ["openat"]
    known = [name for name in set(names) if callers.is_known(name)]
    t.check(len(known) < 45, f"{len(known)} names")
    t.answered(t.start().tell(scsi.REGISTER, 0, KEY), GOOD)
