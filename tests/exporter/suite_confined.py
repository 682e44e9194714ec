# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the exporter may do, what it needs, and that no helper notices it."""
import json
import os
import random
import signal
import threading
import time

from support import scaled
from support.client import Connection
from support.tap import Skip, test

from ctl.status_server import example
from exporter.fixture import client, document, sample
from exporter.recorded import Recorded

#: Private memory of an idle exporter: half of the bound that was set.
IDLE_KB = 3 << 9
#: Of a large node: what is remembered of each is in it.
HELPERS = 500


def fields(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@test
def no_capability_and_seccomp(t):
    one = t.exporter(t.directory())
    one.get("/metrics")
    status = fields(one.pid)
    t.equal([status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")], ["0" * 16] * 4,
            "capabilities")
    t.equal((status["NoNewPrivs"], status["Threads"]), ("1", "1"), "no_new_privs, threads")
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list: no seccomp")
    t.equal(status["Seccomp"], "2", "seccomp")


@test
def idle_memory(t):
    if t.lab.sanitized:
        raise Skip("sanitizers have memory of their own")
    directory = t.directory()
    text = json.dumps(document(connections=[client("vm", os.getpid())])).encode()
    server = Recorded({os.path.join(directory, f"vm-{i:03}.sock"): text for i in range(HELPERS)})
    t.cleanup.callback(server.close)
    one = t.exporter(directory)
    one.get("/metrics")
    one.get("/")
    one.wait_until("what was looked at is given back",
                   lambda: t.private_kb(one.pid) <= IDLE_KB, timeout=15)
    print(f"# private memory of an idle exporter, {HELPERS} helpers: {t.private_kb(one.pid)} kB")


def answers(helper):
    """How long a helper takes to greet a client."""
    begun = time.monotonic()
    with Connection(helper.socket_path):
        return time.monotonic() - begun


@test
def helpers_do_not_notice(t):
    """Asked again and again, beside others that hang, lie and send garbage; by one that is stopped
    amidst, by one that is killed: the helper serves its clients meanwhile, and its own row is there."""
    directory = t.directory()
    helper = t.helper(directory)
    rng = random.Random(3)
    t.serve(directory, "hangs", b'{"program": "qemu-pr-helper", "format": 1,', hang=True)
    t.serve(directory, "large", b'{"program": "' + b"x" * (5 << 20))
    for i in range(8):
        t.serve(directory, f"garbage-{i}", rng.randbytes(rng.choice([1, 100, 100000])))
    one = t.exporter(directory, options=["--timeout=300"])
    stop = threading.Event()

    def scrape():
        while not stop.is_set():
            one.get("/metrics")

    thread = threading.Thread(target=scrape)
    thread.start()
    slowest = max(answers(helper) for _ in range(200))
    stop.set()
    thread.join()
    t.check(slowest < scaled(1), f"a client waited for {slowest:.3f} s")
    up = sample("qemu_pr_helper_up", helper="real")
    one.wait_until("the helper is told of", lambda: t.metrics(one)[up] == 1)
    one.signal(signal.SIGSTOP)
    t.check(answers(helper) < scaled(1), "beside one that is stopped")
    os.kill(one.pid, signal.SIGKILL)
    t.check(answers(helper) < scaled(1), "beside one that was killed")
    t.check(helper.running, "the helper runs")


@test
def readers_cannot_keep_helpers_busy(t):
    """A hundred pages within a second are one look at the helpers."""
    directory = t.directory()
    server = t.serve(directory, "one", example())
    one = t.exporter(directory)
    begun = time.monotonic()
    for _ in range(100):
        one.get("/")
    took = time.monotonic() - begun
    t.check(server.readers <= 2 + took, f"{server.readers} looks within {took:.1f} s")
