# SPDX-License-Identifier: LGPL-2.1-or-later
"""What multipath maps need beside their paths: the worker, multipathd, its configuration, the
starter's rights. Without them there is an answer and a line in the log that an
administrator can act on, and all others are served as before.
"""
import contextlib
import functools
import ctypes
import fcntl
import os
import re
import signal
import struct
import time
from typing import Callable, Iterator, List

import context
import lab
from host import CONFLICT, GOOD, WRITE_EXCLUSIVE_REGISTRANTS, Host
from maps import (BUSY, EACH_USER, INVALID_OPCODE, KEY, MAP, NEW_KEY, NOBODY, NODE, NO_COMMUNICATION, OTHER_KEY,
                  PATHS, Context, Lab, find_worker, is_busy, of_a_map)
from points import Points
from support import accounts, procfs, scaled, scsi
from support.client import Reply
from support.process import Helper
from support.tap import cases, limit, test

PACKAGES = ["multipath"]

KIND = WRITE_EXCLUSIVE_REGISTRANTS
SECOND_MAP = "mpathb"
#: What is remembered of maps; the file of each is locked by who is at a command.
JOURNAL = "/run/qemu-pr-mpath"
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
        direct = lab.pr_in(t.target.initiators[0].fd, action)
        t.replied(a.ask(action), of_a_map(action, direct.reply()), f"reads {action}")
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
    rawio = procfs.capability_mask("sys_rawio")
    keeper, = procfs.children(helper.pid)
    worker = find_worker(helper)
    t.check(worker, "there is a worker")
    opener, = procfs.children(worker)
    uid = NOBODY if user == "nobody" else accounts.own().uid
    for name, pid, user_id, wanted, bounding in [
            ("helper", helper.pid, uid, rawio, 0), ("keeper", keeper, 0, rawio, rawio),
            ("worker", worker, 0, rawio, rawio), ("opener", opener, 0, 0, rawio)]:
        for thread in procfs.threads(pid):
            t.equal(thread.uids, [user_id] * 4, f"uids of the {name}")
            t.equal((thread.permitted, thread.effective, thread.bounding),
                    (wanted, wanted, bounding), f"capabilities of the {name}")
            t.equal((thread.inheritable, thread.ambient), (0, 0), f"inherited ones of the {name}")
            t.equal(thread.no_new_privs, 1, f"no_new_privs of the {name}")
            if name != "keeper":
                t.equal(thread.seccomp, 2, f"seccomp mode of the {name}")


def ordinary_user() -> None:
    """Become the user nobody with CAP_SYS_RAWIO in the ambient set, as a service manager would."""
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


@test
def too_few_rights(t: Context) -> None:
    refused(t, t.start("root", before_exec=ordinary_user), r"not started as root")


def root_with_rawio() -> None:
    """As in a container that was given CAP_SYS_RAWIO only."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name, bit in procfs.CAPABILITIES.items():
        if name != "sys_rawio" and libc.prctl(PR_CAPBSET_DROP, bit, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "bounding set")


@test
def enough_rights(t: Context) -> None:
    register(t, t.open(t.start("root", before_exec=root_with_rawio)))


# -- the worker


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
        # The kernel may close the old one's channel a moment after the socket of its last answer.
        return last[0] not in (BUSY, NO_COMMUNICATION)
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
def under_way(t: Context, helper: Helper) -> "Iterator[Host]":
    """A command that waits for another helper's."""
    a = t.open(helper)
    parameters = scsi.parameters(0, KEY)
    uuid = lab.read(f"/sys/class/block/{os.path.basename(os.path.realpath(NODE))}/dm/uuid")
    with open(f"{JOURNAL}/{uuid}", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        a.connection.send_request(scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE), [a.fd],
                                  parameters)
        lab.wait_for("the worker at the command", lambda: is_busy(helper))
        yield a


@cases(*EACH_USER)
@limit(60)
def worker_killed_busy(t: Context, user: str) -> None:
    helper = t.start(user)
    reader = t.open(helper)
    register(t, t.open(helper))
    t.drain()
    worker = find_worker(helper)
    with under_way(t, helper) as a:
        os.kill(worker, signal.SIGKILL)
        t.replied(a.connection.receive_reply(), NO_COMMUNICATION, "the command under way")
        helper.wait_log("the multipath worker exited before it replied: outcome unknown")
        t.equal(reader.ask(scsi.READ_KEYS).status, scsi.GOOD, "another client")
    new_worker(t, helper, worker)


@functools.lru_cache(None)
def second_target() -> lab.Iscsi:
    """Made once: LIO and iscsistart keep what they have."""
    return lab.Iscsi(lab.Backstore("second"), 2, network=2)


def second_map(t: Context, helper: Helper) -> Host:
    """Another map of the same helper."""
    target = second_target()
    t.daemons.wait_paths(SECOND_MAP, 2)
    node = f"/dev/mapper/{SECOND_MAP}"
    lab.wait_for(node, lambda: os.path.exists(node))
    for initiator in target.initiators:
        initiator.drain()
    return t.open(helper, node)


def killed_at(t: Context, helper: Helper, a: Host) -> int:
    """Its command's answer does not wait for the kernel. Returns the worker, which is still there."""
    worker = find_worker(helper)
    assert worker
    os.kill(worker, signal.SIGKILL)
    started = time.monotonic()
    t.replied(a.connection.receive_reply(), NO_COMMUNICATION, "the command under way")
    taken = time.monotonic() - started
    t.check(taken < scaled(1), f"after {taken:.2f} s")
    t.check(os.path.exists(f"/proc/{worker}"), "it hangs")
    return worker


@test
@limit(120)
def worker_killed_while_a_path_is_asked(t: Context) -> None:
    """Its process stays until the kernel lets go of the path. What hangs changes nothing, so the map is
    served by the others, through any helper."""
    helper, other = t.start("nobody"), t.start("nobody", "--mpath-timeout=10")
    a, b = t.open(helper, timeout=60), t.open(other, timeout=60)
    register(t, a)
    t.replied(b.tell(scsi.RESERVE, KIND, NEW_KEY), CONFLICT, "the other helper's worker is there")
    hangs, *others = t.target.initiators
    t.unplug(hangs)
    with contextlib.ExitStack() as plugs:
        # As long as none answers it waits for all.
        for path in others:
            path.unplug()
            plugs.callback(path.plug)
        parameters = scsi.parameters(KEY, NEW_KEY)
        a.connection.send_request(scsi.pr_out(len(parameters), scsi.REGISTER), [a.fd], parameters)
        lab.wait_for("the worker at the command", lambda: is_busy(helper))
        worker = killed_at(t, helper, a)
    lab.wait_for("by the other helper", lambda: b.tell(scsi.RESERVE, KIND, KEY) == GOOD)
    lab.wait_for("this one's next worker", lambda: a.tell(scsi.RESERVE, KIND, KEY) == GOOD)
    t.check(os.path.exists(f"/proc/{worker}"), "the first one still hangs")
    t.plug()
    t.check(procfs.wait_gone(worker, scaled(30)), "it is gone")
    hangs.drain()  # it answers
    t.daemons.wait_paths(MAP, PATHS)
    new_worker(t, helper, worker)


@test
@limit(300)
def worker_killed_while_a_path_changes(t: Context) -> None:
    """The command may yet be executed: nothing is done to that map until then, by any helper; another
    map of the same helper is served."""
    points = Points()
    points.arm()
    helper = t.start("nobody", f"--mpath-worker={points.path}")
    other = t.start("nobody", "--mpath-timeout=20")
    a, b = t.open(helper, timeout=60), t.open(other, timeout=60)
    neighbour = second_map(t, helper)
    t.replied(neighbour.tell(scsi.REGISTER_AND_IGNORE, 0, 0, KEY), GOOD, "the other map registers")
    register(t, a)
    t.replied(b.tell(scsi.RESERVE, KIND, NEW_KEY), CONFLICT, "the other helper's worker is there")
    points.arm(stop_at_change=1)
    parameters = scsi.parameters(KEY, NEW_KEY)
    a.connection.send_request(scsi.pr_out(len(parameters), scsi.REGISTER), [a.fd], parameters)
    lab.wait_for("a path's thread at its command", lambda: points.control.stopped)
    t.unplug(next(one for one in t.target.initiators
                  if os.stat(one.path).st_rdev == points.device))
    points.control.goes_on = 1
    time.sleep(0.3)  # into the kernel
    worker = killed_at(t, helper, a)
    # multipathd may not answer for up to a minute while it looks at the path that hangs, and LIO ends
    # the session before that. So the other map gets a command that does not need multipathd.
    lab.wait_for("the next worker", lambda: neighbour.tell(scsi.RELEASE, KIND, KEY) == GOOD, 20)
    for host in (a, b):
        started = time.monotonic()
        t.replied(host.tell(scsi.RESERVE, KIND, KEY), BUSY, "the map")
        t.check(time.monotonic() - started < scaled(2), "BUSY at once")
    other.wait_log("an earlier command is still hung")
    t.replied(neighbour.tell(scsi.RESERVE, KIND, KEY), GOOD, "the other map")
    t.check(os.path.exists(f"/proc/{worker}"), "the first one still hangs")
    t.plug()
    t.check(procfs.wait_gone(worker, scaled(30)), "it is gone")
    lab.wait_for("the map", lambda: a.tell(scsi.RESERVE, KIND, NEW_KEY) != BUSY, 60)
    key = t.disk.registrations()[0].key
    t.registered(key)
    t.followed(key)
    lab.wait_for("the other map is left", lambda: neighbour.tell(scsi.REGISTER_AND_IGNORE) == GOOD, 60)


@cases(*EACH_USER)
@limit(60)
def opener_killed(t: Context, user: str) -> None:
    """Who opens paths for the worker dies: both are started anew."""
    helper = t.start(user)
    register(t, t.open(helper))
    worker = find_worker(helper)
    opener, = procfs.children(worker)
    os.kill(opener, signal.SIGKILL)
    t.check(procfs.wait_gone(worker, scaled(10)), "the worker is gone as well")
    new_worker(t, helper, worker)


# -- multipathd and multipath.conf


@cases(*EACH_USER)
@limit(60)
def no_multipathd(t: Context, user: str) -> None:
    """All paths are registered, and paths that come later are the helper's own business: it says so.
    """
    helper = t.start(user)
    a = t.open(helper)
    with t.daemons.stopped():
        for action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE):
            t.replied(a.tell(action, action_key=KEY), GOOD, f"service action {action}")
            t.registered(KEY)
        helper.wait_log(r"cannot reach multipathd.*@/org/kernel/linux/storage/multipathd")
        t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
        t.replied(a.connection.command(scsi.cleanup(), a.fd), GOOD, "cleans up")
        t.registered(0)
        reads_go_on(t, helper)
    register(t, a)
    t.followed(KEY)


@test
@limit(60)
def multipathd_without_an_answer(t: Context) -> None:
    """A path that returned meanwhile would be registered, or not, as it pleases: nothing is done.
    But fencing does not wait for it."""
    helper = t.start("nobody")
    a = t.open(helper)
    with t.daemons.paused():
        started = time.monotonic()
        t.replied(a.tell(scsi.REGISTER, action_key=KEY), BUSY, "registers")
        t.check(time.monotonic() - started < scaled(3), "soon")
        helper.wait_log("multipathd does not answer")
        t.registered(0)
        reads_go_on(t, helper)
    register(t, a)
    t.followed(KEY)
    t.other_registers()
    t.drain()
    with t.daemons.paused():
        started = time.monotonic()
        t.replied(a.tell(scsi.PREEMPT, KIND, KEY, OTHER_KEY), GOOD, "preempts")
        t.check(time.monotonic() - started < scaled(3), "soon")
    t.registered(KEY)


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


@contextlib.contextmanager
def configured(t: Context, key: str) -> Iterator[None]:
    """multipath.conf has another reservation_key, and multipathd has read it."""
    t.cleanup.callback(t.daemons.reconfigure)
    t.cleanup.callback(t.daemons.configure, "file")
    t.daemons.configure(key)
    t.daemons.reconfigure()
    yield


@cases(*EACH_USER)
@limit(60)
def no_reservation_key(t: Context, user: str) -> None:
    """Paths that come later would not be registered by multipathd, and that is what the line is
    about."""
    helper = t.start(user)
    a = t.open(helper)
    with configured(t, ""):
        t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
        t.registered(KEY)
        helper.wait_log(KEY_ADVICE)
        t.replied(a.tell(scsi.REGISTER, key=KEY, action_key=NEW_KEY), GOOD, "changes its key")
        t.registered(NEW_KEY)
        reads_go_on(t, helper)


@cases(*EACH_USER)
@limit(60)
def another_reservation_key(t: Context, user: str) -> None:
    """The file names a key, and the virtual machine uses another one."""
    helper = t.start(user)
    a = t.open(helper)
    with configured(t, f"{KEY:#x}"):
        t.replied(a.tell(scsi.REGISTER, action_key=NEW_KEY), GOOD, "registers")
        t.registered(NEW_KEY)
        helper.wait_log(KEY_ADVICE)


@cases(("one key", f"{KEY:#x}"), ("file", "file"))
@limit(60)
def key_after_clear(t: Context, key: str) -> None:
    """After CLEAR multipathd has no key for the map, and that is not the configuration's fault."""
    helper = t.start("nobody")
    a = t.open(helper)
    with configured(t, key):
        for _ in range(2):
            t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
            t.registered(KEY)
            t.replied(a.tell(scsi.CLEAR, key=KEY), GOOD, "clears")
    t.check("no reservation_key" not in helper.log(), "what is told of the configuration")


@cases(*((label, action) for label, action in
         [("register", scsi.REGISTER), ("reserve", scsi.RESERVE), ("clear", scsi.CLEAR),
          ("preempt", scsi.PREEMPT), ("preempt and abort", scsi.PREEMPT_AND_ABORT)]))
@limit(60)
def key_mismatch(t: Context, action: int) -> None:
    """The key is none of this map's, be it another host's or none's."""
    helper = t.start("nobody")
    a = t.open(helper)
    register(t, a)
    t.other_registers()
    t.drain()
    before = t.state()
    for key in (NEW_KEY, OTHER_KEY):
        t.replied(a.tell(action, KIND, key, NEW_KEY + 1), CONFLICT, f"key {key:#x}")
        t.equal(t.state(), before, "state")
