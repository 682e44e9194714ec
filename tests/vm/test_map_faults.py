# SPDX-License-Identifier: LGPL-2.1-or-later
"""What multipath maps need beside their paths: the worker, its library, multipathd, its
configuration, the starter's rights. Without them there is an answer and a line in the log that an
administrator can act on, and everybody else is served as before.
"""
import contextlib
import ctypes
import os
import re
import signal
import struct
from typing import Callable, Iterator, List

import context
import lab
from host import CONFLICT, GOOD, WRITE_EXCLUSIVE_REGISTRANTS, Host
from maps import (BUSY, EACH_USER, INVALID_OPCODE, INVALID_PARAMETER, KEY, NEW_KEY, NOBODY,
                  NO_COMMUNICATION, OTHER_KEY, TIME_OUT, Context, Lab, busy_children, find_worker)
from support import accounts, procfs, scaled, scsi
from support.client import Reply
from support.process import Helper
from support.tap import cases, limit, test

PACKAGES = ["multipath"]

KIND = WRITE_EXCLUSIVE_REGISTRANTS
LIBRARIES = ["/lib/libmpathpersist.so.0", "/lib/x86_64-linux-gnu/libmpathpersist.so.0"]
#: What an administrator is told when a key is not as it should be.
KEY_ADVICE = r"multipath\.conf.*reservation_key file"

PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 24, 47, 2
CAPABILITY_VERSION_3 = 0x20080522


open_lab = context.opener(Lab, Context)


def register(t: Context, a: Host, key: int = KEY) -> None:
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=key), GOOD, "registers")
    t.registered(key)


def reads_go_on(t: Context, helper: Helper) -> None:
    """What needs no worker: reading from the map, and a path as a disk of its own."""
    t.drain()
    a, plain = t.open(helper), t.open(helper, t.other.path)
    for action in range(4):
        t.replied(a.ask(action), lab.pr_in(t.target.initiators[0].fd, action).reply(),
                  f"reads {action}")
    t.replied(plain.tell(scsi.REGISTER_AND_IGNORE, action_key=NEW_KEY), GOOD, "a plain disk")
    t.replied(plain.tell(scsi.REGISTER_AND_IGNORE), GOOD, "a plain disk again")


def refused(t: Context, helper: Helper, pattern: str) -> None:
    """PERSISTENT RESERVE OUT on the map is not for this helper, which says why, once."""
    a = t.open(helper)
    generation = t.disk.generation()
    for action in (scsi.REGISTER, scsi.RESERVE, scsi.RELEASE, scsi.CLEAR, scsi.PREEMPT,
                   scsi.REGISTER_AND_IGNORE):
        t.replied(a.tell(action, KIND, action_key=KEY), INVALID_OPCODE, f"service action {action}")
    t.equal(t.disk.generation(), generation, "generation")
    t.registered(0)
    t.followed(0)
    helper.wait_log(pattern)
    said = [line for line in helper.log().splitlines() if re.search(pattern, line)]
    t.equal(len(said), 1, f"lines like {pattern!r}, of which {said}")
    reads_go_on(t, helper)


# -- rights


@cases(*EACH_USER)
def rights(t: Context, user: str) -> None:
    """Each process has exactly what it needs."""
    helper = t.start(user)
    register(t, t.open(helper))
    rawio, both = (procfs.capability_mask("sys_rawio"),
                   procfs.capability_mask("sys_rawio", "sys_admin"))
    keeper, = procfs.children(helper.pid)
    worker = find_worker(helper)
    t.check(worker, "there is a worker")
    uid = NOBODY if user == "nobody" else accounts.own().uid
    for name, pid, user_id, wanted, bounding in [
            ("helper", helper.pid, uid, rawio, 0), ("keeper", keeper, 0, both, both),
            ("worker", worker, 0, both, both)]:
        for thread in procfs.threads(pid):
            t.equal(thread.uids, [user_id] * 4, f"uids of the {name}")
            t.equal((thread.permitted, thread.effective, thread.bounding),
                    (wanted, wanted, bounding), f"capabilities of the {name}")
            t.equal((thread.inheritable, thread.ambient), (0, 0), f"inherited ones of the {name}")
            t.equal(thread.no_new_privs, 1, f"no_new_privs of the {name}")
            if name != "keeper":
                t.equal(thread.seccomp, 2, f"seccomp mode of the {name}")


def ordinary_user() -> None:
    """Become nobody with CAP_SYS_RAWIO in the ambient set, as a service manager would."""
    libc = ctypes.CDLL(None, use_errno=True)
    bit = procfs.CAPABILITIES["sys_rawio"]
    os.setgroups([])
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    if (libc.capset(header, struct.pack("6I", *[1 << bit] * 3, 0, 0, 0))
            or libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0)):
        raise OSError(ctypes.get_errno(), "capabilities")


def root_without_admin() -> None:
    """As in a container that was given CAP_SYS_RAWIO only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_CAPBSET_DROP, procfs.CAPABILITIES["sys_admin"], 0, 0, 0):
        raise OSError(ctypes.get_errno(), "bounding set")


@cases(("not root", ordinary_user, r"not started as root"),
       ("without CAP_SYS_ADMIN", root_without_admin, r"without .*CAP_SYS_ADMIN"))
def too_few_rights(t: Context, before_exec: Callable[[], None], pattern: str) -> None:
    refused(t, t.start("root", before_exec=before_exec), pattern)


# -- the worker and its library


@contextlib.contextmanager
def away(path: str) -> Iterator[None]:
    """This file is not there."""
    os.rename(path, f"{path}.away")
    try:
        yield
    finally:
        os.rename(f"{path}.away", path)


@cases(*EACH_USER)
def no_library(t: Context, user: str) -> None:
    library, = filter(os.path.exists, LIBRARIES)
    with away(library):
        refused(t, t.start(user), r"libmpathpersist\.so\.0")


@cases(*EACH_USER)
def no_worker(t: Context, user: str) -> None:
    refused(t, t.start(user, "--mpath-worker=/nonexistent/qemu-pr-mpath"),
            r"/nonexistent/qemu-pr-mpath")


@test
def no_worker_at_all(t: Context) -> None:
    """What is there instead is no program."""
    path = "/run/no-program"
    lab.write(path, "nothing")
    t.cleanup.callback(os.unlink, path)
    os.chmod(path, 0o755)
    refused(t, t.start("root", f"--mpath-worker={path}"), path)


def new_worker(t: Context, helper: Helper, old: int) -> None:
    """After the death of the old one. They are not started in a row: until then it is BUSY."""
    a = t.open(helper)
    last: List[Reply] = []

    def served() -> bool:
        last[:] = [a.tell(scsi.REGISTER_AND_IGNORE, action_key=NEW_KEY)]
        return last[0] != BUSY
    lab.wait_for("another worker", served)
    t.replied(last[0], GOOD, "registers by the new one")
    t.registered(NEW_KEY)
    t.followed(NEW_KEY)
    t.check(find_worker(helper) not in (None, old), "it is a new one")


@cases(*EACH_USER)
@limit(60)
def worker_killed_idle(t: Context, user: str) -> None:
    helper = t.start(user)
    register(t, t.open(helper))
    worker = find_worker(helper)
    os.kill(worker, signal.SIGKILL)
    t.check(procfs.wait_gone(worker, scaled(5)), "it is gone")
    new_worker(t, helper, worker)
    t.check(helper.running, "the helper goes on")


@contextlib.contextmanager
def under_way(t: Context, helper: Helper) -> "Iterator[tuple[Host, int]]":
    """A command that waits for multipathd, and the process that is at it."""
    a = t.open(helper)
    parameters = scsi.parameters(0, KEY)
    with t.daemons.paused():
        a.connection.send_request(scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE), [a.fd],
                                  parameters)
        child, = lab.wait_for("a process at the command", lambda: busy_children(helper))
        yield a, child


@cases(*EACH_USER)
@limit(60)
def worker_killed_busy(t: Context, user: str) -> None:
    helper = t.start(user)
    reader = t.open(helper)
    register(t, t.open(helper))
    t.drain()
    worker = find_worker(helper)
    with under_way(t, helper) as (a, _):
        os.kill(worker, signal.SIGKILL)
        t.replied(a.connection.receive_reply(), NO_COMMUNICATION, "the command under way")
        helper.wait_log("the multipath worker ended before it answered: outcome unknown")
        t.equal(reader.ask(scsi.READ_KEYS).status, scsi.GOOD, "another client")
    new_worker(t, helper, worker)


@cases(*EACH_USER)
@limit(60)
def child_killed(t: Context, user: str) -> None:
    """Whoever works on a single command dies: the worker lives."""
    helper = t.start(user)
    reader = t.open(helper)
    register(t, t.open(helper))
    t.drain()
    worker = find_worker(helper)
    with under_way(t, helper) as (a, child):
        os.kill(child, signal.SIGKILL)
        t.replied(a.connection.receive_reply(), NO_COMMUNICATION, "the command under way")
        helper.wait_log(r"killed by signal 9 .*outcome unknown")
        t.equal(reader.ask(scsi.READ_KEYS).status, scsi.GOOD, "another client")
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=NEW_KEY), GOOD, "the same client")
    t.registered(NEW_KEY)
    t.equal(find_worker(helper), worker, "the worker")


# -- multipathd and multipath.conf


@cases(*EACH_USER)
@limit(60)
def no_multipathd(t: Context, user: str) -> None:
    """Nobody would register a path that comes: a registration is no success."""
    helper = t.start(user)
    a = t.open(helper)
    with t.daemons.stopped():
        for action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE):
            t.replied(a.tell(action, action_key=KEY), NO_COMMUNICATION, f"service action {action}")
        t.replied(a.connection.command(scsi.cleanup(), a.fd), NO_COMMUNICATION, "cleans up")
        t.registered(0)
        helper.wait_log(r"multipathd.*@/org/kernel/linux/storage/multipathd")
        reads_go_on(t, helper)
    register(t, a)
    t.followed(KEY)


@test
@limit(60)
def multipathd_without_an_answer(t: Context) -> None:
    helper = t.start("nobody", "--mpath-timeout=3")
    a = t.open(helper)
    with t.daemons.paused():
        t.replied(a.tell(scsi.REGISTER, action_key=KEY), TIME_OUT, "registers")
        helper.wait_log("REGISTER did not end within 3 s, outcome unknown")
        reads_go_on(t, helper)
    register(t, a)
    t.followed(KEY)


@test
@limit(90)
def release_without_multipathd(t: Context) -> None:
    """It has nothing to do with it: what the paths say counts."""
    a = t.open("nobody")
    register(t, a)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    with t.daemons.stopped():
        t.replied(a.tell(scsi.RELEASE, KIND, KEY), GOOD, "releases when there is none")
        t.not_held()
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves again")
    with t.daemons.paused():
        t.replied(a.tell(scsi.RELEASE, KIND, KEY), GOOD, "releases when it does not answer")
        t.not_held()


@cases(*EACH_USER)
@limit(60)
def no_reservation_key(t: Context, user: str) -> None:
    """The library may do what it can, or refuse. Paths that come later would not be registered in
    either case, and that is what the line is about. An edit of the file takes effect at once."""
    helper = t.start(user)
    a = t.open(helper)
    t.cleanup.callback(t.daemons.configure, "file")
    t.daemons.configure("")
    reply = a.tell(scsi.REGISTER, action_key=KEY)
    t.check(reply in (GOOD, INVALID_PARAMETER), f"registers: {reply}")
    t.registered(KEY if reply == GOOD else 0)
    helper.wait_log(KEY_ADVICE)
    before = t.state()
    t.replied(a.tell(scsi.REGISTER, key=KEY, action_key=NEW_KEY),
              INVALID_PARAMETER if reply == GOOD else CONFLICT, "changes its key")
    t.equal(t.state(), before, "state")
    reads_go_on(t, helper)
    t.daemons.configure("file")
    register(t, a)
    t.followed(KEY)


@cases(*EACH_USER)
@limit(60)
def another_reservation_key(t: Context, user: str) -> None:
    """The file names a key, and the virtual machine uses another one."""
    helper = t.start(user)
    a = t.open(helper)
    t.cleanup.callback(t.daemons.configure, "file")
    t.daemons.configure(f"{KEY:#x}")
    t.replied(a.tell(scsi.REGISTER, action_key=NEW_KEY), INVALID_PARAMETER, "registers")
    t.registered(0)
    helper.wait_log(KEY_ADVICE)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers by the key of the file")
    t.registered(KEY)


@cases(*((label, action) for label, action in
         [("register", scsi.REGISTER), ("reserve", scsi.RESERVE), ("clear", scsi.CLEAR),
          ("preempt", scsi.PREEMPT), ("preempt and abort", scsi.PREEMPT_AND_ABORT)]))
@limit(60)
def key_mismatch(t: Context, action: int) -> None:
    """The key that multipathd knows is none of the two that the command names. The library sends
    nothing to the device; what the device would have said is known if nobody has that key."""
    helper = t.start("nobody")
    a = t.open(helper)
    register(t, a)
    before = t.state()
    t.replied(a.tell(action, KIND, NEW_KEY, NEW_KEY + 1), CONFLICT, "a key that nobody has")
    t.equal(t.state(), before, "state")
    helper.wait_log(KEY_ADVICE)
    t.other_registers()
    t.drain()
    before = t.state()
    t.replied(a.tell(action, KIND, OTHER_KEY, NEW_KEY + 1), INVALID_PARAMETER,
              "a key that somebody else has")
    t.equal(t.state(), before, "state")
