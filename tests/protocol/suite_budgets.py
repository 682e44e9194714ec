# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one process may have of the helper: no matter what it does, a client of another one, of the same
user or of another, is served as if it were not there."""
import fcntl
import os
import random
import resource
import signal
import socket
import struct
import termios
import threading
import time

from support import pause, procfs, scaled, scsi
from support.client import Connection, Disconnected, reply
from support.tap import cases, limit, ours, test

from protocol.fixture import DEFAULT_DATA
from protocol.healthy import Baseline, Floor, KEYS, READ_KEYS, STALL, reply_times
from protocol.siege import Abuser, besieged, for_ever

BUSY = reply(scsi.BUSY)
NO_BUDGETS = "the peer has no budgets"
CLOSES = "the peer closes on its main loop"
NOBODY = 65534
USERS = (("same user", None), ("another user", NOBODY))
SLOW = 0.05  # seconds that a command takes: what is sent meanwhile is in flight, ours to give up


def raise_fd_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(t, *options, uid=None):
    """A helper that this user may connect to."""
    if uid is None:
        return t.start(*options)
    t.needs_root()
    directory = t.directory()
    helper = t.start(*options, "--socket-mode=666", directory=directory)
    while directory != "/tmp":
        os.chmod(directory, os.stat(directory).st_mode | 0o111)
        directory = os.path.dirname(directory)
    return helper


def lingering(keep):
    """A TCP socket, the last close of which takes an hour: its peer never takes its data."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        sender = socket.socket()
        sender.connect(listener.getsockname())
        keep.append(listener.accept()[0])
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(65536))
    except BlockingIOError:
        pass
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return sender.detach()


def push(connection, data, fds, flags=0):
    rights = struct.pack(f"{len(fds)}i", *fds)
    connection.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags)


#: What makes the helper drop the last reference to a file: each sends that fd, behind a command that
#: takes a while.
def out_of_band(connection, fd, _):
    push(connection, b"!", [fd], socket.MSG_OOB)


def too_many(connection, fd, null):
    push(connection, b"!", [null] * 252 + [fd])


def in_a_request(connection, fd, _):
    push(connection, scsi.cleanup(), [fd])


def with_parameters(connection, fd, null):
    push(connection, scsi.pr_out(24), [null])
    push(connection, b"!", [fd])


def left_behind(connection, fd, null):
    push(connection, b"\x12" + bytes(15), [null])
    push(connection, b"!", [fd])


WAYS = (out_of_band, too_many, in_a_request, with_parameters, left_behind)


def hang_in_close(path, disk, null, way, keep):
    """One more close that hangs, if the helper lets us."""
    fd = lingering(keep)
    try:
        connection = Connection(path)
        keep.append(connection)
        connection.send_request(READ_KEYS, [disk])
        way(connection, fd, null)
    except (OSError, Disconnected):
        pass
    # In flight by now, and so not the last reference; unless the helper was faster.
    threading.Thread(target=os.close, args=(fd,), daemon=True).start()


@cases(*((way.__name__, (way,), None) for way in WAYS),
       *((f"all, {user}", WAYS, uid) for user, uid in USERS))
@limit(60)
@ours(CLOSES)
def closes_that_hang(t, ways, uid):
    """Within a receive, too, and more of them than there are threads."""
    helper = start(t, "--max-threads=32", uid=uid)
    disk, null = t.own(t.disk.open()), t.open(os.devnull)

    def abuse(ready):
        raise_fd_limit()
        t.disk.answer(DEFAULT_DATA, delay=SLOW)
        keep = []
        for number in range(60):
            hang_in_close(helper.socket_path, disk, null, ways[number % len(ways)], keep)
        time.sleep(3 * SLOW)
        ready()
        signal.pause()
    besieged(t, helper, f"60 closes that hang ({len(ways)} ways)", abuse, uid=uid)


@cases(*USERS)
@limit(60)
@ours(NO_BUDGETS)
def connections(t, uid):
    """It gets many, and there are some left."""
    helper = start(t, "--max-clients=64", uid=uid)

    def abuse(ready):
        keep = []
        try:
            while True:
                keep.append(Connection(helper.socket_path))
        except Disconnected:
            assert 24 <= len(keep) <= 48, len(keep)
        ready()
        while True:
            with socket.socket(socket.AF_UNIX) as refused:
                refused.connect(helper.socket_path)
                refused.recv(1)
    besieged(t, helper, "connections, as many as it gets", abuse, uid=uid)
    helper.wait_log(r"connection \d+: refused, process \d+ of user \d+ has \d+ connections already")


@cases(*USERS)
@limit(60)
@ours(NO_BUDGETS)
def connections_of_processes(t, uid):
    """However greedy some of one user are, there are some left for others of the same user."""
    helper = start(t, "--max-clients=512", uid=uid)

    def greedy(alive, done):
        keep = []
        try:
            while True:
                keep.append(Connection(helper.socket_path))
        except Disconnected:
            os.write(done, b"!")
        os.read(alive, 1)  # until the first of them has been killed
        os._exit(0)

    def abuse(ready):
        (alive, held), (done, say) = os.pipe(), os.pipe()
        for _ in range(6):
            if os.fork() == 0:
                os.close(held)
                greedy(alive, say)
            assert os.read(done, 1) == b"!"
        ready()
        signal.pause()
    besieged(t, helper, "connections of 6 processes, as many as they get", abuse, uid=uid)


@cases(*USERS)
@limit(60)
@ours(NO_BUDGETS)
def threads(t, uid):
    helper = start(t, "--max-threads=32", uid=uid)
    disk = t.own(t.disk.open())

    def abuse(ready):
        t.disk.hold()
        keep = [Connection(helper.socket_path) for _ in range(64)]
        for connection in keep:
            connection.send_request(READ_KEYS, [disk])
        busy, begun = 0, time.monotonic()
        while busy < 40:
            pause(begun)
            busy = sum(connection.readable(0) for connection in keep)
        ready()
        signal.pause()

    def after():
        t.check(8 <= t.disk.running <= 24, f"{t.disk.running} commands of one process")
        t.disk.release()
    besieged(t, helper, "64 commands that hang", abuse, uid=uid, after=after)
    helper.wait_log("its process has used up its share of threads, answered BUSY")


def await_taken(connections):
    """Until the helper has received everything."""
    for connection in connections:
        while struct.unpack("i", fcntl.ioctl(connection.socket, termios.TIOCOUTQ, bytes(4)))[0]:
            time.sleep(0.001)


@cases(*USERS)
@limit(60)
@ours(NO_BUDGETS)
def memory(t, uid):
    """Requests that are sent but for the end of their parameter lists."""
    helper = start(t, "--max-buffers=1", uid=uid)
    disk = t.own(t.disk.open())
    count = 400

    def abuse(ready):
        keep = [Connection(helper.socket_path) for _ in range(count)]
        for connection in keep:
            connection.send(scsi.pr_out(8192), [disk])
            connection.send(bytes(8000))
            await_taken([connection])
        keep[0].push(bytes(192))
        keep[-1].push(bytes(192))
        assert keep[0].receive_reply().status == scsi.GOOD
        last = keep[-1].receive_reply().status
        assert last == scsi.BUSY, last
        ready()
        signal.pause()

    abuser = Abuser(t, abuse, uid)
    calls = len(t.disk.calls())
    with t.connect(helper) as healthy:
        healthy.send(scsi.pr_out(8192), [disk])
        healthy.send(bytes(8000))
        await_taken([healthy])
        t.check(not healthy.readable(0.05), "closed, or answered half a request")
        healthy.send(bytes(192))
        t.replied(healthy, reply(), "answer to a long list, sent in pieces")
    t.equal(len(t.disk.calls()), calls + 1, "commands on the device")
    abuser.end()
    helper.wait_log("its process has used up its buffer memory, answered BUSY")


@test
@ours(NO_BUDGETS)
def replies_not_taken(t):
    """What the kernel keeps of them is on the helper's account, too: a few for each connection."""
    helper = t.start()
    t.disk.answer(bytes(8192))
    disk = t.own(t.disk.open())
    connection = t.connect(helper)
    connection.socket.setblocking(False)
    sent = 0
    try:
        while sent < 1000:
            connection.send(scsi.pr_in(8192), [disk])
            sent += 1
            time.sleep(0.001)
    except BlockingIOError:
        pass
    t.soon("stuck", lambda: not t.disk.running)
    t.check(len(t.disk.calls()) <= 8, f"{len(t.disk.calls())} replies are kept")


@test
@ours(NO_BUDGETS)
def lines_of_log(t):
    """A process that brings about messages without end has its share of lines, others have theirs."""
    helper, null = t.start(), t.open(os.devnull)

    def step():
        with Connection(helper.socket_path) as connection:
            connection.push(b"\x12" + bytes(15), [null])
    abuser = Abuser(t, for_ever(step))
    t.soon("its lines", lambda: helper.log().count("operation code 12h") >= 10)
    with t.connect(helper) as healthy:
        healthy.send(b"\x13" + bytes(15), [null])
        t.dropped(healthy)
    helper.wait_log("operation code 13h")
    abuser.end()
    t.check(helper.log().count("operation code 12h") <= 30, "lines of one process")


# -- the main thread closes nothing of a client's


@test
@limit(60)
@ours(CLOSES)
def status_reader_with_fds(t):
    """On an out-of-band byte, sent before the helper has taken the connection."""
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}", "--stop-timeout=1")
    keep = []
    fd = lingering(keep)
    helper.signal(signal.SIGSTOP)
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(path)
        rights = struct.pack("i", fd)
        reader.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_OOB)
        os.close(fd)
        helper.signal(signal.SIGCONT)
        t.check(reader.recv(1) == b"{", "no status")
    t.works(helper)
    t.works(helper)
    t.stop(helper)
    for peer in keep:
        peer.close()


@cases("clients", "status")
@limit(60)
@ours(CLOSES)
def queue_of_a_listener(t, kind):
    """Who waits in it when the helper stops, with fds that hang."""
    path = os.path.join(t.directory(), "status")
    helper = t.start(f"--status-socket={path}", "--stop-timeout=1")
    keep = []
    fd = lingering(keep)
    helper.signal(signal.SIGSTOP)
    for number in range(40):
        one = socket.socket(socket.AF_UNIX)
        keep.append(one)
        one.connect(path if kind == "status" else helper.socket_path)
        if number == 39:
            one.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))])
    os.close(fd)
    began = time.monotonic()
    helper.signal(signal.SIGTERM)
    helper.signal(signal.SIGCONT)
    t.equal(helper.wait_exit(scaled(6)), 0, "exit code")
    t.check(time.monotonic() - began < scaled(3), "it waited for a close")
    for one in keep:
        one.close()


# -- everything at once


def rampage(path, disk, slow, null):
    """An abuser that does all it can think of, in any order, until it is killed."""
    def abuse(ready):
        raise_fd_limit()
        dice, keep = random.Random(16), []

        def idle():
            keep.append(Connection(path))

        def half():
            idle()
            keep[-1].send(scsi.pr_out(8192), [disk])
            keep[-1].send(bytes(dice.randrange(8192)))

        def command():
            idle()
            keep[-1].send_request(READ_KEYS, [slow])

        def hang():
            hang_in_close(path, slow, null, dice.choice(WAYS), keep)

        def flood():
            idle()
            keep[-1].push(b"!", [null] * 253)

        def leave():
            while len(keep) > 200:
                keep.pop(dice.randrange(len(keep))).close()

        for number in range(1 << 30):
            try:
                dice.choice((idle, half, command, hang, flood, leave))()
            except (OSError, Disconnected):
                pass
            if number == 300:
                ready()
    return abuse


@cases(*USERS)
@limit(180)
@ours(NO_BUDGETS)
def any_mixture(t, uid):
    """For PRH_RAMPAGE seconds, or five: no BUSY, no reply that stalls, memory and fds as before. What
    a server without clients needs beside the same rampage is not the helper's."""
    helper = start(t, "--max-clients=1024", "--max-threads=256", "--max-buffers=8", uid=uid)
    disk, slow, null = t.own(t.disk.open()), t.own(t.disk.open()), t.open(os.devnull)
    baseline, floor = Baseline(t, helper), Floor(t)
    t.disk.answer(DEFAULT_DATA, delay=SLOW)
    abuser = Abuser(t, rampage(helper.socket_path, disk, slow, null), uid)
    ends = time.monotonic() + float(os.environ.get("PRH_RAMPAGE", "5"))
    times, floors, grown = [], [], 0
    while time.monotonic() < ends:
        one = reply_times(t, helper, 50)  # any answer but the right one is a failure
        t.equal(len(one), 50, "replies")
        times += one
        floors += reply_times(t, floor, 50)
        grown = max(grown, baseline.grown_kb())
    abuser.end()
    times.sort()
    print(f"# one hostile process: {len(times)} replies to another, median "
          f"{times[len(times) // 2] * 1e3:.2f} ms, worst {times[-1] * 1e3:.1f} ms (of a server "
          f"without other clients: {max(floors) * 1e3:.1f} ms); {grown} kB meanwhile", flush=True)
    t.check(times[-1] <= scaled(STALL) + max(floors), f"a reply took {times[-1]:.3f} s")
    t.check(grown <= 24 * 1024 or t.lab.sanitized(), f"{grown} kB of private memory")
    t.disk.answer(DEFAULT_DATA)
    baseline.wait(keeps_kb=1024)
    t.check(procfs.thread_count(helper.pid) <= 64, "threads are left")
