# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many nodes on one machine: a real exporter for each, over a real simulator and recorded helpers, and one
real Prometheus that scrapes all of them, with the rules that are shipped. What that takes, as figures; their
digest is fleet.json, of which a table in docs/fleets.md is made."""
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from typing import Dict, List

from ctl.status_server import example
from exporter.fixture import TOP, Exporter, client, document, free_port, key
from exporter.recorded import Recorded, cpu_s
from support import scaled, scsi
from support.client import Connection
from support.process import Program

FIGURES = os.path.join(TOP, "tests", "exporter", "fleet.json")
PAGE = os.path.join(TOP, "docs", "fleets.md")
BEGIN, END = "<!-- tests/exporter/fleet --real: begin -->\n", "<!-- tests/exporter/fleet --real: end -->\n"
#: Of each node, beside the simulator.
HELPERS, LUNS = 3, 4
INTERVAL_S = 15
WARM_UP_S = 90
APPENDED = "prometheus_tsdb_head_samples_appended_total"
#: What Prometheus counts of samples that it has not taken, and why.
REFUSED = "prometheus_target_scrapes_{}_total"
REASONS = ("sample_duplicate_timestamp", "sample_out_of_order", "sample_out_of_bounds", "exceeded_sample_limit")


def recorded(node: int, sockets: str) -> Dict[str, bytes]:
    """What its helpers say, by the path of the socket."""
    model, texts = example()["devices"][1], {}
    for i in range(HELPERS):
        vm, first = f"node{node}-vm{i}", (node * HELPERS + i) * LUNS
        devices = [dict(model, wwn=f"naa.6001405{first + k:025x}", device=f"8:{i * LUNS + k}",
                        nexus=f"3:0:0:{i * LUNS + k}", same_nexus=None, keys=[key(vm, first + k + 1, 1000 + i)])
                   for k in range(LUNS)]
        texts[os.path.join(sockets, f"{vm}.sock")] = json.dumps(
            document(devices=devices, connections=[client(vm, 1000 + i)])).encode()
    return texts


def simulate(build: str, home: str, sockets: str, node: int) -> Program:
    """A simulator whose LUN one host has registered with and holds."""
    lun, host = os.path.join(home, "lun"), os.path.join(home, "host")
    with open(lun, "wb"):
        pass
    one = Program([os.path.join(build, "qemu-pr-simulator"), "-q", "--nexus", f"node{node}-sim={host}",
                   f"--status-socket={sockets}/sim.sock"], home)
    one.wait_until("its socket", lambda: os.path.exists(host), 30)
    fd = os.open(lun, os.O_RDWR)
    with Connection(host) as connection:
        for action, kind, parameters in ((scsi.REGISTER, 0, scsi.parameters(0, 0xa)),
                                         (scsi.RESERVE, 5, scsi.parameters(0xa, 0))):
            reply = connection.command(scsi.pr_out(24, action, kind), fd, parameters)
            if reply.status != scsi.GOOD:
                raise RuntimeError(f"service action {action}: status {reply.status}")
    os.close(fd)
    return one


def numbers(text: str) -> Dict[str, float]:
    """What Prometheus tells of itself, summed up over labels."""
    sums: Dict[str, float] = {}
    for name, value in re.findall(r"^(prometheus_\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        sums[name] = sums.get(name, 0) + float(value)
    return sums


class Server(Program):
    """Prometheus, with these exporters as its targets."""

    def __init__(self, directory: str, exporters: List[Exporter]):
        self.port = free_port()
        targets = [f"127.0.0.1:{one.port}" for one in exporters]
        config = {"global": {"scrape_interval": f"{INTERVAL_S}s", "evaluation_interval": "30s"},
                  "rule_files": [os.path.join(TOP, "dist", "monitoring", "rules.yaml")],
                  "scrape_configs": [{"job_name": "qemu-pr-exporter", "static_configs": [{"targets": targets}]}]}
        with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        program = shutil.which("prometheus")
        if not program:
            raise FileNotFoundError("prometheus is not installed")
        super().__init__([program, f"--config.file={directory}/prometheus.yml",
                          f"--storage.tsdb.path={directory}/data",
                          f"--web.listen-address=127.0.0.1:{self.port}"], directory)
        self.wait_log("Server is ready", 60)

    def query(self, expression: str) -> list:
        url = f"http://127.0.0.1:{self.port}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=scaled(60)) as reply:
            return json.load(reply)["data"]["result"]

    def up(self) -> int:
        found = self.query('count(up{job="qemu-pr-exporter"} == 1)')
        return int(found[0]["value"][1]) if found else 0

    def numbers(self) -> Dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=scaled(30)) as reply:
            return numbers(reply.read().decode())


def memory_kb(pid: int, field: str) -> int:
    name = "smaps_rollup" if field == "Private_Dirty" else "status"
    with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(f"{field}:"))


def watch(server: Server, exporters: List[Exporter], seconds: float) -> Dict[str, float]:
    """For so long, once each target has been scraped; the figures."""
    server.wait_until("each exporter is scraped", lambda: time.sleep(0.5) or server.up() == len(exporters),
                      WARM_UP_S)
    before, used = server.numbers(), cpu_s(server.pid)
    looking, begun = sum(cpu_s(one.pid) for one in exporters), time.monotonic()
    time.sleep(seconds)
    after, took = server.numbers(), time.monotonic() - begun
    looking = sum(cpu_s(one.pid) for one in exporters) - looking
    used = cpu_s(server.pid) - used
    durations = sorted(float(value) for one in server.query(f"scrape_duration_seconds[{int(took)}s]")
                       for _, value in one["values"])
    private = [memory_kb(one.pid, "Private_Dirty") for one in exporters]
    refused = sum(after[REFUSED.format(name)] for name in REASONS)
    samples = after[APPENDED] - before[APPENDED]
    return {"up": server.up(), "series": after["prometheus_tsdb_head_series"],
            "samples_per_s": samples / took,
            "scrapes": len(durations), "scrape_median_s": statistics.median(durations),
            "scrape_p99_s": durations[int(len(durations) * 0.99)], "scrape_max_s": durations[-1],
            "refused": refused, "prometheus_mb": memory_kb(server.pid, "VmRSS") / 1024,
            "prometheus_processors": used / took, "exporter_private_kb": statistics.median(private),
            "exporter_private_max_kb": max(private), "scrape_cpu_ms": looking / len(durations) * 1000}


def measure(build: str, nodes: int, seconds: float) -> Dict[str, float]:
    """Start them, watch them for so long, end them. FileNotFoundError: a program is missing."""
    begun = time.monotonic()
    directory = tempfile.mkdtemp(prefix="pr-nodes-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        texts: Dict[str, bytes] = {}
        exporters: List[Exporter] = []
        places = []
        for node in range(nodes):
            home = os.path.join(directory, str(node))
            places.append(os.path.join(home, "s"))
            os.makedirs(places[-1])
            texts.update(recorded(node, places[-1]))
        stack.callback(Recorded(texts).close)
        for node, place in enumerate(places):
            home = os.path.dirname(place)
            stack.callback(simulate(build, home, place, node).close)
            log = os.path.join(home, "e")
            os.mkdir(log)
            exporters.append(Exporter(build, log, [place], "--quiet"))
            stack.callback(exporters[-1].close)
        home = os.path.join(directory, "p")
        os.mkdir(home)
        server = Server(home, exporters)
        stack.callback(server.close)
        figures = watch(server, exporters, seconds)
    return {"nodes": nodes, "helpers": HELPERS + 1, "luns": HELPERS * LUNS + 1, "interval_s": INTERVAL_S,
            "seconds": seconds, **figures, "took_s": time.monotonic() - begun}


# -- the page


def table(figures: dict) -> str:
    rows = [
        ("series", f"{figures['series']:,.0f}, {figures['series'] / figures['nodes']:.0f} of a node"),
        ("samples a second", f"{figures['samples_per_s']:,.0f}"),
        ("scrapes", f"{figures['scrapes']:,.0f}: median {figures['scrape_median_s'] * 1000:.0f} ms, 99th percentile "
                    f"{figures['scrape_p99_s'] * 1000:.0f} ms, longest {figures['scrape_max_s'] * 1000:.0f} ms"),
        ("samples refused", f"{figures['refused']:.0f}"),
        ("Prometheus", f"{figures['prometheus_mb']:,.0f} MB of memory, "
                       f"{figures['prometheus_processors']:.2f} processors"),
        ("one exporter", f"{figures['exporter_private_kb'] / 1024:.1f} MB of private memory, "
                         f"{figures['exporter_private_max_kb'] / 1024:.1f} MB at most; "
                         f"{figures['scrape_cpu_ms']:.1f} ms of processor time for a scrape"),
    ]
    lines = [f"{figures['nodes']} exporters, each over {figures['helpers']} status sockets with "
             f"{figures['luns']} LUNs, scraped every {figures['interval_s']} s", "for "
             f"{figures['seconds']:.0f} s ({figures['machine']}, {figures['date']}, load before "
             f"{figures['load']:.1f}):", "", "| | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {value} |" for what, value in rows)]) + "\n"


def machine() -> str:
    """What kind of machine this is, without telling which."""
    model = "unknown processor"
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} CPUs, Linux {'.'.join(platform.release().split('.')[:2])}"


def read_page() -> List[str]:
    """What is before the table, the table, and what is after it."""
    with open(PAGE, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    inside, after = rest.split(END)
    return [before, inside, after]


def write_page(figures: dict) -> None:
    before, _, after = read_page()
    with open(FIGURES, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
        file.write("\n")
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + table(figures) + END + after)
