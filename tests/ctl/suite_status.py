# SPDX-License-Identifier: LGPL-2.1-or-later
"""status and metrics: the helper's status document, for people and for monitoring."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import time

from protocol.suite_status import variations
from support import scaled
from support.process import environment
from support.tap import Skip, cases, limit, test

from ctl.fixture import DATA, GOOD, HELPER
from ctl.status_server import StatusServer, example

#: Holds the text on standard input against prometheus_client's parser of the classic format, and prints
#: what it has read.
PARSE = """
import json, sys
try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError as reason:
    sys.exit(f"SKIP {reason}")
families = list(text_string_to_metric_families(sys.stdin.read()))
json.dump([[one.name, one.type, [[s.name, s.labels, s.value] for s in one.samples]]
           for one in families], sys.stdout)
"""


def serve(t, *documents, **arguments):
    server = StatusServer(os.path.join(t.directory(), "status"), list(documents), **arguments)
    t.cleanup.callback(server.close)
    return server


def status(t, document, *options):
    result = t.ctl("status", "-s", serve(t, document).path, *options)
    return t.expect(result, GOOD, err="").out


def has_line(t, text, *words):
    """Words of one line, one after the other, with at least two blanks between them or not."""
    pattern = r"\s+".join(re.escape(word) for word in words)
    t.check(any(re.search(pattern, line) for line in text.splitlines()), f"a line with {words}")


# -- tables


@test
def paths_of_maps(t):
    document = example()
    document["worker"]["maps"][0]["paths"].append(
        {"device": "8:80", "name": "sdf\x1b[2J", "state": "up", "registered": False})
    text = status(t, document)
    has_line(t, text, "253:0", "sdd", "up", "yes", "2 s ago")
    has_line(t, text, "253:0", "sde", "away", "not known")
    has_line(t, text, "253:0", r"sdf\x1b[2J", "up", "NO")


@test
def devices_and_their_numbers(t):
    text = status(t, example())
    has_line(t, text, "8:32", "sdc", "naa.60014051111111111111111111111111", "11", "0", "1", "34 s",
             "2 HUNG, 47 s", "4 min ago: ABORTED COMMAND, COMMAND TIMEOUT")
    has_line(t, text, "8:16", "sdb", "naa.60014052222222222222222222222222", "4", "1", "0", "896 us",
             "-", "-")
    has_line(t, text, "253:0", "mpatha")


@test
def clients_by_name(t):
    text = status(t, example())
    has_line(t, text, "12", "node-a", "3011", "107", "idle", "22 h", "41002", "-")
    has_line(t, text, "14", 'build "7"', "4100", "107", "executing", "10 min", "12", "8:32")
    has_line(t, text, "15", "unknown", "-", "107", "executing")


@test
def keys_and_whose(t):
    text = status(t, example())
    has_line(t, text, "8:32 sdc", "0x00000000deadbeef", 'build "7"', "4100", "10 min", "registered")
    has_line(t, text, "8:16 sdb", "0x0000000000000c01", "node-c", "2900", "22 h",
             "replaced, client gone, SAME NEXUS")


@test
def hung_command(t):
    text = status(t, example())
    has_line(t, text, 'HUNG        8:32 sdc: a command of build "7" has been in flight for 47 s')
    has_line(t, text, "8:32 sdc", "47 s HUNG", "PERSISTENT RESERVE OUT, RESERVE", 'build "7"')
    t.equal(text.count("HUNG"), 3, "marks: alarm, device, command; not the other command")


@test
def stale_key(t):
    document = example()
    t.check("STALE" not in status(t, document), "a key that was replaced is not stale")
    key = document["devices"][0]["keys"][0]
    key.update(stale=True, connected=False, verified=False)
    text = status(t, document)
    t.check("STALE" not in text, "what the device has not said is no alarm")
    has_line(t, text, "0x00000000deadbeef", 'build "7"', "4100", "10 min", "unverified, client gone")
    key.update(vm=None, verified=True)
    text = status(t, document)
    t.check("STALE" not in text, "a key that no machine has left is no alarm")
    has_line(t, text, "0x00000000deadbeef", "unknown", "4100", "10 min", "left, client gone")
    key.update(vm='build "7"')
    text = status(t, document)
    has_line(t, text, 'STALE KEY   8:32 sdc: 0x00000000deadbeef of build "7", which is gone')
    has_line(t, text, "0x00000000deadbeef", 'build "7"', "4100", "10 min", "STALE, client gone")


@test
def same_nexus(t):
    text = status(t, example())
    has_line(t, text, "SAME NEXUS  8:16 sdb: node-c, node-a, node-b are one initiator to the disk")
    t.check(not re.search("8:32 .*SAME NEXUS", text), "the other device is not marked")
    has_line(t, text, "If each VM has a helper of its own, query each.")


@test
def same_nexus_by_two_nodes(t):
    """A disk and its SCSI generic device: one nexus, one alarm."""
    document = example()
    disk = document["devices"][1]
    generic = dict(disk, device="21:1", name="sg1", kind="generic", keys=[])
    other = dict(disk, device="8:64", name="sde", nexus=None)
    document["devices"] += [generic, other, dict(other, device="8:80", name="sdf")]
    told = [one for one in status(t, document).splitlines() if one.startswith("SAME NEXUS")]
    t.equal([one.split(": node")[0] for one in told],
            ["SAME NEXUS  8:16 sdb, 21:1 sg1", "SAME NEXUS  8:64 sde", "SAME NEXUS  8:80 sdf"],
            "alarms; without a nexus each device is one")


@test
def nothing_yet(t):
    document = example()
    document.update(connections=[], devices=[])
    text = status(t, document)
    has_line(t, text, "no device has been used yet")
    has_line(t, text, "no client is connected")


@test
def hostile_names(t):
    """No matter what a VM is called, it cannot do anything to a terminal, nor move a column."""
    document = example()
    for client in document["connections"]:
        client["vm"] = "\x1b[2J\r\n\u202eevil\x9b5m"
    document["devices"][0]["same_nexus"] = {"vms": ["\x1b]0;x\x07"], "age_s": 1.0}
    for one in document["devices"][0]["in_flight"] + document["devices"][0]["keys"]:
        one.update(vm="\x1b[2J\n", stale=True)
    document["version"] = document["socket"] = document["worker"]["last_error"] = "\x1b[31m"
    document["devices"][0]["last_error"]["sense"] = "\x1b[31m"
    text = status(t, document)
    t.equal([one for one in text if not (one.isprintable() or one == "\n")], [], "unprintable")
    t.check(text.count(r"\x1b[2J\x0d\x0a\xe2\x80\xaeevil\xc2\x9b5m") == 5, "names are still there")


@test
def json_is_the_document(t):
    t.equal(json.loads(status(t, example(), "--json")), example(), "document")


@cases(("status", "status", 0), ("metrics", "metrics", 1))
@limit(60)
def unknown_future(t, command, first):
    """A document with a property less, or another kind of value, is no reason to fall over. Each of
    the two commands is shown every other one."""
    everything = [document for _, document in variations(example())][first::2]
    server = serve(t, *everything)
    for _ in everything:
        result = t.ctl(command, "-s", server.path)
        t.check(result.status in (GOOD, DATA), f"ended with {result.status}: {result.err}")
    t.check(len(everything) > 250, f"{len(everything)} documents")


# -- several helpers


def several(t):
    """A directory with two helpers, what a third one has left, and something else."""
    directory = t.directory()
    for number, name in enumerate(("a", "b")):
        document = example()
        document.update(pid=7000 + number, socket=None, status_socket=f"{directory}/{name}")
        server = StatusServer(os.path.join(directory, name), [document])
        t.cleanup.callback(server.close)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.path.join(directory, "dead"))
    with open(os.path.join(directory, "file"), "w", encoding="ascii"):
        pass
    return directory


@test
def all_of_a_directory(t):
    directory = several(t)
    text = t.expect(t.ctl("status", "-s", directory), GOOD, err="").out
    has_line(t, text, "qemu-pr-helper 0.1.0, pid 7000")
    has_line(t, text, "qemu-pr-helper 0.1.0, pid 7001")
    out = t.expect(t.ctl("status", "--json", "-s", directory), GOOD, err="").out
    pids = []
    while out:
        document, end = json.JSONDecoder().raw_decode(out)
        pids.append(document["pid"])
        out = out[end:].lstrip()
    t.equal(pids, [7000, 7001], "documents, one after the other")


@test
def metrics_of_a_directory(t):
    """All samples of a family stand together, and none is there twice."""
    directory = several(t)
    out = t.expect(t.ctl("metrics", "-s", directory), GOOD, err="").out
    t.equal(out.count("# TYPE qemu_pr_helper_clients gauge"), 1, "heads of a family")
    for name in ("a", "b"):
        has_line(t, out, f'qemu_pr_helper_clients{{helper="{name}"}}', "5")
    samples = [line.rpartition(" ")[0] for line in out.splitlines() if not line.startswith("#")]
    t.equal(len(set(samples)), len(samples), "samples that differ")


@test
def one_of_them_cannot_be_read(t):
    directory = several(t)
    server = StatusServer(os.path.join(directory, "c\n"), [b"x"])
    t.cleanup.callback(server.close)
    result = t.expect(t.ctl("status", "-s", directory), GOOD)
    t.equal(result.err, f"qemu-pr-ctl: {directory}/c\\x0a does not send a helper's status\n",
            "standard error")
    t.equal(result.out.count("qemu-pr-helper 0.1.0"), 2, "others")


@test
def nobody_tells(t):
    directory = t.directory()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.path.join(directory, "dead"))
    result = t.expect(t.ctl("status", "-s", directory), HELPER, "")
    t.matches(f"no running helper has a status socket in {directory}", result.err, "message")


# -- watching


class Watch:
    def __init__(self, t, path, stdout, *options):
        self.process = subprocess.Popen([t.lab.ctl, "status", "--watch", "-s", path, *options],
                                        env=environment(), stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=subprocess.PIPE)
        t.cleanup.callback(self.close)

    def close(self):
        self.process.kill()
        self.process.communicate()


def read_until(fd, condition, seconds=10.0):
    """What comes from fd, when condition holds for it."""
    data, end = b"", time.monotonic() + scaled(seconds)
    while not condition(data):
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise AssertionError(f"not in time; so far: {data!r}")
        piece = os.read(fd, 65536)
        if not piece:
            raise AssertionError(f"end of file; so far: {data!r}")
        data += piece
    return data


@test
def watch_refreshes_in_place(t):
    first, second = example(), example()
    second["devices"] = second["connections"] = []
    master, slave = pty.openpty()
    t.cleanup.callback(os.close, master)
    Watch(t, serve(t, first, second).path, slave)
    os.close(slave)
    data = read_until(master, lambda data: b"no client is connected" in data
                      and data.endswith(b"\x1b[J"))
    pages = data.split(b"\x1b[H")[-2:]
    t.check(b"node-a" in pages[0] and b"node-a" not in pages[1], "two pages")
    for page in pages:
        t.check(page.endswith(b"\x1b[J"), "what is below is cleared")
        lines = page.replace(b"\r\n", b"\n").split(b"\n")
        t.check(len(lines) <= 24, "no more lines than the terminal has")
        for line in lines[:-1]:
            t.check(line.endswith(b"\x1b[K"), f"the rest of the line is cleared: {line!r}")
            t.check(len(line.decode()) - 3 <= 80, f"wider than the terminal: {line!r}")


@test
def watch_in_a_pipe_is_plain(t):
    read, write = os.pipe()
    t.cleanup.callback(os.close, read)
    Watch(t, serve(t, example()).path, write)
    os.close(write)
    data = read_until(read, lambda data: data.count(b"query each.\n") >= 2)
    t.check(b"\x1b" not in data, "control characters")


@test
def watch_json_is_a_document_a_line(t):
    read, write = os.pipe()
    t.cleanup.callback(os.close, read)
    Watch(t, serve(t, example()).path, write, "--json")
    os.close(write)
    data = read_until(read, lambda data: data.count(b"\n") >= 2)
    t.equal([json.loads(line) for line in data.splitlines()[:2]], [example()] * 2, "lines")


@test
def watch_outlives_the_helper(t):
    read, write = os.pipe()
    t.cleanup.callback(os.close, read)
    server = serve(t, example())
    watch = Watch(t, server.path, write)
    os.close(write)
    read_until(read, lambda data: b"query each.\n" in data)
    server.close()
    read_until(watch.process.stderr.fileno(), lambda data: b"No such file" in data)
    again = StatusServer(server.path, [example()])
    t.cleanup.callback(again.close)
    read_until(read, lambda data: b"query each.\n" in data)


# -- what is not there, or something else


@cases("status", "metrics")
def no_status_socket(t, command):
    path = os.path.join(t.directory(), "none")
    result = t.expect(t.ctl(command, "-s", path), HELPER, "")
    t.matches(f"^qemu-pr-ctl: {command}: cannot read the status at {path}: No such file", result.err,
              "message")
    t.matches(f"^  Start the helper with --status-socket={path}", result.err, "hint")


@test
def no_status_socket_json(t):
    result = t.expect(t.ctl("status", "--json", "-s", "/none"), HELPER)
    t.equal(sorted(result.json), ["command", "error", "exit_status", "format", "hint",
                                   "outcome_unknown"], "members")


@cases(("nothing", b"", "Too many readers"), ("no JSON", b"hello", "socket for clients"),
       ("half", b'{"program": "qemu-pr', "socket for clients"), ("array", b"[]", "for clients"),
       ("number", b"7", "for clients"), ("another program", b'{"program": "x"}', "for clients"),
       ("another format", b'{"program": "qemu-pr-helper", "format": 2}', "older than the helper"),
       ("deep", b"[" * 100000, "for clients"))
def no_status(t, data, hint):
    result = t.expect(t.ctl("status", "-s", serve(t, data).path), DATA, "")
    t.matches(hint, result.err, "hint")


@cases(("a half", b"{"), ("a greeting", b"\0\0\0\1"))
def never_ends(t, data):
    result = t.ctl("status", "-t", "0.2", "-s", serve(t, data, hang=True).path)
    t.expect(result, HELPER, "")
    t.matches("Connection timed out", result.err, "message")


# -- metrics


def metrics(t, document):
    server = serve(t, document)
    return server.path, t.expect(t.ctl("metrics", "-s", server.path), GOOD, err="").out


def parse(t, text, helper):
    """By name of the family: (type, {(name of the sample, labels but the helper): value})"""
    result = t.run("/usr/bin/python3", "-c", PARSE, stdin=text)
    if result.err.startswith("SKIP"):
        raise Skip(f"no parser of Prometheus's format: {result.err.strip()[5:]}")
    t.expect(result, 0, err="")
    families = {}
    for name, kind, samples in json.loads(result.out):
        found = {}
        for sample, labels, value in samples:
            t.equal(labels.pop("helper", helper), helper, "label helper")
            found[sample.replace("qemu_pr_helper_", "", 1), tuple(sorted(labels.items()))] = value
        t.equal(len(found), len(samples), f"samples of {name} that differ")
        families[name.replace("qemu_pr_helper_", "", 1)] = kind, found
    return families


@test
def metrics_by_a_real_parser(t):
    document = example()
    path, text = metrics(t, document)
    found = {}
    for _, samples in parse(t, text, path).values():
        found.update(samples)
    for name, value in [("up", 1), ("clients", 5), ("max_clients", 32618),
                        ("clients_accepted_total", 1207), ("requests_total", 98231),
                        ("requests_busy_total", 2), ("threads", 3), ("idle_threads", 1),
                        ("max_threads", 4096), ("max_buffers_bytes", 16 << 20),
                        ("log_lines_left_out_total", 17), ("worker_failed", 0), ("hung_commands", 1),
                        ("worker_queue", 0), ("io_deadline_seconds", 30)]:
        t.equal(found.get((name, ())), value, name)
    t.equal(found["build_info", (("socket", document["socket"]), ("version", "0.1.0"))], 1, "build")
    wwn = {"8:32": "naa.60014051111111111111111111111111",
           "8:16": "naa.60014052222222222222222222222222",
           "253:0": "naa.60014053333333333333333333333333"}
    for device in document["devices"]:
        labels = (("wwn", wwn[device["device"]]),)
        counts = {}
        for row in device["commands"]:
            counts[row["result"]] = counts.get(row["result"], 0) + row["count"]
        conflicts = counts.pop("RESERVATION CONFLICT", 0)
        counts.pop("GOOD", 0)
        for name, value in [
                ("command_seconds_count", sum(one["count"] for one in device["latency"])),
                ("command_seconds_sum", sum(one["sum_us"] for one in device["latency"]) / 1e6),
                ("command_max_seconds",
                 max((one["max_us"] for one in device["latency"]), default=0) / 1e6),
                ("conflicts_total", conflicts), ("failures_total", sum(counts.values())),
                ("hung_commands", sum(one["hung"] for one in device["in_flight"])),
                ("oldest_command_seconds",
                 max((one["age_s"] for one in device["in_flight"]), default=0)),
                ("same_nexus", bool(device["same_nexus"]))]:
            t.equal(found[f"lun_{name}", labels], value, f"{device['device']} {name}")
    t.equal([found["lun_keys", (("wwn", one),)] for one in wwn.values()], [1, 1, 0], "keys")
    t.equal(found["command_seconds_count", (("command", "in"),)], 10, "count of all devices")
    t.equal(found["command_seconds_bucket", (("command", "in"), ("le", "0.001024"))], 9, "bucket")


@test
def metrics_for_the_textfile_collector(t):
    """Its parser knows the older text format: no other types, no time stamps. Two helpers that are
    set up alike are two."""
    paths, samples = [], []
    for _ in range(2):
        path, text = metrics(t, example())
        paths.append(path)
        lines = text.splitlines()
        types = {line.split()[3] for line in lines if line.startswith("# TYPE")}
        t.equal(types, {"counter", "gauge", "histogram", "summary"}, "types")
        for line in lines:
            if not line.startswith("#"):
                t.matches(r'^[a-z_]+\{[a-z_]+="[^{}]*"\} [0-9.e+-]+$', line, "sample")
        samples.append({line.rpartition(" ")[0] for line in lines
                        if not line.startswith("#") and "helper=" in line})
    t.check(paths[0] != paths[1] and not samples[0] & samples[1], "no sample is of both helpers")


@test
def metrics_of_hostile_names(t):
    document = example()
    document["devices"][0].update(wwn='"} 7\n\\', name="\x1b[2J")
    path, text = metrics(t, document)
    names = {dict(labels)["wwn"] for _, labels in parse(t, text, path)["lun_hung_commands"][1]}
    t.check(r'"} 7\x0a\x5c' in names, f"{names}")


@test
def metrics_of_nothing(t):
    document = example()
    document.update(connections=[], devices=[])
    path, text = metrics(t, document)
    t.equal(parse(t, text, path)["lun_hung_commands"][1], {}, "samples")


# -- all of them


def serve_all(t, **documents):
    directory = t.directory()
    for name, document in documents.items():
        server = StatusServer(os.path.join(directory, f"{name}.sock"), [document])
        t.cleanup.callback(server.close)
    return directory


@test
def all_helpers(t):
    directory = serve_all(t, one=example(), two=example(), liar=b"{")
    text = t.expect(t.ctl("status", "--all", "-s", directory), GOOD, err="").out
    has_line(t, text, "one", "answered", "5", "98231", "2", "1", "running", "24 h")
    has_line(t, text, "liar", "garbage")
    has_line(t, text, "naa.60014052222222222222222222222222", "sdb", "not reserved", "2", "0",
             "node-a, node-b SAME NEXUS")
    t.matches("HelperUnreadable: the status of helper liar cannot be read: garbage\n    This is not a helper",
              text, "alarm with what to do")
    told = json.loads(t.expect(t.ctl("status", "--all", "--json", "-s", directory), GOOD, err="").out)
    t.equal([(one["helper"], one["state"]) for one in told["helpers"]],
            [("liar", "garbage"), ("one", "answered"), ("two", "answered")], "helpers")
    lines = t.expect(t.ctl("metrics", "--all", "-s", directory), GOOD, err="").out.splitlines()
    t.check('qemu_pr_helper_up{helper="liar"} 0' in lines and
            'qemu_pr_helper_requests_total{helper="two"} 98231' in lines, "metrics of each")
    t.equal(len(lines), len(set(lines)), "lines that differ")


@test
def all_helpers_where_there_are_none(t):
    text = t.expect(t.ctl("status", "--all", "-s", t.directory()), GOOD, err="").out
    has_line(t, text, "no status socket was found")
