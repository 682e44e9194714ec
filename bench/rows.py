# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lines of the report, and what each figure has to reach."""
from typing import List, NamedTuple, Tuple

#: What is varied. A figure's name carries the step: load_64_1ms_per_s, among_1000_p99_us ...
IDLE_STEPS = (100, 1000, 4000)
CLIENT_STEPS = (1, 8, 64, 256, 1000)
DELAY_STEPS_MS = (0, 1, 10)
HUNG_STEPS = (1, 16, 64, 200)
BOUND_MS = 1000  # a healthy client's reply that takes longer counts as stalled

#: Who is in the columns of which table, and over whom ratios are given.
SERVERS = ("helper", "peer", "newest", "floor", "ideal")
STEPS = ("helper", "floor", "+ioctl", "+fstat", "+filter", "unconfined")
VM_SERVERS = ("helper", "peer", "ideal", "direct", "tool")


class Target(NamedTuple):
    """A bound for the helper's figure: for its ratio to `over`, which is another server or, after a
    colon, another figure of the helper's own; or for the figure itself, if over is empty."""
    bound: float
    over: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        over = self.over.replace(":", "")
        return f"{sign} {self.bound:g}" + (f" x {over}" if over else "")

    def is_met(self, measured: float) -> bool:
        return measured >= self.bound if self.at_least else measured <= self.bound


class Row(NamedTuple):
    figure: str
    title: str
    targets: Tuple[Target, ...] = ()


def _among_idle() -> List[Row]:
    rows = []
    for idle in IDLE_STEPS:
        targets = (Target(1.5, ":latency_p99_us"),) if idle == 1000 else ()
        rows += [Row(f"among_{idle}_p50_us", f"the same among {idle:,} idle clients, median (us)"),
                 Row(f"among_{idle}_p99_us", "  99th percentile (us)", targets)]
    return rows


def _loads() -> List[Row]:
    targets = {(64, 0): (Target(1.15, "ideal", True),),
               (1000, 10): (Target(1.0, "ideal", True), Target(4.0, "peer", True))}
    return [Row(f"load_{clients}_{delay}ms_per_s",
                f"{clients:,} client{'s' * (clients > 1)}, {delay} ms device (requests/s)",
                targets.get((clients, delay), ()))
            for delay in DELAY_STEPS_MS for clients in CLIENT_STEPS]


def _hung() -> List[Row]:
    rows = []
    for way in ("at once", "spread out"):
        for hung in HUNG_STEPS:
            name = f"hung_{hung}_{way.split()[0]}"
            rows += [Row(f"{name}_stalled", f"{hung} hung commands {way}: replies stalled",
                         (Target(0),)),
                     Row(f"{name}_p99_us", "  99th percentile of the healthy client (us)")]
    return rows


ROWS = [
    Row("latency_p50_us", "one client on the server's CPU, median (us)",
        (Target(1.15, "floor"),)),
    Row("latency_p99_us", "  99th percentile (us)"),
    Row("latency_p999_us", "  99.9th percentile (us)"),
    Row("cpu_us", "  of that the server's processor time, mean (us)"),
    Row("own_share", "  of that above the same five calls behind a filter of one instruction (floors)",
        (Target(0.03),)),
    Row("switches", "  context switches of the server for each request"),
    *_among_idle(),
    *_loads(),
    Row("load_stalled", "replies slower than 1 s, all loads together", (Target(0),)),
    *_hung(),
    Row("hung_newcomer_p99_us", "200 hung commands: connect to first reply, 99th percentile (us)"),
    Row("start_listening_us", "exec to listening (us)",
        (Target(1.2, "floor"),)),
    Row("start_handshake_us", "exec to handshake (us)"),
    Row("start_reply_us", "exec to first reply (us)", (Target(1.5, "floor"),)),
    Row("idle_private_kb", "private dirty memory, idle (kB)", (Target(200), Target(0.3, "peer"))),
    Row("idle_pss_kb", "proportional set size, idle (kB)"),
    Row("idle_rss_kb", "resident memory, idle (kB)"),
    Row("idle_serving_rss_kb", "  of that the serving process alone (kB)", (Target(0.4, "peer"),)),
    Row("served_private_kb", "private dirty after a first command (kB)"),
    *(Row(f"connection_{idle}_private_kb", f"private dirty for each of {idle:,} idle connections (kB)",
          (Target(0.1), Target(0.02, "peer")) if idle == 1000 else ()) for idle in IDLE_STEPS),
    Row("burst_peak_kb", "private dirty gained by a burst of 256 clients (kB)"),
    Row("burst_kept_kb", "  still held a minute later (kB)", (Target(100),)),
    Row("storm_all_ms", "500 clients connect at once and register on 400 disks: until the last reply (ms)",
        (Target(1.0, "peer"), Target(1.0, "newest"))),
    Row("storm_p50_ms", "  median of their replies (ms)"),
    Row("storm_kb", "  private dirty memory gained (kB)"),
    Row("scale_small_cpu_us", "10 devices, 100 clients: processor time for each request (us)"),
    Row("scale_large_cpu_us", "100 devices, 1,000 clients: the same (us)"),
    Row("scale_slope", "  growth of that cost when both grow ten-fold"),
    Row("system_calls", "system calls for each request", (Target(5),)),
    Row("instructions", "instructions for each request, user space"),
]

STEP_ROWS = [
    Row("step_p50_us", "the same, step by step from the floor: median (us)"),
    Row("step_cpu_us", "  of that the server's processor time, mean (us)"),
]

#: In a virtual machine, of real devices.
VM_ROWS = [
    Row("lun_read_p50_us", "LUN: READ KEYS, median (us)"),
    Row("lun_read_p99_us", "  99th percentile (us)"),
    Row("map_read_p50_us", "map of three paths: READ KEYS, median (us)"),
    Row("map_read_p99_us", "  99th percentile (us)"),
    Row("map_cycle_us", "map: register, reserve, release, unregister (us)", (Target(1.1, "tool"),)),
    *(Row(f"map_{action}_us", f"  of that {title} (us)") for action, title in (
        ("register", "REGISTER AND IGNORE"), ("reserve", "RESERVE"), ("release", "RELEASE"),
        ("unregister", "REGISTER, by which it unregisters"))),
]
