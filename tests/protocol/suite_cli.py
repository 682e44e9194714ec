# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options and their values, messages, exit codes, users, the configuration file."""
import os
import pwd
import re
import shlex
import stat

from support import accounts, procfs
from support.process import serving
from support.tap import Skip, cases, differs, ours, row_differs, row_ours, test

NO_OPTION = "the peer has no such option"
NOBODY = pwd.getpwnam("nobody")
MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "man",
                      "qemu-pr-helper.8.rst")


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
                   "log=", "sandbox=", "config=", "quiet", "verbose", "audit=", "status-socket=",
                   "status-mode=", "status-group="):
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
    program = t.fails(option, message=r"--help")
    lines = program.log().splitlines()
    t.equal(len(lines), 2, "lines on standard error")
    t.matches("option", lines[0], "getopt's line")


@cases("-k", "-f", "-T", "-u", "-g", "--socket", "--user")
def missing_argument(t, option):
    t.fails(option, message=r"requires an argument")


@test
@differs("the peer ignores it", failure="still running")
def positional_argument(t):
    t.fails("surprise", message=r"^qemu-pr-helper: .*surprise", timeout=0.5)


@cases("--s", "--so", "--soc", "--socket")
def prefix_of_socket(t, option):
    """Every abbreviation that the peer takes."""
    path = os.path.join(t.directory(), "socket")
    t.works(t.start(f"{option}={path}", socket_path="").at(path).wait_ready())


@cases("--p", "--pid", "--pidfile")
def prefix_of_pidfile(t, option):
    path = os.path.join(t.directory(), "pid")
    helper = t.start(f"{option}={path}")
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), f"{helper.pid}\n", "PID file")


@cases("--u", "--us", "--user")
def prefix_of_user(t, option):
    t.fails(f"{option}=no-such-user", message=r"^qemu-pr-helper: invalid user 'no-such-user'$")


@cases("--g", "--gr", "--group")
def prefix_of_group(t, option):
    t.fails(f"{option}=no-such-group", message=r"^qemu-pr-helper: invalid group 'no-such-group'$")


@cases("--q", "--verb", "--verbose", "--quiet")
def prefix_of_level(t, option):
    t.works(t.start(option))


@cases("--t", "--tr", "--trace")
def prefix_of_trace(t, option):
    program = t.run(f"{option}=help")
    t.equal(program.process.returncode, 0, "exit code")


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
    t.fails(option, value, message=rf"^qemu-pr-helper: {re.escape(message)}$", timeout=0.5)


@cases(("by name", "nobody", NOBODY.pw_uid, NOBODY.pw_gid),
       ("by number", str(NOBODY.pw_uid), NOBODY.pw_uid, NOBODY.pw_gid),
       row_ours("its group is not known", "number without a name", "54321", 54321, None))
@differs("the peer keeps root's group", failure="group ids")
def user(t, value, uid, gid):
    """The group goes with the user."""
    t.needs_root()
    helper = t.start("-u", value)
    for thread in procfs.threads(helper.pid):
        t.equal(thread.uids, [uid] * 4, "user ids")
        if gid is not None:
            t.equal(thread.gids, [gid] * 4, "group ids")
    t.works(helper)


@test
def user_and_group(t):
    t.needs_root()
    helper = t.start("-u", "nobody", "-g", "54322")
    for thread in procfs.threads(helper.pid):
        t.equal((thread.uids, thread.gids), ([NOBODY.pw_uid] * 4, [54322] * 4), "ids")
    t.works(helper)


@test
def group_alone(t):
    t.needs_root()
    helper = t.start("-g", "54322")
    own = 0 if t.peer else accounts.own().uid
    for thread in procfs.threads(helper.pid):
        t.equal((thread.uids, thread.gids), ([own] * 4, [54322] * 4), "ids")
    t.works(helper)


@test
@differs("the peer cannot remove its files any more", failure="gone")
def user_that_may_not_write_there_cleans_up(t):
    t.needs_root()
    pidfile = os.path.join(t.directory(), "pid")
    helper = t.start("-u", "nobody", "-f", pidfile)
    t.stop(helper)
    t.check(not os.path.lexists(helper.socket_path) and not os.path.lexists(pidfile),
            "socket and PID file are not gone")


# -- our options


NUMBERS = ("--io-timeout", "--client-timeout", "--stop-timeout", "--max-clients", "--max-threads")


@cases(*NUMBERS)
@ours(NO_OPTION)
def bad_number(t, option):
    for value in ("", "x", "-1", "1x", " 1", "1.5", "0x10", "+1", "4294967296",
                  "18446744073709551616", "99999999999999999999999"):
        t.fails(f"{option}={value}",
              message=rf"^qemu-pr-helper: .*{option}.*{re.escape(value)}")


@cases("--io-timeout=0", "--client-timeout=0", "--max-clients=0", "--max-threads=0")
@ours(NO_OPTION)
def zero_is_no_limit_but_nonsense(t, option):
    name = option.partition("=")[0]
    t.fails(option, message=rf"^qemu-pr-helper: .*{name}.*0")


@cases("--socket-mode=8", "--socket-mode=1000", "--socket-mode=", "--socket-mode=rw",
       "--socket-mode=-1", "--socket-user=no-such-user", "--socket-user=4294967295",
       "--socket-group=no-such-group", "--log=paper", "--log=", "--sandbox=maybe", "--sandbox=",
       "--status-mode=9", "--status-group=no-such-group")
@ours(NO_OPTION)
def bad_value(t, option):
    name, _, value = option.partition("=")
    t.needs_option(name[2:])
    t.fails(option, message=rf"^qemu-pr-helper: .*{name}.*{re.escape(value)}")


@test
@ours("the peer's manual page is its own affair")
def manual_page_has_every_option(t):
    with open(MANUAL, encoding="utf-8") as file:
        manual = file.read()
    options = re.findall(r"--[a-z][a-z-]+", t.run("--help").output())
    t.check(len(set(options)) > 20, f"options in --help: {options}")
    for option in set(options):
        t.matches(rf"(?m)^(--[^\n]*, |-\w( \w+)?, )?{option}(=[^\n]*)?(, |$)", manual,
                  f"{option} in the manual page")


@test
@ours(NO_OPTION)
def sandbox_off(t):
    helper = t.start("--sandbox=off")
    t.works(helper)
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
    t.works(helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 9000, "time-out of the command")
    t.equal(oct(stat.S_IMODE(os.stat(helper.socket_path).st_mode)), "0o604", "mode")
    t.check(helper.log() != "", "nothing is said at -v")


@test
@ours(NO_OPTION)
def config_file_without_a_last_newline(t):
    helper = t.start(config(t, "verbose\nio-timeout=9"))
    t.works(helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 9000, "time-out of the command")


@test
@ours(NO_OPTION)
def command_line_wins_over_config_file(t):
    file = config(t, "io-timeout=9\nsocket=/nowhere/socket\n")
    for options in ((file, "--io-timeout=8"), ("--io-timeout=8", file)):
        t.lab.control.forget()
        helper = t.start(*options)
        t.works(helper)
        t.equal(t.disk.calls()[-1].timeout_ms, 8000, "time-out of the command")


@test
@ours(NO_OPTION)
def socket_by_config_file(t):
    path = os.path.join(t.directory(), "socket")
    helper = t.start(config(t, f"socket={path}\n"), socket_path="").at(path)
    t.works(helper.wait_ready())


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
    program = t.fails(option, message=re.escape(message))
    t.matches(rf"^qemu-pr-helper: .*{re.escape(path)}:2", program.log(), "where")


@test
@ours(NO_OPTION)
def missing_config_file(t):
    t.fails("--config=/no/such/file", message=r"^qemu-pr-helper: .*/no/such/file.*No such file")


@test
@ours(NO_OPTION)
def config_file_that_is_a_directory(t):
    t.fails(f"--config={t.directory()}", message=r"^qemu-pr-helper: .*Is a directory")


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
    t.works(helper)
    t.equal(t.disk.calls()[-1].timeout_ms, 11000, "time-out of the command")
