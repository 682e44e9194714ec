# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures of real devices for the benchmark (bench/README.md): a LUN, and a map over three paths.

Who is compared takes turns, and another one begins in each round. Each test prints a line
"# figures JSON" with {figure: {who: [value of each round, in microseconds]}}. TEST_BENCH_ROUNDS says
how many rounds. These are tests in so far as every command has to succeed.
"""
import contextlib
import json
import os
import subprocess
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import guest
import lab
from host import WRITE_EXCLUSIVE_REGISTRANTS
from maps import KEY, NODE, WORKER, Devices
from support import scsi, tap
from support.process import Helper
from support.tap import limit, test

PACKAGES = ["multipath", "peer"]
EMULATED = {"*": "two processors"}

ROUNDS = int(os.environ.get("TEST_BENCH_ROUNDS", "3"))
REQUESTS, WARM_UP = 100, 20
PEER = "/usr/bin/qemu-pr-helper"
#: Client and server on one CPU, as in the benchmark's other latencies.
CPU = 1

KIND = WRITE_EXCLUSIVE_REGISTRANTS
#: (figure, service action, key, service action key) of one host's life with a map, and what
#: mpathpersist(8) calls it.
CYCLE: Sequence[Tuple[str, int, int, int, List[str]]] = (
    ("register", scsi.REGISTER_AND_IGNORE, 0, KEY,
     ["--register-ignore", f"--param-sark={KEY:x}"]),
    ("reserve", scsi.RESERVE, KEY, 0,
     ["--reserve", f"--param-rk={KEY:x}", f"--prout-type={KIND}"]),
    ("release", scsi.RELEASE, KEY, 0,
     ["--release", f"--param-rk={KEY:x}", f"--prout-type={KIND}"]),
    ("unregister", scsi.REGISTER, KEY, 0, ["--register", f"--param-rk={KEY:x}"]))

Figures = Dict[str, Dict[str, List[float]]]


class Lab(Devices):
    """The map, a LUN of its own by the shortest way that there is, and the servers."""

    def __init__(self, settings: dict):
        super().__init__()
        self.lun = lab.Loopback(lab.Backstore("alone"), 2).initiator
        self.servers: Dict[str, Helper] = {}
        for name, program, options in (
                ("helper", settings["helper"], [f"--mpath-worker={WORKER}"]),
                ("peer", PEER, []),
                ("ideal", "/payload/bin/bench-floor", ["--ioctl"])):
            directory = f"/run/{name}"
            os.mkdir(directory)
            self.servers[name] = Helper(program, directory, options, before_exec=pin)
        for server in self.servers.values():
            server.wait_ready()
        self.lun.drain()
        self.reset()

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        super().close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.lab = shared
        self.figures: Figures = {}

    def socket(self, server: str) -> str:
        return self.lab.servers[server].socket_path

    def measure(self, what: Dict[str, Callable[[], Dict[str, float]]]) -> None:
        """Each of them gives its figures, once a round."""
        order = list(what)
        for _ in range(ROUNDS):
            for who in order:
                for figure, value in what[who]().items():
                    self.figures.setdefault(figure, {}).setdefault(who, []).append(value)
            order.append(order.pop(0))
        print(f"# figures {json.dumps(self.figures)}", flush=True)

    def log(self) -> str:
        parts = [f"{name}: {line}" for name, server in self.lab.servers.items()
                 for line in server.log().splitlines()[-8:]]
        return "\n".join([*parts, *self.lab.daemons.log(),
                          *(f"kernel: {line}" for line in guest.kernel_log()[-12:])])


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    lab.write("/proc/sys/kernel/printk", 1)  # the console is slow, and not what is measured
    shared = Lab(settings)
    try:
        yield lambda one: Context(shared, one.full_name)
    finally:
        shared.close()


def pin() -> None:
    os.sched_setaffinity(0, {CPU})


def ask(*command: object) -> Dict[str, float]:
    """What one of the benchmark's programs prints."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=pin, check=False)
    if result.returncode:
        raise AssertionError(f"{' '.join(result.args)}: {result.stderr}")
    return json.loads(result.stdout)


def time_program(figure: str, *command: object) -> Dict[str, float]:
    return {figure: ask("bench-device", "program", "--", *command)["latency_ns_p50"] / 1000}


def measure_reads(t: Context, name: str, device: str, tool: Sequence[str]) -> None:
    """READ KEYS, through each helper and without one."""
    def latency(*command: object) -> Dict[str, float]:
        got = ask(*command, "--device", device, "--requests", REQUESTS, "--warmup-requests", WARM_UP)
        return {f"{name}_read_p50_us": got["latency_ns_p50"] / 1000,
                f"{name}_read_p99_us": got["latency_ns_p99"] / 1000}

    def through(server: str) -> Callable[[], Dict[str, float]]:
        return lambda: latency("bench-load", "latency", "--socket", t.socket(server))

    t.measure({**{server: through(server) for server in t.lab.servers},
               "direct": lambda: latency("bench-device", "direct"),
               "tool": lambda: time_program(f"{name}_read_p50_us", *tool, device)})


@test
@limit(60 + 10 * ROUNDS)
def lun(t: Context) -> None:
    measure_reads(t, "lun", t.lab.lun.path, ["sg_persist", "--no-inquiry", "--in", "--read-keys"])


@test
@limit(60 + 10 * ROUNDS)
def map_reads(t: Context) -> None:
    measure_reads(t, "map", NODE, ["mpathpersist", "--in", "--read-keys"])


@test
@limit(60 + 30 * ROUNDS)
def map_changes(t: Context) -> None:
    """Register, reserve, release, unregister; and all of it together. Not by the peer: Debian builds
    it without libmpathpersist, and on a map its command reaches one path of the three."""
    def unregistered(times: Dict[str, float]) -> Dict[str, float]:
        t.equal(t.lab.disk.registrations(), [], "registrations at the end")
        return {**times, "map_cycle_us": sum(times.values())}

    def by_helper() -> Dict[str, float]:
        times = {}
        t.lab.drain()
        for figure, action, key, action_key, _ in CYCLE:
            got = ask("bench-device", "out", "--device", NODE, "--socket", t.socket("helper"),
                      "--action", action, "--type", KIND, "--key", key, "--action-key", action_key)
            times[f"map_{figure}_us"] = got["latency_ns_p50"] / 1000
        return unregistered(times)

    def by_tool() -> Dict[str, float]:
        times = {}
        t.lab.drain()
        for figure, _, _, _, options in CYCLE:
            times.update(time_program(f"map_{figure}_us", "mpathpersist", "--out", *options, NODE))
        return unregistered(times)

    by_helper()  # starts the worker, once for all
    t.measure({"helper": by_helper, "tool": by_tool})
