# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Prometheus scrapes a node with fifty helpers of libvirt's kind and a real one of the host: each
alert is made to fire by a fault and falls silent after its cure. Times are in suite_mixin: here the rules
wait for nothing, and look back for seconds."""
import copy
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request

from support import scaled, scsi
from support.client import Connection
from support.process import Program
from support.tap import limit, test

from ctl.status_server import example
from exporter import many
from exporter.fixture import Exporter, client, device, document, free_port, key, mapped
from exporter.suite_mixin import RULES, alerts, read

VMS = 50


class Prometheus(Program):
    def __init__(self, t, *exporters, interval="1s"):
        directory = t.directory()
        self.port = free_port()
        rules = re.sub(r"^ +for: .*\n", "", read(RULES), flags=re.MULTILINE).replace("[5m]", "[4s]")
        with open(os.path.join(directory, "rules.yaml"), "w", encoding="utf-8") as file:
            file.write(rules)
        config = {"global": {"scrape_interval": interval, "scrape_timeout": interval,
                             "evaluation_interval": interval}, "rule_files": ["rules.yaml"],
                  "scrape_configs": [{"job_name": "qemu-pr-exporter", "static_configs": [
                      {"targets": [f"127.0.0.1:{one.port}" for one in exporters]}]}]}
        with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        super().__init__([t.tool("prometheus"), f"--config.file={directory}/prometheus.yml",
                          f"--storage.tsdb.path={directory}/data",
                          f"--web.listen-address=127.0.0.1:{self.port}"], directory)
        t.programs.append(self)
        t.cleanup.callback(self.close)
        self.wait_log("Server is ready", 20)

    def ask(self, path, **arguments):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=scaled(10)) as reply:
            return json.load(reply)["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def firing(self):
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def refused(self):
        """Samples of scrapes that it has not taken, by the reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=scaled(10)) as reply:
            counts = many.numbers(reply.read().decode())
        return {name: counts[many.REFUSED.format(name)] for name in many.REASONS
                if counts[many.REFUSED.format(name)]}

    def wait_firing(self, what, wanted, timeout=20):
        """Until exactly these fire."""
        deadline = time.monotonic() + scaled(timeout)
        while (firing := self.firing()) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: firing {sorted(firing)}, not {sorted(wanted)}")
            time.sleep(0.2)


def healthy(number):
    """A helper of libvirt's: one machine with a disk of its own, registered."""
    vm, pid = f"vm-{number}", 100000 + number
    return document(connections=[client(vm, pid)], devices=[
        device(f"naa.6001405{number:025x}", nexus=f"3:0:0:{number}", keys=[key(vm, number, pid)])])


def shared_disk(one, other):
    """The other's machine on the first one's nexus."""
    faulty = healthy(other)
    faulty["devices"].append(dict(healthy(one)["devices"][0], keys=[key("intruder", 99, 99)]))
    return faulty


def unregistered_path(number):
    faulty = healthy(number)
    faulty["devices"].append(dict(faulty["devices"][0], nexus="4:0:0:1", device="65:0", keys=[]))
    return faulty


def unregistered_path_of_a_map(number):
    return mapped([key(f"vm-{number}", number, 100000 + number)], [("up", True), ("up", False)],
                  connections=healthy(number)["connections"])


def stale_key(number):
    faulty = healthy(number)
    faulty["devices"][0]["keys"][0].update(connected=False, stale=True)
    return faulty


def dead_disk(number):
    faulty = healthy(number)
    hung = dict(example()["devices"][0]["in_flight"][0], age_s=120.0)
    faulty["devices"][0].update(in_flight=[hung], in_flight_total=1)
    return faulty


def failed_worker(number):
    faulty = healthy(number)
    faulty["worker"].update(state="failed", last_error="No such file or directory")
    return faulty


def busy(number, count):
    faulty = healthy(number)
    faulty["requests"]["busy"] = count
    return faulty


#: By the number of the helper: the alerts that its fault makes, and what it says then.
FAULTS = {
    2: ({"QemuPrSameNexus"}, shared_disk(1, 2)),
    3: ({"QemuPrPathUnregistered"}, unregistered_path(3)),
    9: ({"QemuPrPathUnregistered"}, unregistered_path_of_a_map(9)),
    4: ({"QemuPrStaleKey"}, stale_key(4)),
    5: ({"QemuPrHungCommand", "QemuPrLunWithoutAnswers"}, dead_disk(5)),
    6: ({"QemuPrWorkerFailed"}, failed_worker(6)),
    7: ({"QemuPrHelperUnreadable"}, b"garbage"),
}


def node(t):
    """Its helpers, with a real one of the host; and the exporter."""
    directory = t.directory()
    servers = {i: t.serve(directory, f"vm-{i}", healthy(i)) for i in range(VMS)}
    t.helper(directory, "host")
    return directory, servers, t.exporter(directory)


@test
@limit(120)
def each_alert_fires_and_is_cured(t):
    t.tool("prometheus")
    directory, servers, exporter = node(t)
    machine = subprocess.Popen(["sleep", "600"])
    t.cleanup.callback(machine.wait)
    t.cleanup.callback(machine.kill)
    mortal = document(connections=[client("mortal", machine.pid)])
    doomed = t.serve(directory, "mortal", mortal)
    prometheus = Prometheus(t, exporter)
    prometheus.wait_until("all helpers are there", lambda: [
        one["value"][1] for one in prometheus.query("sum(qemu_pr_helper_up)")] == [str(VMS + 2)], 20)
    prometheus.wait_until("the rules were looked at", lambda: all(
        group["lastEvaluation"] > "1" and group["evaluationTime"] > 0
        for group in prometheus.ask("rules")["groups"]), 20)
    prometheus.wait_firing("nothing is wrong", set())
    names = {one["metric"]["vm"] for one in prometheus.query("qemu_pr_helper_lun_info")}
    t.equal(names, {f"vm-{i}" for i in range(VMS)}, "machines by name")
    scraped = t.metrics(exporter)  # refuses a series that comes twice
    t.equal({dict(labels)["vm"] for name, labels in scraped if name == "qemu_pr_helper_lun_info"}, names,
            "machines by name in one scrape")
    t.equal(sum(value for (name, _), value in scraped.items() if name == "qemu_pr_helper_up"), VMS + 2,
            "helpers in one scrape")

    wanted = {"QemuPrHelperGone", "QemuPrBusy"}
    for i, (names, faulty) in FAULTS.items():
        servers[i].say(faulty)
        wanted |= names
    doomed.close()
    begun = time.monotonic()
    while prometheus.firing() != wanted:  # BUSY has to go on
        servers[8].say(busy(8, 10 + int(time.monotonic() * 100) % 10**9))
        t.check(time.monotonic() - begun < scaled(20),
                f"firing {sorted(prometheus.firing())}, not {sorted(wanted)}")
        time.sleep(0.2)

    for i in FAULTS:
        servers[i].say(healthy(i))
    t.serve(directory, "mortal", mortal)
    prometheus.wait_firing("all are cured", set())

    exporter.process.kill()
    exporter.wait_exit()
    prometheus.wait_firing("no node is scraped", {"QemuPrDataMissing"})
    port = exporter.port
    again = Program([os.path.join(t.lab.build, "qemu-pr-exporter"), "--listen", f"127.0.0.1:{port}",
                     "--status", directory], t.directory())
    t.cleanup.callback(again.close)
    prometheus.wait_firing("it is scraped again", set())
    t.equal(wanted | {"QemuPrDataMissing"}, {one["alert"] for one in alerts(t)}, "alerts that were tried")
    problems = [one for target in prometheus.ask("targets")["activeTargets"]
                for one in [target["lastError"]] if one]
    t.equal(problems, [], "what Prometheus says of the scrape")
    t.equal(prometheus.refused(), {}, "samples that are refused")


NODES, SIMULATORS = 20, 10


class SimulatedNode:
    """Real simulators, each with a LUN whose one host has registered and holds it, and an exporter."""

    def __init__(self, t, number):
        self.sockets, home = t.directory(), t.directory()
        self.luns = [os.path.join(home, f"lun{i}") for i in range(SIMULATORS)]
        self.hosts = [os.path.join(home, f"host{i}") for i in range(SIMULATORS)]
        self.simulators = []
        for i, (lun, host) in enumerate(zip(self.luns, self.hosts)):
            with open(lun, "wb"):
                pass
            one = Program([os.path.join(t.lab.build, "qemu-pr-simulator"), "-q",
                           "--nexus", f"node{number}-vm{i}={host}",
                           f"--status-socket={self.sockets}/vm{i}.sock"], home)
            t.cleanup.callback(one.close)
            self.simulators.append(one)

    def use(self, t):
        for lun, host in zip(self.luns, self.hosts):
            self.simulators[0].wait_until("its socket", lambda host=host: os.path.exists(host), 60)
            with Connection(host) as connection:
                fd = os.open(lun, os.O_RDWR)
                for action, kind, parameters in ((scsi.REGISTER, 0, scsi.parameters(0, 0xa)),
                                                 (scsi.RESERVE, 5, scsi.parameters(0xa, 0))):
                    reply = connection.command(scsi.pr_out(24, action, kind), fd, parameters)
                    t.equal(reply.status, scsi.GOOD, f"service action {action}")
                os.close(fd)
        self.exporter = t.exporter(self.sockets)


@test
@limit(600)
def twenty_exporters_over_two_hundred_simulators(t):
    """Each with an address of its own: no series comes twice, and a fault is told of where it is."""
    t.needs_full()
    t.tool("prometheus")
    nodes = [SimulatedNode(t, number) for number in range(NODES)]
    for node_ in nodes:
        node_.use(t)
    prometheus = Prometheus(t, *(node_.exporter for node_ in nodes), interval="5s")
    prometheus.wait_until("all are there", lambda: [
        one["value"][1] for one in prometheus.query("sum(qemu_pr_helper_up)")]
        == [str(NODES * SIMULATORS)], 120)
    prometheus.wait_firing("nothing is wrong", set(), 60)
    t.equal(prometheus.query("count(count by (instance) (qemu_pr_helper_lun_info))")[0]["value"][1],
            str(NODES), "nodes with LUNs")
    for node_ in nodes:
        t.metrics(node_.exporter)  # refuses a series that comes twice, which this Prometheus does not tell
    series = int(prometheus.query('count({__name__=~"qemu_pr_.*"})')[0]["value"][1])
    took = max(float(one["value"][1]) for one in prometheus.query("scrape_duration_seconds"))

    sick = nodes[7]
    begun = time.monotonic()
    sick.simulators[5].signal(signal.SIGSTOP)
    prometheus.wait_firing("one that is stopped", {"QemuPrHelperUnreadable"}, 60)
    told = prometheus.query('ALERTS{alertstate="firing"}')
    t.equal({(one["metric"]["instance"], one["metric"]["helper"]) for one in told},
            {(f"127.0.0.1:{sick.exporter.port}", "vm5")}, "which one")
    print(f"# told after {time.monotonic() - begun:.1f} s; {series} series of {NODES} nodes, the slowest "
          f"scrape {took:.3f} s")
    sick.simulators[5].signal(signal.SIGCONT)
    prometheus.wait_firing("it is cured", set(), 60)
    problems = [one["lastError"] for one in prometheus.ask("targets")["activeTargets"]
                if one["lastError"]]
    t.equal(problems, [], "what Prometheus says of the scrapes")
    t.equal(prometheus.refused(), {}, "samples that are refused")


@test
@limit(600)
def five_hundred_exporters(t):
    """On one machine, each over a simulator and three helpers: all are scraped, in time, and no sample is
    refused. docs/fleets.md has the figures of a longer run."""
    t.needs_full()
    t.tool("prometheus")
    figures = many.measure(t.lab.build, 500, 60)
    print("# " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    t.equal((figures["up"], figures["refused"]), (500, 0), "exporters that are up, samples refused")
    t.check(figures["scrape_p99_s"] < figures["interval_s"] / 3, "scrapes take a third of the interval")
    t.check(figures["series"] >= 500 * (26 * 4 + 12 * 13), "each has the series of its helpers and LUNs")
    t.check(figures["exporter_private_max_kb"] < 3 << 10, "memory of an exporter")


@test
@limit(60)
def textfile_collector(t):
    """node_exporter takes the metrics of two helpers that are set up alike."""
    tool = t.tool("prometheus-node-exporter")
    directory, textfiles = t.directory(), t.directory()
    for name in ("one", "two"):
        t.serve(directory, name, example())
    result = t.run(os.path.join(t.lab.build, "qemu-pr-ctl"), "metrics", "--all", "-s", directory)
    t.equal((result.returncode, result.stderr), (0, ""), "metrics --all")
    with open(os.path.join(textfiles, "qemu-pr-helper.prom"), "w", encoding="utf-8") as file:
        file.write(result.stdout)
    port = free_port()
    collector = Program([tool, "--collector.disable-defaults", "--collector.textfile",
                         f"--collector.textfile.directory={textfiles}",
                         f"--web.listen-address=127.0.0.1:{port}"], t.directory())
    t.programs.append(collector)
    t.cleanup.callback(collector.close)
    collector.wait_log("(?i)listening on", 20)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=scaled(10)) as reply:
        text = reply.read().decode()
    t.matches("^node_textfile_scrape_error 0$", text, "the collector is content")
    t.matches("^# TYPE qemu_pr_helper_requests_total counter$", text, "a counter is one")
    for name in ("one", "two"):
        t.matches(rf'^qemu_pr_helper_requests_total{{helper="{name}"}} 98231$', text, name)
