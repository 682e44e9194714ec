# SPDX-License-Identifier: LGPL-2.1-or-later
"""The exporter's filter: each entry has its caller in our source, and is made here; nothing else is."""
import os
import platform
import re
import signal
import socket
import subprocess
import threading

from support import callers, procfs, scaled, strace
from support.tap import Skip, limit, test

from ctl.status_server import example
from exporter.fixture import TOP, Exporter, client, device, document

SOURCE = "exporter/sandbox.c"
#: Of ours on x86-64 with the GNU C library never made, and who needs them.
ELSEWHERE = {
    "accept": "a libmicrohttpd that was built without accept4",
    "clock_gettime": "where the vDSO cannot serve it",
    "epoll_pwait": "architectures without epoll_wait, such as aarch64",
    "fcntl": "a libmicrohttpd that was built without accept4",
    "fstat": "musl; other versions of glibc",
    "futex": "a libmicrohttpd or C library whose locks are waited for; there is one thread",
    "gettimeofday": "where the vDSO cannot serve it",
    "getpid": "older versions of libmicrohttpd and of glibc",
    "getsockname": "other versions of libmicrohttpd",
    "getsockopt": "other versions of libmicrohttpd",
    "ppoll": "architectures without poll, such as aarch64",
    "sendto": "other versions of libmicrohttpd, and musl",
    "stat": "other C libraries",
    "statx": "architectures and C libraries that make fstatat of it",
    "time": "where the vDSO cannot serve it",
}
#: Made or not, as it comes.
PERHAPS = {"restart_syscall": "a process that is stopped while it waits with a time-out",
           "read": "of a client's /proc/PID/stat, if a process has the pid that the document gives"}
#: qsort of the GNU C library asks how much memory there is, and takes a refusal for plenty.
REFUSED = {"sysinfo"}


def found() -> list:
    return [entry for array in ("sandbox_allowed", "sandbox_conditional")
            for entry in callers.entries(SOURCE, array)]


@test
def each_entry_has_a_caller(t):
    t.check(len(found()) > 40, f"{len(found())} entries")
    t.equal([entry.fault() for entry in found() if entry.fault()], [], "faults")
    names = [entry.name for entry in found() if not entry.name.startswith("fcntl")]
    t.equal([name for name in names if names.count(name) > 1], [], "entries that are there twice")


def in_parts(one):
    """How much is told to a client that takes a little at a time."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(scaled(20))
        slow.connect(("127.0.0.1", one.port))
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return len(b"".join(iter(lambda: slow.recv(65536), b"")))


def use(t, directory, one):
    """All that is served, helpers that come and go, clients that do not wait for the end, a pause."""
    for path in ("/metrics", "/", "/status.json", "/none"):
        one.get(path)
    one.get("/metrics", **{"Accept-Encoding": "gzip"})
    one.get("/", method="POST")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", one.port)) as hasty:
            hasty.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    with socket.create_connection(("127.0.0.1", one.port)) as half:
        half.sendall(b"GET /met")
        one.get("/metrics")
    threads = [threading.Thread(target=one.get, args=["/status.json"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server = t.serve(directory, "large", document(
        connections=[client(f"vm-{i}", 1000 + i) for i in range(2000)],
        devices=[device(f"naa.6001405{i:025x}", device=f"8:{i}") for i in range(400)]))
    one.wait_until("the large one is told, in many parts", lambda: in_parts(one) > 200000, 20)
    server.close()
    one.get("/metrics")
    one.suspend_in_poll()
    one.signal(signal.SIGCONT)
    one.get("/metrics")


def traced(t):
    """A life of it, from the start to SIGTERM; strace's file."""
    directory = t.directory()
    for i in range(3):
        t.serve(directory, f"vm-{i}", example())
    t.serve(directory, "hangs", b"{", hang=True)
    trace = os.path.join(t.directory(), "trace")
    one = Exporter(t.lab.build, t.directory(), [directory, os.path.join(directory, "none")],
                   "--timeout=300", prefix=strace.prefix(trace))
    t.programs.append(one)
    t.cleanup.callback(one.close)
    tracer = int(procfs.status(one.pid)["TracerPid"])
    use(t, directory, one)
    one.signal(signal.SIGTERM)
    t.equal(one.wait_exit(20), 0, "exit status")
    t.check(procfs.wait_gone(tracer, 5), "strace is still there")
    return trace


@test
@limit(120)
def each_entry_is_needed(t):
    """And nothing is made that is not on the list."""
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Skip("what other C libraries call is not known here")
    trace = traced(t)
    calls = strace.filtered(trace)
    t.check(len(calls) > 100, f"{len(calls)} system calls in the trace")
    refused = {call.name for call in calls if "ENOSYS" in call.text}
    made = {call.name for call in calls if "ENOSYS" not in call.text}
    listed = {entry.name for entry in found() if callers.is_known(entry.name)}
    t.equal(sorted(refused - REFUSED), [], "made, and refused")
    t.equal(sorted(made - listed), [], "made, but not on the list")
    t.equal(sorted(listed - made - set(ELSEWHERE) - set(PERHAPS)), [], "on the list, and never made")
    t.equal(sorted(made & set(ELSEWHERE)), [], "made, but said to be for other machines")
    t.equal(sorted((set(ELSEWHERE) | set(PERHAPS)) - listed), [], "reasons for what is not on the list")


def members(name):
    """The system calls of one of systemd's sets."""
    result = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True,
                            capture_output=True, text=True)
    words = [line.strip() for line in result.stdout.splitlines() if line.startswith("    ")]
    found_ = {word for word in words if not word.startswith(("@", "#"))}
    return found_.union(*(members(word) for word in words if word.startswith("@")))


@test
@limit(120)
def unit_allows_what_it_makes(t):
    """The service's own filter, from the first system call on: what that refuses ends in EPERM."""
    t.tool("systemd-analyze")
    allowed = set()
    with open(os.path.join(TOP, "dist", "systemd", "qemu-pr-exporter.service.in"), encoding="ascii") as file:
        lines = re.findall("^SystemCallFilter=(~?)(.*)$", file.read(), re.MULTILINE)
    t.equal(len(lines), 3, "lines with a filter")
    for minus, words in lines:
        named = set().union(*(members(word) if word.startswith("@") else {word}
                              for word in words.split()))
        allowed = allowed - named if minus else allowed | named
    t.equal(sorted(strace.names(traced(t)) - allowed - {"execve"} - REFUSED), [], "made, and not allowed")


@test
def unit_is_confined(t):
    unit = os.path.join(t.lab.build, "dist", "systemd", "qemu-pr-exporter.service")
    result = t.run(t.tool("systemd-analyze"), "--no-pager", "security", "--offline=yes", "--threshold=20",
                   unit)
    if "nrecognized option" in result.stderr:
        raise Skip("a systemd-analyze that takes no file")
    t.equal(result.returncode, 0, f"exposure: {result.stdout.splitlines()[-1:]}")
