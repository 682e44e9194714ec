# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which command runs when, and until when."""
import ctypes
import os
import socket
import struct
import time

from support import scaled, scsi
from support.tap import Skip, cases, limit, test
from support.worker import KIND, REQUEST, Pending, request

from .fixture import BUSY, GATE, GOOD, HANG, NO_PATH, TIMED_OUT, Context, Session, key

PER_MAP = 32  # JOBS_MAP_MAX of src/mpath/jobs.h
PTRACE_SEIZE = 0x4206
WAIT_ALL = 0x40000000  # __WALL


def asked(s: Session) -> list:
    """The keys with which the library was called, in order."""
    return [int(line.split()[4], 16) for line in s.machine.calls()]


@test
def one_map_in_order(t: Context) -> None:
    s = t.start()
    gate = s.gate(1)
    first = s.do(GATE, 1)
    s.wait_calls(1)
    others = [s.out(scsi.RESERVE, 1, new) for new in range(5)]
    # By the time that this is answered the worker has seen all of them.
    t.answered(s.simple("mpathb").reply(), GOOD)
    t.equal(asked(s)[:1], [key(GATE, 1)], "the first call")
    t.equal(len(asked(s)), 2, "calls while the first hangs, the other map's among them")
    gate.open()
    for pending in [*others, first]:
        reply = pending.reply()
        t.check(reply and reply.status == scsi.GOOD, f"answer {reply}")
    t.equal(asked(s)[2:], list(range(5)), "keys in order")


@test
def maps_side_by_side(t: Context) -> None:
    s = t.start()
    gates = {name: s.gate(which) for which, name in enumerate(("mpatha", "mpathb", "mpathc"))}
    pending = {name: s.do(GATE, which, name) for which, name in enumerate(gates)}
    s.wait_children(3)
    for name in reversed(gates):
        gates[name].open()
        reply = pending[name].reply()
        t.check(reply and reply.status == scsi.GOOD, f"answer {reply}")


@test
def deadline(t: Context) -> None:
    s = t.start()
    started = time.monotonic()
    t.answered(s.do(HANG, deadline=0.5).reply(), TIMED_OUT,
               "^mpatha: REGISTER AND IGNORE EXISTING KEY did not end within 0.5 s, "
               "outcome unknown")
    taken = time.monotonic() - started
    t.check(0.5 <= taken < 0.5 + scaled(2), f"answered after {taken:.2f} s")
    s.wait_children(0)  # until it has been reaped the map is locked
    t.answered(s.simple().reply(), GOOD)


@test
def deadline_of_queued(t: Context) -> None:
    """It was never sent."""
    s = t.start()
    gate = s.gate(1)
    running = s.do(GATE, 1)
    s.wait_children(1)
    t.answered(s.out(new=2, deadline=0.2).reply(), BUSY, "took too long")
    gate.open()
    reply = running.reply()
    t.check(reply and reply.status == scsi.GOOD, f"answer {reply}")
    t.answered(s.simple().reply(), GOOD)
    t.check(2 not in asked(s), "it was sent after all")


@test
def no_time_at_all(t: Context) -> None:
    s = t.start()
    t.answered(s.do(HANG, deadline=0).reply(), BUSY, "took too long")
    t.equal(asked(s), [], "calls of the library")


def hold_dead(pid: int) -> None:
    """See to it that nobody can reap this process, once it is dead, before let_go(): as if it were
    stuck in the kernel. Its tracer comes before its parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        raise Skip(f"cannot trace a process here: {os.strerror(ctypes.get_errno())}")


def let_go(pid: int) -> None:
    os.waitpid(pid, WAIT_ALL)


@test
def locked_until_reaped(t: Context) -> None:
    """A child that was killed and is not gone yet: its command may still reach the device."""
    s = t.start()
    hanging = s.do(HANG, deadline=1)
    child, = s.wait_children(1)
    hold_dead(child)
    queued = s.out(new=2, deadline=30)
    t.answered(hanging.reply(), TIMED_OUT, "further ones are answered BUSY")
    t.answered(s.out(new=3).reply(), BUSY, "still hangs")
    t.answered(s.worker.send(t.open(), scsi.cleanup()).reply(), BUSY, "still hangs")
    t.answered(s.worker.send(t.open(), scsi.pr_in(8192)).reply(), NO_PATH, "none of its 0 paths")
    t.answered(s.simple("mpathb").reply(), GOOD)
    t.equal(len(asked(s)), 2, "calls of the library")
    let_go(child)
    reply = queued.reply()
    t.check(reply and reply.status == scsi.GOOD, f"answer to the one that waited: {reply}")
    t.answered(s.simple().reply(), GOOD)


@test
@limit(60)
def room_for_one_map(t: Context) -> None:
    """A sick map leaves room for the others."""
    s = t.start()
    gate = s.gate(1)
    running = s.do(GATE, 1)
    s.wait_children(1)
    queued = [s.out(new=2) for _ in range(PER_MAP - 1)]
    t.answered(s.out(new=3).reply(), BUSY, "too many wait")
    t.answered(s.simple("mpathb").reply(), GOOD)
    gate.open()
    for pending in [running, *queued]:
        reply = pending.reply()
        t.check(reply and reply.status == scsi.GOOD, f"answer {reply}")
    t.check(3 not in asked(s), "it was sent after all")


GOOD_ONE = request(scsi.pr_out(24), scsi.parameters(0, 1))


@cases(("empty-kind", REQUEST.pack(0, 0, 0, 0, b"", b"")),
       ("reply", REQUEST.pack(0, KIND["reply"], 1000, 1000, scsi.pr_out(24), b"")),
       ("version", REQUEST.pack(0, KIND["request"] + 1, 1000, 1000, scsi.pr_out(24), b"")),
       ("opcode", request(bytes(16))), ("length", request(scsi.pr_out(8193))),
       ("short", GOOD_ONE[:-1]), ("long", GOOD_ONE + b"\0"), ("byte", b"q"))
def malformed(t: Context, message: bytes) -> None:
    """Who waits for an answer sees the end of its socket; the worker goes on."""
    s = t.start()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        s.worker.send_raw(message, [t.open(), theirs.fileno()])
    t.equal(Pending(ours).reply(), None, "answer")
    t.answered(s.simple().reply(), GOOD)


@cases(("none", 0), ("one", 1), ("three", 3), ("many", 200))
def wrong_fds(t: Context, count: int) -> None:
    s = t.start()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        s.worker.send_raw(GOOD_ONE, [theirs.fileno()] * count)
    t.equal(Pending(ours).reply(), None, "answer")
    t.answered(s.simple().reply(), GOOD)


@test
def deaf_helper(t: Context) -> None:
    """Nobody waits for the answer: it is lost, and no harm done."""
    s = t.start()
    for _ in range(20):
        s.simple().socket.close()
    t.answered(s.simple().reply(), GOOD)
    t.equal(len(asked(s)), 21, "calls of the library")


@test
def reply_socket_is_a_file(t: Context) -> None:
    s = t.start()
    null = t.own(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
    s.worker.send_raw(GOOD_ONE, [t.open(), null])
    s.worker.send_raw(struct.pack(">I", 1), [null])
    t.answered(s.simple().reply(), GOOD)
