# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is served where, to whom; and clients that do not behave."""
import random
import socket

from support import scaled
from support.tap import cases, test

from exporter.fixture import OPENMETRICS

CLASSIC_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@cases(("Prometheus 2", OPENMETRICS, OPENMETRICS_TYPE), ("nothing", None, CLASSIC_TYPE),
       ("curl", "*/*", CLASSIC_TYPE), ("classic", "text/plain", CLASSIC_TYPE),
       ("OpenMetrics alone", "application/openmetrics-text", OPENMETRICS_TYPE),
       ("capitals", "Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS_TYPE),
       ("by weight", "application/openmetrics-text;q=0.2, text/plain;q=0.9", CLASSIC_TYPE),
       ("refused", "application/openmetrics-text;q=0, */*", CLASSIC_TYPE),
       ("another type", "application/openmetrics-texts", CLASSIC_TYPE))
def negotiation(t, accept, wanted):
    one = t.exporter(t.directory())
    reply = one.get("/metrics", **({"Accept": accept} if accept else {}))
    t.equal((reply.status, reply.headers["content-type"]), (200, wanted), "reply")
    t.equal(reply.text.endswith("\n# EOF\n"), wanted == OPENMETRICS_TYPE, "OpenMetrics' last line")
    t.equal(reply.headers["vary"], "Accept", "caches are told")


@cases(("the page", "/", 200, "text/html; charset=utf-8"),
       ("status", "/status.json", 200, "application/json"),
       ("with a query", "/metrics?x=1", 200, CLASSIC_TYPE),
       ("nothing", "/nothing", 404, "text/html; charset=utf-8"),
       ("outside", "/../etc/passwd", 404, "text/html; charset=utf-8"))
def paths(t, path, status, kind):
    one = t.exporter(t.directory())
    reply = one.get(path)
    t.equal((reply.status, reply.headers["content-type"]), (status, kind), path)
    t.equal((reply.headers["x-content-type-options"], reply.headers["cache-control"]),
            ("nosniff", "no-store"), "headers")
    t.matches("default-src 'none'", reply.headers["content-security-policy"], "no script, no network")


@cases("POST", "PUT", "DELETE", "OPTIONS")
def methods(t, method):
    reply = t.exporter(t.directory()).get("/metrics", method)
    t.equal((reply.status, reply.headers["allow"]), (405, "GET, HEAD"), method)


@test
def head(t):
    reply = t.exporter(t.directory()).get("/metrics", "HEAD")
    t.equal((reply.status, reply.text), (200, ""), "reply")
    t.check(int(reply.headers["content-length"]) > 100, "length of what it would be")


@test
def clients_that_wait(t):
    """Connections without a request do not keep others from theirs."""
    one = t.exporter(t.directory())
    idle = []
    for _ in range(60):
        idle.append(socket.create_connection(("127.0.0.1", one.port), scaled(5)))
        idle[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost:")
    t.equal(one.get("/metrics").status, 200, "beside them")
    for each in idle:
        each.close()


@test
def more_clients_than_it_takes(t):
    one = t.exporter(t.directory())
    crowd = []
    for _ in range(200):
        crowd.append(socket.socket())
        crowd[-1].setblocking(False)
        crowd[-1].connect_ex(("127.0.0.1", one.port))
    for each in crowd:
        each.close()
    one.wait_until("serving again", lambda: one.get("/metrics").status == 200)


@cases(64, 65, 140)
def half_requests(t, count):
    """Clients beyond the limit that have sent a part of a request and go, all at once."""
    one = t.exporter(t.directory())
    crowd = []
    for _ in range(count):
        crowd.append(socket.socket())
        crowd[-1].settimeout(0.3)
        try:
            crowd[-1].connect(("127.0.0.1", one.port))
            crowd[-1].send(b"GET")
        except OSError:
            crowd.pop().close()
    for each in crowd:
        each.close()
    one.wait_until("serving again", lambda: one.get("/metrics").status == 200)


@test
def garbage(t):
    """Bytes that are no HTTP: an answer or the end, and the next one is served."""
    one = t.exporter(t.directory())
    rng = random.Random(24)
    heads = [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n",
             b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: ", b"GET /" + b"a" * 20000]
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", one.port), scaled(5)) as raw:
            try:
                raw.sendall(rng.choice(heads) + rng.randbytes(rng.randrange(1, 3000)))
                raw.shutdown(socket.SHUT_WR)
                raw.settimeout(0.05)  # what it may wait for will not come
                while raw.recv(65536):
                    pass
            except OSError:
                pass
    t.equal(one.get("/metrics").status, 200, "afterwards")
    t.check(one.running, "it runs")
