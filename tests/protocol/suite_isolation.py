# SPDX-License-Identifier: LGPL-2.1-or-later
"""One client's trouble is not another's, and what clients may have has limits. suite_abuse.py has
those who mean harm."""
import os
import resource
import select
import socket
import struct
import time

from support import procfs, scaled, scsi
from support.client import Connection, REPLY_SIZE, reply
from support.tap import Skip, cases, differs, limit, ours, test

from protocol.healthy import KEYS, READ_KEYS, stalled_replies

BUSY = reply(scsi.BUSY)
PARAMETERS = scsi.parameters(1, 2)
REGISTER = scsi.pr_out(24)


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
    """An fd whose last close blocks for long: the other end never takes its data."""
    listener = socket.create_server(("127.0.0.1", 0))
    t.cleanup.callback(listener.close)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else it may grow and take all
    sender = socket.create_connection(listener.getsockname())
    taker = listener.accept()[0]
    t.cleanup.callback(taker.close)
    seconds = max(1, round(scaled(1)))
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
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
    t.check(threads <= 5, f"{threads} threads")  # one of them stands by while another receives
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
