# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the helper tells: its log, traces, its status."""
import json
import os
import re
import shlex
import socket
import shutil
import stat
import subprocess

from support import procfs, scaled, scsi
from support.client import Connection, check_condition, reply
from support.tap import Skip, cases, differs, ours, row_differs, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
REFUSED = check_condition(5, 0x20, 0)
NO_OPTION = "the peer has no such option"


# -- log


class Syslog:
    """A /dev/log of the test's own."""

    def __init__(self, t):
        self.directory = t.directory()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        t.cleanup.callback(self.socket.close)
        self.socket.bind(os.path.join(self.directory, "log"))
        os.chmod(os.path.join(self.directory, "log"), 0o666)  # as everywhere
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
    program, pid = t.daemon("-f", pidfile, wrap=log.wrap, pidfile=pidfile,
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
    t.works(helper)
    t.stop(helper)


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
    t.works(helper)
    t.stop(helper)


@test
@differs("the peer waits for a reader", failure="timed out|still running")
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
        with t.connect(helper, timeout=2 if t.peer else 10) as client:
            client.send(b"\0" * 16)
            t.dropped(client)
    t.works(helper)
    t.stop(helper)


@cases(row_differs("the peer sends its log to a client", "sent before closing: .* byte 0 on 71",
                   "all", "0<&- 1>&- 2>&-", (0, 1, 2), before=(11,)),
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
    t.works(helper)
    t.stop(helper)


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
    t.works(helper)


@test
@ours("the peer's levels are its own affair")
def levels(t):
    quiet, usual, verbose, more = (t.start(*options) for options in
                                   (["-q"], [], ["-v"], ["-v", "-v"]))
    for helper in (quiet, usual, verbose, more):
        refused(t, helper)
        t.stop(helper)
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
        t.matches(r"^[a-z][a-z0-9_]*( [a-z]+)+$", line, "an event's name and arguments")


@test
def unknown_trace_event(t):
    helper = t.start("-T", "no_such_event")
    helper.wait_log(r"^(qemu-pr-helper: )?warning: trace event 'no_such_event' does not exist$")
    t.works(helper)


@test
def unknown_trace_pattern_is_fine(t):
    helper = t.start("-T", "no_such_*", "-T", "-no_such_*",
                     *([] if t.peer else ["-T", "no_such_?"]))
    t.works(helper)
    t.equal(helper.log(), "", "standard error")


def events(t):
    return [line.split()[0] for line in t.run("-T", "help").output().splitlines()]


def trace_lines(text, names):
    return [line for line in text.splitlines()
            if any(re.search(rf"(^|\s){re.escape(name)}( |$)", line) for name in names)]


@test
@ours("the peer has no event of its own")
def trace_of_everything(t):
    names = events(t)
    helper = t.start("-T", "*")
    t.works(helper)
    t.stop(helper)
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
    t.works(helper)
    t.stop(helper)
    with open(f"{directory}/trace-{helper.pid}", encoding="utf-8") as file:
        t.check(trace_lines(file.read(), names), "nothing in the trace file")
    t.equal(helper.log(), "", "standard error")
    t.equal(os.listdir(directory), [f"trace-{helper.pid}"], "files")


@test
@ours("the peer has no event of its own")
def trace_of_one_command(t):
    """From the connect to the disconnect, in order, each event with all of its arguments. With a status
    the client is looked at once, when or before its first request is executed: kernels before 6.5 have
    to be asked early."""
    arguments = {words[0]: words[1:] for words in
                 map(str.split, t.run("-T", "help").output().splitlines())}
    path = os.path.join(t.directory(), "trace")
    helper = t.start("-T", f"*,file={path}", f"--status-socket={t.directory()}/status")
    t.disk.answer(status=scsi.RESERVATION_CONFLICT)
    t.ask(READ_KEYS, t.own(t.disk.open()), reply(scsi.RESERVATION_CONFLICT), helper=helper)
    t.stop(helper)
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    for stamp, name, *values in lines:
        t.matches(rf"^{helper.pid}@\d+\.\d{{6}}$", stamp, "pid and time")
        t.equal([value.partition("=")[0] for value in values], arguments[name], f"of {name}")
    lines = [line for line in lines if not line[1].startswith("thread_")]
    request = [line[1] for line in lines].index("request")
    number = lines[request][2]
    device = f"{os.major(t.disk.rdev)}:{os.minor(t.disk.rdev)}"
    events = [line[1:] for line in lines if line[2] == number]
    names = [event[0] for event in events]
    peer = names.index("peer")
    t.check(names.index("handshake") < peer < names.index("route"), f"the client's turn in {names}")
    t.equal(events.pop(peer), ["peer", number, f"pid={os.getpid()}", f"uid={os.getuid()}", 'vm=""'],
            "the client")
    t.equal(events,
            [["connect", number], ["handshake", number, "features=0x0"],
             ["request", number, "opcode=0x5e", "action=0x00", "length=16"],
             ["route", number, f"device={device}", "kind=block", "verdict=issue"],
             ["device_result", number, "errno=0", "status=0x18", "host=0x00", "driver=0x00"],
             ["reply", number, "status=0x18", "size=0"], ["disconnect", number]], "events")


@cases(("the journal", "journal"), ("syslog", "syslog"))
@ours("the peer has no event of its own")
def trace_where_lines_are_stamped(t, where):
    """The receiver of the line knows pid and time: they are not said twice."""
    if where == "syslog":
        log = Syslog(t)
        helper = t.start("-T", "reply", "--log=syslog", wrap=log.wrap)
        t.works(helper)
        log.wait(rf"^<\d+>.*\[{helper.pid}\]: reply connection=\d+ status=0x00 size=16$")
        return
    with open(os.path.join(t.directory(), "journal"), "w+", encoding="utf-8") as journal:
        info = os.fstat(journal.fileno())
        helper = t.start("-T", "reply", stderr=journal.fileno(),
                         env={"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
        t.works(helper)
        journal.seek(0)
        t.matches(r"^<7>reply connection=\d+ status=0x00 size=16$", journal.read().rstrip(), "line")


@test
@ours("the peer has no event of its own")
def trace_to_a_pipe_that_nobody_reads(t):
    """It must hold up no client; not even the start waits for a reader."""
    path = os.path.join(t.directory(), "pipe")
    os.mkfifo(path)
    reader = t.own(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    helper = t.start("-T", f"*,file={path}")
    fd = t.own(t.disk.open())
    with t.connect(helper, timeout=5) as client:
        for _ in range(500):
            t.equal(client.command(READ_KEYS, fd), KEYS, "answer")
    t.check(len(os.read(reader, 1 << 20)) > 60000, "the pipe was not full")
    t.stop(helper)


@cases(("missing directory", "/no/such/directory/file"), ("directory", "/tmp"),
       ("pipe without a reader", None))
@ours("the peer has no event of its own")
def trace_file_that_cannot_be_opened(t, path):
    if not path:
        path = os.path.join(t.directory(), "pipe")
        os.mkfifo(path)
    t.fails("-T", f"*,file={path}", message=r"^qemu-pr-helper: cannot open trace file /.*: \w")


@test
@ours("the peer has no event of its own")
def limits_are_traced(t):
    helper = t.start("-T", "limit", "--max-clients=1", "--client-timeout=1", ready=False)
    helper.wait_until("listening", lambda: os.path.exists(helper.socket_path))
    first = t.connect(helper, handshake=False)
    with t.connect(helper, handshake=False) as second:
        t.dropped(second)
    helper.wait_log(r"limit connection=\d+ what=max-clients$")
    first.receive(4)
    t.dropped(first)
    helper.wait_log(r"limit connection=\d+ what=client-timeout$")


@test
@ours("the peer has no probes")
def probes(t):
    """Where <sys/sdt.h> was there at build time, each event is a USDT probe with its arguments."""
    if not shutil.which("readelf"):
        raise Skip("no readelf")
    notes = subprocess.run(["readelf", "-n", t.lab.binary], check=True, capture_output=True,
                           text=True).stdout
    found = re.findall(r"Provider: qemu_pr_helper\s+Name: (\w+)\s+Location: \w+, Base: \w+, "
                       r"Semaphore: (\w+)\s+Arguments: (.*)", notes)
    if not found:
        raise Skip("built without <sys/sdt.h>")
    for line in t.run("-T", "help").output().splitlines():
        name, *arguments = line.split()
        rows = [row for row in found if row[0] == name]
        t.check(rows, f"{name} is no probe")
        for _, semaphore, operands in rows:
            t.check(int(semaphore, 16), f"{name} has no semaphore")
            t.equal(len(operands.split()), len(arguments), f"arguments of {name}")


@test
@ours("the peer has no event of its own")
def trace_patterns_apply_left_to_right(t):
    names = events(t)
    for options, wanted in (([names[0]], {names[0]}), ([f"enable={names[0]}"], {names[0]}),
                            (["*", "-*"], set()), (["-*", names[0]], {names[0]}),
                            (["*", "-" + names[0]], None)):
        helper = t.start(*[word for option in options for word in ("-T", option)])
        t.works(helper)
        t.stop(helper)
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
    t.works(helper)
    t.stop(helper)
    t.equal(len(re.findall("warning", helper.log())), 1, "warnings")
    t.check(not trace_lines(helper.log(), [names[0]]), "a disabled event is traced")


@test
def unreadable_trace_events_file(t):
    t.fails("-T", "events=/no/such/file", message=r"/no/such/file: No such file")


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
    t.needs_option("status-socket")
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}", "--status-mode=0640")
    t.eventually("status socket", lambda: os.path.exists(path), helper=helper)
    t.equal(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o640", "mode")
    t.check(isinstance(read_status(path), dict), "the status is no JSON object")
    clients = [t.connect(helper) for _ in range(3)]
    t.works(helper)
    t.check(read_status(path) != {}, "the status is empty")
    del clients
    t.stop(helper)
    t.check(not os.path.lexists(path), "the status socket is still there")


@test
@ours(NO_OPTION)
def status_socket_with_pid_in_its_name(t):
    t.needs_option("status-socket")
    directory = t.directory()
    helper = t.start(f"--status-socket={directory}/status-%d")
    path = f"{directory}/status-{helper.pid}"
    t.eventually("status socket", lambda: os.path.exists(path), helper=helper)
    read_status(path)


@test
@ours(NO_OPTION)
def status_is_told_while_commands_hang(t):
    t.needs_option("status-socket")
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
    """No client waits for it."""
    t.needs_option("status-socket")
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}")
    idle = []
    for _ in range(50):
        one = socket.socket(socket.AF_UNIX)
        t.cleanup.callback(one.close)
        one.connect(path)
        idle.append(one)
    t.works(helper)
    t.check(isinstance(read_status(path), dict), "the status is no JSON object")
    t.stop(helper)
