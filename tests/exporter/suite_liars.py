# SPDX-License-Identifier: LGPL-2.1-or-later
"""Helpers that hang, lie or send garbage: each costs its own rows, and is told of."""
import json
import os
import random
import socket
import time

from protocol.suite_status import variations
from support import scaled
from support.tap import cases, limit, test

from ctl.status_server import example
from exporter.fixture import device, document, sample


def truth(t, directory):
    t.serve(directory, "truth", example())


def is_told(t, found, name, reason):
    t.equal(found[sample("qemu_pr_helper_up", helper=name)], 0, f"{name} is not up")
    t.equal(found[sample("qemu_pr_helper_problem_info", helper=name, reason=reason)], 1,
            f"{name} has a reason")
    t.equal(found[sample("qemu_pr_exporter_helpers", state=reason)], 1, "counted by its reason")
    t.equal(found[sample("qemu_pr_helper_requests_total", helper="truth")], 98231, "the other one")


@cases(("nothing", b"", "silent"), ("a brace", b"{", "garbage"), ("text", b"hello", "garbage"),
       ("a greeting", b"\0\0\0\1", "silent"), ("an array", b"[]", "garbage"),
       ("another program", b'{"program": "x", "format": 1}', "garbage"),
       ("deep", b"[" * 40000, "garbage"), ("wide", b"[" * 60000, "too large"), ("no UTF-8", b'{"program": "\xff\xfe"}', "garbage"),
       ("another format", b'{"program": "qemu-pr-helper", "format": 2}', "newer"),
       ("too large", b'{"program": "' + b"x" * (5 << 20), "too large"))
@limit(60)
def garbage(t, data, reason):
    directory = t.directory()
    truth(t, directory)
    t.serve(directory, "liar", data)
    one = t.exporter(directory, options=["--timeout=10000"] if reason == "too large" else [])
    is_told(t, t.metrics(one), "liar", reason)
    told = {each["helper"]: each["state"] for each in t.status(one)["helpers"]}
    t.equal(told, {"liar": reason, "truth": "answered"}, "JSON")
    t.matches(f'<td class="warn">{reason}</td>', one.get("/").text, "page")


@cases(("after nothing", b""), ("after a half", b'{"program": "qemu-pr-helper", "format": 1,'))
def hangs(t, data):
    directory = t.directory()
    truth(t, directory)
    t.serve(directory, "liar", data, hang=True)
    one = t.exporter(directory, options=["--timeout=300"])
    begun = time.monotonic()
    found = t.metrics(one)
    is_told(t, found, "liar", "silent")
    t.check(time.monotonic() - begun < scaled(3), "within its deadline")


@test
def does_not_accept(t):
    """Its queue is full, which must not keep back those who come after it in the list."""
    directory = t.directory()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(directory, "liar.sock"))
        listener.listen(0)
        waiting = []
        try:
            while True:
                one = socket.socket(socket.AF_UNIX)
                one.setblocking(False)
                waiting.append(one)
                one.connect(os.path.join(directory, "liar.sock"))
        except BlockingIOError:
            pass
        truth(t, directory)
        found = t.metrics(t.exporter(directory, options=["--timeout=300"]))
        is_told(t, found, "liar", "silent")
        for one in waiting:
            one.close()


@test
def nobody_listens(t):
    directory = t.directory()
    truth(t, directory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(directory, "liar.sock"))
    is_told(t, t.metrics(t.exporter(directory)), "liar", "gone")


@test
def what_is_no_socket_is_left_alone(t):
    directory = t.directory()
    truth(t, directory)
    os.mkfifo(os.path.join(directory, "fifo.sock"))  # to open it would wait for ever
    os.mkdir(os.path.join(directory, "directory.sock"))
    os.symlink("/dev/zero", os.path.join(directory, "link.sock"))
    with open(os.path.join(directory, "file.sock"), "w", encoding="ascii") as file:
        file.write("{}")
    found = t.metrics(t.exporter(directory))
    helpers = [dict(labels)["helper"] for name, labels in found if name == "qemu_pr_helper_up"]
    t.equal(helpers, ["truth"], "helpers")


@test
def names_of_sockets(t):
    directory = t.directory()
    name = 'vm "x"\n\\{evil}\x1b'
    t.serve(directory, name, example())
    one = t.exporter(directory)
    found = t.metrics(one)
    t.equal([dict(labels)["helper"] for sample_name, labels in found
             if sample_name == "qemu_pr_helper_up"], [r'vm "x"\x0a\x5c{evil}\x1b'], "the label")
    result = t.run(t.tool("promtool"), "check", "metrics", stdin=one.get("/metrics").text)
    t.equal((result.returncode, result.stderr), (0, ""), "promtool")


NUMBERS = [0, -1, 1e308, -1e308, 2**63, 2**64, float("inf"), float("nan"), 0.1]


def spoil(rng, value):
    """Some number, text or list of a document, replaced by something else."""
    if isinstance(value, dict):
        return {name: spoil(rng, one) for name, one in value.items() if rng.random() > 0.02}
    if isinstance(value, list):
        some = [spoil(rng, one) for one in value]
        return some * rng.choice([1, 1, 1, 1, 0, 30])
    if isinstance(value, bool) or rng.random() < 0.8:
        return value
    return rng.choice([*NUMBERS, "", "x" * 5000, "\u202e\x00\x7f", None, [], {}, True, [[]] * 50])


@test
@limit(120)
def lies_of_every_kind(t):
    """A property left out or of another type, each of them; and whole documents spoilt at random. The
    text stays one that both parsers read, and other helpers are not touched."""
    rng = random.Random(24)
    lies = [wrong for _, wrong in variations(example())]
    many = 60 if t.lab.sanitized else 300  # all of them have to answer in time
    lies = rng.sample(lies, min(len(lies), many)) + [spoil(rng, example()) for _ in range(many // 3)]
    for one in lies:  # else it is no lie, but garbage
        one.update(program="qemu-pr-helper", format=1)
    directory = t.directory()
    truth(t, directory)
    for i, one in enumerate(lies):
        t.serve(directory, f"liar-{i}", json.dumps(one).encode())
    exporter = t.exporter(directory, options=["--timeout=10000"])
    found = t.metrics(exporter)
    t.equal(found[sample("qemu_pr_helper_requests_total", helper="truth")], 98231, "the other one")
    states = {dict(labels)["state"]: value for (name, labels), value in found.items()
              if name == "qemu_pr_exporter_helpers" and value}
    t.equal(set(states) - {"too large"}, {"answered"}, "states")
    t.check(states["answered"] > many, f"{states} answered")
    time.sleep(1.1)
    result = t.run(t.tool("promtool"), "check", "metrics", stdin=exporter.get("/metrics").text)
    t.equal((result.returncode, result.stderr), (0, ""), "promtool")
    t.status(exporter)
    t.equal(exporter.get("/").status, 200, "page")
    for (name, labels), value in found.items():
        t.check(value == value and abs(value) != float("inf"), f"{name}{labels} is {value}")


@test
@limit(120)
def amplification(t):
    """Documents that are small, or as large as is allowed, and want much memory or time."""
    directory = t.directory()
    truth(t, directory)
    t.serve(directory, "hollow", b'{"program":"qemu-pr-helper","format":1,"devices":[' +
            b"{}," * 1000000 + b"{}]}")
    many = document(devices=[device(keys=[{"key": f"0x{n:x}", "connected": True, "pid": n}
                                          for n in range(64)], device=f"8:{i}", nexus="1:0:0:0")
                             for i in range(400)])
    for i in range(6):
        t.serve(directory, f"many-{i}", many)
    exporter = t.exporter(directory, options=["--timeout=10000"])
    begun = time.monotonic()
    found = t.metrics(exporter)
    took = time.monotonic() - begun
    t.equal(found[sample("qemu_pr_helper_requests_total", helper="truth")], 98231, "the other one")
    hollow = sample("qemu_pr_helper_problem_info", helper="hollow", reason="too large")
    # What we serve may come too late on a busy machine.
    exporter.wait_until("hollow is too large", lambda: t.metrics(exporter).get(hollow) == 1, 60)
    t.check(took < scaled(20), f"it took {took:.1f} s")
    if t.lab.sanitized:
        return  # sanitizers have memory of their own
    with open(f"/proc/{exporter.pid}/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    t.check(peak < 160 << 10, f"it took {peak} kB at most")
    exporter.wait_until("its memory is given back", lambda: t.private_kb(exporter.pid) < 6 << 10)
