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

from servers import Server, running
from support import loop
from support.standin import Control

Figures = Dict[str, float]
Commands = Dict[str, List[str]]

MANY = 1000
SOME = 64
HUNG = 200
STARTS_PER_ROUND = 3
LATENCY_SLICES = 5
LATENCY_REQUESTS = 4000
LATENCY_WARMUP = 200
WINDOW_MS = 2000
SLOW_DEVICE_SECONDS = 0.010
BOUND_MS = 1000  # a healthy client's reply that takes longer counts as stalled
AFTER_BURST_SECONDS = 15
TRACED_REQUESTS = 2000
COUNTED_REQUESTS = (500, 1500)
LOAD_SECONDS = 300

#: READ KEYS data: one registered key.
ONE_KEY = bytes([0, 0, 0, 1, 0, 0, 0, 8]) + b"bench\0\0\0"


class Unavailable(Exception):
    """A tool that the measurement needs is not here."""


class Bench:
    """The devices, the stand-in and the load generator, shared by all servers."""

    def __init__(self, directory: str, build: str, standin: str):
        self._directory = directory
        self._load = os.path.join(build, "bench", "bench-load")
        self._standin = standin
        self._control = Control(directory, standin)
        self._environment = self._control.environment()
        try:
            self._loops = [loop.Loop(directory) for _ in range(3)]
        except loop.Unavailable as reason:
            raise Unavailable(str(reason)) from reason
        self.quick, self.slow, self.hung = (device.path for device in self._loops)
        for device, delay in zip(self._loops, (0.0, SLOW_DEVICE_SECONDS, 0.0)):
            self._control.device(device.rdev).answer(ONE_KEY, delay=delay)
        self._control.device(self._loops[2].rdev).hold()
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
            one = self._idle(server, 1, requests=1)
            served, _ = server.settled_memory()
            many = self._idle(server, MANY)
            crowded, _ = server.settled_memory()
            for clients in (many, one):
                clients.communicate()
        return {"idle_private_kb": private, "idle_rss_kb": resident,
                "idle_serving_rss_kb": serving, "served_private_kb": served,
                "connection_private_kb": (crowded - served) / MANY}

    @contextlib.contextmanager
    def _all_running(self, commands: Commands, cpu: Optional[int]) -> Iterator[Dict[str, Server]]:
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(running(command, self._environment, cpu))
                   for name, command in commands.items()}

    def _latency_slice(self, server: Server) -> Tuple[Figures, float]:
        """Client and server on one CPU: the work of both, and no luck with idle CPUs. Also the
        server's own part of it, in microseconds of processor time for each request."""
        before = server.cpu_ns()
        got = self._run("latency", ["--socket", server.socket, "--device", self.quick,
                                    "--requests", str(LATENCY_REQUESTS),
                                    "--warmup-requests", str(LATENCY_WARMUP)], self._cpu)
        used = server.cpu_ns() - before
        return got, used / (LATENCY_REQUESTS + LATENCY_WARMUP) / 1000

    def latency(self, commands: Commands) -> Dict[str, List[Figures]]:
        """All servers run all the time and take turns by the tenth of a second, so that they see
        the same machine."""
        results: Dict[str, List[Figures]] = {name: [] for name in commands}
        with self._all_running(commands, self._cpu) as servers, contextlib.ExitStack() as stack:
            for _ in range(LATENCY_SLICES):
                for name, server in servers.items():
                    got, used = self._latency_slice(server)
                    results[name].append({"latency_p50_us": got["latency_ns_p50"] / 1000,
                                          "latency_p99_us": got["latency_ns_p99"] / 1000,
                                          "cpu_us": used})
            for server in servers.values():
                stack.callback(self._idle(server, MANY).communicate)
            for turn in range(LATENCY_SLICES):
                for name, server in servers.items():
                    got, _ = self._latency_slice(server)
                    results[name][turn]["among_idle_p50_us"] = got["latency_ns_p50"] / 1000
                    results[name][turn]["among_idle_p99_us"] = got["latency_ns_p99"] / 1000
        return results

    def _throughput(self, server: Server, device: str, clients: int) -> Figures:
        return self._run("throughput", [
            "--socket", server.socket, "--device", device, "--clients", str(clients),
            "--threads", str(min(clients, len(os.sched_getaffinity(0)))),
            "--window-ms", str(WINDOW_MS), "--bound-ms", str(BOUND_MS)])

    def throughput(self, command: List[str]) -> Figures:
        with running(command, self._environment) as server:
            some = self._throughput(server, self.quick, SOME)
        with running(command, self._environment) as server:
            many = self._throughput(server, self.slow, MANY)
        return {"quick_requests_per_s": some["requests_per_s"],
                "quick_p99_us": some["latency_ns_p99"] / 1000,
                "slow_requests_per_s": many["requests_per_s"],
                "slow_p99_us": many["latency_ns_p99"] / 1000,
                "throughput_stalled": some["stalled"] + many["stalled"]}

    def hang(self, command: List[str]) -> Figures:
        with running(command, self._environment) as server:
            got = self._run("hung", ["--socket", server.socket, "--device", self.quick,
                                     "--hung-device", self.hung, "--hung", str(HUNG),
                                     "--requests", "1000", "--newcomers", "50",
                                     "--bound-ms", str(BOUND_MS)])
        figures = {"hung_stalled": got["stalled"], "hung_ended": got["hung_ended"],
                   "hung_unread": got["hung_unread"]}
        if not got["stalled"]:
            figures["hung_p99_us"] = got["latency_ns_p99"] / 1000
            figures["hung_newcomer_p99_us"] = got["newcomer_ns_p99"] / 1000
        return figures

    def burst(self, commands: Commands) -> Dict[str, List[Figures]]:
        """Of all servers at once, as most of it is waiting."""
        results: Dict[str, List[Figures]] = {}
        with self._all_running(commands, None) as servers:
            for name, server in servers.items():
                self._throughput(server, self.quick, 1)
                before, _ = server.settled_memory()
                self._throughput(server, self.slow, MANY)
                results[name] = [{"before": before, "burst_peak_kb": server.memory()[0] - before}]
            time.sleep(AFTER_BURST_SECONDS)
            for name, server in servers.items():
                figures = results[name][0]
                figures["burst_kept_kb"] = server.memory()[0] - figures.pop("before")
        return results

    def system_calls(self, command: List[str]) -> Tuple[Figures, Dict[str, float]]:
        """Figures, and the calls of a request by name."""
        strace = find_tool("strace")
        with running(command, self._environment, self._cpu) as server:
            summary = server.socket + ".strace"
            tracer = subprocess.Popen([strace, "-f", "-c", "-U", "name,calls", "-o", summary,
                                       "-p", str(server.pid)],
                                      stderr=subprocess.PIPE, text=True)
            if "attached" not in tracer.stderr.readline():
                raise Unavailable("strace may not attach here")
            self._run("latency", ["--socket", server.socket, "--device", self.quick,
                                  "--warmup-requests", "0", "--requests", str(TRACED_REQUESTS)],
                      self._cpu)
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            with open(summary, encoding="utf-8") as lines:
                counts = {match[1]: int(match[2]) / TRACED_REQUESTS for match in
                          (re.match(r"\s*(\w+)\s+(\d+)\s*$", line) for line in lines)
                          if match and match[1] != "total"}
        if not counts:
            raise RuntimeError("strace counted nothing")
        often = {name: round(count, 2) for name, count in counts.items() if count >= 0.01}
        return {"system_calls": sum(counts.values())}, often

    def instructions(self, command: List[str]) -> Tuple[Figures, Dict[str, float]]:
        """Figures, and instructions of a request by function: the slope between two counts."""
        valgrind = find_tool("valgrind")
        few, many = (self._count(valgrind, command, requests) for requests in COUNTED_REQUESTS)
        between = COUNTED_REQUESTS[1] - COUNTED_REQUESTS[0]
        slopes = {name: (count - few.get(name, 0)) / between for name, count in many.items()}
        return ({"instructions": sum(slopes.values())},
                {name: round(slope, 1) for name, slope in
                 sorted(slopes.items(), key=lambda item: -item[1]) if slope >= 1})

    def _count(self, valgrind: str, command: List[str], requests: int) -> Dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self._directory) as directory:
            server = Server([valgrind, "--tool=callgrind", "--quiet",
                             f"--callgrind-out-file={directory}/out.%p"] + command,
                            directory, self._environment)
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
