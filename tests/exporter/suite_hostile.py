# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients and helpers that mean harm, all the time: others are served, within a bound, and what is told
stays what parsers take."""
import json
import os
import random
import re
import socket
import threading
import time
from typing import Dict, List, Tuple

from support import scaled
from support.tap import limit, test

from ctl.status_server import example
from exporter.fixture import OPENMETRICS, Exporter, client, device, document, key, sample
from exporter.recorded import Recorded, cpu_s

#: What a client may be kept waiting by others that take all places: their patience and a look.
ADMITTED_S = 30
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


def record(t, texts: Dict[str, bytes], **options) -> Recorded:
    one = Recorded(texts, **options)
    t.cleanup.callback(one.close)
    return one


def peak_kb(pid: int) -> int:
    """The most that it had in memory; its unit lets it have 256 MB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


# -- clients


def is_served(t, one: Exporter, what: str, within: float = ADMITTED_S) -> float:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", one.port), scaled(within)) as raw:
        raw.settimeout(scaled(within))
        raw.sendall(REQUEST + b"Connection: close\r\n\r\n")
        text = b"".join(iter(lambda: raw.recv(65536), b""))
    took = time.monotonic() - begun
    t.check(text.startswith(b"HTTP/1.1 200 "), f"{what}: {text[:60]!r}")
    t.check(took < scaled(within), f"{what}: served after {took:.1f} s")
    return took


def trickle(t, one: Exporter, count: int, first: bytes, more: bytes) -> threading.Event:
    """Clients that take all places and send a byte now and then; who is cut off comes again."""
    stop = threading.Event()

    def connected() -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", one.port), scaled(10))
        raw.settimeout(scaled(10))
        raw.sendall(first)
        return raw

    def go() -> None:
        some = [connected() for _ in range(count)]
        ready.set()
        while not stop.wait(0.3):
            for i, raw in enumerate(some):
                try:
                    raw.sendall(more)
                except OSError:
                    raw.close()
                    try:
                        some[i] = connected()
                    except OSError:
                        pass
        for raw in some:
            raw.close()

    ready = threading.Event()
    thread = threading.Thread(target=go)
    thread.start()
    t.cleanup.callback(thread.join)
    t.cleanup.callback(stop.set)
    t.check(ready.wait(scaled(20)), "they are connected")
    return stop


@test
@limit(120)
def slow_clients_take_all_places(t):
    """A header that never ends, a few bytes at a time: never idle, and never done."""
    one = t.exporter(t.directory())
    trickle(t, one, 64, REQUEST, b"X-A: b\r\n")
    took = [is_served(t, one, f"turn {turn}") for turn in range(3)]
    print(f"# beside 64 slow clients: {', '.join(f'{one:.2f}' for one in took)} s")


@test
@limit(180)
def thousands_of_connections(t):
    """All at once, which send nothing and stay: one that asks is served meanwhile. In full ten thousand."""
    one = t.exporter(t.directory())
    crowd = []
    for _ in range(10000 if t.lab.full else 400):
        try:
            raw = socket.socket()
        except OSError:
            break  # as many as this machine lets one process have
        raw.setblocking(False)
        raw.connect_ex(("127.0.0.1", one.port))
        crowd.append(raw)
    took = is_served(t, one, "beside them", 60)
    print(f"# beside {len(crowd)} connections: {took:.2f} s")
    for raw in crowd:
        raw.close()
    one.wait_until("serving again", lambda: one.get("/metrics").status == 200, 60)
    t.check(one.running, "it runs")


@test
@limit(120)
def answers_that_are_not_taken(t):
    """Sixty clients ask for 4 MB each and take none of it: those that came first lose theirs."""
    directory = t.directory()
    t.serve(directory, "one", {"program": "qemu-pr-helper", "format": 1, "devices": [
        {"wwn": f"naa.{unit}", "device": f"8:{unit}", "keys": [
            {"key": f"0x{n:x}", "connected": True, "pid": n + 1} for n in range(60)]} for unit in range(500)]})
    one = t.exporter(directory, options=["--timeout=10000"])
    lazy = []
    for _ in range(6 if t.lab.sanitized else 60):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(scaled(10))
        raw.connect(("127.0.0.1", one.port))
        raw.sendall(b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n")
        lazy.append(raw)
    heads = [raw.recv(12) for raw in lazy[-20:]]
    t.check(set(heads) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}, f"the last ones have an answer: {heads}")
    is_served(t, one, "beside them")
    t.check(t.lab.sanitized or peak_kb(one.pid) < 200 << 10, f"it took {peak_kb(one.pid)} kB at most")
    for raw in lazy:
        raw.close()
    if not t.lab.sanitized:
        one.wait_until("its memory is given back", lambda: t.private_kb(one.pid) < 6 << 10)


@test
def pipelined(t):
    """Requests in one piece are answered in their order, and the end of a HEAD is seen."""
    one = t.exporter(t.directory())
    with socket.create_connection(("127.0.0.1", one.port), scaled(20)) as raw:
        raw.sendall(b"HEAD /status.json HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST + b"\r\n" +
                    b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST + b"Connection: close\r\n\r\n")
        text = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    t.equal(re.findall(r"^HTTP/1\.1 (\d+) ", text, re.MULTILINE), ["200", "200", "404", "200"], "answers")
    t.equal(text.count("\nqemu_pr_exporter_looks_total "), 2, "metrics")


@test
def large_headers_and_bodies(t):
    """One line, many lines, a body that is not wanted: an answer of its kind, or the end."""
    one = t.exporter(t.directory())
    for what, request, wanted in (
            ("a long line", b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n", b"431|413|400"),
            ("many lines", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100000 + b"\r\n", b"431|413|400"),
            ("a long name", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n", b"414|431|400"),
            ("a body", b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
            ("a body in pieces", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b"3\r\nabc\r\n0\r\n\r\n", b"405")):
        with socket.create_connection(("127.0.0.1", one.port), scaled(10)) as raw:
            text = b""
            try:
                raw.sendall(request)
                text = raw.recv(100)
            except ConnectionError:
                pass
        t.check(not text or re.match(b"HTTP/1.1 (" + wanted + b") ", text), f"{what}: {text[:40]!r}")
    is_served(t, one, "afterwards")
    t.check(t.lab.sanitized or t.private_kb(one.pid) < 6 << 10, "no memory is kept of it")


@test
def scrapes_at_once_and_cut_off(t):
    """Twenty at the same time are one look and one text; those that go in the middle harm none."""
    directory = t.directory()
    server = t.serve(directory, "one", example())
    one = t.exporter(directory)
    for size in (0, 1, 100, 5000):
        with socket.create_connection(("127.0.0.1", one.port), scaled(10)) as raw:
            raw.sendall(REQUEST + b"\r\n")
            if size:
                raw.recv(size)
    time.sleep(1.1)  # the next one is another look
    before = server.readers
    texts: List[str] = []
    threads = [threading.Thread(target=lambda: texts.append(one.get("/metrics").text)) for _ in range(20)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looks = server.readers - before
    t.check(looks <= 1 + time.monotonic() - begun, f"{looks} looks")
    t.equal(len(texts), 20, "answers")
    if looks == 1:
        t.equal(len(set(texts)), 1, "different answers of one look")


# -- helpers


@test
@limit(120)
def ten_thousand_sockets(t):
    """As many as there is room for are asked, the others are counted; the look has a bound."""
    directory = t.directory()
    for i in range(10000):
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.join(directory, f"dead-{i}.sock"))
    exporter = t.exporter(directory, options=["--timeout=10000"])
    begun = time.monotonic()
    found = t.metrics(exporter)
    took, used = time.monotonic() - begun, cpu_s(exporter.pid)
    t.equal((found[sample("qemu_pr_exporter_helpers", state="gone")],
             found[sample("qemu_pr_exporter_sockets_left_out")]), (2048, 10000 - 2048), "asked, and not")
    t.check(used < scaled(1.5), f"{used:.2f} s of processor time")
    print(f"# 10,000 dead sockets: {took:.2f} s, {used:.2f} s of processor time")


@test
@limit(120)
def a_thousand_that_hang(t):
    """They come first in the list, and keep none behind them from being asked."""
    directory = t.directory()
    record(t, {os.path.join(directory, f"a-{i:04}"): b"{" for i in range(1000)}, hang=True)
    t.serve(directory, "truth", example())
    one = t.exporter(directory, options=["--timeout=1000"])
    begun = time.monotonic()
    found = t.metrics(one)
    t.check(time.monotonic() - begun < scaled(8), "within their deadline")
    t.equal((found[sample("qemu_pr_exporter_helpers", state="silent")],
             found[sample("qemu_pr_helper_requests_total", helper="truth")]), (1000, 98231),
            "those that hang, and the one behind them")


@test
@limit(60)
def those_that_come_and_go(t):
    """A hundred sockets appear, are replaced and vanish while it looks again and again."""
    directory = t.directory()
    t.serve(directory, "truth", example())
    one = t.exporter(directory)
    stop = threading.Event()
    text = json.dumps(document()).encode()

    def churn() -> None:
        rng = random.Random(7)
        while not stop.is_set():
            paths = [os.path.join(directory, f"x-{rng.randrange(1000)}") for _ in range(100)]
            some = Recorded({path: text for path in set(paths)})
            for path in set(paths[:50]):
                os.unlink(path)
            some.close()
            for path in set(paths[50:]) - set(paths[:50]):
                os.unlink(path)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            found = t.metrics(one)
            t.equal(found[sample("qemu_pr_helper_requests_total", helper="truth")], 98231, "the other one")
            t.status(one)
            time.sleep(1.05)
    finally:
        stop.set()
        thread.join()
    # Those that answered once and are gone have no clients that live: none is remembered.
    one.wait_until("it has forgotten them", lambda: {
        dict(labels)["helper"] for name, labels in t.metrics(one)
        if name == "qemu_pr_helper_orphaned_clients"} == {"truth"}, 15)


@test
@limit(60)
def names_that_are_long_when_escaped(t):
    """Of which only the end differs: no two series are the same."""
    directory = t.directory()
    room = 100 - len(directory)
    for i in range(3):
        t.serve(directory, "\n" * (room - 3) + str(i), example())
    one = t.exporter(directory)
    found = t.metrics(one)
    names = {dict(labels)["helper"] for name, labels in found if name == "qemu_pr_helper_up"}
    t.equal(len(names), 3, f"names among {names}")
    result = t.run(t.tool("promtool"), "check", "metrics", stdin=one.get("/metrics").text)
    t.equal((result.returncode, result.stderr), (0, ""), "promtool")


@test
def buckets_that_differ_by_nothing(t):
    """Two bounds of a histogram that would be the same text as labels: what comes from there on is not
    taken."""
    lie = example()
    for latency in lie["devices"][0]["latency"]:
        latency["buckets"] = [{"le_us": bound, "count": 1} for bound in (1, 1.0000000001, 2, 2, 1e300)]
    directory = t.directory()
    t.serve(directory, "liar", document(devices=lie["devices"][:1]))
    found = t.metrics(t.exporter(directory))
    bounds = {dict(labels)["le"] for name, labels in found if name == "qemu_pr_helper_command_seconds_bucket"}
    t.equal(bounds, {"1e-06", "+Inf"}, "bounds")


def lines(t, text: str) -> Dict[str, float]:
    """What is said, by name and labels as they stand: the parsers take a quarter of a minute for 16 MB."""
    told = [line.rpartition(" ") for line in text.split("\n") if line and line[0] != "#"]
    found = {where: float(value) for where, _, value in told}
    t.equal(len(found), len(told), "series, and lines")
    return found


def liars(t, directory: str, texts: Dict[str, bytes]) -> Tuple[Dict, float, int]:
    """An exporter over these and one that says the truth: its numbers, processor time, and text."""
    for name, text in texts.items():
        t.serve(directory, name, text)
    t.serve(directory, "truth", example())
    one = t.exporter(directory, options=["--timeout=10000"])
    text = one.get("/metrics", Accept=OPENMETRICS).text
    used = cpu_s(one.pid)
    found = lines(t, text)
    t.equal(found['qemu_pr_helper_requests_total{helper="truth"}'], 98231, "the other one")
    t.check(t.lab.sanitized or peak_kb(one.pid) < 160 << 10, f"it took {peak_kb(one.pid)} kB at most")
    t.equal((one.get("/").status, one.get("/status.json").status), (200, 200), "page and JSON")
    return found, used, len(text)


@test
@limit(120)
def documents_without_an_end(t):
    """64 MB (8 if not in full) of each kind, from eight at a time: none is read to its end."""
    size = (64 if t.lab.full else 8) << 20
    texts = {"deep": b"[" * size, "text": b'{"program": "' + b"x" * size, "space": b" " * size,
             "number": b'{"format": ' + b"9" * size, "no-utf8": b'{"program": "' + b"\xff\xc0\x80" * (size // 3),
             "zeros": bytes(size), "keys": b'{"a":1,' * (size // 7), "escapes": b'{"program": "' + b"\\ud800" * (size // 6)}
    found, used, _ = liars(t, t.directory(), texts)
    t.equal(found['qemu_pr_exporter_helpers{state="too large"}'], len(texts), "too large")
    print(f"# eight documents of {size >> 20} MB: {used:.2f} s of processor time")


@test
def numbers_out_of_range(t):
    """As no helper writes them, but as JSON may have them: what cannot be is 0, nothing else is touched."""
    text = json.dumps(example())
    for old, new in (('"total": 98231', '"total": 1e999'), ('"connected": 5', '"connected": -99999999999999999999999'),
                     ('"uptime_s": ', '"uptime_s": 1e-999, "x": '), ('"pid": ', '"pid": 18446744073709551616, "y": '),
                     ('"accepted": ', '"accepted": 1.7976931348623157e308, "z": ')):
        t.check(old in text, f"{old} is in the example")
        text = text.replace(old, new)
    directory = t.directory()
    t.serve(directory, "liar", text.encode())
    t.serve(directory, "truth", example())
    one = t.exporter(directory)
    found = t.metrics(one)
    t.equal((found[sample("qemu_pr_helper_requests_total", helper="liar")],
             found[sample("qemu_pr_helper_clients", helper="liar")],
             found[sample("qemu_pr_helper_clients_accepted_total", helper="liar")]), (0, 0, 1e15), "its numbers")
    t.equal(found[sample("qemu_pr_helper_requests_total", helper="truth")], 98231, "the other one")
    t.status(one)


@test
@limit(120)
def many_devices_with_long_names(t):
    """Each liar tells of as many as one helper may: the text stays one that can be scraped, and it is
    the liars who are left out, not those that answer after them."""
    texts = {f"{chr(97 + i)}" + "\n" * 10: json.dumps({
        "program": "qemu-pr-helper", "format": 1,
        "devices": [{"wwn": "\u0001" * 20 + f"{i}.{n}"} for n in range(1024)]}).encode()
        for i in range(20)}
    found, used, size = liars(t, t.directory(), texts)
    left = found['qemu_pr_exporter_helpers{state="too large"}']
    t.check(left >= 12, f"{left} were left out")
    t.check(size < 32 << 20, f"{size} bytes")
    print(f"# 20,480 devices by 20 liars: {size / 1e6:.1f} MB, {used:.2f} s of processor time")


@test
@limit(120)
def documents_that_want_much_time(t):
    """As many maps as devices; as many keys on one nexus as there may be."""
    maps = {"program": "qemu-pr-helper", "format": 1,
            "worker": {"maps": [{"device": "1:1", "wwn": f"w{n}"} for n in range(1024)]},
            "devices": [{"kind": "multipath", "device": "1:1", "wwn": "w"} for _ in range(1024)]}
    texts = {f"maps-{i}": json.dumps(maps).encode() for i in range(6)}
    _, used, _ = liars(t, t.directory(), texts)
    keys = [{"program": "qemu-pr-helper", "format": 1, "devices": [
        {"wwn": f"naa.{unit}", "device": f"8:{unit}", "nexus": "1:0:0:0", "keys": [
            {"key": f"0x{n:x}", "connected": True, "pid": 100 * i + n + 1, "vm": "x" * 100 + f"{n}"}
            for n in range(64)]} for unit in range(20)]} for i in range(24)]
    _, compared, _ = liars(t, t.directory(), {f"keys-{i}": json.dumps(one).encode()
                                              for i, one in enumerate(keys)})
    print(f"# processor time: maps {used:.2f} s, keys on one nexus {compared:.2f} s")
    if not t.lab.sanitized:
        t.check(used < scaled(1) and compared < scaled(2), f"{used:.2f} s, {compared:.2f} s")


@test
def times_of_another_clock(t):
    """A clock that was set: years ago, years ahead, no time at all. Ages are not the clock's."""
    directory = t.directory()
    for name, told in (("past", "1969-12-31T23:59:59.000Z"), ("future", "2199-01-01T00:00:00.5Z"),
                       ("none", "yesterday"), ("odd", "2026-13-45T99:99:99.9e999Z")):
        t.serve(directory, name, document(time=told, connections=[client("vm", 1)]))
    one = t.exporter(directory)
    found = t.metrics(one)
    starts = {dict(labels)["helper"]: value for (name, labels), value in found.items()
              if name == "qemu_pr_helper_start_time_seconds"}
    t.check(starts["past"] < 0 < starts["future"] and starts["none"] == starts["odd"] == 0, f"{starts}")
    t.status(one)
