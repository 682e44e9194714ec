# SPDX-License-Identifier: LGPL-2.1-or-later
"""What service managers and other callers rely on: notifications, PID file, background."""
import contextlib
import fcntl
import os
import pwd
import re
import shlex
import signal
import socket
import stat
import struct
import sys
import time

from support import procfs, scaled, scsi
from support.client import Connection, Disconnected, check_condition, reply
from support.inotify import Watch
from support.process import kill_and_reap, reap, serving
from support.systemd import Notify
from support.tap import cases, differs, ours, test

from protocol.fixture import DEFAULT_DATA, umask

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
REFUSED = check_condition(5, 0x20, 0)
NOBODY = pwd.getpwnam("nobody")


# -- service manager


def notified(t):
    notify = Notify(t.directory())
    t.cleanup.callback(notify.close)
    return notify


@test
@ours("the peer does not notify")
def ready_and_stopping(t):
    notify = notified(t)
    helper = t.start(env=notify.environment(), ready=False)
    notify.wait("READY=1")
    t.works(helper)
    t.check("STOPPING=1" not in notify.collect(), "stopping before its time")
    t.stop(helper)
    t.check("STOPPING=1" in notify.collect(), f"no STOPPING=1 among {notify.lines}")


@test
@ours("the peer does not notify")
def ready_by_an_abstract_socket(t):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    t.cleanup.callback(notify.close)
    notify.bind("")  # the kernel chooses an abstract name
    notify.settimeout(scaled(10))
    t.start(env={"NOTIFY_SOCKET": "@" + notify.getsockname()[1:].decode()}, ready=False)
    t.matches("^READY=1$", notify.recv(4096).decode(), "notification")


@test
@ours("the peer does not notify")
def status_tells_the_number_of_clients(t):
    notify = notified(t)
    helper = t.start(env=notify.environment())
    clients = [t.connect(helper) for _ in range(7)]
    notify.wait("STATUS=")
    t.soon("the status telling of 7 clients", lambda: any(
        re.search(r"^STATUS=.*\b7\b", line) for line in notify.collect()))
    for client in clients:
        client.close()


@test
@ours("the peer does not notify")
def watchdog(t):
    notify = notified(t)
    helper = t.start(env={**notify.environment(), "WATCHDOG_USEC": "200000"})
    notify.wait("WATCHDOG=1", timeout=10, count=5)
    t.disk.hold()
    client = t.connect(helper)
    client.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    seen = notify.collect().count("WATCHDOG=1")
    notify.wait("WATCHDOG=1", timeout=10, count=seen + 5)


@test
@ours("the peer does not notify")
def watchdog_is_quiet_while_the_helper_stands_still(t):
    notify = notified(t)
    helper = t.start(env={**notify.environment(), "WATCHDOG_USEC": "200000"})
    notify.wait("WATCHDOG=1")
    helper.signal(signal.SIGSTOP)
    t.eventually("stopped", lambda: procfs.state(helper.pid) == "T", helper=helper)
    seen = len(notify.collect())
    time.sleep(0.5)  # what is tested is that nothing happens
    t.equal(len(notify.collect()), seen, "notifications of a stopped process")
    helper.signal(signal.SIGCONT)
    notify.wait("WATCHDOG=1", count=2)


@test
@ours("the peer does not notify")
def watchdog_of_another_process(t):
    notify = notified(t)
    helper = t.start(env={**notify.environment(), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    t.works(helper)
    time.sleep(0.2)  # ten of its periods
    t.check("WATCHDOG=1" not in notify.collect(), "a watchdog that is not ours is fed")


@test
@ours("the peer does not notify")
def no_notification_when_the_start_fails(t):
    notify = notified(t)
    t.fails("-u", "no-such-user", message="invalid user", env=notify.environment())
    t.check("READY=1" not in notify.collect(), "ready, though the start failed")


@test
def notify_socket_that_nobody_reads(t):
    t.works(t.start(env={"NOTIFY_SOCKET": "/no/such/socket"}))


# -- PID file


@test
def pidfile(t):
    path = os.path.join(t.directory(), "pid")
    with open(path, "w", encoding="ascii") as file:
        file.write("123456789012345678901234567890\nand more\n")
    helper = t.start("-f", path)
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), f"{helper.pid}\n", "PID file")
    t.stop(helper)


@test
@differs("the peer leaves it", failure="still there|mode")
def pidfile_mode_and_removal(t):
    path = os.path.join(t.directory(), "pid")
    helper = t.start("-f", path, before_exec=umask(0))
    t.equal(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o600", "mode")
    t.stop(helper)
    t.check(not os.path.lexists(path), "the PID file is still there")


def is_locked(path):
    """Whether a process that locks files by fcntl(2), as libvirt does, finds it locked."""
    with open(path, "rb+") as file:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack_from("h", fcntl.fcntl(file, fcntl.F_GETLK, query))[0] != fcntl.F_UNLCK


@test
def pidfile_is_locked_for_life(t):
    path = os.path.join(t.directory(), "pid")
    helper = t.start("-f", path)
    t.check(is_locked(path), "not locked")
    t.works(helper)
    t.check(is_locked(path), "not locked any more")


def pass_fds_of(t, helper, path):
    """By clients that may open the file, on a CDB and where no fd is wanted."""
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_PATH):
        fd = t.open(path, flags)
        # What the peer makes of such an fd is in devices.unfit_fd.
        with contextlib.suppress(*([AssertionError, Disconnected] if t.peer else [])):
            t.ask(READ_KEYS, fd, REFUSED, helper=helper)
        with t.connect(helper) as connection:
            connection.push(READ_KEYS[:4], [fd, fd])
            t.dropped(connection)
        with t.connect(helper, handshake=False) as connection:
            connection.push(bytes(4), [fd])
    t.works(helper)


@test
@differs("its lock goes with the fd that it closes", failure="not locked")
def client_that_passes_the_pidfile(t):
    path = os.path.join(t.directory(), "pid")
    helper = t.start("-f", path)
    pass_fds_of(t, helper, path)
    t.check(is_locked(path), "not locked any more")
    t.stop(helper)
    t.check(not os.path.lexists(path), "the PID file is still there")


#: As libvirt has a program's PID file locked: by the process that then executes the program.
LOCK_AND_EXECUTE = ("import os, fcntl, sys; fd = os.open(sys.argv[1], os.O_RDWR); "
                    "os.set_inheritable(fd, True); fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); "
                    "os.execv(sys.argv[2], sys.argv[2:])")


@test
@differs("its lock goes with the fd that it closes", failure="not locked")
def client_that_passes_the_pidfile_of_the_starter(t):
    path = os.path.join(t.directory(), "pid")
    with open(path, "w", encoding="ascii") as file:
        file.write("1\n")
    helper = t.start(prefix=[sys.executable, "-c", LOCK_AND_EXECUTE, path])
    t.check(is_locked(path), "not locked")
    pass_fds_of(t, helper, path)
    t.check(is_locked(path), "not locked any more")
    helper.process.kill()
    helper.wait_exit()
    t.soon("the lock gone with the helper", lambda: not is_locked(path))


@cases(("another socket", False), ("the same socket", True))
@differs("the peer has taken the socket by then", failure="socket|Connection|answer|still")
def pidfile_in_use(t, same_socket):
    path = os.path.join(t.directory(), "pid")
    first = t.start("-f", path)
    second_socket = first.socket_path if same_socket else os.path.join(t.directory(), "socket")
    program = t.run("-f", path, "-k", second_socket, timeout=2)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(r"^qemu-pr-helper: Cannot lock pid file", program.log(), "standard error")
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), f"{first.pid}\n", "PID file")
    if not same_socket:
        t.check(not os.path.lexists(second_socket), "it left a socket")
    t.works(first)


@test
@differs("the peer has made the socket by then", failure="no socket left behind")
def pidfile_in_a_missing_directory(t):
    t.fails("-f", "/no/such/directory/pid", message=r"^qemu-pr-helper: .*/no/such/directory/pid")


@test
@ours("the peer leaves it")
def failed_start_leaves_no_pidfile(t):
    first = t.start()
    path = os.path.join(t.directory(), "pid")
    program = t.run("-f", path, "-k", first.socket_path)
    t.equal(program.process.returncode, 1, "exit code")
    t.soon("the PID file gone", lambda: not os.path.lexists(path))


@test
def no_pidfile_unless_asked(t):
    run_directory = t.directory()
    wrap = t.namespace(f"mount --bind {shlex.quote(run_directory)} /run")
    t.start(socket_path="", wrap=wrap).at(
        os.path.join(run_directory, "qemu-pr-helper.sock")).wait_ready()
    t.equal(os.listdir(run_directory), ["qemu-pr-helper.sock"], "files in the run directory")


# -- background


@test
@ours("the peer's parent ends before the child serves")
def background(t):
    directory = t.directory()
    socket_path, pidfile = os.path.join(directory, "socket"), os.path.join(directory, "pid")
    for _ in range(5):
        program, pid = t.daemon("-f", pidfile, pidfile=pidfile, socket_path=socket_path,
                              cwd=directory)
        t.equal(program.process.returncode, 0, "exit code of the parent")
        with Connection(socket_path) as client:  # at once
            t.equal(client.command(READ_KEYS, t.own(t.disk.open())), KEYS, "answer")
        fds = procfs.fds(pid)
        t.equal([fds[number] for number in range(3)], [os.devnull] * 3, "standard fds")
        t.equal(os.readlink(f"/proc/{pid}/cwd"), "/", "directory")
        t.check(os.getsid(pid) != os.getsid(0) and os.getsid(pid) != program.pid,
                "it is in a session of another process")
        t.equal(program.log(), "", "standard error")
        os.kill(pid, signal.SIGTERM)
        t.gone(pid, "the background process")
        reap(pid)
        t.check(not os.path.lexists(socket_path) and not os.path.lexists(pidfile),
                "socket or PID file are still there")


@test
def background_works(t):
    t.needs_root()
    directory = t.directory()
    socket_path, pidfile = os.path.join(directory, "socket"), os.path.join(directory, "pid")
    program = t.run("-d", "-f", pidfile, "-k", socket_path, *t.lab.helper_arguments,
                    cwd=directory)
    t.equal(program.process.returncode, 0, "exit code of the parent")
    t.soon("serving", lambda: serving(socket_path))
    with open(pidfile, encoding="ascii") as file:
        pid = int(file.read())
    t.cleanup.callback(kill_and_reap, pid)
    t.equal(os.readlink(f"/proc/{pid}/cwd"), "/", "directory")
    os.kill(pid, signal.SIGTERM)
    t.gone(pid, "the background process")


@cases(("live socket", ["-f", "{directory}/pid"], "{live}", r"{live}"),
       ("missing directory", ["-f", "{directory}/pid"], "/no/such/directory/socket",
        "No such file"),
       ("locked PID file", ["-f", "{locked}"], "{directory}/socket", "Cannot lock pid file"),
       ("unknown user", ["-f", "{directory}/pid", "-u", "no-such-user"], "{directory}/socket",
        "invalid user"))
@ours("the peer's parent does not tell")
def background_that_fails(t, options, socket_path, message):
    directory = t.directory()
    first = t.start("-f", os.path.join(directory, "locked"))
    names = {"directory": directory, "live": first.socket_path,
             "locked": os.path.join(directory, "locked")}
    program = t.run("-d", *t.lab.helper_arguments, *[one.format(**names) for one in options],
                    "-k", socket_path.format(**names))
    t.equal(program.process.returncode, 1, "exit code of the parent")
    t.matches("^qemu-pr-helper: .*" + message.format(**names), program.log(), "standard error")
    t.works(first)


@test
@ours("the peer resolves it after changing the directory, and so would write to /")
def background_with_a_relative_pidfile(t):
    directory = t.directory()
    socket_path = os.path.join(directory, "socket")
    program, pid = t.daemon("-f", "relative.pid", cwd=directory, socket_path=socket_path,
                          pidfile=os.path.join(directory, "relative.pid"))
    t.equal(program.process.returncode, 0, "exit code of the parent")
    os.kill(pid, signal.SIGTERM)
    t.gone(pid, "the background process")


@test
def default_pidfile_in_the_background(t):
    run_directory = t.directory()
    program = t.run("-d", *t.lab.helper_arguments,
                    wrap=t.namespace(f"mount --bind {shlex.quote(run_directory)} /run"))
    t.equal(program.process.returncode, 0, "exit code of the parent")
    path = os.path.join(run_directory, "qemu-pr-helper.pid")
    t.soon("serving", lambda: serving(os.path.join(run_directory, "qemu-pr-helper.sock")))
    with open(path, encoding="ascii") as file:
        pid = int(file.read())
    t.cleanup.callback(kill_and_reap, pid)
    t.check(procfs.state(pid) != "X", "the PID file names no process")


# -- callers


@test
def started_as_by_libvirt(t):
    """Only -k, in the foreground; it polls for the file, chowns the socket, closes our stderr."""
    t.needs_root()
    directory = t.directory()
    path = os.path.join(directory, "pr-helper0.sock")
    read_end, write_end = os.pipe()
    helper = t.start(socket_path=path, stderr=write_end, ready=False)
    os.close(write_end)
    t.equal(helper.argv, [t.lab.binary, "-k", path, *t.lab.helper_arguments], "arguments")
    t.eventually("the socket file", lambda: os.path.exists(path), helper=helper)
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    os.close(read_end)
    if t.peer:
        helper.wait_ready()  # its socket is there before it listens
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)  # QEMU does not try twice
    t.works(helper)
    for _ in range(5):
        with t.connect(helper) as client:
            client.send(bytes(16))
            t.dropped(client)
    t.check(procfs.state(helper.pid) != "X", "it went into the background")
    t.stop(helper)
    t.check(not os.path.lexists(path), "the socket file is still there")


@test
def started_as_by_kubevirt(t):
    """One for a node: a directory of its own that is watched, nothing but -k."""
    directory = os.path.join(t.directory(), "kubevirt", "daemons", "pr")
    os.makedirs(directory)
    watch = Watch(directory)
    t.cleanup.callback(watch.close)
    path = os.path.join(directory, "pr-helper.sock")
    helper = t.start(socket_path=path, ready=False)
    watch.wait("create", "pr-helper.sock")
    t.eventually("serving", lambda: serving(path), helper=helper)
    clients = [t.connect(helper) for _ in range(20)]
    for client in clients:
        client.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.replied(client, KEYS)
    t.stop(helper)
    watch.wait("delete", "pr-helper.sock")
    t.equal([name for event, name in watch.collect()
             if event == "delete" and not name.startswith(".")][-1:],
            ["pr-helper.sock"], "last name that went")
