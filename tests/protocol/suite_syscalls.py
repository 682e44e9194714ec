# SPDX-License-Identifier: LGPL-2.1-or-later
"""The filter's list: each entry has its caller in the source, and without any of them something
that is tried here would not have been done."""
import errno
import os
import platform
import re
import signal
import socket
from typing import Set

from support import callers, procfs, scsi, strace
from support.client import reply
from support.tap import Skip, limit, ours, test

from protocol.fake_worker import fake_worker
from protocol.fixture import DEFAULT_DATA
from protocol.machine import REGISTER
from protocol.suite_devices import Maps
from protocol.suite_log import Syslog
from protocol.suite_sandbox import unless_off

SOURCE = "daemon/sandbox_seccomp.c"
READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
#: So many threads that their records fill whole pages, which are given back.
BURST = 100

#: Never made on x86-64 with the GNU C library, and who needs them.
ELSEWHERE = {
    "epoll_pwait": "architectures without epoll_wait, such as aarch64",
    "ppoll": "architectures without poll, such as aarch64",
    "statx": "32-bit architectures, for 64 bits of time",
    "nanosleep": "musl; glibc before 2.31",
}
#: Not known beforehand.
PERHAPS = {
    "fstat": "glibc makes newfstatat of it, or not, depending on its version",
    "clock_gettime": "where the vDSO cannot serve it: that depends on the clock",
    "time": "the same",
    "madvise": "malloc_trim, if there are free pages below the end of the heap: that depends on the "
               "order in which threads end",
}
#: Refused, and the C library does without: it makes a thread by clone.
REFUSED = {"clone3"}


def every_entry():
    return [*callers.entries(SOURCE, "sandbox_allowed"),
            *callers.entries(SOURCE, "sandbox_conditional")]


@test
@ours("the peer has no filter")
def each_entry_has_a_caller(t):
    found = [*every_entry(), *callers.entries(SOURCE, "sandbox_fcntls")]
    t.check(len(found) > 50, f"{len(found)} entries")
    t.equal([entry.fault() for entry in found if entry.fault()], [], "faults")
    names = [entry.name for entry in found]
    t.equal([name for name in names if names.count(name) > 1], [], "entries that are there twice")


def use_devices(t, helper):
    """Reading, a burst, a map that is suspended, a client that stops in the middle."""
    fd = t.own(t.disk.open())
    t.disk.hold()
    clients = [t.connect(helper) for _ in range(BURST)]
    for number, client in enumerate(clients):
        client.send_request(READ_KEYS, [fd])
        t.disk.wait_running(number + 1)
    helper.suspend_in_poll()
    helper.signal(signal.SIGCONT)
    t.disk.release()
    for client in clients:
        t.replied(client, KEYS)
    t.disk.answer(DEFAULT_DATA, error=errno.EAGAIN, error_calls=1)
    t.ask(READ_KEYS, fd, KEYS, helper=helper)
    half = t.connect(helper)
    half.send(READ_KEYS[:5], [fd])
    clients[0].send_request(READ_KEYS, [fd])
    t.replied(clients[0], KEYS)
    half.close()


def ended(t, helper):
    """SIGTERM, and the trace is complete."""
    tracer = int(procfs.status(helper.pid)["TracerPid"])
    t.stop(helper)
    t.gone(tracer, "strace")


def use_map(t, trace):
    """Everything at once: a map, the worker, the status, a PID file."""
    directory = t.directory()
    status = os.path.join(directory, "status")
    maps = Maps(t, "-v", f"--status-socket={status}", "-f", os.path.join(directory, "pid"),
                f"--mpath-worker={fake_worker(t)}", prefix=strace.prefix(trace))
    helper = maps.uuid("mpath-360000000000000000e00000000010001\n").helper
    fd = t.own(t.disk.open())
    t.ask(REGISTER, fd, reply(), scsi.parameters(0, 1), helper=helper)
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(status)
        t.check(reader.recv(1), "no status")
    use_devices(t, helper)
    ended(t, helper)


def use_syslog(t, trace):
    log = Syslog(t)
    helper = t.start("-v", "--log=syslog", prefix=strace.prefix(trace), wrap=log.wrap)
    t.works(helper)
    log.wait("serving")
    ended(t, helper)


def use_kernel(t, trace):
    """Without the stand-in: the kernel is asked, and says that this is no SCSI device."""
    helper = t.start(prefix=strace.prefix(trace), standin_env=False)
    with t.connect(helper) as connection:
        answer = connection.command(READ_KEYS, t.own(t.disk.open()))
    t.check(answer.status != scsi.GOOD, "a loop device has keys")
    ended(t, helper)


@test
@limit(60)
@ours("the peer has no filter")
def each_entry_is_needed(t):
    """An entry that is not needed has no business there, nor has a reason without need."""
    t.needs_root()
    unless_off(t)
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Skip("what other C libraries call is not known here")
    made: Set[str] = set()
    refused: Set[str] = set()
    commands: Set[str] = set()
    for number, use in enumerate((use_map, use_syslog, use_kernel)):
        trace = os.path.join(t.directory(), f"trace-{number}")
        use(t, trace)
        calls = strace.filtered(trace)
        t.check(len(calls) > 20, f"{len(calls)} system calls in the trace")
        refused |= {call.name for call in calls if "ENOSYS" in call.text}
        made |= {call.name for call in calls if "ENOSYS" not in call.text}
        requests = {call.text.split(",")[1].strip() for call in calls if call.name == "ioctl"}
        t.check(requests <= {"SG_IO"}, f"requests of ioctl: {requests}")
        commands |= {re.split("[,)]", call.text)[1].strip() for call in calls
                     if call.name == "fcntl"}
    t.equal(sorted(commands), sorted(entry.name for entry in
                                     callers.entries(SOURCE, "sandbox_fcntls")),
            "commands of fcntl that are made, and those on the list")
    listed = {entry.name for entry in every_entry() if callers.is_known(entry.name)} | {"fcntl"}
    reasons = set(ELSEWHERE) | set(PERHAPS)
    t.equal(sorted(made - listed), [], "made, but not on the list")
    t.equal(sorted(refused - REFUSED), [], "made, and refused")
    t.equal(sorted(listed - made - reasons), [], "on the list, and never made")
    t.equal(sorted(made & set(ELSEWHERE)), [], "made, but said to be for other machines")
    t.equal(sorted(reasons - listed), [], "reasons for what is not on the list")
