# SPDX-License-Identifier: LGPL-2.1-or-later
"""A line for each PERSISTENT RESERVE OUT, and whose it was."""
import os
import re
import signal
import socket
import subprocess
import sys

from support import scaled, scsi
from support.client import check_condition, reply
from support.tap import Skip, cases, ours, test

from protocol.machine import REGISTER, Machine

NO_AUDIT = "the peer has no audit"
REFUSED = check_condition(5, 0x20, 0)
GOOD = reply()
CONFLICT = reply(scsi.RESERVATION_CONFLICT)
FIELD = re.compile(r' (\w+)=("(?:[^"\\]|\\.)*"|\S+)')

def audited(helper):
    """The fields of each line."""
    return [dict(FIELD.findall(line)) for line in helper.log().splitlines() if " audit: " in line]


@test
@ours(NO_AUDIT)
def executed(t):
    helper = t.start()
    t.ask(scsi.pr_out(24, scsi.REGISTER), t.own(t.disk.open()), GOOD,
          scsi.parameters(0x11, 0x22, 1), helper=helper)
    t.disk.answer(status=scsi.RESERVATION_CONFLICT)
    t.ask(scsi.pr_out(24, scsi.PREEMPT, 5), t.own(t.disk.open()),
          CONFLICT, scsi.parameters(0x11, 0x33), helper=helper)
    first, second = audited(helper)
    t.matches(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", first.pop("time"), "time")
    t.check(0 <= float(first.pop("ms")) < 10000, "duration")
    name = os.path.basename(t.disk.path)
    t.equal(first, {
        "connection": str(int(second["connection"]) - 1), "pid": str(os.getpid()), "uid": str(os.getuid()),
        "device": f"{os.major(t.disk.rdev)}:{os.minor(t.disk.rdev)}", "kind": "block",
        "command": '"PERSISTENT RESERVE OUT"', "action": '"REGISTER"', "type": "0x0",
        "scope": "0x0", "all_tg_pt": "0", "spec_i_pt": "0", "key": "0x0000000000000011", "sa_key": "0x0000000000000022", "aptpl": "1",
        "outcome": "executed", "status": '"GOOD"', "name": f'"{name}"', "wwn": "unknown",
        "vm": first["vm"], "label": first["label"],
        **({} if first["vm"] == "unknown" else {"vm_source": first["vm_source"]})}, "first line")
    t.equal((second["action"], second["type"], second["status"]),
            ('"PREEMPT"', "write-exclusive-registrants-only", '"RESERVATION CONFLICT"'),
            "second line")


@test
@ours(NO_AUDIT)
def refused(t):
    helper = t.start()
    t.ask(REGISTER, t.own(t.disk.open(os.O_RDONLY)), REFUSED, scsi.parameters(0, 1), helper=helper)
    t.ask(scsi.cleanup(), t.own(t.disk.open(os.O_RDONLY)), REFUSED, helper=helper)
    t.ask(REGISTER, t.open(os.devnull), REFUSED, scsi.parameters(0, 1), helper=helper)
    lines = audited(helper)
    t.equal([line["outcome"] for line in lines], ["refused"] * 3, "outcomes")
    t.equal([line["command"] for line in lines],
            ['"PERSISTENT RESERVE OUT"', '"CLEANUP"', '"PERSISTENT RESERVE OUT"'], "commands")
    for line in lines:
        t.equal(line["sense"], '"ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE (5/20/00)"',
                "sense")
    t.equal(lines[0]["reason"], '"its file descriptor is not open for writing"', "reason")
    t.equal(lines[2]["device"], "none", "device")


@test
@ours(NO_AUDIT)
def reads_are_not_audited(t):
    helper = t.start()
    t.works(helper)
    t.equal(audited(helper), [], "lines")


@cases(("--audit=off", ["--audit=off"], 0), ("-q", ["-q"], 0), ("-q --audit=on", ["-q", "--audit=on"], 1),
       ("-v", ["-v"], 1))
@ours(NO_AUDIT)
def switch(t, options, lines):
    helper = t.start(*options)
    t.ask(REGISTER, t.own(t.disk.open()), GOOD, scsi.parameters(0, 1), helper=helper)
    t.stop(helper)
    t.equal(len(audited(helper)), lines, "lines")


@cases(("with its socket", True), ("without", False))
@ours(NO_AUDIT)
def in_the_journal(t, native):
    """As fields, and as a line with its priority where there is no way to send those."""
    directory = t.directory()
    with open(os.path.join(directory, "journal"), "w+", encoding="utf-8") as journal, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as entries:
        if native:
            entries.bind(os.path.join(directory, "socket"))
            os.chmod(os.path.join(directory, "socket"), 0o666)  # as everywhere
            entries.settimeout(scaled(5))
        info = os.fstat(journal.fileno())
        helper = t.start(stderr=journal.fileno(),
                         env={"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"},
                         wrap=t.namespace("mount -t tmpfs none /run", "mkdir -p /run/systemd/journal",
                                          f"mount --bind {directory} /run/systemd/journal"))
        t.ask(REGISTER, t.own(t.disk.open()), GOOD, scsi.parameters(0, 1), helper=helper)
        journal.seek(0)
        if not native:
            t.matches(r"^<5>audit: connection=\d+ pid=", journal.read(), "line")
            return
        fields = dict(line.split("=", 1) for line in entries.recv(65536).decode().splitlines())
        t.equal(journal.read(), "", "lines beside the entries")
    t.matches(r"^audit: connection=\d+ pid=.* outcome=executed ", fields["MESSAGE"], "message")
    t.matches("^[0-9a-f]{32}$", fields["MESSAGE_ID"], "message's number")
    t.equal([fields[name] for name in
             ("PRIORITY", "SYSLOG_IDENTIFIER", "PRHELPER_ACTION", "PRHELPER_SA_KEY", "PRHELPER_OUTCOME",
              "PRHELPER_STATUS", "PRHELPER_WWN", "PRHELPER_PID")],
            ["5", "qemu-pr-helper", "REGISTER AND IGNORE EXISTING KEY", "0x0000000000000001",
             "executed", "GOOD", "unknown", str(os.getpid())], "fields")


@test
@ours(NO_AUDIT)
def fields_of_attackers(t):
    """A name makes no field of its own in the journal."""
    directory = t.directory()
    with open(os.path.join(directory, "journal"), "w+", encoding="utf-8") as journal, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as entries:
        entries.bind(os.path.join(directory, "socket"))
        os.chmod(os.path.join(directory, "socket"), 0o666)  # as everywhere
        entries.settimeout(scaled(5))
        info = os.fstat(journal.fileno())
        helper = t.start(stderr=journal.fileno(),
                         env={"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"},
                         wrap=t.namespace("mount -t tmpfs none /run", "mkdir -p /run/systemd/journal",
                                          f"mount --bind {directory} /run/systemd/journal"))
        Machine(t, helper, "-name", 'guest=x\nPRHELPER_UID=0\n" uid=0 key=1 \\').register(1)
        lines = entries.recv(65536).decode().splitlines()
    names = [line.split("=", 1)[0] for line in lines]
    t.equal(sorted(names), sorted(set(names)), "fields, each once")
    t.check(r'PRHELPER_VM=x\x0aPRHELPER_UID=0\x0a\" uid=0 key=1 \\' in lines, f"name: {lines}")


@test
@ours(NO_AUDIT)
def nothing_to_do(t):
    """CLEANUP on what is no map: GOOD, and told as that."""
    helper = t.start()
    t.ask(scsi.cleanup(), t.own(t.disk.open()), GOOD, helper=helper)
    line, = audited(helper)
    t.equal((line["command"], line["outcome"]), ('"CLEANUP"', "nothing"), "line")


@test
@ours(NO_AUDIT)
def flood_without_effect(t):
    """It costs the executed ones no line, of the same process or of another."""
    helper, null = t.start(), t.open(os.devnull)
    for _ in range(11):
        with t.connect(helper) as client:
            for _ in range(100):
                t.equal(client.command(scsi.cleanup(), null), GOOD, "answer")
    machine = Machine(t, helper)
    t.equal(machine.register(0xa), scsi.GOOD, "status")
    t.ask(scsi.pr_out(24, scsi.PREEMPT, 5), t.own(t.disk.open()), GOOD,
          scsi.parameters(0x11, 0x33), helper=helper)
    lines = audited(helper)
    t.equal([line["action"] for line in lines if line["outcome"] == "executed"],
            ['"REGISTER AND IGNORE EXISTING KEY"', '"PREEMPT"'], "executed")
    t.check(len(lines) <= 102, f"{len(lines)} lines")


@cases(("registering", GOOD, REGISTER), ("conflicts", CONFLICT, scsi.pr_out(24, scsi.PREEMPT, 5)))
@ours(NO_AUDIT)
def flood_before_a_preemption(t, wanted, cdb):
    """Of commands that take nothing from others: what does has its line all the same."""
    helper = t.start()
    fd = t.own(t.disk.open())
    t.disk.answer(status=wanted.status)
    with t.connect(helper) as client:
        for number in range(150):
            t.equal(client.command(cdb, fd, scsi.parameters(0, number)), wanted, "answer")
    t.disk.answer()
    for action in (scsi.PREEMPT, scsi.CLEAR):
        t.ask(scsi.pr_out(24, action, 5), fd, GOOD, scsi.parameters(0x11, 0x33), helper=helper)
    t.equal([line["action"] for line in audited(helper)][100:], ['"PREEMPT"', '"CLEAR"'], "after 100")


@test
@ours(NO_AUDIT)
def in_flight_at_the_end(t):
    helper = t.start("--stop-timeout=1")
    client = t.connect(helper)
    t.disk.hold()
    client.send_request(scsi.pr_out(24, scsi.PREEMPT, 5), [t.own(t.disk.open())],
                        scsi.parameters(0xa01, 0xbad))
    t.disk.wait_running(1)
    helper.signal(signal.SIGTERM)
    helper.wait_log("audit: .* outcome=unknown", timeout=5)
    line, = audited(helper)
    t.equal((line["action"], line["sa_key"], line["pid"]),
            ('"PREEMPT"', "0x0000000000000bad", str(os.getpid())), "line")
    t.disk.release()
    helper.wait_exit(5)


@test
@ours(NO_AUDIT)
def number_of_a_connection(t):
    """None comes twice."""
    helper = t.start()
    for _ in range(20):
        t.ask(REGISTER, t.own(t.disk.open()), GOOD, scsi.parameters(0, 1), helper=helper)
    numbers = [int(line["connection"]) for line in audited(helper)]
    t.equal(len(set(numbers)), 20, "numbers of 20 connections, one after the other")
    t.equal(numbers, sorted(numbers), "numbers")


@cases(("-name NAME", ["-name", "node-a"], '"node-a"'),
       ("-name guest=", ["-m", "1024", "-name", "debug-threads=on,guest=node b"], '"node b"'),
       ("quotes", ["-name", 'guest=x" uid=0 vm="y'], r'"x\" uid=0 vm=\"y"'),
       ("line break", ["-name", "x\nqemu-pr-helper: audit: x"],
        r'"x\x0aqemu-pr-helper: audit: x"'),
       ("very long", ["-name", "\x01" * 5000], '"' + r"\x01" * 32 + '..."'))
@ours(NO_AUDIT)
def name_of_the_vm(t, arguments, name):
    helper = t.start()
    machine = Machine(t, helper, *arguments)
    t.equal(machine.register(1), scsi.GOOD, "status")
    lines = audited(helper)
    t.equal([(line["pid"], line["vm"], line["vm_source"]) for line in lines],
            [(str(machine.pid), name, "argument")], "lines")


@cases(("the service manager's", "machine.slice", '"by-cgroup"'), ("another", "user.slice", '"by-argument"'))
@ours(NO_AUDIT)
def name_from_the_control_group(t, place, name):
    """It comes before -name, where the service manager made the group: QEMU does not choose it."""
    t.needs_root()
    roots = [root for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids")
             if os.path.exists(os.path.join(root, "cgroup.procs"))]
    if not roots:
        raise Skip("no control groups here")
    parent = os.path.join(roots[0], place)
    path = os.path.join(parent, "machine-qemu\\x2d7\\x2dby\\x2dcgroup.scope")
    try:
        for group in (parent, path):
            if not os.path.isdir(group):
                os.mkdir(group)
                t.cleanup.callback(os.rmdir, group)
    except OSError as error:
        raise Skip(f"no control group can be made here: {error}") from None
    helper = t.start()
    machine = Machine(t, helper, "-name", "by-argument")
    with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as procs:
        procs.write(str(machine.pid))
    t.equal(machine.register(1), scsi.GOOD, "status")
    t.equal(audited(helper)[0]["vm"], name, "name")
    machine.close()


@test
@ours(NO_AUDIT)
def peer_of_another_pid_namespace(t):
    """The helper is in a container of its own: who its clients are it cannot see, and says so."""
    t.needs_root()
    if subprocess.run(["unshare", "--fork", "--pid", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("no PID namespace to be had")
    helper = t.start(prefix=["unshare", "--fork", "--kill-child", "--pid", "--mount-proc"])
    machine = Machine(t, helper, "-name", "node-a")
    t.equal(machine.register(1), scsi.GOOD, "status")
    line, = audited(helper)
    t.equal((line["pid"], line["uid"]), ("unknown", str(os.getuid())), "pid and uid")
    if line["label"] in ("unknown", '"unconfined"'):
        t.equal(line["vm"], "unknown", "name")


@test
@ours(NO_AUDIT)
def process_that_is_gone(t):
    """Its connection lives on in a child. Its pid may be that of any process by now: no name is guessed."""
    helper = t.start()
    client = t.connect(helper)
    script = ("import os, sys, time; sys.path.insert(0, sys.argv[1])\n"
              "from support.client import Connection\n"
              "connection, fd = Connection(sys.argv[2]), os.open(sys.argv[3], os.O_RDWR)\n"
              "if os.fork():\n    os._exit(0)\n"
              "sys.stdin.read(1)\n"
              "from support import scsi\n"
              "print(connection.command(scsi.pr_out(24, scsi.REGISTER_AND_IGNORE), fd,"
              " scsi.parameters(0, 1)).status, flush=True)\n")
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with subprocess.Popen([sys.executable, "-c", script, tests, helper.socket_path, t.disk.path,
                           "-name", "gone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.wait()
        process.stdin.write(b"x")
        process.stdin.flush()
        t.equal(process.stdout.readline(), b"0\n", "status")
    line, = audited(helper)
    t.check(line["vm"] in ("unknown", '"gone"'), f"name: {line['vm']}")
    if line["vm"] != "unknown":
        raise Skip("no SO_PEERPIDFD in this kernel: names are read when clients connect")
    client.close()


@test
@ours(NO_AUDIT)
def flood(t):
    """What is left out is counted; and no client has to wait."""
    helper = t.start()
    fd = t.own(t.disk.open())
    with t.connect(helper) as client:
        for number in range(300):
            t.equal(client.command(REGISTER, fd, scsi.parameters(0, number)), GOOD, "answer")
    t.equal(len(audited(helper)), 100, "lines of one process")
    t.equal(Machine(t, helper).register(1), scsi.GOOD, "status")
    left_out = sum(map(int, re.findall(r"(\d+) messages like the next one were suppressed",
                                       helper.log())))
    t.equal(len(audited(helper)) + left_out, 301, "lines written and left out")
