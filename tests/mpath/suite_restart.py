# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker dies in the middle of a command, at every command to a path in turn, and another one is
started: what was under way is finished or withdrawn, and a map that another host has fenced meanwhile
stays fenced."""
import os
import signal
from typing import Callable, NamedTuple

from support import scsi
from support.target import HANG, LATE
from support.tap import cases, test

from .fixture import (BUSY, CONFLICT, GOOD, KEY, KIND, NEW_KEY, OTHER, OTHER_KEY, REFUSED, UNKNOWN,
                      Context, Session)


class Command(NamedTuple):
    before: Callable[[Session], None]
    arguments: tuple


def nothing(_: Session) -> None:
    """Not registered."""


def registered(s: Session) -> None:
    s.good(scsi.REGISTER, 0, KEY)


def reserved(s: Session) -> None:
    registered(s)
    s.good(scsi.RESERVE, KEY, kind=KIND)


COMMANDS = {
    "register": Command(nothing, (scsi.REGISTER, 0, KEY)),
    "change the key": Command(reserved, (scsi.REGISTER, KEY, NEW_KEY)),
    "unregister": Command(reserved, (scsi.REGISTER, KEY, 0)),
    "preempt itself": Command(registered, (scsi.PREEMPT, KEY, KEY, KIND)),
    "preempt itself, reserved": Command(reserved, (scsi.PREEMPT, KEY, KEY, 6)),
    "release": Command(reserved, (scsi.RELEASE, KEY, 0, KIND)),
    "clear": Command(reserved, (scsi.CLEAR, KEY)),
}


def begin(t: Context, kind: str, command: Command) -> Session:
    s = t.start(3, kind=kind)
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    command.before(s)
    return s


def kill_at(s: Session, path: int, how: int, *command: int, **more: int) -> None:
    """When the first PERSISTENT RESERVE OUT of what this command begins meets this path."""
    s.target.hang(path, how, only_out=True)
    logged = len(s.target.log())
    pending = s.send(*command, **more)
    s.worker.wait_until("a command on that path, or an answer",
                        lambda: (path in [one for one, _ in s.target.log()[logged:]]
                                 or pending.is_answered()), 8)
    s.worker.signal(signal.SIGKILL)
    s.target.go_on(path)


POINTS = [(f"{name}, path {path}, {word}", name, path, how) for name in COMMANDS for path in range(3)
          for word, how in [("executed", LATE)]]


@cases(*POINTS)
def killed(t: Context, name: str, path: int, how: int) -> None:
    s = begin(t, "fc", COMMANDS[name])
    kill_at(s, path, how, *COMMANDS[name].arguments)
    s.restart()
    is_whole(t, s, name)


@cases(*((f"{name}, path {path}", name, path) for name in COMMANDS for path in range(3)))
def killed_again(t: Context, name: str, path: int) -> None:
    """The next worker is, while it finishes what the first one left."""
    s = begin(t, "fc", COMMANDS[name])
    kill_at(s, 1, LATE, *COMMANDS[name].arguments)
    s.restart()
    kill_at(s, path, LATE, scsi.RELEASE, OTHER_KEY + 1, kind=1)
    s.restart()
    is_whole(t, s, name)


def is_whole(t: Context, s: Session, name: str) -> None:
    """Finished, or withdrawn; and the map is as another one afterwards."""
    s.worker.wait_until("a repair", lambda: s.tell(scsi.RELEASE, OTHER_KEY + 1, kind=1).code != BUSY,
                        15)
    ours = [key for key in s.keys if key != OTHER_KEY]
    t.check(len(ours) in (0, 3) and len(set(ours)) <= 1, f"keys: {[hex(key) for key in ours]}")
    t.equal(s.keys.count(OTHER_KEY), 0 if name == "clear" and not ours else 1, "the other host")
    t.check(not [one for one in s.multipathd.asked if one.startswith("fail path")]
            or s.multipathd.asked[-1].startswith(("reinstate", "getpr", "unsetpr", "setpr"))
            or any(one.startswith("reinstate") for one in s.multipathd.asked), "paths stay failed")
    key = ours[0] if ours else 0
    s.good(scsi.REGISTER, key, NEW_KEY + 1)
    s.registered(NEW_KEY + 1, 3, *([OTHER_KEY] if OTHER_KEY in s.keys else []))


@cases(*(one for one in POINTS if one[1] in ("register", "change the key")))
def killed_and_fenced(t: Context, name: str, path: int, how: int) -> None:
    """Another host preempts the old key and the new one before the worker is back."""
    s = begin(t, "fc", COMMANDS[name])
    kill_at(s, path, how, *COMMANDS[name].arguments)
    for key in (KEY, NEW_KEY):
        s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, key, KIND)
    s.target.out(OTHER, scsi.RESERVE, OTHER_KEY, kind=KIND)
    s.restart()
    s.worker.wait_until("no BUSY", lambda: s.tell(scsi.RESERVE, KEY, kind=KIND).code != BUSY, 15)
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), CONFLICT, "")
    t.equal(s.keys, [OTHER_KEY], "keys")
    t.check(not any(s.target.may_write(nexus) for nexus in range(3)), "a fenced path writes")


@test
def repaired_unasked(t: Context) -> None:
    """Before a client asks for the map: a path without the key would fail the guest's writes."""
    s = begin(t, "fc", COMMANDS["register"])
    kill_at(s, 1, LATE, *COMMANDS["register"].arguments)
    s.restart()
    s.worker.wait_until("all paths are registered, or none",
                        lambda: s.keys.count(KEY) in (0, 3), 15)


@test
def remembers_names(t: Context) -> None:
    """Of a path that sysfs does not name, over a restart while it is away."""
    s = begin(t, "none", COMMANDS["change the key"])
    s.target.fail(0, error=19)
    s.restart(lambda: s.worker.signal(signal.SIGKILL))
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    s.registered(NEW_KEY, 2, OTHER_KEY)


@test
def remembers_ports(t: Context) -> None:
    """Of paths that hang from before the restart on, so that INQUIRY does not tell their target port:
    what they have is theirs, and not taken for lost."""
    s = begin(t, "fc", COMMANDS["change the key"])
    for path in (0, 1):
        s.target.hang(path, HANG)
    s.restart(lambda: s.worker.signal(signal.SIGKILL))
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), GOOD)
    s.registered(KEY, 3, OTHER_KEY)


@cases(("cut", lambda data: data[:-3]), ("empty", lambda data: b""),
       ("altered", lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:]),
       ("noise", lambda data: os.urandom(400)))
def bad_journal(t: Context, spoil: Callable) -> None:
    """Taken for none: what the target shows is all there is."""
    s = begin(t, "fc", COMMANDS["change the key"])
    file = s.machine.path("journal/mpath-mpatha")
    s.worker.signal(signal.SIGKILL)
    with open(file, "rb") as stream:
        data = stream.read()
    with open(file, "wb") as stream:
        stream.write(spoil(data))
    s.restart()
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    s.registered(NEW_KEY, 3, OTHER_KEY)


@test
def last_client_of_a_worker_before(t: Context) -> None:
    """It is gone, and so are the registrations, as after a live migration: the worker that knew it died,
    and this one knows no client of the map, but that it had a key. While it is registered it keeps it."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY, connection=11)
    s.restart(lambda: s.worker.signal(signal.SIGKILL))
    asked = len(s.multipathd.asked)
    s.worker.farewell(12)
    s.worker.wait_until("it has looked", lambda: len(s.multipathd.asked) > asked)
    t.answered(s.read(), GOOD, "")
    s.told(KEY)
    s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, KEY, KIND)
    t.answered(s.tell(scsi.REGISTER, 0, KEY, mode=os.O_RDONLY, connection=13), REFUSED, "")
    s.worker.farewell(13)  # this worker's own, who was at no map
    s.worker.farewell(11)
    s.worker.wait_until("multipathd has forgotten it", lambda: not s.multipathd.key, 10)
    s.told(0)
    s.tell(scsi.RESERVE, KEY, kind=KIND)  # after all that was to be done on the map
    t.equal(len([one for one in s.multipathd.asked if one.startswith("unsetprkey")]), 1,
            "how many clients' ends have made it forget")


@test
def journal_of_others(t: Context) -> None:
    """A directory that others may write to is not used; all works, without memory."""
    machine = t.machine()
    os.mkdir(machine.path("journal"))
    os.chmod(machine.path("journal"), 0o777)
    s = Session(t, machine, machine.make_map(3), t.ready(machine))
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    t.equal(os.listdir(machine.path("journal")), [], "files")


@test
def shared_map(t: Context) -> None:
    """Two workers, as of helpers for one machine each, at one map: one after the other."""
    s = t.start()
    second = Session(t, s.machine, s.map, t.ready(s.machine))
    s.target.hang(0, HANG)
    first = s.send(scsi.REGISTER, 0, KEY)
    s.worker.wait_until("under way", lambda: len(s.target.log(0)) > 0)
    other = second.send(scsi.REGISTER, KEY, NEW_KEY)
    t.answered(first.reply(30), GOOD, "")
    t.answered(other.reply(30), GOOD, "")
    s.registered(NEW_KEY, 2)


@test
def beside_without_a_journal(t: Context) -> None:
    """One before it may still be at a command, and nothing tells of which map."""
    machine = t.machine()
    os.mkdir(machine.path("journal"))
    os.chmod(machine.path("journal"), 0o777)
    machine.make_map(3)
    hello = machine.start(options=["beside"]).hello()
    t.equal((hello.ready, hello.later), (False, True), "ready, later")
    t.matches("may still be executing a command.*is writable by other users", hello.text, "text")
    t.check(t.ready(machine), "without one before it")


@test
def held_by_another(t: Context) -> None:
    """A command of another worker has been given up and is still under way: no command on that map,
    at once, by any worker of this host; other maps are served."""
    s = t.start()
    second = Session(t, s.machine, s.map, t.ready(s.machine, options=["beside"]))
    other = s.machine.make_map(2, name="mpathb")
    s.good(scsi.REGISTER, 0, KEY)
    s.target.hang(0, LATE, only_out=True)
    t.answered(s.tell(scsi.REGISTER, KEY, NEW_KEY, deadline=3), UNKNOWN, "outcome unknown")
    for one in (s, second):
        t.answered(one.tell(scsi.RESERVE, NEW_KEY, kind=KIND, deadline=30), BUSY,
                   "an earlier command is still hung")
    second.good(scsi.REGISTER, 0, OTHER_KEY, on=other)
    s.target.go_on(0)
    second.worker.wait_until("no BUSY", lambda: second.tell(scsi.RESERVE, NEW_KEY, kind=KIND).code
                             != BUSY, 15)
    t.equal(s.held, KIND, "reserved")
