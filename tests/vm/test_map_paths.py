# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths that fail, go and return while a multipath map is reserved through the helper.

A path fails in two ways: an offline one refuses commands at once, an unplugged one says nothing any
more. The map queues when it has no path, as is usual for virtual machines' disks. A second map and
a plain disk, served by the same helpers, must not notice.
"""
import contextlib
import os
import time
from typing import Iterator

import context
import lab
from host import GOOD, WRITE_EXCLUSIVE_REGISTRANTS, Host, full_status
from maps import BUSY, EACH_USER, KEY, MAP, NEW_KEY, OTHER_KEY, PATHS, Context, Lab, of_a_map
from support import scaled, scsi
from support.process import Helper
from support.tap import cases, limit

PACKAGES = ["multipath"]

KIND = WRITE_EXCLUSIVE_REGISTRANTS
SECOND_MAP = "mpathb"
SECOND_NODE = f"/dev/mapper/{SECOND_MAP}"
#: Seconds that a command on a map may take where all of them hang; a good one takes some tenths.
DEADLINE = 5
#: And where they fail at once.
FAR_DEADLINE = 60
#: What a bystander's command may take: far less than what it would wait for.
UNDISTURBED = 3.0


class PathLab(Lab):
    def __init__(self, settings: dict):
        super().__init__(settings, no_path_retry="queue")
        self.second = lab.Iscsi(lab.Backstore("second"), 2, network=2)
        self.plain = lab.Loopback(lab.Backstore("plain"), 2).initiator
        self.daemons.wait_paths(SECOND_MAP, 2)
        lab.wait_for(SECOND_NODE, lambda: os.path.exists(SECOND_NODE))
        for initiator in [*self.second.initiators, self.plain]:
            initiator.drain()


class PathContext(Context):
    lab: PathLab

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """No path gives an answer, for less time than the kernel takes to notice."""
        with contextlib.ExitStack() as plugs:
            for path in self.target.initiators:
                path.unplug()
                plugs.callback(path.plug)
            yield


class Bystanders:
    """Clients of the same helper that have nothing to do with the map. What they do needs no
    multipathd: that may itself wait for paths, and then keeps all waiting who ask it."""

    def __init__(self, t: PathContext, helper: Helper):
        self.t = t
        self.hosts = {path: t.open(helper, path) for path in (SECOND_NODE, t.lab.plain.path)}
        for path, host in self.hosts.items():
            t.replied(host.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY), GOOD, path)
            t.cleanup.callback(host.tell, scsi.REGISTER_AND_IGNORE)

    def undisturbed(self, what: str) -> None:
        """All commands do what they should, and soon."""
        for path, host in self.hosts.items():
            for action, tell in [("READ KEYS", lambda: host.ask(scsi.READ_KEYS)),
                                 ("RESERVE", lambda: host.tell(scsi.RESERVE, KIND, KEY)),
                                 ("READ RESERVATION", lambda: host.ask(scsi.READ_RESERVATION))]:
                started = time.monotonic()
                self.t.equal(tell().status, scsi.GOOD, f"{action} on {path} while {what}")
                taken = time.monotonic() - started
                self.t.check(taken < scaled(UNDISTURBED),
                             f"{action} on {path} while {what}: {taken:.2f} s")


open_lab = context.opener(PathLab, PathContext)


def register(t: Context, a: Host) -> None:
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.registered(KEY)


def wait_registered(t: Context, key: int) -> None:
    lab.wait_for("a registration by each path, made by multipathd", lambda: t.disk.registrations()
                 == sorted(lab.Registration(name, key) for name in t.names))


# -- one path


@cases(*EACH_USER)
@limit(90)
def deleted_and_rescanned(t: PathContext, user: str) -> None:
    """A path that was not there at the registration is registered when it comes."""
    a = t.open(user)
    path = t.target.initiators[0]
    path.delete()
    t.daemons.wait_paths(MAP, 2)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.registered(KEY, paths=t.names[1:])
    t.followed(KEY)
    t.target.rescan(path)
    t.daemons.wait_paths(MAP, 3)
    wait_registered(t, KEY)


@cases(*EACH_USER)
@limit(90)
def offline_and_online(t: PathContext, user: str) -> None:
    a = t.open(user)
    path = t.target.initiators[1]
    t.fail(path)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    others = [name for name in t.names if name != path.name]
    t.registered(KEY, paths=others)
    t.restore(path)
    wait_registered(t, KEY)


@cases(*((f"path {number}", number) for number in range(PATHS)))
@limit(60)
def reads_past_a_dead_path(t: PathContext, number: int) -> None:
    """multipathd has not noticed yet, so the kernel still sends commands there."""
    a = t.open("nobody")
    register(t, a)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.drain()
    dead, good = t.target.initiators[number], t.target.initiators[number - 1]
    t.cleanup.callback(dead.online)
    with t.daemons.paused():
        dead.offline()
        lab.wait_for("a command of ours that met the dead path", lambda: meets(a.fd, dead))
        for action in range(4):
            direct = lab.pr_in(good.fd, action)
            for turn in range(PATHS):
                t.replied(a.ask(action), of_a_map(action, direct.reply()),
                          f"service action {action}, {turn}")


def meets(fd: int, dead: lab.Initiator) -> bool:
    """Other I/O, udev's for one, may meet it first and fail it in the map: it is put back."""
    number = os.stat(dead.path).st_rdev
    lab.run("dmsetup", "message", MAP, "0",
            f"reinstate_path {os.major(number)}:{os.minor(number)}")
    return not succeeds(fd)


def succeeds(fd: int) -> bool:
    try:
        result = lab.pr_in(fd, scsi.READ_KEYS)
    except OSError:
        return False
    return result.status == scsi.GOOD and result.host_status == 0


@cases(*((f"path {number}, {when}", number, known) for number in range(PATHS)
         for when, known in [("known", True), ("not yet known", False)]))
@limit(90)
def writes_past_a_dead_path(t: PathContext, number: int, known: bool) -> None:
    """Each service action, by the paths that live."""
    a = t.open("nobody")
    register(t, a)
    t.other_registers()
    dead = t.target.initiators[number]
    living = [name for name in t.names if name != dead.name]
    if known:
        t.fail(dead)
    else:
        dead.offline()
        t.cleanup.callback(dead.online)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.held(living)
    t.replied(a.tell(scsi.RELEASE, KIND, KEY), GOOD, "releases")
    t.not_held()
    t.replied(a.tell(scsi.PREEMPT, KIND, KEY, OTHER_KEY), GOOD, "preempts")
    t.registered(KEY)
    t.replied(a.tell(scsi.REGISTER, key=KEY, action_key=NEW_KEY), GOOD, "changes its key")
    t.registered(NEW_KEY, paths=living)  # the dead one cannot come back with the old key
    t.replied(a.tell(scsi.CLEAR, key=NEW_KEY), GOOD, "clears")
    t.registered(0)


@cases(*EACH_USER)
@limit(90)
def release_without_the_holding_path(t: PathContext, user: str) -> None:
    """The other paths would say GOOD to a RELEASE and do nothing: it is taken away all the same."""
    a = t.open(user)
    register(t, a)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    path = t.path_of(t.held(t.names))
    t.fail(path)
    t.replied(a.tell(scsi.RELEASE, KIND, KEY), GOOD, "releases")
    t.not_held()
    t.registered(KEY, paths=[name for name in t.names if name != path.name])
    t.equal((a.write(), t.other_writes()), (None, None), "writes afterwards")
    t.restore(path)
    wait_registered(t, KEY)


# -- no path


def stuck_in_ioctl(helper: Helper) -> bool:
    """A thread of the helper waits in an ioctl on a block device."""
    for tid in os.listdir(f"/proc/{helper.pid}/task"):
        with contextlib.suppress(OSError):
            if "blkdev_ioctl" in lab.read(f"/proc/{helper.pid}/task/{tid}/stack"):
                return True
    return False


@cases(*EACH_USER)
@limit(90)
def no_path(t: PathContext, user: str) -> None:
    """All are offline. To read waits for a path; to write fails, and leaves nothing behind."""
    helper = t.start(user, f"--mpath-timeout={FAR_DEADLINE}")
    a, reader = t.open(helper), t.open(helper, timeout=60)
    bystanders = Bystanders(t, helper)
    bystanders.undisturbed("all is well")
    register(t, a)
    t.drain()
    t.fail(*t.target.initiators)

    reader.connection.send_request(scsi.pr_in(scsi.DATA_MAX, scsi.READ_FULL_STATUS), [reader.fd])
    lab.wait_for("the reader waits", lambda: stuck_in_ioctl(helper))
    bystanders.undisturbed("a client waits for a path")
    for action in (scsi.RESERVE, scsi.RELEASE, scsi.REGISTER, scsi.CLEAR, scsi.PREEMPT):
        t.replied(a.tell(action, KIND, KEY), BUSY, f"service action {action}")
    bystanders.undisturbed("commands have failed")
    t.not_suspended()
    t.check(not reader.connection.readable(0), "the reader still waits")

    t.restore(*t.target.initiators)
    reply = reader.connection.receive_reply()
    t.equal((reply.status, [(one.initiator, one.key) for one in full_status(reply.payload)]),
            (scsi.GOOD, [(name, KEY) for name in sorted(t.names)]), "reads at last")
    t.drain()
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=NEW_KEY), GOOD, "registers again")
    t.registered(NEW_KEY)
    t.followed(NEW_KEY)


@cases(("reserve", scsi.RESERVE), ("release", scsi.RELEASE), ("register", scsi.REGISTER))
@limit(90)
def no_answer(t: PathContext, action: int) -> None:
    """All are unplugged. The deadline ends the command for the client, and nothing was sent."""
    helper = t.start("nobody", f"--mpath-timeout={DEADLINE}")
    a, b = t.open(helper), t.open(helper)
    bystanders = Bystanders(t, helper)
    register(t, a)
    t.drain()
    bystanders.undisturbed("all is well")
    with t.unplugged():
        started = time.monotonic()
        new_key = NEW_KEY if action == scsi.REGISTER else 0
        t.replied(a.tell(action, KIND, KEY, new_key), BUSY, "the deadline")
        taken = time.monotonic() - started
        t.check(DEADLINE <= taken < DEADLINE + scaled(2), f"after {taken:.2f} s")
        # A helper of an earlier test may have begun to repair the map, and hangs with it.
        helper.wait_log("no path of the map accepts the command|another helper is executing a command on it")
        bystanders.undisturbed("a map hangs")
        t.not_suspended()
    last = []

    def unlocked() -> bool:
        last[:] = [b.tell(scsi.REGISTER_AND_IGNORE, action_key=OTHER_KEY)]
        return last[0] != BUSY
    lab.wait_for("an answer other than BUSY", unlocked, 30)
    t.replied(last[0], GOOD, "registers when all is well again")
    wait_registered(t, OTHER_KEY)  # by paths that need longer to return, too
    t.followed(OTHER_KEY)
    t.not_suspended()
