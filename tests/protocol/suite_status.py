# SPDX-License-Identifier: LGPL-2.1-or-later
"""The status document: its schema, and what the helper writes."""
import copy
import json
import os
import resource
import signal
import socket
import stat
import threading
import time

from support import procfs, scaled, scsi
from support.client import Connection, check_condition, reply
from support.schema import Schema
from support.tap import cases, limit, ours, test
from support.worker import Told as Path
from support.worker import table

from protocol.fake_worker import fake_worker
from protocol.fixture import DEFAULT_DATA
from protocol.machine import REGISTER, Machine
from protocol.suite_devices import Maps

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(TOP, "tests", "protocol", "status-example.json")
NO_STATUS = "the peer has no status socket"


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


SCHEMA = Schema(load(os.path.join(TOP, "docs", "status.schema.json")))


# -- the schema


def variations(value, where="$"):
    """The value with one property less, or with something else in place of one part."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        label = f"{where}.{key}"
        if isinstance(value, dict):
            yield f"{label} left out", {name: item for name, item in value.items() if name != key}
        for wrong in ([{"wrong": 1}], {"wrong": 1}):
            changed = copy.copy(value)
            changed[key] = wrong
            yield f"{label} is {wrong}", changed
        if isinstance(value[key], (dict, list)):
            for text, inner in variations(value[key], label):
                changed = copy.copy(value)
                changed[key] = inner
                yield text, changed


@test
@ours(NO_STATUS)
def example_is_valid(t):
    t.equal(SCHEMA.faults(load(EXAMPLE)), [], "faults")


@test
@ours(NO_STATUS)
def schema_describes_every_part(t):
    """Nothing can be left out of the example, and no part of it be of another kind."""
    count = 0
    for text, document in variations(load(EXAMPLE)):
        t.check(SCHEMA.faults(document), f"still valid with {text}")
        count += 1
    t.check(count > 500, f"{count} variations")


@test
@ours(NO_STATUS)
def example_shows_every_property(t):
    """Who reads the example has seen all that there is."""
    seen = set()

    def walk(value):
        if isinstance(value, dict):
            seen.update(value)
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, (dict, list)):
                walk(item)

    def properties(schema):
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
        for item in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(item, (dict, list)):
                yield from properties(item)

    walk(load(EXAMPLE))
    t.equal(sorted(set(properties(SCHEMA.root)) - seen), [], "properties without an example")


# -- the document


READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
GOOD = reply()
RESERVE = scsi.pr_out(24, scsi.RESERVE, scope_type=5)


class Told:
    """A helper that tells its status."""

    def __init__(self, t, *options, **arguments):
        self.path = os.path.join(t.directory(), "status")
        self.t = t
        self.helper = t.start(f"--status-socket={self.path}", *options, **arguments)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        self.t.cleanup.callback(client.close)
        client.settimeout(scaled(15))
        client.connect(self.path)
        return client

    def read(self, client=None):
        """A whole document, which is valid."""
        client = client or self.connect()
        data = b""
        while piece := client.recv(65536):
            data += piece
        client.close()
        document = json.loads(data)
        self.t.equal(SCHEMA.faults(document), [], "faults of the document")
        return document

    def device(self, disk=None):
        number = (disk or self.t.disk).rdev
        name = f"{os.major(number)}:{os.minor(number)}"
        found = [device for device in self.read()["devices"] if device["device"] == name]
        self.t.equal(len(found), 1, f"records of device {name}")
        return found[0]

    def keys(self, *members):
        """Of each key of the disk: the key as a number, then these members."""
        return [(int(key["key"], 16), *(key[member] for member in members))
                for key in self.device()["keys"]]


class ToldOfMaps(Told):
    """The same, and the disk is a multipath map."""

    def __init__(self, t, *options):
        self.t, self.path = t, os.path.join(t.directory(), "status")
        self.helper = Maps(t, f"--status-socket={self.path}", *options).uuid("mpath-a\n").helper


def counts(device):
    return {(row["command"].split()[-1], row["service_action"], row["result"]): row["count"]
            for row in device["commands"]}


@test
@ours(NO_STATUS)
def document_about_itself(t):
    told = Told(t, "--io-timeout=7", "--max-clients=9", "--audit=off")
    status = told.read()
    t.equal(status["program"], "qemu-pr-helper", "program")
    t.equal(status["pid"], told.helper.pid, "pid")
    t.equal(status["socket"], told.helper.socket_path, "socket")
    t.equal(status["options"], {
        "audit": False, "io_timeout_s": 7, "client_timeout_s": 30,
        "stop_timeout_s": 3, "max_clients": 9, "max_threads": 10,
        "max_buffers_mib": 16}, "options")
    t.check(status["uptime_s"] < 60, "uptime")
    t.equal(status["devices"], [], "devices")
    # The one that looked whether the helper serves.
    t.equal(status["clients"]["accepted"], 1, "clients accepted")
    sandboxed = "--sandbox=off" not in t.lab.helper_arguments
    t.equal(status["sandbox"]["seccomp"], "active" if sandboxed else "off", "seccomp")
    if os.geteuid() == 0:
        t.equal(status["sandbox"]["capabilities"], ["CAP_SYS_RAWIO"], "capabilities")


@test
@ours(NO_STATUS)
def commands_are_counted(t):
    told = Told(t)
    fd = t.own(t.disk.open())
    with t.connect(told.helper) as client:
        for _ in range(3):
            t.equal(client.command(READ_KEYS, fd), KEYS, "answer")
        client.command(scsi.pr_in(8, 7), fd)
        t.disk.answer(status=scsi.RESERVATION_CONFLICT)
        client.command(RESERVE, fd, scsi.parameters(1))
        t.disk.answer(status=scsi.CHECK_CONDITION, sense=scsi.sense(6, 0x29, 0))
        client.command(RESERVE, fd, scsi.parameters(1))
        client.command(REGISTER, t.own(t.disk.open(os.O_RDONLY)), scsi.parameters(0, 1))
        client.command(scsi.cleanup(), fd)
        device = told.device()
        t.equal(counts(device), {
            ("IN", "READ KEYS", "GOOD"): 3, ("IN", "other", "GOOD"): 1,
            ("OUT", "RESERVE", "RESERVATION CONFLICT"): 1, ("OUT", "RESERVE", "CHECK CONDITION"): 1,
            ("OUT", "REGISTER AND IGNORE EXISTING KEY", "refused"): 1,
            ("CLEANUP", None, "GOOD"): 1}, "counts")
        t.equal([(row["command"], row["count"]) for row in device["latency"]],
                [("PERSISTENT RESERVE IN", 4), ("PERSISTENT RESERVE OUT", 2)], "latencies")
        for row in device["latency"]:
            t.equal(row["buckets"][-1]["count"], row["count"], "commands up to the last bound")
            t.check(0 < row["p50_us"] <= row["p90_us"] <= row["p99_us"], "percentiles")
            t.check(row["sum_us"] <= row["count"] * row["max_us"], "sum")
        error = device["last_error"]
        t.equal((error["service_action"], error["result"], error["pid"], error["sense"]),
                ("REGISTER AND IGNORE EXISTING KEY", "refused", os.getpid(),
                 "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE (5/20/00)"), "last error")
        t.equal((device["kind"], device["name"]), ("block", os.path.basename(t.disk.path)), "names")
        status = told.read()
        t.equal(status["requests"], {"total": 8, "busy": 0}, "requests")
        t.equal([one["requests"] for one in status["connections"]], [8], "requests of the client")
    t.eventually("requests counted once the client has gone", lambda: told.read()["connections"] == []
                 and told.read()["requests"]["total"] == 8, helper=told.helper)


@test
@ours(NO_STATUS)
def latency_is_measured(t):
    told = Told(t)
    t.disk.answer(DEFAULT_DATA, delay=0.05)
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=told.helper)
    row, = told.device()["latency"]
    t.check(50000 <= row["max_us"] <= row["p50_us"], f"50 ms are {row}")
    t.check(row["p50_us"] <= row["max_us"] * 1.25, f"50 ms are {row}")


@test
@ours(NO_STATUS)
def connections_by_state(t):
    told = Told(t)
    t.disk.hold()
    handshake = t.connect(told.helper, handshake=False)
    idle = t.connect(told.helper)
    receiving = t.connect(told.helper)
    receiving.send(READ_KEYS[:7], [t.own(t.disk.open())])
    executing = t.connect(told.helper)
    executing.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)

    def states():
        return sorted(one["state"] for one in told.read()["connections"])

    t.eventually("each in its state", lambda: states() ==
                 ["executing", "handshake", "idle", "receiving"], helper=told.helper)
    for one in told.read()["connections"]:
        t.equal((one["pid"], one["uid"]), (os.getpid(), os.getuid()), "pid and user")
        t.equal((one["device"] is not None, one["busy_s"] is not None),
                (one["state"] == "executing",) * 2, "device and time")
    t.disk.release()
    t.answered(executing, KEYS)
    for one in (handshake, idle, receiving):
        one.close()


@test
@limit(60)
@ours(NO_STATUS)
def hung_command(t):
    """With its age, while all others go on."""
    told = Told(t, "--hung-after=3")
    t.equal(told.read()["hung_after_s"], 3, "seconds in the document")
    machine = Machine(t, told.helper, "-name", "stuck")
    t.disk.hold()
    machine.begin(REGISTER, scsi.parameters(0, 1))
    t.disk.wait_running(1)
    command, = told.device()["in_flight"]
    t.equal((command["hung"], command["vm"], command["pid"], command["service_action"]),
            (False, "stuck", machine.pid, "REGISTER AND IGNORE EXISTING KEY"), "command")
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS, helper=told.helper)
    t.eventually("marked as hung", lambda: told.device()["in_flight"][0]["hung"], timeout=20,
                 helper=told.helper)
    command, = told.device()["in_flight"]
    t.check(3 <= command["age_s"] < 60, f"age {command['age_s']}")
    t.disk.release()
    t.equal(machine.end(), scsi.GOOD, "status")
    t.equal(told.device()["in_flight"], [], "in flight afterwards")
    # What is held up more than once is listed up to a limit.
    t.disk.hold()
    for number in range(40):
        t.connect(told.helper).send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(40)
    device = told.device()
    t.equal((device["in_flight_total"], len(device["in_flight"])), (40, 32), "in flight")
    t.disk.release()


@test
@ours(NO_STATUS)
def keys_and_who_registered_them(t):
    told = Told(t)
    machine = Machine(t, told.helper, "-name", "node-a")
    t.equal(machine.register(0xA1), scsi.GOOD, "status")
    t.equal(told.keys("vm", "pid", "uid", "connected", "stale", "replaced", "verified"),
            [(0xA1, "node-a", machine.pid, os.getuid(), True, False, False, True)], "keys")
    t.equal(machine.register(0xA2), scsi.GOOD, "status")
    t.equal(told.keys(), [(0xA2,)], "keys after a new one")
    t.disk.answer(status=scsi.RESERVATION_CONFLICT)
    t.equal(machine.register(0xA3), scsi.RESERVATION_CONFLICT, "status")
    t.equal(told.keys(), [(0xA2,)], "keys after a conflict")
    t.disk.answer()
    t.equal(machine.register(0), scsi.GOOD, "status")
    t.equal(told.keys(), [], "keys after unregistering")


@test
@ours(NO_STATUS)
def stale_key(t):
    """The client has vanished. Its key stays listed, until it comes back or the key has gone."""
    told = Told(t)
    machine = Machine(t, told.helper, "-name", "node-a")
    machine.register(0xA1)
    machine.close()
    t.eventually("stale", lambda: told.keys("connected", "stale", "verified") ==
                 [(0xA1, False, True, False)], helper=told.helper)
    calls = len(t.disk.calls())
    again = Machine(t, told.helper, "-name", "node-a")
    t.equal(told.keys("connected", "stale"), [(0xA1, False, True)], "its last process is gone")
    t.equal(len(t.disk.calls()), calls, "nothing is done about it")
    again.register(0xA1)
    t.equal(told.keys("connected", "stale"), [(0xA1, True, False)], "registered again")
    again.close()

    t.disk.answer(scsi.read_keys_data(0xA1, 0xB1))
    t.ask(scsi.pr_in(512), t.own(t.disk.open()),
          reply(payload=scsi.read_keys_data(0xA1, 0xB1)), helper=told.helper)
    t.equal(told.keys(), [(0xA1,)], "keys after it was seen")
    t.disk.answer(scsi.read_keys_data(0xB1, 0xC1))
    t.ask(scsi.pr_in(16), t.own(t.disk.open()),
          reply(payload=scsi.read_keys_data(0xB1, 0xC1)[:16]), helper=told.helper)
    t.equal(told.keys(), [(0xA1,)], "keys after a list that was cut")
    t.ask(scsi.pr_in(512), t.own(t.disk.open()),
          reply(payload=scsi.read_keys_data(0xB1, 0xC1)), helper=told.helper)
    t.equal(told.keys(), [], "keys after another host has preempted it")


# -- two machines by one nexus


@test
@ours(NO_STATUS)
def same_nexus_alarm(t):
    told = Told(t)
    one, two = (Machine(t, told.helper, "-name", name) for name in ("node-a", "node-b"))
    one.register(0xA1)
    one.register(0xA2)
    t.equal(told.device()["same_nexus"], None, "mark with one machine")
    t.check("ALARM" not in told.helper.log(), "an alarm with one machine")

    t.equal(two.register(0xB1), scsi.GOOD, "status")
    told.helper.wait_log(
        rf'ALARM: VM "node-a" \(pid {one.pid}, named by its argument\) and VM "node-b" '
        rf'\(pid {two.pid}, named by its argument\) have both .* same I_T nexus')
    device = told.device()
    t.equal(device["same_nexus"]["vms"], ["node-a", "node-b"], "machines")
    t.equal([(key["vm"], key["replaced"]) for key in device["keys"]],
            [("node-a", True), ("node-b", False)], "keys")
    same_nexus = told.read()["same_nexus"]
    t.equal((same_nexus["devices"], same_nexus["alarms"]), (1, 1), "counts")
    for _ in range(5):
        one.register(0xA1)
        two.register(0xB1)
    t.equal(told.helper.log().count("ALARM"), 1, "alarms")
    one.close()
    t.eventually("no mark once they have gone", lambda: told.device()["same_nexus"] is None,
                 helper=told.helper)


@test
@ours(NO_STATUS)
def same_nexus_by_process(t):
    """A name is a label: processes without one, or with each other's, are told apart all the same."""
    told = Told(t)
    one, two, forger = (Machine(t, told.helper), Machine(t, told.helper, "-name", "node-b"),
                        Machine(t, told.helper, "-name", "node-b"))
    one.register(0xA1)
    two.register(0xB1)
    told.helper.wait_log(rf'ALARM: .*\(pid {one.pid}, .*\) and VM "node-b" \(pid {two.pid}, ')
    forger.register(0xC1)
    t.equal(told.read()["same_nexus"]["alarms"], 2, "alarms")
    t.equal(len(told.device()["same_nexus"]["vms"]), 3, "processes")


@test
@ours(NO_STATUS)
def no_alarm(t):
    """On different LUNs."""
    told = Told(t)
    Machine(t, told.helper, "-name", "node-a").register(0xA1)
    Machine(t, told.helper, "-name", "node-b", disk=t.other_disk).register(0xB1)
    t.equal(told.read()["same_nexus"]["alarms"], 0, "alarms")
    t.check("ALARM" not in told.helper.log(), "an alarm in the log")


@cases(("command line", ["--exclusive"], ""), ("configuration file", [], "exclusive\n"))
@ours("the peer has no --exclusive")
def exclusive_does_nothing(t, options, configuration):
    """Accepted, so that an upgrade stops no helper, and said so."""
    path = os.path.join(t.directory(), "conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(configuration)
    helper = t.start(f"--config={path}", *options)
    one, two = (Machine(t, helper, "-name", name) for name in ("node-a", "node-b"))
    t.equal([one.register(0xA1), two.register(0xB1)], [scsi.GOOD] * 2, "status")
    helper.wait_log(r"--exclusive is obsolete and has no effect")


# -- the socket


@test
@ours(NO_STATUS)
def socket_mode_and_end(t):
    told = Told(t)
    t.equal(oct(stat.S_IMODE(os.stat(told.path).st_mode)), "0o660", "mode")
    told.helper.signal(signal.SIGKILL)
    told.helper.wait_exit()
    t.soon("removed after SIGKILL", lambda: not os.path.lexists(told.path))


@test
@ours(NO_STATUS)
def group_of_the_socket(t):
    t.needs_root()
    told = Told(t, "--status-group=54321", "--status-mode=0640")
    info = os.stat(told.path)
    t.equal((oct(stat.S_IMODE(info.st_mode)), info.st_gid), ("0o640", 54321), "mode and group")


@test
@ours(NO_STATUS)
def group_of_the_directory(t):
    """Who may read it is said once, by the directory, and no helper needs a right to give it away."""
    t.needs_root()
    directory = t.directory()
    os.chown(directory, 0, 54321)
    os.chmod(directory, 0o3775)
    t.start(f"--status-socket={directory}/")
    info = os.stat(os.path.join(directory, sockets_in(directory)[0]))
    t.equal((oct(stat.S_IMODE(info.st_mode)), info.st_gid), ("0o660", 54321), "mode and group")


def sockets_in(directory):
    return sorted(name for name in os.listdir(directory)
                  if stat.S_ISSOCK(os.lstat(os.path.join(directory, name)).st_mode))


@test
@ours(NO_STATUS)
def name_of_its_own(t):
    """Each helper has one in a shared directory, which those that were killed leave no mark in."""
    directory = t.directory()
    for name in ("123-dead", ".pr-helper.77"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.path.join(directory, name))
    with open(os.path.join(directory, "file"), "w", encoding="ascii"):
        pass
    other = socket.socket(socket.AF_UNIX)
    t.cleanup.callback(other.close)
    other.bind(os.path.join(directory, "alive"))
    other.listen()
    helpers = [t.start(f"--status-socket={directory}/") for _ in range(3)]
    names = set(sockets_in(directory)) - {"alive", ".pr-helper.77"}
    t.equal(sorted(int(name.split("-")[0]) for name in names),
            sorted(helper.pid for helper in helpers), "pids in the names")
    t.check(all(len(name.split("-")[1]) == 8 for name in names), f"more than pids in {names}")
    t.check(os.path.exists(os.path.join(directory, "file")), "a file is left alone")
    t.check(os.path.lexists(os.path.join(directory, ".pr-helper.77")), "one that is being made, too")
    for helper in helpers:
        t.stop(helper)
    t.equal(sockets_in(directory), [".pr-helper.77", "alive"], "what is left at the end")


@cases(("served already", lambda t: Told(t).path, "another process is listening on"),
       ("no directory", lambda t: t.directory() + "/none/status", "cannot open the socket's directory"),
       ("no directory for a name", lambda t: t.directory() + "/none/",
        "cannot open the socket's directory"),
       ("not a directory", lambda t: "/dev/null/", "cannot open the socket's directory"),
       ("too long", lambda t: t.directory() + "/x" * 60, "socket path is longer than"))
@ours(NO_STATUS)
def status_that_cannot_be_had(t, path, message):
    """Clients are served all the same: a service manager would start it again without end."""
    helper = t.start(f"--status-socket={path(t)}")
    t.works(helper)
    helper.wait_log(f"no status socket, but clients are served: .*{message}")
    t.equal(helper.log().count("no status"), 1, "lines about it")


@test
@ours(NO_STATUS)
def status_that_is_not_wanted(t):
    helper = t.start("--status-socket=none")
    t.works(helper)
    t.check("no status" not in helper.log(), "a line about it")


@test
@ours(NO_STATUS)
def input_is_not_looked_at(t):
    """Not even fds: they are closed."""
    told = Told(t)
    told.read()
    before = len(procfs.fds(told.helper.pid))
    clients = []
    for data in (b"GET / HTTP/1.0\r\n\r\n", bytes(16), b"x" * 100000):
        client = told.connect()
        read_end, write_end = os.pipe()
        t.own(read_end)
        try:
            socket.send_fds(client, [data], [write_end])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was faster
        os.close(write_end)
        clients.append((client, read_end))
    for client, read_end in clients:
        data = b""
        try:
            while piece := client.recv(65536):
                data += piece
        except ConnectionResetError:
            pass  # its data was not read
        t.equal(SCHEMA.faults(json.loads(data)), [], "faults")
        t.equal(os.read(read_end, 1), b"", "the fd that was sent is closed")
    t.eventually("every fd closed", lambda: len(procfs.fds(told.helper.pid)) == before,
                 helper=told.helper)
    t.works(told.helper)


@test
@limit(60)
@ours(NO_STATUS)
def readers_that_do_not_read(t):
    """Eight at a time are waited for, each for five seconds; no other waits."""
    told = Told(t)
    clients = [t.connect(told.helper) for _ in range(2100)]
    probe = told.read()
    t.equal((len(probe["connections"]), probe["connections_left_out"]), (2000, 100), "connections")
    started = time.monotonic()
    lazy = [told.connect() for _ in range(8)]
    t.eventually("eight readers", lambda: len(procfs.fds(told.helper.pid)) >= 2100 + 8,
                 helper=told.helper)
    ninth, served = told.connect(), []

    def read_ninth():
        """At once: it is waited for no longer than the others when its turn has come."""
        told.read(ninth)
        served.append(time.monotonic() - started)

    reader = threading.Thread(target=read_ninth, daemon=True)
    reader.start()
    fd = t.own(t.disk.open())
    slowest = 0.0
    while time.monotonic() - started < 2:
        sent = time.monotonic()
        t.equal(clients[0].command(READ_KEYS, fd), KEYS, "answer")
        slowest = max(slowest, time.monotonic() - sent)
    t.works(told.helper)
    t.check(slowest < scaled(0.5), f"a command took {slowest:.3f} s meanwhile")
    reader.join(scaled(15))
    t.check(served, "the ninth was not served")
    t.check(4 < served[0] < scaled(15), f"the ninth was served after {served[0]:.1f} s")
    for one in lazy:
        data = b""
        while piece := one.recv(65536):
            data += piece
        t.check(0 < len(data) < 1000000, "what a reader got that was cut off")
    for client in clients:
        client.close()


@test
@limit(120)
@ours(NO_STATUS)
def ten_thousand_readers(t):
    told = Told(t)
    told.read()
    before = len(procfs.fds(told.helper.pid))
    fd = t.own(t.disk.open())
    slowest = 0.0
    with t.connect(told.helper) as client:
        for number in range(10000):
            with socket.socket(socket.AF_UNIX) as reader:
                reader.settimeout(scaled(10))
                try:
                    reader.connect(told.path)
                except BlockingIOError:
                    pass  # its queue is full
            if number % 100 == 0:
                sent = time.monotonic()
                t.equal(client.command(READ_KEYS, fd), KEYS, "answer")
                slowest = max(slowest, time.monotonic() - sent)
                with Connection(told.helper.socket_path) as newcomer:
                    t.equal(newcomer.command(READ_KEYS, fd), KEYS, "answer to a newcomer")
    t.check(slowest < scaled(0.5), f"a command took {slowest:.3f} s meanwhile")
    t.eventually("every fd closed", lambda: len(procfs.fds(told.helper.pid)) == before,
                 helper=told.helper)
    told.read()
    t.stop(told.helper)


@test
@ours(NO_STATUS)
def out_of_fds(t):
    """A reader that cannot be accepted waits, and so does the loop."""
    def few_fds():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    told = Told(t, "--max-clients=1000", before_exec=few_fds)
    waiting = [t.connect(told.helper, handshake=False) for _ in range(60)]
    t.eventually("no fd left", lambda: len(procfs.fds(told.helper.pid)) == 64, helper=told.helper)
    reader = told.connect()
    spent = procfs.cpu_seconds(told.helper.pid)
    time.sleep(0.5)  # a time to measure in, not one to wait for something
    spent = procfs.cpu_seconds(told.helper.pid) - spent
    t.check(spent < 0.2, f"spent {spent:.2f} s of processor time")
    for one in waiting:
        one.close()
    told.read(reader)


@cases(("three", {"mpath-a": {"sda": Path("up", True), "sdb": Path("hangs", False)},
                  "mpath-gone": {}, "mpath-b": {"sdc": Path("away", None), "sdd": Path("failed", False)}}, 0),
       ("more than are told of", {f"mpath-{n}": {"sda": Path("up", True)} for n in range(260)}, 4))
@ours("the peer has no status")
def paths_of_maps(t, maps, left_out):
    """As the worker has told of them; of a map that has gone nothing."""
    told = ToldOfMaps(t, f"--mpath-worker={fake_worker(t, table(*maps.items()))}")
    t.equal(told.read()["worker"]["maps"], [], "before there is a worker")
    t.ask(REGISTER, t.own(t.disk.open()), reply(), scsi.parameters(0, 1), helper=told.helper)
    worker = told.read()["worker"]
    shown = [one for one in maps if maps[one]][:256]
    t.equal({one["wwn"]: {each["name"]: (each["state"], each["registered"]) for each in one["paths"]}
             for one in worker["maps"]},
            {one: {name: tuple(path) for name, path in maps[one].items()} for one in shown}, "maps")
    t.equal(worker["maps_left_out"], left_out, "maps that are left out")
    t.equal(worker["maps"][0]["device"], "253:0", "number of the first")


@test
@ours("the peer has no status")
def worker_was_killed(t):
    """The status has it at once, not only when the next command needs another one."""
    worker = fake_worker(t, table(("mpath-a", {"sda": Path("up", True)})))
    told = ToldOfMaps(t, f"--mpath-worker={worker}")
    connection, disk = t.connect(told.helper), t.own(t.disk.open())
    t.equal(connection.command(REGISTER, disk, scsi.parameters(0, 1)), reply(), "the first command")
    before = told.read()["worker"]
    t.equal((before["state"], len(before["maps"])), ("running", 1), "before")
    os.kill(before["pid"], signal.SIGKILL)
    t.gone(before["pid"], "the worker")
    t.equal(told.read()["worker"], {**before, "state": "stopped", "pid": None, "maps": []}, "after")
    t.eventually("another one", lambda: connection.command(REGISTER, disk, scsi.parameters(0, 1))
                 == reply(), helper=told.helper)
    t.equal(told.read()["worker"]["state"], "running", "state with the next one")
