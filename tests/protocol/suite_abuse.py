# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean harm: others are served meanwhile, nothing stays behind, no time is burnt."""
import os
import resource
import select
import signal
import socket
import time

from support import procfs, scaled, scsi
from support.client import Connection, Disconnected, reply
from support.systemd import activation, passing
from support.tap import Skip, cases, limit, ours, test

from protocol.healthy import Baseline, KEYS, READ_KEYS
from protocol.siege import Abuser, besieged, for_ever

BUSY = reply(scsi.BUSY)
PARAMETERS = scsi.parameters(1, 2)
REGISTER = scsi.pr_out(24)
REQUEST = REGISTER + PARAMETERS

CROWD = 5000


# -- many


def raise_fd_limit(count):
    """In the caller and, as before_exec, in a helper."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


@test
@limit(90)
@ours("the peer's threads and memory are its own affair")
def thousands_of_silent_connections(t):
    """A third has not even sent its handshake, a third half a request, a third may stay."""
    # One process has half of the connections at most.
    wanted = 18 * CROWD // 5
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted and os.geteuid() != 0:
        raise Skip(f"the hard limit on open files is {hard} here, wanted {wanted}")
    t.cleanup.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    helper = t.start("--client-timeout=300", f"--max-clients={21 * CROWD // 10}",
                     before_exec=lambda: raise_fd_limit(wanted))
    disk = t.own(t.disk.open())

    def abuse(ready):
        raise_fd_limit(wanted)
        crowd = []
        for number in range(CROWD):
            crowd.append(Connection(helper.socket_path, handshake=number % 3 != 0))
            if number % 3 == 1:
                crowd[-1].send(REQUEST[:1 + number % (len(REQUEST) - 1)], [disk])
        # Accepted in the order of coming: the last one is, so all are.
        Connection(helper.socket_path).command(READ_KEYS, disk)
        ready()
        signal.pause()

    t.disk.settle()
    slots_kb = CROWD * 96 // 1024  # of the connection table, one for each fd there has been
    besieged(t, helper, f"{CROWD:,} silent connections", abuse, silent=True, keeps_kb=slots_kb)
    t.equal([call.cdb[0] for call in t.disk.calls()], [scsi.PR_IN] * 2, "commands on the device")


def churn(path, disk):
    """Connections that come and go, each at another point."""
    for number in range(64):
        with Connection(path, handshake=False) as connection:
            if number % 3:
                connection.push(bytes(number % 5))
            if number % 3 == 2:
                connection.push(REQUEST[:number % 40], [disk])


@test
@ours("the peer serves one after the other")
def churn_goes_on(t):
    helper, disk = t.start(), t.own(t.disk.open())
    besieged(t, helper, "churn", for_ever(lambda: churn(helper.socket_path, disk)))


@cases("own", "passed", "passed, with a status socket")
@ours("how the peer ends is its own affair")
def stopping_while_connections_keep_coming(t, kind):
    if kind == "own":
        helper = t.start()
    else:
        listener = socket.socket(socket.AF_UNIX)
        t.cleanup.callback(listener.close)
        path = os.path.join(t.directory(), "passed")
        listener.bind(path)
        listener.listen(4096)
        options = [f"--status-socket={t.directory()}/status"] if "status" in kind else []
        helper = t.start(*options, socket_path="", wrap=activation, **passing(listener)).at(path)
        helper.wait_ready()

    def step():
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(helper.socket_path)
        except OSError:
            pass
    for _ in range(4):
        Abuser(t, for_ever(step))
    began = time.monotonic()
    t.stop(helper)
    print(f"# stopped in {(time.monotonic() - began) * 1e3:.0f} ms while connections came to its "
          f"socket ({kind})", flush=True)


@test
@ours("the peer serves one after the other")
def flood_of_fds_goes_on(t):
    """253 fds with each byte, as many as a message can have."""
    helper, null = t.start(), t.open(os.devnull)

    def flood():
        with Connection(helper.socket_path) as connection:
            for byte in REGISTER[:15]:
                connection.push(bytes([byte]), [null] * 253)
    besieged(t, helper, "floods of 253 fds", for_ever(flood))


@test
def flood_of_fds(t):
    baseline = len(procfs.fds(t.helper.pid))
    null = t.open(os.devnull)
    for _ in range(20):
        connection = t.connect(handshake=False)
        connection.receive(4)
        for byte in bytes(4):
            connection.send(bytes([byte]), [null] * 253)
        connection.send(REGISTER, [t.own(t.disk.open())])
        for _ in range(24):
            connection.send(b"\0", [null] * 253)
        t.replied(connection, reply())
        connection.push(READ_KEYS, [null] * 253)
        t.dropped(connection)
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)


@test
def connections_come_and_go(t):
    baseline = len(procfs.fds(t.helper.pid))
    for number in range(300):
        with Connection(t.helper.socket_path, handshake=number % 3 != 0) as connection:
            if number % 3 == 1:
                connection.send(READ_KEYS[:number % 16], [t.own(t.disk.open())])
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS)


# -- out of fds


def few_fds(count):
    def before_exec():
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    return before_exec


@test
@ours("the peer has no --max-clients")
def out_of_fds(t):
    helper = t.start("--max-clients=1000", before_exec=few_fds(64))
    baseline = Baseline(t, helper)
    first = t.connect(helper)
    # All of them connect: what is not accepted waits in the backlog.
    waiting = [t.connect(helper, handshake=False) for _ in range(100)]
    t.eventually("64 fds open", lambda: len(procfs.fds(helper.pid)) == 64, helper=helper)
    served = [one for one in waiting if one.readable(0)]
    t.check(20 < len(served) < 64, f"{len(served)} clients with 64 fds")

    spent = procfs.cpu_seconds(helper.pid)
    first.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.check(first.receive_reply() in (KEYS, BUSY), "answer while out of fds")
    t.check(not waiting[-1].readable(0.6), "accepted though out of fds")
    spent = procfs.cpu_seconds(helper.pid) - spent
    t.check(spent < 0.2, f"spent {spent:.2f} s of processor time while out of fds")

    for one in served:
        one.close()
    left = [one for one in waiting if one not in served]
    for one in left[:20]:
        one.handshake()
        one.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.check(one.receive_reply() in (KEYS, BUSY), "answer after accepting again")
        one.close()
    t.eventually("the first client served again",
                 lambda: first.command(READ_KEYS, t.own(t.disk.open())) == KEYS, helper=helper)
    for one in [first, *waiting]:
        one.close()
    baseline.wait()


# -- slow


@cases(("nothing", b"", False), ("half a handshake", b"\0\0", False),
       ("one byte of a CDB", READ_KEYS[:1], True), ("nearly a CDB", READ_KEYS[:15], True),
       ("no parameters", REGISTER, True), ("half the parameters", REGISTER + bytes(12), True))
@ours("the peer waits for ever")
def half_sent(t, sent, handshake):
    helper = t.start("--client-timeout=1")
    connection = t.connect(helper, handshake=handshake)
    if not handshake:
        connection.receive(4)
    began = time.monotonic()
    if sent:
        connection.send(sent, [t.own(t.disk.open())])
    t.dropped(connection)
    took = time.monotonic() - began
    t.check(0.8 <= took <= scaled(3.5), f"closed after {took:.2f} s")
    t.equal(t.disk.calls(), [], "commands on the device")


@test
@ours("the peer waits for ever")
def dripping_does_not_help(t):
    """The time limit is that of the whole request, not of each byte."""
    helper = t.start("--client-timeout=1")
    connection = t.connect(helper)
    began = time.monotonic()
    connection.send(REGISTER, [t.own(t.disk.open())])
    while not connection.readable(0.1) and time.monotonic() - began < scaled(5):
        connection.push(b"\0")
        if time.monotonic() - began > 23 * 0.1 + scaled(1):
            break
    t.dropped(connection)
    t.check(time.monotonic() - began <= scaled(3.5), "closed too late")


@test
@ours("the peer waits for ever")
def hundreds_drip(t):
    """Each sends a byte now and then, begins anew when it is closed, and never ends a request."""
    helper, disk = t.start("--client-timeout=1"), t.own(t.disk.open())

    def abuse(ready):
        drips = []
        while True:
            drips += [[Connection(helper.socket_path), 0] for _ in range(300 - len(drips))]
            for drip in list(drips):
                connection, at = drip
                try:
                    connection.send(REQUEST[at:at + 1], [] if at else [disk])
                    drip[1] = min(at + 1, len(REQUEST) - 2)
                    if at >= len(REQUEST) - 2 or connection.readable(0):
                        raise Disconnected
                except Disconnected:
                    drips.remove(drip)
                    ready()
                    connection.close()
    besieged(t, helper, "300 clients that drip", abuse)
    t.equal([call.cdb[0] for call in t.disk.calls()], [scsi.PR_IN], "commands on the device")


# -- readers that do not read


LONG = scsi.pr_in(8192)
LONG_DATA = bytes(range(256)) * 32


def fill(t, connection):
    """Send requests without taking replies until no more are taken; how many were sent."""
    t.disk.answer(LONG_DATA)
    disk = t.own(t.disk.open())
    connection.socket.setblocking(False)
    sent = 0
    while select.select([], [connection], [], scaled(0.3))[1]:
        try:
            connection.send(LONG, [disk])
            sent += 1
        except BlockingIOError:
            continue
    t.check(sent < 20000, "all requests are taken though no reply is")
    return sent


@test
def slow_reader_gets_everything(t):
    connection = t.connect()
    sent = fill(t, connection)
    commands = len(t.disk.calls())
    t.check(commands < sent, "every request was executed though no reply is taken")
    connection.socket.settimeout(scaled(10))
    for number in range(sent):
        t.replied(connection, reply(payload=LONG_DATA), f"answer {number} of {sent}")
    t.answered(connection)


@test
@ours("the peer has no --client-timeout")
def reader_that_never_reads_is_closed(t):
    limit_s = max(1, round(scaled(1)))  # finding out that no more is taken takes part of it
    helper = t.start(f"--client-timeout={limit_s}")
    connection = t.connect(helper)
    began = time.monotonic()
    sent = fill(t, connection)
    commands = len(t.disk.calls())
    poll = select.poll()
    poll.register(connection, 0)
    t.check(poll.poll((limit_s + scaled(3)) * 1000), "not closed in time")
    t.check(time.monotonic() - began >= 0.8 * limit_s, "closed too early")
    t.equal(len(t.disk.calls()), commands, "commands while no reply was taken")
    t.check(commands < sent, "every request was executed though no reply is taken")
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS, helper=helper)


@test
@ours("the peer has no --client-timeout")
def crowd_that_never_reads(t):
    """Their replies wait in the sockets' buffers and, one of each, with the helper."""
    helper, disk = t.start(), t.own(t.disk.open())

    def abuse(ready):
        crowd = [Connection(helper.socket_path) for _ in range(100)]
        t.disk.answer(LONG_DATA)
        for connection in crowd:
            connection.socket.setblocking(False)
        stuck = set()
        while len(stuck) < len(crowd):
            taking = set(select.select([], crowd, [], scaled(0.2))[1])
            stuck = set(crowd) - taking
            for connection in taking:
                try:
                    connection.send(LONG, [disk])
                except BlockingIOError:
                    pass
        ready()
        signal.pause()

    besieged(t, helper, "100 clients that never read", abuse, silent=True)


# -- those who leave


def leave_by_close(connection):
    connection.close()


def leave_by_shutdown(connection):
    connection.socket.shutdown(socket.SHUT_RDWR)
    connection.close()


def leave_by_ending(connection):
    """Only the sending side: the process that goes on has to see the end of file."""
    connection.end()
    connection.receive_rest()
    connection.close()


WAYS = (leave_by_close, leave_by_shutdown, leave_by_ending)


def send_bytes(connection, data, with_fd, fd):
    """One by one; the fd with one of them, None for never."""
    for number, byte in enumerate(data):
        connection.push(bytes([byte]), [fd] if number == with_fd else [])


@cases(("handshake, nothing read", b"", 4), ("handshake, fd with the first byte", b"", 4, 0),
       ("CDB without an fd", b"hand", 15), ("CDB, fd with the first byte", b"hand", 15, 0),
       ("CDB, fd with the last byte", b"hand", 15, 14),
       ("parameter list", b"hand" + REGISTER, 23, None),
       ("parameter list, fd with the first byte", b"hand" + REGISTER, 23, 0))
def leaving_after_each_byte(t, before, most, with_fd=None):
    """Nothing is executed, nothing stays open. before: what was sent by then, b"hand" for the
    handshake."""
    disk = t.own(t.disk.open())
    t.helper  # its fds are counted when it is there
    baseline = len(procfs.fds(t.helper.pid))
    healthy = t.connect()
    for size in range(most + 1):
        for leave in WAYS:
            connection = t.connect(handshake=bool(before))
            if before[4:]:
                connection.send(before[4:], [disk])
            following = REQUEST[len(before[4:]):] if before else bytes(4)
            send_bytes(connection, following[:size], with_fd, disk)
            leave(connection)
        healthy.send_request(READ_KEYS, [t.own(t.other_disk.open())])
        t.replied(healthy, KEYS, f"healthy client's answer after others left at byte {size}")
    healthy.close()
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)
    t.equal(t.disk.calls(), [], "commands on the device")


@test
def leaving_while_the_command_runs(t):
    baseline = len(procfs.fds(t.helper.pid))
    t.disk.hold()
    disk = t.own(t.disk.open())
    hung = [t.connect() for _ in range(30)]
    for number, connection in enumerate(hung, 1):
        connection.send_request(REGISTER, [disk], PARAMETERS)
        t.disk.wait_running(number)
    for number, connection in enumerate(hung):
        if number % 3 == 2:
            connection.end()
        else:
            WAYS[number % 3](connection)
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS)
    t.disk.release()
    for connection in hung[2::3]:
        t.answered(connection, reply())
        connection.close()
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)
    t.equal(len(t.disk.calls()), len(hung), "commands on the device")


@test
def leaving_while_the_reply_is_written(t):
    """It does not fit into the socket's buffer, so the rest is with the helper."""
    baseline = Baseline(t, t.helper)
    for leave in (leave_by_close, leave_by_shutdown):
        connection = t.connect()
        fill(t, connection)
        leave(connection)
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS)
    baseline.wait()


@test
def leaving_within_a_reply(t):
    """Some of it has been read."""
    baseline = len(procfs.fds(t.helper.pid))
    t.disk.answer(LONG_DATA)
    disk = t.own(t.disk.open())
    for size in (1, 7, 8, 103, 104, 105, 4000):
        for leave in (leave_by_close, leave_by_shutdown):
            connection = t.connect()
            connection.send_request(LONG, [disk])
            connection.receive(size)
            leave(connection)
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS)
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)
