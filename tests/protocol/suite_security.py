# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running process may do, in every one of its threads, and what it may not."""
import json
import os
import pwd
import signal
import socket
import subprocess

from support import accounts, procfs, scsi
from support.client import reply
from support.procfs import capability_mask
from support.tap import Skip, cases, differs, ours, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
RAWIO = capability_mask("sys_rawio")
NOBODY = pwd.getpwnam("nobody")

#: Signals that would interrupt a command on its way to the device.
BLOCKED = sum(1 << number - 1 for number in (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP))


def busy(t, helper, count=5):
    """With commands in the device there are threads of every age."""
    t.disk.hold()
    for number in range(count):
        connection = t.connect(helper)
        connection.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.disk.wait_running(number + 1)
    threads = procfs.threads(helper.pid)
    t.check(t.peer or len(threads) > count, f"{len(threads)} threads")
    return threads


def locked_up(t, threads, bounding=0):
    for thread in threads:
        t.equal((hex(thread.permitted), hex(thread.effective)), (hex(RAWIO), hex(RAWIO)),
                f"capabilities of thread {thread.tid}")
    for thread in threads:
        who = f"of thread {thread.tid}"
        t.equal((thread.inheritable, thread.ambient), (0, 0), f"inherited capabilities {who}")
        if bounding is not None:
            t.equal(hex(thread.bounding), hex(bounding), f"bounding set {who}")
        t.equal(thread.no_new_privs, 1, f"no_new_privs {who}")
        t.equal(thread.seccomp, 2, f"seccomp mode {who}")
        t.equal(hex(thread.blocked_signals & BLOCKED), hex(BLOCKED), f"blocked signals {who}")


def unsandboxed(t):
    if any("sandbox=off" in argument for argument in t.lab.helper_arguments):
        raise Skip("run with --sandbox=off")


@test
@differs("the peer leaves a thread with all of root's", failure="capabilities")
def root(t):
    t.needs_root()
    unsandboxed(t)
    helper = t.start(before_exec=lambda: os.setgroups([1, 2, 3]))
    threads = busy(t, helper)
    locked_up(t, threads)
    for thread in threads:
        t.equal((thread.uids, thread.gids), ([accounts.own().uid] * 4, [accounts.own().gid] * 4), "ids")
        t.equal(thread.groups, [], "supplementary groups")
    t.check(accounts.own().uid not in (0, NOBODY.pw_uid), "there is no user for it here")
    t.equal(helper.log(), "", "standard error")


@cases(("nobody", ["-u", "nobody"], NOBODY.pw_uid, NOBODY.pw_gid),
       ("user and group", ["-u", "nobody", "-g", "54321"], NOBODY.pw_uid, 54321),
       ("group", ["-g", "54321"], None, 54321), ("root", ["-u", "root"], 0, 0),
       ("root by number", ["-u", "0"], 0, 0))
@differs("the peer leaves a thread with all of root's", failure="capabilities")
def changed_ids(t, options, uid, gid):
    t.needs_root()
    unsandboxed(t)
    uid = accounts.own().uid if uid is None else uid
    helper = t.start(*options, before_exec=lambda: os.setgroups([1, 2, 3]))
    threads = busy(t, helper)
    locked_up(t, threads)
    for thread in threads:
        t.equal((thread.uids, thread.gids), ([uid] * 4, [gid] * 4), "ids")
        t.equal(thread.groups, [], "supplementary groups")
    t.disk.release()
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)


def ids_of(t, helper):
    """The one pair that all threads have."""
    found = {(*thread.uids, *thread.gids) for thread in procfs.threads(helper.pid)}
    t.equal(len(found), 1, "pairs of ids")
    ids = found.pop()
    t.equal(len(set(ids[:4])) + len(set(ids[4:])), 2, "different ids")
    return ids[0], ids[4]


def with_accounts(t, text):
    """For start(): this is /etc/passwd."""
    path = os.path.join(t.directory(), "passwd")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return {"wrap": t.namespace(f"mount --bind {path} /etc/passwd")}


ROOT = "root:x:0:0:root:/root:/bin/sh\n"
SHARED = "runs as user nobody, whose other processes can stop it: there is no user named qemu-pr-helper"


def own_words(helper):
    """Without those of unshare(1), which cannot be preloaded the stand-in of a 32-bit helper."""
    return "".join(line for line in helper.log().splitlines(keepends=True)
                   if not line.startswith("ERROR: ld.so: "))


@cases(("of this system", ROOT + "nobody:x:65533:65532:nobody:/:/bin/false\n", (65533, 65532)),
       ("without a newline", ROOT + "nobody:x:65533:65532:nobody:/:/bin/false", (65533, 65532)),
       ("none", ROOT, (65534, 65534)), ("empty file", "", (65534, 65534)),
       ("own user that is root", ROOT + "qemu-pr-helper:x:0:5:::\n", (65534, 65534)),
       ("own group that is root's", ROOT + "qemu-pr-helper:x:5:0:::\n", (65534, 65534)),
       ("number that is none", "qemu-pr-helper:x:5x:5:::\n", (65534, 65534)),
       ("number that means none", "qemu-pr-helper:x:4294967295:5:::\n", (65534, 65534)),
       ("half a line", "qemu-pr-helper:x:5\n", (65534, 65534)),
       ("almost the name", "qemu-pr-helper2:x:5:5:::\nxqemu-pr-helper:x:5:5:::\n", (65534, 65534)),
       ("too far behind", ROOT + ("#" * 99 + "\n") * 11000 + "qemu-pr-helper:x:5:5:::\n",
        (65534, 65534)))
@ours("the peer stays root")
def nobody_by_default(t, text, ids):
    t.needs_root()
    helper = t.start(**with_accounts(t, text))
    t.equal(ids_of(t, helper), ids, "ids")
    t.equal(own_words(helper), f"qemu-pr-helper: the helper {SHARED}\n", "standard error")
    t.works(helper)
    quiet = t.start("-q", **with_accounts(t, text))
    t.equal(own_words(quiet), "", "standard error with -q")


@cases(("last", ROOT + "x" * 9000 + "\nqemu-pr-helper:x:701:702:::"),
       ("among many", "".join(f"user{i}:x:{i}:{i}:::\n" for i in range(1, 30000)) +
        "qemu-pr-helper:x:701:702:::\nqemu-pr-helper:x:1:1:::\n"))
@ours("the peer stays root")
def own_user_by_default(t, text):
    t.needs_root()
    helper = t.start(**with_accounts(t, text))
    t.equal(ids_of(t, helper), (701, 702), "ids")
    t.equal(own_words(helper), "", "standard error")
    t.works(helper)


def root_with(*capabilities):
    """For start(): user 0 with these capabilities and a way to no others, as service managers and
    container runtimes start programs."""
    kept = "".join(f",+{name}" for name in capabilities)
    return {"prefix": ["setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", "--"]}


#: Whose way of starting it is, and the capabilities that it leaves.
STARTERS = {
    "libvirt": ["sys_rawio"],
    "an older unit": ["sys_rawio", "sys_admin"],
    "a pod without SETUID": ["sys_rawio", "setgid", "setpcap", "chown"],
    "a pod without SETGID": ["sys_rawio", "setuid", "setpcap", "chown"],
}


@cases(*STARTERS)
@ours("the peer stays root")
def user_that_cannot_be_left(t, starter):
    """By default that is no reason not to serve; asked for, it is."""
    t.needs_root()
    status = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={status}", **root_with(*STARTERS[starter]))
    t.equal(ids_of(t, helper), (0, 0), "ids")
    helper.wait_log("^qemu-pr-helper: the helper still runs as root: no CAP_SETUID or CAP_SETGID$")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(status)
        told = json.loads(b"".join(iter(lambda: reader.recv(65536), b"")))["sandbox"]
    t.equal((told["uid"], told["user_note"]), (0, "still runs as root: no CAP_SETUID or CAP_SETGID"),
            "status")
    t.works(helper)
    for user in ("nobody", "qemu-pr-helper"):
        asked = t.start("-u", user, ready=False, **root_with(*STARTERS[starter]))
        t.equal(asked.wait_exit(), 1, f"exit code with -u {user}")


@test
@ours("the peer stays root")
def group_that_was_asked_for_and_cannot_be_had(t):
    """Also where the user is the default, which may fail."""
    t.needs_root()
    helper = t.start("-g", "54321", ready=False, **root_with("sys_rawio"))
    t.equal(helper.wait_exit(), 1, "exit code")


@cases(("the unit", ["sys_rawio", "sys_admin", "setuid", "setgid"]),
       ("the DaemonSet", ["sys_rawio", "setuid", "setgid", "setpcap", "chown"]))
@ours("the peer stays root")
def user_that_can_be_left(t, capabilities):
    t.needs_root()
    helper = t.start(**root_with(*capabilities))
    t.equal(ids_of(t, helper), (accounts.own().uid, accounts.own().gid), "ids")
    t.works(helper)


def ordinary(t, *capabilities, uid=54321):
    """Arguments for start(): run as an ordinary user with these ambient capabilities only."""
    t.needs_root()
    directory = t.directory()
    os.chown(directory, uid, uid)
    caps = ",".join(["-all", *("+" + name for name in capabilities)])
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--groups=7,8", f"--inh-caps={caps}",
              *([f"--ambient-caps={caps}"] if capabilities else []), "--"]
    return {"prefix": prefix, "socket_path": os.path.join(directory, "socket")}


@test
@differs("the peer insists on dropping groups, and gives up", failure="before serving")
def ordinary_user_with_the_one_capability(t):
    unsandboxed(t)
    helper = t.start("-v", **ordinary(t, "sys_rawio"))
    threads = busy(t, helper)
    locked_up(t, threads, bounding=None)
    for thread in threads:
        t.equal((thread.uids, thread.gids), ([54321] * 4, [54321] * 4), "ids")
    t.disk.release()
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    t.check("CAP_SYS_RAWIO" not in helper.log(), f"it complains: {helper.log()!r}")
    t.matches("bounding set", helper.log(), "what stays is said at -v")
    helper.stop()
    t.check(not os.path.lexists(helper.socket_path), "the socket file is still there")


@test
@differs("the peer insists on dropping groups, and gives up", failure="before serving")
def ordinary_user_without_the_capability(t):
    helper = t.start(**ordinary(t))
    helper.wait_log("CAP_SYS_RAWIO")
    for thread in procfs.threads(helper.pid):
        t.equal((thread.permitted, thread.effective), (0, 0), "capabilities")
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)  # the stand-in needs none


@cases(("user", ["-u", "nobody"]), ("group", ["-g", "nogroup"]))
def ids_that_cannot_be_changed(t, options):
    helper = t.start(*options, ready=False, **ordinary(t, "sys_rawio"))
    t.equal(helper.wait_exit(), 1, "exit code")
    t.matches(r"^qemu-pr-helper: .", helper.log(), "standard error")
    if not t.peer:
        t.soon("the socket file gone", lambda: not os.path.lexists(helper.socket_path))


@test
@ours("in the peer this goes with its other privileges")
def not_dumpable(t):
    """Another process of the same user, with the same capability, may not look into it."""
    t.needs_root()
    helper = t.start("-u", "root")
    same = ["setpriv", "--bounding-set=-all,+sys_rawio", "--inh-caps=-all", "--"]
    with subprocess.Popen([*same, "sleep", "1000"]) as control:
        try:
            t.eventually("the other process", lambda: os.readlink(
                f"/proc/{control.pid}/exe").endswith("sleep"))

            def may_look(pid):
                return subprocess.run([*same, "readlink", f"/proc/{pid}/exe"], check=False,
                                      stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL).returncode == 0
            t.check(may_look(control.pid), "not even a dumpable process can be looked into")
            t.check(not may_look(helper.pid), "the helper can be looked into")
        finally:
            control.kill()


# -- the keeper


@cases(("root", [], 0), ("-u nobody", ["-u", "nobody"], 0))
@ours("the peer has no keeper")
def keeper(t, options, uid):
    """The starter's user, and no capability but those of the multipath worker."""
    t.needs_root()
    helper = t.start(*options)
    most = capability_mask("sys_rawio")
    threads = procfs.threads(t.keeper_of(helper))
    t.equal(len(threads), 1 + t.lab.thread_sanitized(), "threads of the keeper")
    threads = threads[:1]
    for thread in threads:
        t.equal(thread.uids, [uid] * 4, "user ids")
        t.equal(hex(thread.permitted & ~most), hex(0), "permitted beyond the worker's")
        t.equal(hex(thread.effective & ~most), hex(0), "effective beyond the worker's")
        t.equal(hex(thread.bounding & ~most), hex(0), "bounding set beyond the worker's")
        t.equal(thread.ambient, 0, "ambient set")


@test
@ours("the peer has no keeper")
def keeper_of_an_ordinary_user(t):
    helper = t.start(**ordinary(t, "sys_rawio"))
    for thread in procfs.threads(t.keeper_of(helper))[:1]:
        t.equal(thread.uids, [54321] * 4, "user ids")
        t.equal((thread.permitted, thread.effective, thread.ambient), (0, 0, 0), "capabilities")


@test
@ours("the peer has no keeper")
def socket_in_a_directory_of_another_user(t):
    """As libvirt's: root needs no right but being root to make the socket there, or remove it."""
    t.needs_root()
    directory = t.directory()
    os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
    os.chmod(directory, 0o700)
    path = os.path.join(directory, "socket")
    for options in ([], ["-u", "nobody"]):
        helper = t.start(*options, socket_path=path)
        t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
        t.equal(helper.stop(), 0, "exit code")
        t.check(not os.path.lexists(path), f"socket file is still there: {helper.log()!r}")
