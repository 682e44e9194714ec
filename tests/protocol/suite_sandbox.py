# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an attacker could do who runs code in a thread of the helper: system calls by its own threads.

Most are put into a waiting thread by tracing it (support/inject.py), the rest are made by the
stand-in in the middle of a command.
"""
import ctypes
import errno
import os
import platform
import signal
from typing import Dict

from support import inject, procfs, scsi
from support.attempts import ATTEMPTS, MEMORY, NUMBERS, Target, bystander, prove
from support.client import reply
from support.process import kill_and_reap
from support.tap import Skip, cases, ours, test

from protocol.fixture import DEFAULT_DATA
from protocol.suite_security import STARTERS, root_with

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)

FILTER, LANDLOCK, KILL = errno.ENOSYS, errno.EACCES, None
#: By which wall of the helper's each of them is stopped.
WALLS = {
    "read /etc/shadow": LANDLOCK, "read /etc/passwd": LANDLOCK, "list /": LANDLOCK,
    "open the disk by name": LANDLOCK, **dict.fromkeys(MEMORY, LANDLOCK),
    "execute a program": KILL, "trace a process": KILL, "read a process": KILL, "mount": KILL,
    "name space": KILL, "change the root": KILL, "become another user": KILL,
    "change groups": KILL, "look for keys": KILL, "io_uring": KILL,
    "call by the numbers of i386": KILL,
}


def unless_off(t):
    if any("sandbox=off" in argument for argument in t.lab.helper_arguments):
        raise Skip("run with --sandbox=off")


def sandboxed(t):
    unless_off(t)
    inject.needs_injection()


def target(t, victim):
    return Target(t.disk.path, t.own(t.disk.open()), t.directory(), victim)


def threads_of(t, helper) -> Dict[str, int]:
    """One of each kind. A command is in the device until the disk is released."""
    t.disk.hold()
    connection = t.connect(helper)
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    found: Dict[str, int] = {}

    def complete():
        found.clear()
        for thread in procfs.threads(helper.pid):
            kind = {NUMBERS["poll"]: "main thread", NUMBERS["epoll_wait"]: "idle thread",
                    NUMBERS["futex"]: "thread with a command"}.get(procfs.system_call(thread.tid))
            if kind:
                found[kind] = thread.tid
        return len(found) == 3
    t.eventually("a thread of each kind", complete, helper=helper)
    t.equal(found["main thread"], helper.pid, "main thread")
    return found


def within(helper, there: Target) -> Target:
    """With the number that the disk has in the helper."""
    number = next(fd for fd, path in procfs.fds(helper.pid).items() if path == there.disk)
    return there._replace(disk_fd=number)


def killed(t, name, tid, there):
    try:
        result = ATTEMPTS[name].make(tid, there)
    except inject.Killed as end:
        t.equal(end.signal, signal.SIGSYS, "signal")
        return
    raise AssertionError(f"{name}: it goes on, with {result}")


@cases(*[name for name in ATTEMPTS if WALLS.get(name, FILTER) is not KILL])
@ours("the peer has no sandbox")
def refused(t, name):
    """Each thread, and without the walls the same call succeeds."""
    sandboxed(t)
    wall = WALLS.get(name, FILTER)
    with bystander() as victim:
        there = target(t, victim)
        prove(name, there)
        helper = t.start("-vv")
        if wall == LANDLOCK and "no Landlock" in helper.log():
            raise Skip("no Landlock in this kernel")
        for kind, tid in threads_of(t, helper).items():
            result = ATTEMPTS[name].make(tid, within(helper, there))
            t.equal(result, -wall, f"{name}, by the {kind}")
        t.disk.release()
        t.works(helper)


@cases(*[name for name in ATTEMPTS if WALLS.get(name, FILTER) is KILL])
@ours("the peer has no filter")
def fatal(t, name):
    """Nothing of our own would try these: whichever thread does, the whole process ends at once."""
    sandboxed(t)
    with bystander() as victim:
        there = target(t, victim)
        prove(name, there)
        for kind in ("main thread", "idle thread", "thread with a command"):
            helper = t.start()
            killed(t, name, threads_of(t, helper)[kind], within(helper, there))
            t.equal(helper.wait_exit(), -signal.SIGSYS, f"end of the process, by the {kind}")
            t.soon("the socket file gone", lambda: not os.path.lexists(helper.socket_path))
            t.disk.settle()


@cases(*[name for name, attempt in ATTEMPTS.items() if not attempt.rights])
@ours("the peer has no sandbox")
def without_sandbox(t, name):
    """The same helper with --sandbox=off: there it was the sandbox, and nothing else."""
    sandboxed(t)
    t.needs_root()
    with bystander() as victim:
        there = target(t, victim)
        prove(name, there)
        helper = t.start("-u", "root", "--sandbox=off")
        tid = threads_of(t, helper)["main thread"]  # which may execute a program in its place
        result = ATTEMPTS[name].make(tid, within(helper, there))
        t.check(result >= 0, f"{name}: {errno.errorcode.get(-result, result)}")
        if ATTEMPTS[name].call in ("fork", "clone"):
            kill_and_reap(result)


@cases("main thread", "idle thread", "thread with a command")
@ours("the peer has no sandbox")
def allowed(t, kind):
    """What serving needs, or the tests above would prove nothing."""
    sandboxed(t)
    helper = t.start()
    tid = threads_of(t, helper)[kind]
    t.equal(inject.call(tid, NUMBERS["getpid"]), helper.pid, "getpid")
    fd = inject.call(tid, NUMBERS["openat"], -100, b"/sys/dev/block", os.O_RDONLY)
    t.check(fd >= 0, f"opening /sys/dev/block: {fd}")
    t.disk.release()
    t.works(helper)


# -- memory that is not its own: by whom the helper was started, and whom it has become


#: Options, and the capabilities that the starter leaves to user 0; None: all.
STARTS = {"plainly": ([], None), "-u nobody": (["-u", "nobody"], None),
          "-u root": (["-u", "root"], None), "libvirt": ([], STARTERS["libvirt"]),
          "the unit": ([], ["sys_rawio", "sys_admin", "setuid", "setgid"]),
          "an older unit": ([], STARTERS["an older unit"]),
          "the DaemonSet": ([], ["sys_rawio", "setuid", "setgid", "setpcap", "chown"]),
          "KubeVirt": ([], None)}


def start_by(t, starter, *more):
    """KubeVirt's container is privileged; its process 1 is what it calls by the socket alone."""
    options, capabilities = STARTS[starter]
    wrap = {}
    if starter == "KubeVirt":
        wrap = {"wrap": t.namespace("true"), "before_exec": lambda: os.setgroups([0])}
    return t.start(*options, *more, **(root_with(*capabilities) if capabilities else wrap))


def user_of(helper):
    return procfs.threads(helper.pid)[0].uids[0]


def try_memory(t, helper, victim, whose):
    """By each of its threads. Returns how many could be tried at all."""
    there = target(t, victim)
    tried = 0
    threads = threads_of(t, helper)
    for name in MEMORY:
        try:
            prove(name, there)
        except Skip:
            continue
        tried += 1
        for kind, tid in threads.items():
            result = ATTEMPTS[name].make(tid, there)
            t.check(result in (-errno.EACCES, -errno.EPERM),
                    f"{name}, {whose}, by the {kind}: {errno.errorcode.get(-result, result)}")
    t.disk.release()
    return tried


@cases(*STARTS)
@ours("the peer has no sandbox")
def memory(t, starter):
    """Of the kernel, of root's processes, and of one of the helper's own user."""
    sandboxed(t)
    t.needs_root()
    for whose in ("root's", "its user's"):
        helper = start_by(t, starter, "-vv")
        if "no Landlock" in helper.log() and user_of(helper) == 0:
            raise Skip("no Landlock in this kernel, and user 0")
        user = str(user_of(helper) if whose == "its user's" else 0)
        with bystander("setpriv", f"--reuid={user}", "--clear-groups", "--") as victim:
            t.check(try_memory(t, helper, victim, whose) >= 4, "almost nothing was tried")
        t.works(helper)
        helper.close()
        t.disk.settle()


@cases(*[starter for starter in STARTS if starter not in ("-u root", "libvirt", "an older unit")])
@ours("the peer stays root")
def memory_by_the_user_alone(t, starter):
    """As where the kernel has no Landlock."""
    sandboxed(t)
    t.needs_root()
    helper = start_by(t, starter, "--sandbox=off")
    t.check(user_of(helper) != 0, "it is user 0")
    threads = threads_of(t, helper)
    with bystander() as victim:
        there = target(t, victim)
        for name in MEMORY:
            if name == "read the kernel's symbols":
                continue  # everyone may open these, and sees zeros
            try:
                prove(name, there)
            except Skip:
                continue
            result = ATTEMPTS[name].make(threads["main thread"], there)
            # /proc/PID/maps says no when it is read, on some kernels.
            if result >= 0 and name == "read the maps of a process":
                result = inject.call(threads["main thread"], 0, result, bytes(512), 512)
            t.check(result in (-errno.EACCES, -errno.EPERM, 0),
                    f"{name}: {errno.errorcode.get(-result, result)}")


# -- the keeper: it has no filter, and does what eight bytes tell it; but it has few rights


#: What user 0 may not without its capabilities.
NO_RIGHTS = {"packet socket": errno.EPERM, "trace a process": errno.EPERM,
             "open another's memory": errno.EACCES, "change the root": errno.EPERM,
             "become another user": errno.EPERM, "change groups": errno.EPERM,
             "mount": errno.EPERM, "name space": errno.EPERM}


@cases(*[(f"{name}, {worker}", name, worker) for name in NO_RIGHTS
         for worker in ("no worker", "with a worker")])
@ours("the peer has no keeper")
def keeper(t, name, worker):
    """Whom it shall not look into is its own helper, although both are root's."""
    sandboxed(t)
    helper = t.start("--mpath-worker=" + ("/bin/true" if worker == "with a worker" else "/none"))
    there = target(t, helper.pid)
    prove(name, there)
    pid = t.keeper_of(helper)
    t.equal(ATTEMPTS[name].make(pid, there), -NO_RIGHTS[name], name)
    t.equal(inject.call(pid, NUMBERS["getpid"]), pid, "getpid")
    t.works(helper)
    t.equal(helper.stop(), 0, "exit code")
    t.check(not os.path.lexists(helper.socket_path), "the socket file is still there")


# -- through the stand-in, on any architecture; with arguments of which the kernel itself would
# -- complain otherwise


AT_FDCWD = -100
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
CALLS = {
    "x86_64": {"socket": 41, "openat": 257, "unlinkat": 263, "execve": 59, "clone": 56,
               "clone3": 435, "ioctl": 16, "ptrace": 101, "kill": 62, "mmap": 9,
               "mprotect": 10, "bpf": 321,
               "io_uring_setup": 425, "userfaultfd": 323, "mount": 165, "unshare": 272,
               "setns": 308, "connect": 42, "bind": 49, "chmod": 268, "linkat": 265,
               "perf_event_open": 298, "keyctl": 250, "process_vm_readv": 310, "setuid": 105,
               "capset": 126, "memfd_create": 319, "personality": 135, "symlinkat": 266,
               "mkdirat": 258, "renameat2": 316, "init_module": 175, "prctl": 157, "dup": 32,
               "fork": 57, "open": 2, "creat": 85, "truncate": 76, "getpid": 39},
}
CALLS["aarch64"] = {"socket": 198, "openat": 56, "unlinkat": 35, "execve": 221, "clone": 220,
                    "clone3": 435, "ioctl": 29, "ptrace": 117, "kill": 129, "mmap": 222,
                    "mprotect": 226,
                    "bpf": 280, "io_uring_setup": 425, "userfaultfd": 282, "mount": 40,
                    "unshare": 97, "setns": 268, "connect": 203, "bind": 200, "chmod": 53,
                    "linkat": 37, "perf_event_open": 241, "keyctl": 219, "process_vm_readv": 270,
                    "setuid": 146, "capset": 91, "memfd_create": 279, "personality": 92,
                    "symlinkat": 36, "mkdirat": 34, "renameat2": 276, "init_module": 105,
                    "prctl": 167, "dup": 23, "truncate": 45, "getpid": 172}

#: What a filter answers; EACCES would be the doing of Landlock, which not every kernel has.
DENIED = (errno.EPERM, errno.ENOSYS)
#: Arguments with which the kernel itself would do it, or would give another reason not to.
FORBIDDEN = (
    ("socket", 2, 1, 0), ("socket", 1, 1, 0), ("socket", 16, 3, 0),
    ("openat", AT_FDCWD, b"/tmp/prh-forbidden", os.O_WRONLY | os.O_CREAT, 0o600),
    ("openat", AT_FDCWD, b"/dev/null", os.O_RDWR),
    ("openat", AT_FDCWD, b"/tmp", os.O_TMPFILE | os.O_RDWR, 0o600),
    ("open", b"/dev/null", os.O_RDWR), ("creat", b"/tmp/prh-forbidden", 0o600),
    ("unlinkat", AT_FDCWD, b"/no/such/file", 0), ("mkdirat", AT_FDCWD, b"/no/such/directory", 0),
    ("linkat", AT_FDCWD, b"/no/such/file", AT_FDCWD, b"/no/such/file", 0),
    ("symlinkat", b"/no/such/file", AT_FDCWD, 0),
    ("renameat2", AT_FDCWD, b"/no/such/file", AT_FDCWD, b"/no/such/file", 0),
    ("chmod", AT_FDCWD, b"/no/such/file", 0), ("truncate", b"/no/such/file", 0),
    ("execve", b"/no/such/file", 0, 0), ("fork",),
    ("clone", 0x00000800, 0, 0, 0, 0),  # CLONE_SIGHAND alone: refused by the kernel as well, EINVAL
    ("clone3", 0, 0), ("kill", 0, 0), ("prctl", 3, 0), ("personality", 0xFFFFFFFF),
    ("ioctl", 2, 0x5413, 0), ("ioctl", 2, 0x2202, 0), ("ioctl", 2, 0x2286, 0),
    ("mmap", 0, 4096, 7, 0x22, -1, 0), ("mprotect", 0, 4096, 5), ("memfd_create", b"x", 0),
    ("dup", -1),
    ("connect", -1, 0, 0), ("bind", -1, 0, 0), ("ptrace", 0, 0, 0, 0),
    ("process_vm_readv", -1, 0, 0, 0, 0), ("setuid", 0), ("capset", 0, 0), ("mount", 0, 0, 0),
    ("unshare", 0), ("setns", -1, 0), ("bpf", -1, 0, 0), ("io_uring_setup", 0, 0),
    ("userfaultfd", -1), ("perf_event_open", 0, 0, 0, 0, 0), ("keyctl", -1), ("init_module", 0))


def describe(arguments):
    return " ".join(item.decode() if isinstance(item, bytes) else str(item) for item in arguments)


@cases(*[(describe(row), *row) for row in FORBIDDEN])
@ours("the peer has no filter")
def forbidden(t, name, *arguments):
    unless_off(t)
    numbers = CALLS.get(platform.machine())
    if not numbers or name not in numbers:
        raise Skip(f"{name}: number not known, or no such call, on {platform.machine()}")
    helper = t.start()
    t.disk.probe(numbers[name], *arguments)
    connection = t.connect(helper)
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    answer = connection.receive_at_most(len(KEYS.encode()))
    if not answer:
        t.equal(helper.wait_exit(), -signal.SIGSYS, "exit code of a helper that was killed")
        return
    t.equal(answer, KEYS.encode(), "answer")
    t.check(-t.disk.probe_result in DENIED,
            f"{name} is not denied: it returned {t.disk.probe_result}")


@cases("execve", "ptrace", "mount", "bpf", "unshare", "setuid", "io_uring_setup", "init_module")
@ours("the peer has no filter")
def forbidden_fatal(t, name):
    """No version of a C library would try these for us: the process ends at once."""
    unless_off(t)
    numbers = CALLS.get(platform.machine())
    if not numbers:
        raise Skip(f"numbers of system calls are not known on {platform.machine()}")
    helper = t.start()
    t.disk.probe(numbers[name], -1, -1, -1)
    connection = t.connect(helper)
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.dropped(connection)
    t.equal(helper.wait_exit(), -signal.SIGSYS, "exit code")
    t.soon("the socket file gone", lambda: not os.path.lexists(helper.socket_path))


@test
@ours("the peer has no filter")
def the_probe_works(t):
    """A call that is allowed, or the tests above would prove nothing."""
    numbers = CALLS.get(platform.machine())
    if not numbers:
        raise Skip(f"numbers of system calls are not known on {platform.machine()}")
    helper = t.start()
    t.disk.probe(numbers["getpid"])
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    t.equal(t.disk.probe_result, helper.pid, "getpid")


@test
@ours("the peer has no sandbox")
def files_outside_of_sys(t):
    """Landlock, where the kernel has it: not even reading."""
    unless_off(t)
    numbers = CALLS.get(platform.machine())
    if not numbers or ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0,
                                                LANDLOCK_CREATE_RULESET_VERSION) < 1:
        raise Skip("no Landlock in this kernel")
    helper = t.start()
    for path, allowed in ((b"/etc/passwd", False), (b"/proc/version", False),
                          (b"/sys/dev/block", True)):
        t.disk.probe(numbers["openat"], AT_FDCWD, path, os.O_RDONLY)
        t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
        t.equal(t.disk.probe_result >= 0, allowed, f"opening {path.decode()}")
