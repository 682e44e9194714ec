# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: what is refused, with which words."""
import os
import signal
import socket

from support import scaled
from support.process import Program
from support.tap import cases, test


def exporter(t, *arguments):
    return t.run(os.path.join(t.lab.build, "qemu-pr-exporter"), *arguments)


@cases(("no number", ["--timeout", "x"], "--timeout=x: not a number of milliseconds from 1 to 10000"),
       ("zero", ["--timeout=0"], "--timeout=0: not a number of milliseconds from 1 to 10000"),
       ("a relative path", ["--status", "status"], "--status=status: not an absolute path"),
       ("too many places", [f"--status=/run/{i}" for i in range(17)],
        "--status=/run/16: more than 16 places"),
       ("an argument", ["now"], "unexpected argument 'now'; see --help"),
       ("no port", ["--listen", "127.0.0.1"],
        "cannot listen on 127.0.0.1: not a numeric address and a port"),
       ("a name", ["--listen", "localhost:1"],
        "cannot listen on localhost:1: not a numeric address and a port"),
       ("a large port", ["--listen", "127.0.0.1:70000"], "cannot listen on 127.0.0.1:70000: not a numeric address and a port"))
def refused(t, arguments, message):
    result = exporter(t, *arguments)
    t.equal((result.returncode, result.stdout), (1, ""), "status and output")
    t.check(result.stderr.startswith(f"qemu-pr-exporter: {message}"), result.stderr)


@test
def port_in_use(t):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        result = exporter(t, "--listen", address)
    t.equal((result.returncode, result.stderr),
            (1, f"qemu-pr-exporter: cannot listen on {address}: Address already in use\n"), "refusal")


@cases(("IPv4", "127.0.0.1:0", r"serving http://127\.0\.0\.1:([1-9]\d+)/"),
       ("IPv6", "[::1]:0", r"serving http://\[::1\]:([1-9]\d+)/"))
def free_port_is_told(t, address, message):
    program = Program([os.path.join(t.lab.build, "qemu-pr-exporter"), "--listen", address,
                       "--status", t.directory()], t.directory())
    t.cleanup.callback(program.close)
    port = int(program.wait_log(message).group(1))
    with socket.create_connection((address.rpartition(":")[0].strip("[]"), port), scaled(5)) as raw:
        raw.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
        t.matches(r"^HTTP/1\.[01] 404 ", raw.recv(65536).decode(), "answer")


@test
def help_and_version(t):
    text = exporter(t, "--help")
    t.equal((text.returncode, text.stderr), (0, ""), "help")
    t.matches("127.0.0.1:9979", text.stdout, "default: loopback")
    t.matches(r"^qemu-pr-exporter \d+\.\d+", exporter(t, "--version").stdout, "version")


@cases(("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT))
def ends_by_signal(t, number):
    one = t.exporter(t.directory())
    one.get("/metrics")
    one.signal(number)
    t.equal(one.wait_exit(), 0, "exit status")
