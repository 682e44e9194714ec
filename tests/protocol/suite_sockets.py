# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the helper listens: paths, modes, what is in the way, sockets that it is given."""
import grp
import os
import pwd
import re
import shlex
import signal
import socket
import stat

from support.inotify import Watch
from support.systemd import activation, passing
from support.tap import cases, differs, ours, row_differs, row_ours, test

from protocol.fixture import umask
from protocol.healthy import KEYS, READ_KEYS

NO_OPTION = "the peer has no such option"


# -- sockets


@cases("socket", "./socket", "", "dir/socket")
def relative_socket_path(t, path):
    program = t.run("-k", path)
    t.equal(program.process.returncode, 1, "exit code")
    t.equal(program.log(), "qemu-pr-helper: socket path must be absolute\n", "standard error")


@test
def default_socket_path(t):
    run_directory = t.directory()
    t.start(socket_path="", wrap=t.namespace(f"mount --bind {shlex.quote(run_directory)} /run")
            ).at(os.path.join(run_directory, "qemu-pr-helper.sock")).wait_ready()


def long_path(t, size):
    directory = t.directory()
    return directory + "/" + "s" * (size - len(directory) - 1)


@cases(100, 106, 107)
def long_socket_path(t, size):
    path = long_path(t, size)
    helper = t.start(socket_path=path)
    t.works(helper)
    t.equal(sorted(os.listdir(os.path.dirname(path))), [os.path.basename(path)], "directory")
    t.stop(helper)
    t.equal(os.listdir(os.path.dirname(path)), [], "directory")


@cases(row_differs("the peer serves where almost no client can connect", "still running",
                   "108", 108), 109, 200, 5000)
def too_long_socket_path(t, size):
    program = t.run("-k", long_path(t, size))
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(r"^qemu-pr-helper: .*(too )?long", program.log(), "standard error")


@test
def socket_in_a_missing_directory(t):
    program = t.run("-k", os.path.join(t.directory(), "missing", "socket"))
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(r"^qemu-pr-helper: .*No such file or directory", program.log(), "standard error")


@cases(("022", 0o022), ("077", 0o077), ("000", 0), ("027", 0o027))
def socket_mode_follows_umask(t, mask):
    helper = t.start(before_exec=umask(mask))
    t.equal(oct(stat.S_IMODE(os.stat(helper.socket_path).st_mode)), oct(0o777 & ~mask), "mode")


@cases("0660", "600", "0777", "0")
@ours(NO_OPTION)
def socket_mode(t, mode):
    if mode == "0":
        t.needs_root()  # others cannot connect
    helper = t.start(f"--socket-mode={mode}", before_exec=umask(0o077))
    t.equal(oct(stat.S_IMODE(os.stat(helper.socket_path).st_mode)), oct(int(mode, 8)), "mode")


@cases(("user", "--socket-user=nobody", True, False),
       ("group", f"--socket-group={grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name}", False,
        True),
       ("both, by number", f"--socket-user={pwd.getpwnam('nobody').pw_uid}", True, False))
@ours(NO_OPTION)
def socket_owner(t, option, user, group):
    t.needs_root()
    nobody = pwd.getpwnam("nobody")
    helper = t.start(option)
    status = os.stat(helper.socket_path)
    t.equal((status.st_uid, status.st_gid),
            (nobody.pw_uid if user else 0, nobody.pw_gid if group else os.getegid()), "owner")


@test
@ours("the peer's socket is there before it listens")
def socket_that_can_be_seen_can_be_connected_to(t):
    """And it has its mode and owner already."""
    for _ in range(20):
        helper = t.start("--socket-mode=0606", ready=False, before_exec=umask(0o077))
        while True:
            try:
                status = os.stat(helper.socket_path)
                break
            except FileNotFoundError:
                t.check(helper.running, "the helper ended")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(helper.socket_path)
        t.equal(oct(stat.S_IMODE(status.st_mode)), "0o606", "mode")
        helper.wait_ready()
        helper.close()


@test
def watcher_sees_the_name_come_and_go(t):
    directory = t.directory()
    os.mkdir(os.path.join(directory, "socket"))
    watch = Watch(os.path.join(directory, "socket"))
    t.cleanup.callback(watch.close)
    helper = t.start(directory=directory,
                     socket_path=os.path.join(directory, "socket", "pr-helper.sock"))
    watch.wait("create", "pr-helper.sock")
    t.stop(helper)
    watch.wait("delete", "pr-helper.sock")
    t.equal(os.listdir(os.path.join(directory, "socket")), [], "left in the directory")


@test
def stale_socket_is_replaced(t):
    directory = t.directory()
    path = os.path.join(directory, "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
        stale.listen()
    t.works(t.start(directory=directory))


@test
@differs("the peer steals it", failure="still running")
def live_socket_is_an_error(t):
    first = t.start()
    program = t.run("-k", first.socket_path, timeout=0.5)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(rf"^qemu-pr-helper: .*{re.escape(first.socket_path)}", program.log(),
              "standard error")
    t.works(first)


@test
@differs("the peer steals it", failure="still running")
def live_socket_with_a_full_backlog_is_an_error(t):
    path = os.path.join(t.directory(), "socket")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(path)
        live.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for one in waiting:
            t.cleanup.callback(one.close)
            one.setblocking(False)
            one.connect_ex(path)
        program = t.run("-k", path, timeout=0.5)
        t.equal(program.process.returncode, 1, "exit code")
        t.check(os.path.exists(path), "the live socket is gone")


def make_file(path):
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")


def make_link(path):
    make_file(path + ".target")
    os.symlink(path + ".target", path)


@cases(("a file", make_file), ("a pipe", os.mkfifo),
       row_ours("the peer says so as well, in its own way", "a directory", os.mkdir),
       ("a link", make_link), ("a dangling link", lambda path: os.symlink("nowhere", path)))
@differs("the peer deletes it", failure="still running")
def something_else_in_the_way_is_left_alone(t, make):
    path = os.path.join(t.directory(), "socket")
    make(path)
    before = os.lstat(path)
    program = t.run("-k", path, timeout=0.5)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(rf"^qemu-pr-helper: .*{re.escape(path)}", program.log(), "standard error")
    after = os.lstat(path)
    t.equal((after.st_ino, after.st_mode, after.st_size),
            (before.st_ino, before.st_mode, before.st_size), "what was there")


# -- socket activation


def listener(t, path=None):
    path = path or os.path.join(t.directory(), "activated")
    sock = socket.socket(socket.AF_UNIX)
    t.cleanup.callback(sock.close)
    sock.bind(path)
    sock.listen(16)
    return sock, path


@test
def socket_activation(t):
    sock, path = listener(t)
    waiting = socket.socket(socket.AF_UNIX)  # may have come before the helper was started
    t.cleanup.callback(waiting.close)
    waiting.connect(path)
    helper = t.start(socket_path="", wrap=activation, **passing(sock)).at(path).wait_ready()
    t.works(helper)
    with open(f"/proc/{helper.pid}/fdinfo/3", encoding="ascii") as info:
        flags = int(re.search(r"^flags:\s*([0-7]+)$", info.read(), re.MULTILINE).group(1), 8)
    t.check(flags & os.O_CLOEXEC, "close-on-exec is not set on the listening socket")
    sock.close()
    t.stop(helper)
    t.check(os.path.exists(path), "the service manager's socket file was removed")


@cases(("alone", False), row_ours(NO_OPTION, "beside a status socket", True))
def queue_of_a_passed_socket_is_for_the_next_helper(t, status):
    sock, path = listener(t)

    def start():
        options = [f"--status-socket={t.directory()}/status"] if status else []
        return t.start(*options, socket_path="", wrap=activation, **passing(sock)).at(path)
    first = start().wait_ready()
    first.suspend_in_poll()
    waiting = t.connect(first, handshake=False)
    first.signal(signal.SIGTERM)
    first.signal(signal.SIGCONT)
    t.equal(first.wait_exit(5), 0, "exit code")
    t.check(not waiting.readable(0), "a client in the queue was greeted by a helper that stops")
    start()
    waiting.handshake()
    waiting.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.answered(waiting, KEYS)


@test
def socket_activation_and_socket_option(t):
    sock, _ = listener(t)
    t.fails(message=r"^qemu-pr-helper: Unix socket can't be set when using socket activation$",
          wrap=activation, **passing(sock))


def fails_activated(t, *sockets, count="1", message):
    program = t.run(wrap=lambda argv: activation(argv, count), timeout=1, **passing(*sockets))
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(message, program.log(), "standard error")


@test
def two_activated_sockets(t):
    fails_activated(t, listener(t)[0], listener(t)[0], count="2",
                    message=r"^qemu-pr-helper: .*does not support socket activation with "
                            r"LISTEN_FDS > 1$")


@cases("x", "1x", "-1", "", "99999999999999999999")
@differs("the peer aborts, or takes it for none", failure="exit code|still running")
def bad_number_of_activated_sockets(t, count):
    fails_activated(t, listener(t)[0], count=count, message=r"^qemu-pr-helper: .*")


@test
def activation_of_another_process(t):
    """A child of a service inherits the variables."""
    sock, _ = listener(t)
    t.works(t.start(wrap=lambda argv: activation(argv, pid="1"), **passing(sock)))


@test
def no_activated_socket(t):
    t.works(t.start(wrap=lambda argv: activation(argv, "0")))


def tcp_listener(t):
    sock = socket.create_server(("127.0.0.1", 0))
    t.cleanup.callback(sock.close)
    return sock


def unix_socket(t, kind, listening):
    sock = socket.socket(socket.AF_UNIX, kind)
    t.cleanup.callback(sock.close)
    sock.bind(os.path.join(t.directory(), "other"))
    if listening:
        sock.listen()
    return sock


@cases(("TCP", tcp_listener),
       ("not listening", lambda t: unix_socket(t, socket.SOCK_STREAM, False)),
       ("datagrams", lambda t: unix_socket(t, socket.SOCK_DGRAM, False)),
       ("packets", lambda t: unix_socket(t, socket.SOCK_SEQPACKET, True)),
       ("no socket", lambda t: t.open(os.devnull)))
@differs("the peer serves what it can, and gives another reason for the rest",
         failure="still running|standard error")
def unfit_activated_socket(t, make):
    fails_activated(t, make(t), message=r"^qemu-pr-helper: .*AF_UNIX")


@test
def activated_socket_that_is_not_open(t):
    program = t.run(wrap=lambda argv: ["/bin/sh", "-c", 'exec 3<&-; exec "$@"', "sh",
                                       *activation(argv)], timeout=1)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(r"^qemu-pr-helper: .+", program.log(), "standard error")
