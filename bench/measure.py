# SPDX-License-Identifier: LGPL-2.1-or-later
"""The measurements. Each takes one server through one experiment and returns its figures by name;
README.md says what a figure means."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Dict, Iterator, List, Optional, Tuple

import beside
import vm
from rows import BOUND_MS, CLIENT_STEPS, DELAY_STEPS_MS, HUNG_STEPS, IDLE_STEPS
from servers import Server, running, steps
from support import accounts, loop, sysfs
from support.standin import Control

Figures = Dict[str, float]
Commands = Dict[str, List[str]]

MANY = 1000
BURST = 256
STARTS_PER_ROUND = 3
LATENCY_SLICES = 5
THREADS_STAY = {"helper", "peer", "newest"}  # after their client; others cannot be asked what they did
LATENCY_REQUESTS = 4000
LATENCY_WARMUP = 200
BESIDE_REQUESTS = 15000  # some tenths of a second, in which exporters ask some times
WINDOW_MS = 2000
HUNG_SPREAD_MS = 10  # between two hung commands, when they do not come at once
SCALES = {"small": (10, 100), "large": (100, 1000)}  # devices, clients
AFTER_BURST_SECONDS = 60
STORM_CLIENTS, STORM_DEVICES = 500, 400
TRACED_REQUESTS = (200, 2200)
COUNTED_REQUESTS = (500, 1500)
LOAD_SECONDS = 300

#: READ KEYS data: one registered key.
ONE_KEY = bytes([0, 0, 0, 1, 0, 0, 0, 8]) + b"bench\0\0\0"


class Unavailable(Exception):
    """A tool that the measurement needs is not here."""


class Bench:
    """The devices, the stand-in and the load generator, shared by all servers."""

    def __init__(self, directory: str, build: str, standin: str, machine: vm.Machine):
        self._directory = directory
        self._build = build
        self._machine = machine
        self._load = os.path.join(build, "bench", "bench-load")
        self._standin = standin
        control = Control(directory, standin)
        self._scripted = control.environment()
        #: A device of 0 ms, by one system call; nothing can be told to it.
        self._plain = {name: value for name, value in self._scripted.items()
                       if name != "SGIO_CONTROL"}
        sysfs.enter()
        accounts.enter()
        try:
            self._loops = [loop.Loop(directory) for _ in range(len(DELAY_STEPS_MS) + 1)]
        except loop.Unavailable as reason:
            raise Unavailable(str(reason)) from reason
        for device, delay_ms in zip(self._loops, (*DELAY_STEPS_MS, 0)):
            control.device(device.rdev).answer(ONE_KEY, delay=delay_ms / 1000)
        self._devices = {delay_ms: device.path
                         for device, delay_ms in zip(self._loops, DELAY_STEPS_MS)}
        self.quick, self.hung = self._devices[0], self._loops[-1].path
        control.device(self._loops[-1].rdev).hold()
        self._cpu = max(os.sched_getaffinity(0))

    def _run(self, mode: str, options: List[str], cpu: Optional[int] = None) -> Figures:
        def pin() -> None:
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        result = subprocess.run([self._load, mode] + options, stdout=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, timeout=LOAD_SECONDS, preexec_fn=pin,
                                check=False)
        if result.returncode != 0:
            raise RuntimeError(f"bench-load {mode} failed: {' '.join(options)}")
        return json.loads(result.stdout)

    def _idle(self, server: Server, clients: int, requests: int = 0) -> subprocess.Popen:
        """Connections that last until the process's standard input is closed."""
        process = subprocess.Popen(
            [self._load, "idle", "--socket", server.socket, "--clients", str(clients),
             "--requests", str(requests), "--device", self.quick, "--any-status"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not process.stdout.readline():
            raise RuntimeError("bench-load idle failed")
        return process

    def start(self, commands: Commands) -> Dict[str, List[Figures]]:
        """Without the stand-in: only the server's own libraries are to be loaded."""
        results: Dict[str, List[Figures]] = {name: [] for name in commands}
        for _ in range(STARTS_PER_ROUND):
            for name, command in commands.items():
                with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                    path = os.path.join(directory, "sock")
                    got = self._run("start", ["--socket", path, "--device", self.quick,
                                              "--any-status", "--"] + command + ["-k", path])
                    time.sleep(0.02)  # a companion may still be on its way out
                results[name].append({f"start_{event}_us": got[f"{event}_ns"] / 1000
                                      for event in ("listening", "handshake", "reply")})
        return results

    def memory(self, command: List[str]) -> Figures:
        """Without the stand-in, whose own pages would count."""
        os.sync()  # pages of a program written just now would count as dirty
        with running(command, {}) as server:
            private, resident = server.settled_memory()
            _, serving = server.memory([server.pid])
            proportional = server.proportional_kb()
            one = self._idle(server, 1, requests=1)
            served, _ = server.settled_memory()
            figures = {"idle_private_kb": private, "idle_pss_kb": proportional,
                       "idle_rss_kb": resident, "idle_serving_rss_kb": serving,
                       "served_private_kb": served}
            for clients in IDLE_STEPS:
                crowd = self._idle(server, clients)
                crowded, _ = server.settled_memory()
                figures[f"connection_{clients}_private_kb"] = (crowded - served) / clients
                crowd.communicate()
                served, _ = server.settled_memory()
            one.communicate()
        return figures

    @contextlib.contextmanager
    def _all_running(self, commands: Commands, environment: Dict[str, str],
                     cpu: Optional[int]) -> Iterator[Dict[str, Server]]:
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(running(command, environment, cpu))
                   for name, command in commands.items()}

    def _latency_slice(self, server: Server, count: int = LATENCY_REQUESTS) -> Figures:
        """Client and server on one CPU: the work of both, and no luck with idle CPUs. Also the
        server's own part of it, in microseconds of processor time for each request."""
        used, switches = server.cpu_ns(), server.switches()
        got = self._run("latency", ["--socket", server.socket, "--device", self.quick,
                                    "--requests", str(count),
                                    "--warmup-requests", str(LATENCY_WARMUP)], self._cpu)
        requests = count + LATENCY_WARMUP
        return {"cpu_us": (server.cpu_ns() - used) / requests / 1000,
                "switches": (server.switches() - switches) / requests,
                **{f"{rank}_us": got[f"latency_ns_{rank}"] / 1000 for rank in ("p50", "p99", "p999")}}

    def latency(self, commands: Commands) -> Dict[str, List[Figures]]:
        """All servers run all the time and take turns by the tenth of a second, so that they see
        the same machine."""
        results: Dict[str, List[Figures]] = {name: [{} for _ in range(LATENCY_SLICES)]
                                             for name in commands}
        with self._all_running(commands, self._plain, self._cpu) as servers:
            self._latency_turns(servers, results, "latency",
                                {"cpu_us": "cpu_us", "switches": "switches"})
            for name in set(results) - THREADS_STAY:
                for figures in results[name]:
                    del figures["switches"]
            present = 0
            with contextlib.ExitStack() as crowd:
                for idle in IDLE_STEPS:
                    for server in servers.values():
                        crowd.callback(self._idle(server, idle - present).communicate)
                    present = idle
                    self._latency_turns(servers, results, f"among_{idle}", {})
        return results

    def beside_exporters(self, command: List[str]) -> Figures:
        """The same latency while exporters ask for the status, as a ratio."""
        program = os.path.join(self._build, "qemu-pr-exporter")
        others = sorted(os.sched_getaffinity(0) - {self._cpu})
        if not os.path.exists(program):
            raise Unavailable("qemu-pr-exporter was not built")
        if not others:
            raise Unavailable("there is one processor: exporters would take it from the client")
        place = next(word.partition("=")[2] for word in command if word.startswith("--status-socket="))
        with running(command, self._plain, self._cpu) as server:
            asked = beside.Asked(program, place, others)
            try:
                return beside.ratios(server, asked, lambda one: self._latency_slice(one, BESIDE_REQUESTS))
            finally:
                asked.close()

    def steps(self, commands: Commands) -> Dict[str, List[Figures]]:
        """Of one client, the servers being what stands between floor and helper."""
        some = steps(self._build, commands["helper"])
        results: Dict[str, List[Figures]] = {name: [{} for _ in range(LATENCY_SLICES)]
                                             for name in some}
        with self._all_running(some, self._plain, self._cpu) as servers:
            self._latency_turns(servers, results, "step", {"cpu_us": "step_cpu_us"})
        for turn, figures in enumerate(results["helper"]):
            above = figures["step_p50_us"] - results["+filter"][turn]["step_p50_us"]
            figures["own_share"] = above / results["floor"][turn]["step_p50_us"]
        return results

    def _latency_turns(self, servers: Dict[str, Server], results: Dict[str, List[Figures]],
                       prefix: str, others: Dict[str, str]) -> None:
        names = {**{f"{rank}_us": f"{prefix}_{rank}_us" for rank in ("p50", "p99", "p999")},
                 **others}
        for turn in range(LATENCY_SLICES):
            for name, server in servers.items():
                got = self._latency_slice(server)
                results[name][turn].update({new: got[old] for old, new in names.items()})

    def _throughput(self, server: Server, devices: List[str], clients: int) -> Figures:
        return self._run("throughput", [
            "--socket", server.socket, "--clients", str(clients),
            "--threads", str(min(clients, len(os.sched_getaffinity(0)))),
            "--window-ms", str(WINDOW_MS), "--bound-ms", str(BOUND_MS),
            *(word for device in devices for word in ("--device", device))])

    def throughput(self, command: List[str]) -> Figures:
        figures: Figures = {"load_stalled": 0}
        for delay_ms, device in self._devices.items():
            for clients in CLIENT_STEPS:
                with running(command, self._scripted if delay_ms else self._plain) as server:
                    got = self._throughput(server, [device], clients)
                figures[f"load_{clients}_{delay_ms}ms_per_s"] = got["requests_per_s"]
                figures["load_stalled"] += got["stalled"]
        return figures

    def hang(self, command: List[str]) -> Figures:
        figures: Figures = {}
        for way, spread_ms in (("at", 0), ("spread", HUNG_SPREAD_MS)):
            for hung in HUNG_STEPS:
                figures.update(self._hang(command, hung, spread_ms, f"hung_{hung}_{way}"))
        return figures

    def _hang(self, command: List[str], hung: int, spread_ms: int, name: str) -> Figures:
        with running(command, self._scripted) as server:
            got = self._run("hung", ["--socket", server.socket, "--device", self.quick,
                                     "--hung-device", self.hung, "--hung", str(hung),
                                     "--spread-ms", str(spread_ms),
                                     "--requests", "1000", "--newcomers", "50",
                                     "--bound-ms", str(BOUND_MS)])
        figures = {f"{name}_stalled": got["stalled"], f"{name}_unread": got["hung_unread"],
                   f"{name}_ended": got["hung_ended"]}
        if not got["stalled"]:
            figures[f"{name}_p99_us"] = got["latency_ns_p99"] / 1000
            if hung == HUNG_STEPS[-1] and not spread_ms:
                figures["hung_newcomer_p99_us"] = got["newcomer_ns_p99"] / 1000
        return figures

    def burst(self, commands: Commands) -> Dict[str, List[Figures]]:
        """Of all servers at once, as most of it is waiting."""
        results: Dict[str, List[Figures]] = {}
        slow = self._devices[max(self._devices)]
        with self._all_running(commands, self._scripted, None) as servers:
            for name, server in servers.items():
                self._throughput(server, [self.quick], 1)
                before, _ = server.settled_memory()
                self._throughput(server, [slow], BURST)
                results[name] = [{"before": before, "burst_peak_kb": server.memory()[0] - before}]
            time.sleep(AFTER_BURST_SECONDS)
            for name, server in servers.items():
                figures = results[name][0]
                figures["burst_kept_kb"] = server.memory()[0] - figures.pop("before")
        return results

    @contextlib.contextmanager
    def _disks(self, count: int) -> Iterator[List[str]]:
        """Further devices of 0 ms, without the stand-in's control."""
        with contextlib.ExitStack() as stack:
            paths = []
            for _ in range(count):
                try:
                    one = loop.Loop(self._directory)
                except loop.Unavailable as reason:
                    raise Unavailable(str(reason)) from reason
                stack.callback(one.close)
                paths.append(one.path)
            yield paths

    def storm(self, commands: Commands) -> Dict[str, List[Figures]]:
        """A node starts: each virtual machine connects and registers at the same moment."""
        results: Dict[str, List[Figures]] = {name: [] for name in commands}
        with self._disks(STORM_DEVICES) as paths:
            options = [word for path in paths for word in ("--device", path)]
            for name, command in commands.items():
                with running(command, self._plain) as server:
                    before, _ = server.settled_memory()
                    got = self._run("storm", ["--socket", server.socket, "--clients",
                                              str(STORM_CLIENTS), *options])
                    results[name].append({
                        "storm_all_ms": got["all_ns"] / 1e6,
                        "storm_p50_ms": got["latency_ns_p50"] / 1e6,
                        "storm_kb": server.memory()[0] - before})
        return results

    def scale(self, command: List[str]) -> Figures:
        """Processor time of a request with few devices and connections, and with ten times both."""
        figures: Figures = {}
        with self._disks(max(devices for devices, _ in SCALES.values())) as paths:
            for size, (devices, clients) in SCALES.items():
                with running(command, self._plain) as server:
                    before = server.cpu_ns()
                    got = self._throughput(server, paths[:devices], clients)
                    figures[f"scale_{size}_cpu_us"] = (server.cpu_ns() - before) / got["served"] / 1000
        figures["scale_slope"] = figures["scale_large_cpu_us"] / figures["scale_small_cpu_us"]
        return figures

    def real_devices(self, _commands: Commands) -> Dict[str, List[Figures]]:
        try:
            return self._machine.measure()
        except vm.Unavailable as reason:
            raise Unavailable(str(reason)) from reason

    def system_calls(self, command: List[str]) -> Tuple[Figures, Dict[str, float]]:
        """Figures, and the calls of a request by name: the slope between two counts, so that the
        beginning and the end of a connection are not in it."""
        strace = find_tool("strace")
        with running(command, self._plain, self._cpu) as server:
            slopes = slopes_between(*(self._trace(strace, server, requests)
                                      for requests in TRACED_REQUESTS), TRACED_REQUESTS)
        often = {name: round(count, 2) for name, count in slopes.items() if abs(count) >= 0.01}
        # To two places: a server may have timers of its own, and this takes a second.
        return {"system_calls": round(sum(slopes.values()), 2)}, often

    def _trace(self, strace: str, server: Server, requests: int) -> Dict[str, float]:
        summary = server.socket + ".strace"
        tracer = subprocess.Popen([strace, "-f", "-c", "-U", "name,calls", "-o", summary,
                                   "-p", str(server.pid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in tracer.stderr.readline():
            raise Unavailable("strace may not attach here")
        self._run("latency", ["--socket", server.socket, "--device", self.quick,
                              "--warmup-requests", "0", "--requests", str(requests)], self._cpu)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        with open(summary, encoding="utf-8") as lines:
            counts = {match[1]: float(match[2]) for match in
                      (re.match(r"\s*(\w+)\s+(\d+)\s*$", line) for line in lines)
                      if match and match[1] != "total"}
        if not counts:
            raise RuntimeError("strace counted nothing")
        return counts

    def instructions(self, command: List[str]) -> Tuple[Figures, Dict[str, float]]:
        """Figures, and instructions of a request by function: the slope between two counts."""
        valgrind = find_tool("valgrind")
        slopes = slopes_between(*(self._count(valgrind, command, requests)
                                  for requests in COUNTED_REQUESTS), COUNTED_REQUESTS)
        if not slopes:
            raise RuntimeError("callgrind has counted nothing")
        return ({"instructions": sum(slopes.values())},
                {name: round(slope, 1) for name, slope in
                 sorted(slopes.items(), key=lambda item: -item[1]) if slope >= 1})

    def _count(self, valgrind: str, command: List[str], requests: int) -> Dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self._directory) as directory:
            server = Server([valgrind, "--tool=callgrind", "--quiet",
                             f"--callgrind-out-file={directory}/out.%p"] + command,
                            directory, self._plain)
            try:
                self._run("latency", ["--socket", server.socket, "--device", self.quick,
                                      "--requests", str(requests)])
            finally:
                server.terminate()
            with open(f"{directory}/out.{server.pid}", encoding="utf-8") as profile:
                return parse_callgrind(profile, os.path.basename(self._standin))


def find_tool(name: str) -> str:
    path = shutil.which(name)
    if not path:
        raise Unavailable(f"{name} is not installed")
    return path


def slopes_between(few: Dict[str, float], many: Dict[str, float],
                   requests: Tuple[int, int]) -> Dict[str, float]:
    """How much each count grows with a request."""
    return {name: (many.get(name, 0) - few.get(name, 0)) / (requests[1] - requests[0])
            for name in {**few, **many}}


def parse_callgrind(lines, without: str) -> Dict[str, float]:
    """Instructions by function, its own cost only; not those of the object called without."""
    names: Dict[str, str] = {}
    costs: Dict[str, float] = {}
    place = {"ob": "", "fn": ""}
    callee = False
    for line in lines:
        match = re.match(r"(ob|fn)=\((\d+)\)(?: (.*))?$", line.rstrip())
        if match:
            kind, number, name = match.groups()
            if name is not None:
                names[kind + number] = os.path.basename(name)
            place[kind] = names[kind + number]
        elif line.startswith(("cob=", "cfn=")):  # callees share the numbers of objects, functions
            match = re.match(r"c(ob|fn)=\((\d+)\)(?: (.*))?$", line.rstrip())
            if match[3] is not None:
                names[match[1] + match[2]] = os.path.basename(match[3])
        elif line.startswith("calls="):
            callee = True  # the next line is the cost within the callee
        elif line[:1] in "0123456789+-*":
            if not callee and place["ob"] != without:
                key = f"{place['ob']}:{place['fn']}"
                costs[key] = costs.get(key, 0) + int(line.split()[1])
            callee = False
    return costs
