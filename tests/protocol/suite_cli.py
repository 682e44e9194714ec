# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options, messages, files, sockets, service managers: everything around the protocol."""
import fcntl
import grp
import json
import os
import pwd
import re
import shlex
import signal
import socket
import stat
import struct
import time

from support import procfs, scaled, scsi
from support.client import Connection, check_condition, reply
from support.inotify import Watch
from support.process import kill_and_reap, reap, serving
from support.systemd import Notify, activation
from support.tap import Skip, cases, differs, limit, ours, row_differs, row_ours, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
REFUSED = check_condition(5, 0x20, 0)
NO_OPTION = "the peer has no such option"


def works(t, helper):
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)


def fails(t, *options, message, **arguments):
    """Exit code 1, and a line on standard error that matches."""
    socket_path = os.path.join(t.directory(), "socket")
    program = t.run("-k", socket_path, *options, **arguments)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(message, program.log(), "standard error")
    t.equal(program.output(), "", "standard output")
    t.soon("no socket left behind", lambda: not os.path.lexists(socket_path), 1)
    return program


def needs_option(t, option):
    """Some options of the plan are not there yet; their tests wait for them."""
    if f"--{option}" not in t.run("--help").output():
        raise Skip(f"this version has no --{option}")


def stop(t, helper, code=0):
    helper.signal(signal.SIGTERM)
    t.equal(helper.wait_exit(5), code, "exit code")


# -- help, version, errors


@cases("-h", "--help", "--hel")
def help_text(t, option):
    program = t.run(option)
    t.equal(program.process.returncode, 0, "exit code")
    t.equal(program.log(), "", "standard error")
    for wanted in ("help", "version", "daemon", "pidfile", "socket", "trace", "user", "group"):
        t.matches(f"--{wanted}", program.output(), "help")


@test
@ours(NO_OPTION)
def help_names_our_options(t):
    text = t.run("--help").output()
    for wanted in ("io-timeout=", "client-timeout=", "stop-timeout=", "max-clients=",
                   "max-threads=", "socket-mode=", "socket-user=", "socket-group=",
                   "log=", "sandbox=", "config=", "quiet", "verbose"):
        t.matches(f"--{wanted}", text, "help")


@cases("-V", "--version")
def version(t, option):
    program = t.run(option)
    t.equal(program.process.returncode, 0, "exit code")
    t.equal(program.log(), "", "standard error")
    t.matches(r"^\S*qemu-pr-helper \d+\.\d+", program.output(), "version")


@cases(("help", "-h"), ("version", "-V"))
def ends_at_once_when_parsed(t, option):
    program = t.run(option, "--no-such-option", "-k", "relative")
    t.equal(program.process.returncode, 0, "exit code")
    t.equal(program.log(), "", "standard error")


@test
def first_error_wins_over_help(t):
    t.equal(t.run("--no-such-option", "-h").process.returncode, 1, "exit code")


@cases("--no-such-option", "-Z", "--daemon=yes")
def unknown_option(t, option):
    program = fails(t, option, message=r"--help")
    lines = program.log().splitlines()
    t.equal(len(lines), 2, "lines on standard error")
    t.matches("option", lines[0], "getopt's line")


@cases("-k", "-f", "-T", "-u", "-g", "--socket", "--user")
def missing_argument(t, option):
    fails(t, option, message=r"requires an argument")


@test
@differs("the peer ignores it", failure="still running")
def positional_argument(t):
    fails(t, "surprise", message=r"^qemu-pr-helper: .*surprise", timeout=0.5)


@cases("--s", "--so", "--soc", "--socket")
def prefix_of_socket(t, option):
    """Every abbreviation that the peer takes."""
    path = os.path.join(t.directory(), "socket")
    works(t, t.start(f"{option}={path}", socket_path="").at(path).wait_ready())


@cases("--p", "--pid", "--pidfile")
def prefix_of_pidfile(t, option):
    path = os.path.join(t.directory(), "pid")
    helper = t.start(f"{option}={path}")
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), f"{helper.pid}\n", "PID file")


@cases("--u", "--us", "--user")
def prefix_of_user(t, option):
    fails(t, f"{option}=no-such-user", message=r"^qemu-pr-helper: invalid user 'no-such-user'$")


@cases("--g", "--gr", "--group")
def prefix_of_group(t, option):
    fails(t, f"{option}=no-such-group", message=r"^qemu-pr-helper: invalid group 'no-such-group'$")


@cases("--q", "--verb", "--verbose", "--quiet")
def prefix_of_level(t, option):
    works(t, t.start(option))


@cases("--t", "--tr", "--trace")
def prefix_of_trace(t, option):
    program = t.run(f"{option}=help")
    t.equal(program.process.returncode, 0, "exit code")


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
    works(t, helper)
    t.equal(sorted(os.listdir(os.path.dirname(path))), [os.path.basename(path)], "directory")
    stop(t, helper)
    t.equal(os.listdir(os.path.dirname(path)), [], "directory")


@cases(row_differs("the peer serves where hardly anybody can connect", "still running",
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


def with_umask(value):
    def before_exec():
        os.umask(value)
    return before_exec


@cases(("022", 0o022), ("077", 0o077), ("000", 0), ("027", 0o027))
def socket_mode_follows_umask(t, umask):
    helper = t.start(before_exec=with_umask(umask))
    t.equal(oct(stat.S_IMODE(os.stat(helper.socket_path).st_mode)), oct(0o777 & ~umask), "mode")


@cases("0660", "600", "0777", "0")
@ours(NO_OPTION)
def socket_mode(t, mode):
    if mode == "0":
        t.needs_root()  # others cannot connect
    helper = t.start(f"--socket-mode={mode}", before_exec=with_umask(0o077))
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
        helper = t.start("--socket-mode=0606", ready=False, before_exec=with_umask(0o077))
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
    stop(t, helper)
    watch.wait("delete", "pr-helper.sock")
    t.equal(os.listdir(os.path.join(directory, "socket")), [], "left in the directory")


@test
def stale_socket_is_replaced(t):
    directory = t.directory()
    path = os.path.join(directory, "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
        stale.listen()
    works(t, t.start(directory=directory))


@test
@differs("the peer steals it", failure="still running")
def live_socket_is_an_error(t):
    first = t.start()
    program = t.run("-k", first.socket_path, timeout=0.5)
    t.equal(program.process.returncode, 1, "exit code")
    t.matches(rf"^qemu-pr-helper: .*{re.escape(first.socket_path)}", program.log(),
              "standard error")
    works(t, first)


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


# -- users and groups


@cases(("user", "-u", "no-such-user", "invalid user 'no-such-user'"),
       ("group", "-g", "no-such-group", "invalid group 'no-such-group'"),
       ("negative user", "-u", "-1", "invalid user '-1'"),
       ("empty user", "-u", "", "invalid user ''"),
       ("user and more", "-u", "1x", "invalid user '1x'"),
       row_differs("the peer stays root", "still running",
                   "user that means none", "-u", "4294967295", "invalid user '4294967295'"),
       row_differs("the peer keeps its group", "still running",
                   "group that means none", "-g", "4294967295", "invalid group '4294967295'"),
       ("user that is too large", "-u", "4294967296", "invalid user '4294967296'"),
       ("group and more", "-g", "1x", "invalid group '1x'"))
def invalid_id(t, option, value, message):
    fails(t, option, value, message=rf"^qemu-pr-helper: {re.escape(message)}$", timeout=0.5)


NOBODY = pwd.getpwnam("nobody")


@cases(("by name", "nobody", NOBODY.pw_uid, NOBODY.pw_gid),
       ("by number", str(NOBODY.pw_uid), NOBODY.pw_uid, NOBODY.pw_gid),
       row_ours("what its group is, nobody says", "number without a name", "54321", 54321, None))
@differs("the peer keeps root's group", failure="group ids")
def user(t, value, uid, gid):
    """The group goes with the user."""
    t.needs_root()
    helper = t.start("-u", value)
    for thread in procfs.threads(helper.pid):
        t.equal(thread.uids, [uid] * 4, "user ids")
        if gid is not None:
            t.equal(thread.gids, [gid] * 4, "group ids")
    works(t, helper)


@test
def user_and_group(t):
    t.needs_root()
    helper = t.start("-u", "nobody", "-g", "54322")
    for thread in procfs.threads(helper.pid):
        t.equal((thread.uids, thread.gids), ([NOBODY.pw_uid] * 4, [54322] * 4), "ids")
    works(t, helper)


@test
def group_alone(t):
    t.needs_root()
    helper = t.start("-g", "54322")
    for thread in procfs.threads(helper.pid):
        t.equal((thread.uids, thread.gids), ([0] * 4, [54322] * 4), "ids")
    works(t, helper)


@test
@differs("the peer cannot remove its files any more", failure="gone")
def user_that_may_not_write_there_cleans_up(t):
    t.needs_root()
    pidfile = os.path.join(t.directory(), "pid")
    helper = t.start("-u", "nobody", "-f", pidfile)
    stop(t, helper)
    t.check(not os.path.lexists(helper.socket_path) and not os.path.lexists(pidfile),
            "socket and PID file are not gone")


# -- our options


NUMBERS = ("--io-timeout", "--client-timeout", "--stop-timeout", "--max-clients", "--max-threads")


@cases(*NUMBERS)
@ours(NO_OPTION)
def bad_number(t, option):
    for value in ("", "x", "-1", "1x", " 1", "1.5", "0x10", "+1", "4294967296",
                  "18446744073709551616", "99999999999999999999999"):
        fails(t, f"{option}={value}",
              message=rf"^qemu-pr-helper: .*{option}.*{re.escape(value)}")


@cases("--io-timeout=0", "--client-timeout=0", "--max-clients=0", "--max-threads=0")
@ours(NO_OPTION)
def zero_is_no_limit_but_nonsense(t, option):
    name = option.partition("=")[0]
    fails(t, option, message=rf"^qemu-pr-helper: .*{name}.*0")


@cases("--socket-mode=8", "--socket-mode=1000", "--socket-mode=", "--socket-mode=rw",
       "--socket-mode=-1", "--socket-user=no-such-user", "--socket-user=4294967295",
       "--socket-group=no-such-group", "--log=paper", "--log=", "--sandbox=maybe", "--sandbox=",
       "--status-mode=9", "--status-group=no-such-group")
@ours(NO_OPTION)
def bad_value(t, option):
    name, _, value = option.partition("=")
    needs_option(t, name[2:])
    fails(t, option, message=rf"^qemu-pr-helper: .*{name}.*{re.escape(value)}")


@test
@ours(NO_OPTION)
def sandbox_off(t):
    helper = t.start("--sandbox=off")
    works(t, helper)
    t.equal({thread.seccomp for thread in procfs.threads(helper.pid)}, {0}, "seccomp mode")


# -- configuration file


def config(t, text):
    path = os.path.join(t.directory(), "config")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return f"--config={path}"


@test
@ours(NO_OPTION)
def config_file(t):
    helper = t.start(config(t, "# a comment\n\n  \t\nio-timeout=9\n  socket-mode = 0604  \r\n"
                               "\t# another\nverbose\n"))
    works(t, helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 9000, "time-out of the command")
    t.equal(oct(stat.S_IMODE(os.stat(helper.socket_path).st_mode)), "0o604", "mode")
    t.check(helper.log() != "", "nothing is said at -v")


@test
@ours(NO_OPTION)
def config_file_without_a_last_newline(t):
    helper = t.start(config(t, "verbose\nio-timeout=9"))
    works(t, helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 9000, "time-out of the command")


@test
@ours(NO_OPTION)
def command_line_wins_over_config_file(t):
    file = config(t, "io-timeout=9\nsocket=/nowhere/socket\n")
    for options in ((file, "--io-timeout=8"), ("--io-timeout=8", file)):
        t.lab.control.forget()
        helper = t.start(*options)
        works(t, helper)
        t.equal(t.disk.calls()[-1].timeout_ms, 8000, "time-out of the command")


@test
@ours(NO_OPTION)
def socket_by_config_file(t):
    path = os.path.join(t.directory(), "socket")
    helper = t.start(config(t, f"socket={path}\n"), socket_path="").at(path)
    works(t, helper.wait_ready())


@cases(("unknown option", "no-such-option=1\n", "no-such-option"),
       ("short option", "v\n", "'v'"), ("with dashes", "--verbose\n", "--verbose"),
       ("missing value", "io-timeout\n", "io-timeout"),
       ("value too many", "verbose=yes\n", "verbose"),
       ("bad value", "io-timeout=soon\n", "--io-timeout=soon"),
       ("help", "help\n", "help"), ("a file in a file", "config=/dev/null\n", "config"))
@ours(NO_OPTION)
def bad_config_file(t, text, message):
    option = config(t, "# line one\n" + text)
    path = option.partition("=")[2]
    program = fails(t, option, message=re.escape(message))
    t.matches(rf"^qemu-pr-helper: .*{re.escape(path)}:2", program.log(), "where")


@test
@ours(NO_OPTION)
def missing_config_file(t):
    fails(t, "--config=/no/such/file", message=r"^qemu-pr-helper: .*/no/such/file.*No such file")


@test
@ours(NO_OPTION)
def config_file_that_is_a_directory(t):
    fails(t, f"--config={t.directory()}", message=r"^qemu-pr-helper: .*Is a directory")


@test
@ours(NO_OPTION)
def default_config_file(t):
    """Read without being named: libvirt passes only -k."""
    found = re.search(r"/\S*/qemu-pr-helper\.conf", t.run("--help").output())
    t.check(found, "the help does not name the default configuration file")
    directory = os.path.dirname(found.group())
    if not os.path.isdir(directory):
        raise Skip(f"{directory} does not exist, so there is nothing to lay a file over")
    over = t.directory()
    with open(os.path.join(over, "qemu-pr-helper.conf"), "w", encoding="ascii") as file:
        file.write("io-timeout=11\n")
    helper = t.start(wrap=t.namespace(
        f"mount -t overlay overlay -o lowerdir={shlex.quote(over)}:{directory} {directory}"),
        ready=False)
    helper.wait_until("started or not", lambda: serving(helper.socket_path) or not helper.running)
    works(t, helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 11000, "time-out of the command")


# -- status socket


def read_status(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(scaled(5))
        client.connect(path)
        data = b""
        while piece := client.recv(65536):
            data += piece
    return json.loads(data)


@test
@ours(NO_OPTION)
def status_socket(t):
    needs_option(t, "status-socket")
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}", "--status-mode=0640")
    t.eventually("status socket", lambda: os.path.exists(path), helper=helper)
    t.equal(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o640", "mode")
    t.check(isinstance(read_status(path), dict), "the status is no JSON object")
    clients = [t.connect(helper) for _ in range(3)]
    works(t, helper)
    t.check(read_status(path) != {}, "the status is empty")
    del clients
    stop(t, helper)
    t.check(not os.path.lexists(path), "the status socket is still there")


@test
@ours(NO_OPTION)
def status_socket_with_pid_in_its_name(t):
    needs_option(t, "status-socket")
    directory = t.directory()
    helper = t.start(f"--status-socket={directory}/status-%d")
    path = f"{directory}/status-{helper.pid}"
    t.eventually("status socket", lambda: os.path.exists(path), helper=helper)
    read_status(path)


@test
@ours(NO_OPTION)
def status_is_told_while_commands_hang(t):
    needs_option(t, "status-socket")
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}")
    t.disk.hold()
    client = t.connect(helper)
    client.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    t.check(isinstance(read_status(path), dict), "the status is no JSON object")
    t.disk.release()
    t.answered(client, KEYS)


@test
@ours(NO_OPTION)
def status_client_that_never_reads(t):
    """Nobody waits for it."""
    needs_option(t, "status-socket")
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}")
    idle = []
    for _ in range(50):
        one = socket.socket(socket.AF_UNIX)
        t.cleanup.callback(one.close)
        one.connect(path)
        idle.append(one)
    works(t, helper)
    t.check(isinstance(read_status(path), dict), "the status is no JSON object")
    stop(t, helper)


# -- socket activation


def listener(t, path=None):
    path = path or os.path.join(t.directory(), "activated")
    sock = socket.socket(socket.AF_UNIX)
    t.cleanup.callback(sock.close)
    sock.bind(path)
    sock.listen(16)
    return sock, path


def passing(*sockets):
    """Put these at fd 3 and following, as the service manager does."""
    fds = [sock if isinstance(sock, int) else sock.fileno() for sock in sockets]

    def before_exec():
        safe = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        for number, fd in enumerate(safe, 3):
            os.dup2(fd, number)
            os.close(fd)
    return {"before_exec": before_exec,
            "pass_fds": tuple(set(fds) | set(range(3, 3 + len(fds))))}


@test
def socket_activation(t):
    sock, path = listener(t)
    waiting = socket.socket(socket.AF_UNIX)  # may have come before the helper was started
    t.cleanup.callback(waiting.close)
    waiting.connect(path)
    helper = t.start(socket_path="", wrap=activation, **passing(sock)).at(path).wait_ready()
    works(t, helper)
    with open(f"/proc/{helper.pid}/fdinfo/3", encoding="ascii") as info:
        flags = int(re.search(r"^flags:\s*([0-7]+)$", info.read(), re.MULTILINE).group(1), 8)
    t.check(flags & os.O_CLOEXEC, "close-on-exec is not set on the listening socket")
    sock.close()
    stop(t, helper)
    t.check(os.path.exists(path), "the service manager's socket file was removed")


@test
def socket_activation_and_socket_option(t):
    sock, _ = listener(t)
    fails(t, message=r"^qemu-pr-helper: Unix socket can't be set when using socket activation$",
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
    works(t, t.start(wrap=lambda argv: activation(argv, pid="1"), **passing(sock)))


@test
def no_activated_socket(t):
    works(t, t.start(wrap=lambda argv: activation(argv, "0")))


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
    works(t, helper)
    t.check("STOPPING=1" not in notify.collect(), "stopping before its time")
    stop(t, helper)
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
    notify.wait("WATCHDOG=1", timeout=3, count=5)
    t.disk.hold()
    client = t.connect(helper)
    client.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    seen = notify.collect().count("WATCHDOG=1")
    notify.wait("WATCHDOG=1", timeout=3, count=seen + 5)


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
    works(t, helper)
    time.sleep(0.2)  # ten of its periods
    t.check("WATCHDOG=1" not in notify.collect(), "a watchdog that is not ours is fed")


@test
@ours("the peer does not notify")
def no_notification_when_the_start_fails(t):
    notify = notified(t)
    fails(t, "-u", "no-such-user", message="invalid user", env=notify.environment())
    t.check("READY=1" not in notify.collect(), "ready, though the start failed")


@test
def notify_socket_that_nobody_reads(t):
    works(t, t.start(env={"NOTIFY_SOCKET": "/no/such/socket"}))


# -- PID file


@test
def pidfile(t):
    path = os.path.join(t.directory(), "pid")
    with open(path, "w", encoding="ascii") as file:
        file.write("123456789012345678901234567890\nand more\n")
    helper = t.start("-f", path)
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), f"{helper.pid}\n", "PID file")
    stop(t, helper)


@test
@differs("the peer leaves it", failure="still there|mode")
def pidfile_mode_and_removal(t):
    path = os.path.join(t.directory(), "pid")
    helper = t.start("-f", path, before_exec=with_umask(0))
    t.equal(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o600", "mode")
    stop(t, helper)
    t.check(not os.path.lexists(path), "the PID file is still there")


def lock_holder(path):
    """The process that keeps others from locking the file, 0 for none."""
    with open(path, "rb+") as file:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, query))
    return 0 if kind == fcntl.F_UNLCK else pid


@test
def pidfile_is_locked_for_life(t):
    path = os.path.join(t.directory(), "pid")
    helper = t.start("-f", path)
    t.equal(lock_holder(path), helper.pid, "holder of the lock")
    works(t, helper)
    t.equal(lock_holder(path), helper.pid, "holder of the lock")


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
    works(t, first)


@test
@differs("the peer has made the socket by then", failure="no socket left behind")
def pidfile_in_a_missing_directory(t):
    fails(t, "-f", "/no/such/directory/pid", message=r"^qemu-pr-helper: .*/no/such/directory/pid")


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


def daemon(t, *options, pidfile, socket_path, **arguments):
    """Start with -d; the pid of the process that stays."""
    program = t.run("-d", *options, "-k", socket_path, *t.lab.helper_arguments, **arguments)
    if program.process.returncode == 0:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        t.cleanup.callback(kill_and_reap, pid)
        return program, pid
    return program, 0


@test
@ours("the peer's parent ends before the child serves")
def background(t):
    directory = t.directory()
    socket_path, pidfile = os.path.join(directory, "socket"), os.path.join(directory, "pid")
    for _ in range(5):
        program, pid = daemon(t, "-f", pidfile, pidfile=pidfile, socket_path=socket_path,
                              cwd=directory)
        t.equal(program.process.returncode, 0, "exit code of the parent")
        with Connection(socket_path) as client:  # at once
            t.equal(client.command(READ_KEYS, t.own(t.disk.open())), KEYS, "answer")
        fds = procfs.fds(pid)
        t.equal([fds[number] for number in range(3)], [os.devnull] * 3, "standard fds")
        t.equal(os.readlink(f"/proc/{pid}/cwd"), "/", "directory")
        t.check(os.getsid(pid) != os.getsid(0) and os.getsid(pid) != program.pid,
                "it is in a session of somebody else")
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
    works(t, first)


@test
@differs("the peer resolves it after changing the directory", failure="FileNotFound|exit code")
def background_with_a_relative_pidfile(t):
    directory = t.directory()
    socket_path = os.path.join(directory, "socket")
    program, pid = daemon(t, "-f", "relative.pid", cwd=directory, socket_path=socket_path,
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


# -- log


class Syslog:
    """A /dev/log of the test's own."""

    def __init__(self, t):
        self.directory = t.directory()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        t.cleanup.callback(self.socket.close)
        self.socket.bind(os.path.join(self.directory, "log"))
        self.socket.settimeout(scaled(5))
        self.wrap = t.namespace(
            "mount -t tmpfs none /dev", "mknod -m 666 /dev/null c 1 3",
            "mknod -m 666 /dev/urandom c 1 9",
            f"ln -s {shlex.quote(self.directory)}/log /dev/log")

    def wait(self, pattern):
        seen = []
        try:
            while not seen or not re.search(pattern, seen[-1]):
                seen.append(self.socket.recv(4096).decode())
        except socket.timeout:
            raise AssertionError(f"nothing like {pattern!r} in syslog: {seen}") from None
        return seen[-1]


def refused(t, helper):
    t.ask(READ_KEYS, t.open(os.devnull), REFUSED, helper=helper)


@test
@ours(NO_OPTION)
def log_to_syslog(t):
    log = Syslog(t)
    helper = t.start("--log=syslog", wrap=log.wrap)
    refused(t, helper)
    log.wait(rf"^<\d+>.*qemu-pr-helper\[{helper.pid}\]: .")
    t.equal(helper.log(), "", "standard error")


@test
@ours("the peer's log is its own affair")
def background_logs_to_syslog(t):
    log = Syslog(t)
    directory = t.directory()
    pidfile, socket_path = os.path.join(directory, "pid"), os.path.join(directory, "socket")
    program, pid = daemon(t, "-f", pidfile, wrap=log.wrap, pidfile=pidfile,
                          socket_path=socket_path)
    t.equal(program.process.returncode, 0, "exit code of the parent")
    with Connection(socket_path) as client:
        client.command(READ_KEYS, t.open(os.devnull))
    log.wait(rf"qemu-pr-helper\[{pid}\]: .")


@test
@ours("the peer logs to standard error or not at all")
def closed_stderr_turns_to_syslog(t):
    """libvirt reads standard error while it waits, then closes it: writes get EPIPE."""
    log = Syslog(t)
    read_end, write_end = os.pipe()
    helper = t.start(stderr=write_end, wrap=log.wrap)
    os.close(write_end)
    refused(t, helper)
    os.close(read_end)
    for _ in range(30):
        refused(t, helper)
    log.wait(rf"qemu-pr-helper\[{helper.pid}\]: .")
    works(t, helper)
    stop(t, helper)


@test
def closed_stderr_without_syslog(t):
    read_end, write_end = os.pipe()
    helper = t.start(stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    for _ in range(30):
        with t.connect(helper) as client:
            client.send(b"\0" * 16)  # worth a line, as it has no fd
            t.dropped(client)
    works(t, helper)
    stop(t, helper)


@test
@differs("the peer waits for somebody to read", failure="timed out|still running")
def stderr_that_nobody_reads(t):
    read_end, write_end = os.pipe()
    t.own(read_end)
    helper = t.start("-v", "-v", stderr=write_end)
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, bytes(4096))
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)  # the setting is shared with the helper
    os.close(write_end)
    for _ in range(30):
        with t.connect(helper, timeout=2) as client:
            client.send(b"\0" * 16)
            t.dropped(client)
    works(t, helper)
    stop(t, helper)


@cases(row_differs("the peer sends its log to a client", "sent before closing: .* byte 0 on 71",
                   "all", "0<&- 1>&- 2>&-", (0, 1, 2)),
       ("input", "0<&-", (0,)), ("output", "1>&-", (1,)), ("error", "2>&-", (2,)))
def standard_fds_that_are_closed(t, redirection, closed):
    """Nothing of ours may come to lie there: it would be taken for standard error."""
    helper = t.start(wrap=lambda argv: ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *argv])
    if not t.peer:
        fds = procfs.fds(helper.pid)
        t.equal([fds[number] for number in closed], [os.devnull] * len(closed), "standard fds")
    for _ in range(3):
        with t.connect(helper) as client:
            client.send(bytes(16))  # worth a line, as it has no fd
            t.dropped(client)
    works(t, helper)
    stop(t, helper)


@test
@ours("the peer keeps them")
def stray_fds_are_closed(t):
    """A careless parent's pipe must not be kept open by us, nor by our keeper."""
    read_end, write_end = os.pipe()
    t.own(read_end)
    helper = t.start(pass_fds=(write_end,))
    os.close(write_end)
    os.set_blocking(read_end, False)
    t.equal(os.read(read_end, 1), b"", "end of file")
    works(t, helper)


@test
@ours("the peer's levels are its own affair")
def levels(t):
    quiet, usual, verbose, more = (t.start(*options) for options in
                                   (["-q"], [], ["-v"], ["-v", "-v"]))
    for helper in (quiet, usual, verbose, more):
        refused(t, helper)
        stop(t, helper)
    sizes = [len([line for line in helper.log().splitlines() if "CAP_SYS_RAWIO" not in line])
             for helper in (quiet, usual, verbose, more)]
    t.equal(sizes[0], 0, "lines with -q")
    t.check(sizes[1] == 1, f"{sizes[1]} lines without options: {usual.log()!r}")
    t.check(sizes[1] < sizes[2] < sizes[3], f"lines with more and more -v: {sizes}")
    for helper in (usual, verbose, more):
        for line in helper.log().splitlines():
            t.matches(r"^qemu-pr-helper: .", line, "a line of the log")


# -- trace


@cases("help", "?")
@ours("the peer has no event of its own")
def trace_help(t, word):
    program = t.run("-T", word)
    t.equal(program.process.returncode, 0, "exit code")
    t.equal(program.log(), "", "standard error")
    for line in program.output().splitlines():
        t.matches(r"^[a-z][a-z0-9_]*$", line, "an event's name")


@test
def unknown_trace_event(t):
    helper = t.start("-T", "no_such_event")
    helper.wait_log(r"^(qemu-pr-helper: )?warning: trace event 'no_such_event' does not exist$")
    works(t, helper)


@test
def unknown_trace_pattern_is_fine(t):
    helper = t.start("-T", "no_such_*", "-T", "-no_such_*",
                     *([] if t.peer else ["-T", "no_such_?"]))
    works(t, helper)
    t.equal(helper.log(), "", "standard error")


def events(t):
    names = t.run("-T", "help").output().split()
    if not names:
        raise Skip("this version has no trace event")
    return names


def trace_lines(text, names):
    return [line for line in text.splitlines()
            if any(re.search(rf"(^|\s){re.escape(name)}( |$)", line) for name in names)]


@test
@ours("the peer has no event of its own")
def trace_of_everything(t):
    names = events(t)
    helper = t.start("-T", "*")
    works(t, helper)
    stop(t, helper)
    lines = trace_lines(helper.log(), names)
    seen = {name for name in names if trace_lines(helper.log(), [name])}
    t.check(len(seen) >= 5, f"one command is seen in {sorted(seen)} only")
    for line in lines:
        t.matches(rf"\b{helper.pid}\b", line, "pid in a line")
        t.matches(r"\d+[.:]\d+", line, "time in a line")


@test
@ours("the peer has no event of its own")
def trace_to_a_file(t):
    names = events(t)
    directory = t.directory()
    helper = t.start("-T", f"*,file={directory}/no", "-T", f"file={directory}/trace-%d")
    works(t, helper)
    stop(t, helper)
    with open(f"{directory}/trace-{helper.pid}", encoding="utf-8") as file:
        t.check(trace_lines(file.read(), names), "nothing in the trace file")
    t.equal(helper.log(), "", "standard error")


@test
@ours("the peer has no event of its own")
def trace_patterns_apply_left_to_right(t):
    names = events(t)
    for options, wanted in (([names[0]], {names[0]}), ([f"enable={names[0]}"], {names[0]}),
                            (["*", "-*"], set()), (["-*", names[0]], {names[0]}),
                            (["*", "-" + names[0]], None)):
        helper = t.start(*[word for option in options for word in ("-T", option)])
        works(t, helper)
        stop(t, helper)
        seen = {name for name in names if trace_lines(helper.log(), [name])}
        if wanted is None:
            t.check(seen and names[0] not in seen, f"with {options}: {sorted(seen)}")
        else:
            t.check(seen <= wanted, f"with {options}: {sorted(seen)}")


@test
@ours("the peer cuts the last character off")
def trace_events_file(t):
    names = events(t)
    path = os.path.join(t.directory(), "events, and more")
    with open(path, "w", encoding="ascii", newline="") as file:
        file.write(f"# comment\n\n   \n  {names[0]}  \r\n-{names[0]}\n{names[1]}\r\n"
                   "no_such_event")
    escaped = path.replace(",", ",,")
    helper = t.start("-T", f"events={escaped}")
    helper.wait_log("warning: trace event 'no_such_event' does not exist$")
    works(t, helper)
    stop(t, helper)
    t.equal(len(re.findall("warning", helper.log())), 1, "warnings")
    t.check(not trace_lines(helper.log(), [names[0]]), "a disabled event is traced")


@test
def unreadable_trace_events_file(t):
    fails(t, "-T", "events=/no/such/file", message=r"/no/such/file: No such file")


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
    works(t, helper)
    for _ in range(5):
        with t.connect(helper) as client:
            client.send(bytes(16))
            t.dropped(client)
    t.check(procfs.state(helper.pid) != "X", "it went into the background")
    stop(t, helper)
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
    stop(t, helper)
    watch.wait("delete", "pr-helper.sock")
    t.equal([name for event, name in watch.collect() if event == "delete"][-1:],
            ["pr-helper.sock"], "last name that went")
