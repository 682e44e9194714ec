# SPDX-License-Identifier: LGPL-2.1-or-later
"""One client's trouble is nobody else's, and nothing that clients do has no limit."""
import os
import resource
import select
import socket
import struct
import time

from support import procfs, scaled, scsi
from support.client import Connection, REPLY_SIZE, reply
from support.tap import Skip, cases, differs, limit, ours, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
BUSY = reply(scsi.BUSY)
PARAMETERS = scsi.parameters(1, 2)
REGISTER = scsi.pr_out(24)

#: A reply that takes longer has been held up by something; a healthy one takes 0.1 ms.
STALL = 0.15


def stalled_replies(t, helper, count=100):
    """How many of a healthy client's commands, each on a fresh or an old connection, stall."""
    stalled, old = 0, None
    disk = t.own(t.other_disk.open())
    for number in range(count):
        began = time.monotonic()
        old = old or t.connect(helper)
        connection = old if number % 2 else t.connect(helper)
        connection.send_request(READ_KEYS, [disk])
        if not connection.readable(1):
            return count - number  # it is not going to get better
        t.replied(connection, KEYS, "healthy client's answer")
        if connection is not old:
            connection.close()
        stalled += time.monotonic() - began > scaled(STALL)
    return stalled


# -- commands that hang


@test
@differs("the peer has 64 threads", failure="stalled replies: 100, not 0")
def two_hundred_hung_commands(t):
    helper = t.start()
    t.disk.hold()
    disk = t.own(t.disk.open())
    hung = [t.connect(helper) for _ in range(200)]
    for number, connection in enumerate(hung, 1):
        connection.send_request(READ_KEYS, [disk])
        t.disk.wait_running(min(number, 64) if t.peer else number)
    t.equal(stalled_replies(t, helper), 0, "stalled replies")
    t.disk.release()
    for connection in hung:
        t.replied(connection, KEYS, "answer to a command that hung")
    t.equal(len(t.disk.calls()), 200, "commands on the device")


@test
def second_client_of_a_hung_device_is_accepted(t):
    t.disk.hold()
    first, second = t.connect(), None
    first.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    second = t.connect()
    second.send_request(REGISTER, [t.own(t.disk.open())], PARAMETERS)
    t.disk.wait_running(2)
    t.disk.release()
    t.answered(first, KEYS)
    t.answered(second, reply())


def lingering_socket(t):
    """An fd whose last close blocks for a second: the other end never takes its data."""
    listener = socket.create_server(("127.0.0.1", 0))
    t.cleanup.callback(listener.close)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else it may grow and take all
    sender = socket.create_connection(listener.getsockname())
    taker = listener.accept()[0]
    t.cleanup.callback(taker.close)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(65536))
    except BlockingIOError:
        return sender.detach()


@cases(("answered", False), ("dropped", True))
@differs("the peer closes on its main loop", failure="stalled replies")
def closing_a_passed_fd_blocks(t, drop):
    """It blocks only the connection it came from."""
    helper = t.start()
    null = t.open(os.devnull)
    for _ in range(3 if t.peer else 8):
        connection = t.connect(helper)
        fd = lingering_socket(t)
        connection.send(READ_KEYS[:8], [fd])
        os.close(fd)  # before the helper can do so: the last close is the one that blocks
        connection.send(READ_KEYS[8:], [null] if drop else [])
        connection.readable(0.2)  # by its reply, or its end
    t.equal(stalled_replies(t, helper), 0, "stalled replies")


# -- time limits


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
@ours("the peer has no --client-timeout")
def idle_connection_never_times_out(t):
    helper = t.start("--client-timeout=1")
    fresh, used, witness = t.connect(helper), t.connect(helper), t.connect(helper, handshake=False)
    used.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.replied(used, KEYS)
    t.equal(len(witness.receive_rest()), 4, "greeting of a connection that timed out")
    second = t.connect(helper, handshake=False)
    t.equal(len(second.receive_rest()), 4, "greeting of a connection that timed out")
    for connection in (fresh, used):
        connection.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.answered(connection, KEYS)


@test
@ours("the peer has no --client-timeout")
def running_command_does_not_time_out(t):
    helper = t.start("--client-timeout=1")
    t.disk.hold()
    connection = t.connect(helper)
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    witness = t.connect(helper, handshake=False)
    t.equal(len(witness.receive_rest()), 4, "greeting of a connection that timed out")
    t.check(not connection.readable(0), "closed or answered while its command runs")
    t.disk.release()
    t.answered(connection, KEYS)


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


# -- how many


@test
@ours("the peer has no --max-clients")
def max_clients(t):
    helper = t.start("--max-clients=3", ready=False)
    helper.wait_until("listening", lambda: os.path.exists(helper.socket_path))
    clients = [t.connect(helper) for _ in range(3)]
    for _ in range(60):
        refused = t.connect(helper, handshake=False)
        t.dropped(refused, "sent to a client too many")
        refused.close()
    for client in clients:
        client.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.replied(client, KEYS)
    t.check(helper.log() != "", "nothing is logged")
    t.check(len(helper.log().splitlines()) < 30, f"{len(helper.log().splitlines())} lines logged")
    clients.pop().close()

    def accepted():
        with Connection(helper.socket_path, handshake=False) as probe:
            return probe.receive_some() != b""
    t.eventually("a client accepted in place of the one that left", accepted, helper=helper)


def hang_one(t, helper):
    """A client whose command is in the device."""
    t.disk.hold()
    hung = t.connect(helper)
    disk = t.own(t.disk.open())
    hung.send_request(READ_KEYS, [disk])
    while t.disk.running == 0:
        if hung.readable(0.01):  # few threads: even a client that leaves may keep one busy
            t.replied(hung, BUSY)
            hung.send_request(READ_KEYS, [disk])
    return hung


@test
@ours("the peer has no --max-threads")
def max_threads(t):
    helper = t.start("--max-threads=2")
    baseline = len(procfs.fds(helper.pid))
    hung = hang_one(t, helper)
    others = [t.connect(helper) for _ in range(10)]
    for _ in range(3):
        for connection in others:
            connection.send_request(READ_KEYS, [t.own(t.other_disk.open())])
            t.replied(connection, BUSY, "answer while all threads are busy")
            connection.send_request(REGISTER, [t.own(t.other_disk.open())], PARAMETERS)
            t.replied(connection, BUSY, "answer to PR OUT while all threads are busy")
    t.equal(t.other_disk.calls(), [], "commands though no thread was free")
    threads = procfs.thread_count(helper.pid) - t.lab.sanitized()  # which may have one of its own
    t.check(threads <= 3, f"{threads} threads")
    t.disk.release()
    t.replied(hung, KEYS)
    for connection in others:
        t.eventually("served again", lambda: command(t, connection) == KEYS, helper=helper)
        connection.close()
    hung.close()
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(helper.pid)) <= baseline, helper=helper)


def command(t, connection):
    connection.send_request(READ_KEYS, [t.own(t.other_disk.open())])
    answer = connection.receive_reply()
    t.check(answer in (KEYS, BUSY), f"answer is {answer}")
    return answer


@test
@ours("the peer has no --max-threads")
def max_threads_and_a_flood(t):
    """More BUSY answers than fds may wait to be closed: reading stops, nothing is lost."""
    helper = t.start("--max-threads=2")
    baseline = len(procfs.fds(helper.pid))
    hung = hang_one(t, helper)
    client = t.connect(helper)
    other = t.own(t.other_disk.open())
    client.socket.setblocking(False)
    received, answers, sent, total = b"", [], 0, 3000
    while len(answers) < total:
        readable, writable, _ = select.select([client], [client] if sent < total else [], [],
                                              scaled(0.3))
        if not readable and not writable:
            t.check(t.disk.running, f"{len(answers)} of {sent} requests answered, then nothing")
            t.disk.release()
        if writable:
            try:
                client.send(READ_KEYS, [other])
                sent += 1
            except BlockingIOError:
                pass
        if readable:
            received += client.receive_some()
        while len(received) >= REPLY_SIZE:
            wanted = (BUSY if received[3] == scsi.BUSY else KEYS).encode()
            if len(received) < len(wanted):
                break
            t.equal(received[:len(wanted)], wanted, f"answer {len(answers)}")
            answers.append(received[3])
            received = received[len(wanted):]
    t.check(scsi.BUSY in answers, "no answer was BUSY")
    t.disk.release()
    t.replied(hung, KEYS)
    client.close()
    hung.close()
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(helper.pid)) <= baseline, helper=helper)


def few_fds(count):
    def before_exec():
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    return before_exec


@test
@ours("the peer has no --max-clients")
def out_of_fds(t):
    helper = t.start("--max-clients=1000", before_exec=few_fds(64))
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
                 lambda: command(t, first) == KEYS, helper=helper)


@cases(("raised", 100, 4096, 4096), ("as it is", 500, 500, 500),
       ("raised to the most of use", 1024, 200000, 65536))
@ours("the peer keeps the soft limit")
def fd_limit(t, soft, hard, wanted):
    def before_exec():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard > most:
        raise Skip(f"the hard limit is {most} here, wanted {hard}")
    helper = t.start(before_exec=before_exec)
    t.equal(procfs.fd_limit(helper.pid), wanted, "soft limit")


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


@test
@ours("the peer's threads and memory are its own affair")
def idle_clients_cost_no_thread(t):
    helper = t.start()
    before = procfs.private_kb(helper.pid, without=t.lab.control.path)
    clients = [t.connect(helper) for _ in range(500)]
    threads = procfs.thread_count(helper.pid)
    t.check(threads <= (os.cpu_count() or 1) + 3, f"{threads} threads for 500 idle clients")
    grown = procfs.private_kb(helper.pid, without=t.lab.control.path) - before
    t.check(grown <= 512 or t.lab.sanitized(), f"500 idle clients cost {grown} kB")
    for client in clients:
        client.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.replied(client, KEYS)
        client.close()


@test
@limit(60)
@ours("the peer's threads and memory are its own affair")
def threads_and_memory_of_a_burst_are_given_back(t):
    """Surplus threads leave; under the system call filter that is a test of the filter, too."""
    helper = t.start()
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    memory = procfs.private_kb(helper.pid, without=t.lab.control.path)
    fds = len(procfs.fds(helper.pid))
    t.disk.hold()
    clients = [t.connect(helper) for _ in range(200)]
    for client in clients:
        client.send_request(scsi.pr_out(8192), [t.own(t.disk.open())], bytes(8192))
    t.disk.wait_running(200)
    t.check(procfs.thread_count(helper.pid) >= 200, "fewer threads than running commands")
    t.disk.release()
    for client in clients:
        t.replied(client, reply())
        client.close()
    t.eventually("all threads but two gone",
                 lambda: procfs.thread_count(helper.pid) <= 2 + t.lab.sanitized(), 40,
                 helper=helper)
    t.eventually("fds closed", lambda: len(procfs.fds(helper.pid)) <= fds, helper=helper)
    grown = procfs.private_kb(helper.pid, without=t.lab.control.path) - memory
    t.check(grown <= 512 or t.lab.sanitized(), f"{grown} kB more than before the burst")
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
