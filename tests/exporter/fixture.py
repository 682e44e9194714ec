# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: an exporter, and helpers for it to ask."""
import copy
import http.client
import json
import os
import shutil
import socket
import subprocess
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from ctl.status_server import StatusServer, example
from support import scaled, tap
from support.process import Helper, Program, adopt_orphans, environment
from support.schema import Schema
from support.scratch import Scratch

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENMETRICS = ("application/openmetrics-text;version=1.0.0,"
               "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
               "*/*;q=0.1")

#: Holds the text on standard input against a parser of Prometheus's client library.
PARSE = """
import json, sys
try:
    if sys.argv[1] == "classic":
        from prometheus_client.parser import text_string_to_metric_families
    else:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError as reason:
    sys.exit(f"SKIP {reason}")
families = list(text_string_to_metric_families(sys.stdin.read()))
json.dump([[one.name, one.type, one.unit, [[s.name, s.labels, s.value] for s in one.samples]]
           for one in families], sys.stdout)
"""


def load(*path: str) -> Any:
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return json.load(file)


SCHEMA = Schema(load("docs", "node-status.schema.json"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def document(**changes: Any) -> Any:
    """A helper that has nothing to tell."""
    one = example()
    one["worker"].update(maps=[])
    one.update(connections=[], devices=[], same_nexus={"scope": "helper", "devices": 0, "alarms": 0})
    one.update(changes)
    return one


def device(wwn: str = "naa.6001405aaaaaaaaaaaaaaaaaaaaaaaaa", **changes: Any) -> Any:
    one = copy.deepcopy(example()["devices"][1])
    one.update(wwn=wwn, device="8:16", name="sdb", nexus="3:0:0:0", keys=[], same_nexus=None,
               reservation=None)
    one.update(changes)
    return one


def key(vm: Optional[str], number: int, pid: Optional[int], **changes: Any) -> Any:
    one = {"key": f"0x{number:016x}", "connection": 1, "connected": True, "stale": False,
           "replaced": False, "verified": True, "pid": pid, "uid": 107, "vm": vm, "age_s": 10.0}
    one.update(changes)
    return one


def mapped(keys: List[Any], paths: List[Any], wwn: str = "3600140500000000000000000000000aa",
           **changes: Any) -> Any:
    """A helper with one multipath map; of each path its state, and whether it is registered."""
    told = {"device": "253:0", "wwn": f"mpath-{wwn}", "age_s": 2.5, "paths": [
        {"device": f"8:{16 * i}", "name": f"sd{chr(97 + i)}", "state": state, "registered": registered}
        for i, (state, registered) in enumerate(paths)]}
    one = document(devices=[device(f"mpath-{wwn}", device="253:0", kind="multipath", name="dm-0",
                                   map="mpatha", nexus=None, keys=keys)], **changes)
    one["worker"].update(state="running", maps=[told])
    return one


def client(vm: Optional[str], pid: Optional[int], **changes: Any) -> Any:
    one = copy.deepcopy(example()["connections"][0])
    one.update(vm=vm, pid=pid)
    one.update(changes)
    return one


class Reply(NamedTuple):
    status: int
    headers: Dict[str, str]
    text: str


class Exporter(Program):
    """A running exporter of its own port."""

    def __init__(self, build: str, directory: str, places: List[str], *options: str,
                 prefix: Sequence[str] = ()):
        self.port = free_port()
        arguments = [word for place in places for word in ("--status", place)]
        super().__init__([*prefix, os.path.join(build, "qemu-pr-exporter"), "--listen",
                          f"127.0.0.1:{self.port}", *arguments, *options], directory)
        self.wait_log("serving http://")

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=scaled(20))
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()},
                         reply.read().decode())
        finally:
            connection.close()


class Lab(Scratch):
    def __init__(self, build: str, full: bool):
        super().__init__("pr-exporter-")
        self.build = build
        self.full = full
        with open(os.path.join(build, "qemu-pr-exporter"), "rb") as file:
            program = file.read()
        #: No system call filter, and more memory.
        self.sanitized = b"__asan_init" in program or b"__tsan_init" in program
        adopt_orphans()


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self.programs: List[Program] = []

    def directory(self) -> str:
        return self.lab.make_directory()

    def serve(self, directory: str, name: str, *documents: Any, **arguments: Any) -> StatusServer:
        """A helper by its status socket, which says these documents one after the other."""
        server = StatusServer(os.path.join(directory, f"{name}.sock"), list(documents), **arguments)
        self.cleanup.callback(server.close)
        return server

    def exporter(self, *places: str, options: List[str] = ()) -> Exporter:
        one = Exporter(self.lab.build, self.directory(), list(places), *options)
        self.programs.append(one)
        self.cleanup.callback(one.close)
        return one

    def run(self, *argv: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess:
        return subprocess.run(list(argv), input=stdin, capture_output=True, text=True, check=False,
                              env=environment(), timeout=scaled(timeout))

    def tool(self, name: str) -> str:
        """A program that not every machine has."""
        path = shutil.which(name)
        if not path:
            raise tap.Skip(f"{name} is not installed")
        return path

    def needs_full(self) -> None:
        if not self.lab.full:
            raise tap.Skip("only with --full")

    def parse(self, text: str, kind: str = "openmetrics") -> Dict[str, Any]:
        """By name of the sample and its labels, sorted: the value. Of families also their types."""
        result = self.run("/usr/bin/python3", "-c", PARSE, kind, stdin=text)
        if result.stderr.startswith("SKIP"):
            raise tap.Skip(f"no parser: {result.stderr.strip()[5:]}")
        self.equal((result.returncode, result.stderr), (0, ""), "the parser")
        found: Dict[Any, float] = {}
        for _, _, _, samples in json.loads(result.stdout):
            for name, labels, value in samples:
                where = name, tuple(sorted(labels.items()))
                self.check(where not in found, f"{where} comes twice")
                found[where] = value
        return found

    def metrics(self, exporter: Exporter) -> Dict[str, Any]:
        return self.parse(exporter.get("/metrics", Accept=OPENMETRICS).text)

    def status(self, exporter: Exporter) -> Any:
        told = json.loads(exporter.get("/status.json").text)
        self.equal(SCHEMA.faults(told), [], "faults by the schema")
        return told

    def helper(self, directory: str, name: str = "real") -> Helper:
        """A real helper whose status socket is in this directory."""
        one = Helper(os.path.join(self.lab.build, "qemu-pr-helper"), self.directory(),
                     [f"--status-socket={os.path.join(directory, name)}.sock",
                      *(["--sandbox=off"] if self.lab.sanitized else [])])
        self.programs.append(one)
        self.cleanup.callback(one.close)
        return one.wait_ready()

    def private_kb(self, pid: int) -> int:
        """Private dirty memory, as bench measures it: code of libraries is on the disk."""
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))

    def log(self) -> str:
        return "\n".join(one.report() for one in self.programs)


def sample(name: str, **labels: str) -> Any:
    return name, tuple(sorted(labels.items()))

