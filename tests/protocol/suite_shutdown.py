# SPDX-License-Identifier: LGPL-2.1-or-later
"""How it ends: what is running is answered, nothing is left behind, the next one can start."""
import os
import signal
import socket
import threading
import time

from support import procfs, scaled, scsi
from support.client import Connection, Disconnected, reply
from support.process import kill_and_reap
from support.tap import cases, differs, limit, ours, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
PARAMETERS = scsi.parameters(1, 2)
REGISTER = scsi.pr_out(24)


def ends(t, helper, within, code=0):
    """It exits within that many seconds; how long it took."""
    began = time.monotonic()
    t.equal(helper.wait_exit(within + 5), code, "exit code")
    took = time.monotonic() - began
    t.check(took <= scaled(within), f"took {took:.2f} s to end, more than {within} s")
    return took


def hang(t, helper, cdb=READ_KEYS, parameters=b""):
    """A client whose command is in the device."""
    connection = t.connect(helper)
    running = t.disk.running
    t.disk.hold()
    connection.send_request(cdb, [t.own(t.disk.open())], parameters)
    t.disk.wait_running(running + 1)
    return connection


def name_removed(t, helper):
    t.eventually("socket file gone", lambda: not os.path.lexists(helper.socket_path),
                 helper=helper)


# -- signals


@cases(("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT), ("SIGHUP", signal.SIGHUP))
def idle(t, number):
    helper = t.start()
    clients = [t.connect(helper) for _ in range(3)]
    clients[0].send_request(READ_KEYS, [t.own(t.disk.open())])
    t.replied(clients[0], KEYS)
    helper.signal(number)
    ends(t, helper, 1)
    t.check(not os.path.lexists(helper.socket_path), "the socket file is still there")
    for client in clients:
        t.dropped(client)


@test
def running_commands_are_answered(t):
    helper = t.start()
    reading = hang(t, helper)
    writing = hang(t, helper, REGISTER, PARAMETERS)
    helper.signal(signal.SIGTERM)
    name_removed(t, helper)
    t.check(not reading.readable(0.1), "answered or closed before the device answered")
    t.disk.release()
    t.equal(reading.receive_rest(), KEYS.encode(), "answer to PR IN")
    t.equal(writing.receive_rest(), reply().encode(), "answer to PR OUT")
    ends(t, helper, 1)


@test
@differs("the peer drops what is queued", failure="answers")
def queued_requests_are_answered(t):
    helper = t.start()
    client = hang(t, helper)
    for _ in range(3):
        client.send(REGISTER + PARAMETERS, [t.own(t.disk.open())])
        client.send(READ_KEYS, [t.own(t.disk.open())])
    helper.signal(signal.SIGTERM)
    name_removed(t, helper)
    t.disk.release()
    t.equal(client.receive_rest(), KEYS.encode() + (reply().encode() + KEYS.encode()) * 3,
            "answers")
    ends(t, helper, 1)


@test
@ours("the peer drops what is queued")
def client_learns_before_it_sends(t):
    """Once the end has begun, a request either is answered or cannot be sent at all."""
    helper = t.start()
    clients = [t.connect(helper) for _ in range(20)]
    disk = t.own(t.disk.open())
    helper.signal(signal.SIGTERM)
    wanted = []
    for client in clients:
        try:
            client.send(READ_KEYS, [disk])
            wanted.append(KEYS.encode())
        except Disconnected:
            wanted.append(b"")
    for client, answer in zip(clients, wanted):
        t.equal(client.receive_rest(), answer, "answer to a client that could send")
    ends(t, helper, 1)


@test
@ours("the peer has no --stop-timeout")
def client_in_the_middle_of_a_request(t):
    """It cannot go on, so it is not waited for longer than the stop time-out."""
    helper = t.start("--stop-timeout=1")
    client = t.connect(helper)
    client.send(READ_KEYS[:7], [t.own(t.disk.open())])
    other = t.connect(helper, handshake=False)
    other.receive(4)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 2)
    t.dropped(client)
    t.dropped(other)


@test
@ours("the peer has no --stop-timeout")
def client_that_takes_no_reply(t):
    helper = t.start("--stop-timeout=1")
    client = t.connect(helper)
    t.disk.answer(bytes(8192))
    disk = t.own(t.disk.open())
    client.socket.setblocking(False)
    try:
        for _ in range(5000):
            client.send(scsi.pr_in(8192), [disk])
    except BlockingIOError:
        pass
    helper.signal(signal.SIGTERM)
    ends(t, helper, 2)


@test
@ours("the peer drops what is queued")
def client_that_takes_its_reply_after_the_stop(t):
    """It is let go as soon as it has everything, and not only at the stop time-out."""
    helper = t.start("--stop-timeout=30")
    t.disk.answer(bytes(8192))
    disk = t.own(t.disk.open())

    def executed(count):
        deadline = time.monotonic() + scaled(0.3)
        while len(t.lab.control.calls()) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        return len(t.lab.control.calls()) >= count

    with t.connect(helper) as probe:  # how many replies until one does not fit any more?
        fit = 0
        while fit < 500 and executed(fit):
            fit += 1
            probe.send(scsi.pr_in(8192), [disk])
    t.check(1 < fit < 500, f"{fit} replies without a reader")
    before = len(t.lab.control.calls())
    client = t.connect(helper)
    for number in range(1, fit):  # the last one was not executed
        client.send(scsi.pr_in(8192), [disk])
        t.check(executed(before + number), f"command {number} is not executed")
    helper.signal(signal.SIGTERM)
    name_removed(t, helper)
    time.sleep(0.2)  # beyond the moment's grace, of which nothing can be seen from outside
    for _ in range(1, fit):
        t.replied(client, reply(payload=bytes(8192)))
    ends(t, helper, 5)


@test
@ours("the peer has no --stop-timeout")
def hung_command_is_waited_for_until_stop_timeout(t):
    helper = t.start("--stop-timeout=1", "-f", os.path.join(t.directory(), "pid"))
    client = hang(t, helper)
    helper.signal(signal.SIGTERM)
    name_removed(t, helper)
    took = ends(t, helper, 2)
    t.check(took >= 0.8, f"waited only {took:.2f} s")
    t.dropped(client)
    t.check(not os.path.lexists(helper.argv[-1]), "the PID file is still there")


@test
@ours("the peer has no --stop-timeout")
def stop_timeout_of_zero(t):
    helper = t.start("--stop-timeout=0")
    client = hang(t, helper)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 0.5)
    t.dropped(client)


@test
@ours("the peer has no --stop-timeout")
def second_signal_ends_the_wait(t):
    helper = t.start("--stop-timeout=60")
    client = hang(t, helper)
    helper.signal(signal.SIGTERM)
    name_removed(t, helper)
    t.check(not client.readable(0.1), "closed before the second signal")
    helper.signal(signal.SIGINT)
    ends(t, helper, 0.5)
    t.dropped(client)


# -- during the start


@test
@ours("in the peer a signal during the start is lost")
def signal_at_any_time_of_the_start(t):
    for step in range(40):
        helper = t.start(ready=False)
        deadline = time.monotonic() + step * 0.0005
        while time.monotonic() < deadline:
            pass
        helper.signal(signal.SIGTERM)
        code = helper.wait_exit(5)
        # Before main() it is the kernel that ends it.
        t.check(code in (0, -signal.SIGTERM), f"exit code {code}")
        t.soon("socket file gone", lambda: not os.path.lexists(helper.socket_path))
        t.equal(sorted(os.listdir(os.path.dirname(helper.socket_path))), ["stderr", "stdout"],
                "files left")


# -- one after the other


@test
def next_one_starts_at_once(t):
    directory = t.directory()
    pidfile = os.path.join(directory, "pid")
    for _ in range(5):
        helper = t.start("-f", pidfile, directory=directory)
        with open(pidfile, encoding="ascii") as file:
            t.equal(file.read(), f"{helper.pid}\n", "PID file")
        t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
        helper.signal(signal.SIGTERM)
        ends(t, helper, 1)


@test
@ours("the peer has no --stop-timeout")
def next_one_starts_while_the_old_one_waits(t):
    directory = t.directory()
    old = t.start("--stop-timeout=60", directory=directory)
    client = hang(t, old)
    old.signal(signal.SIGTERM)
    name_removed(t, old)
    new = t.start(directory=directory)
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS, helper=new)
    t.disk.release()
    t.equal(client.receive_rest(), KEYS.encode(), "answer of the old one")
    ends(t, old, 1)
    t.ask(READ_KEYS, t.own(t.other_disk.open()), KEYS, helper=new)


class Guest(threading.Thread):
    """Sends commands as QEMU does: connects until a CDB could be sent, and then needs a reply."""

    def __init__(self, path, disk):
        super().__init__(daemon=True)
        self.path, self.disk = path, disk
        self.done = 0
        self.failures = []
        self.stop = threading.Event()
        self.connection = None

    def send(self, cdb):
        while not self.stop.is_set():
            try:
                if not self.connection:
                    self.connection = Connection(self.path)
                self.connection.send(cdb, [self.disk])
                return True
            except (OSError, Disconnected):
                if self.connection:
                    self.connection.close()
                self.connection = None
                time.sleep(0.005)
        return False

    def run(self):
        while self.send(REGISTER if self.done % 2 else READ_KEYS):
            try:
                wanted = KEYS
                if self.done % 2:
                    self.connection.send(PARAMETERS)
                    wanted = reply()
                got = self.connection.receive_reply()
                if got != wanted:
                    self.failures.append(f"command {self.done}: {got}")
                self.done += 1
            except (OSError, Disconnected) as error:
                self.failures.append(f"command {self.done}: {error!r}")
                self.connection.close()
                self.connection = None


@test
@limit(60)
@ours("the peer drops what is queued")
def restarts_under_load_fail_no_command(t):
    directory = t.directory()
    helper = t.start(directory=directory)
    disk = t.own(t.disk.open())
    t.disk.answer(DEFAULT_DATA, delay=0.001)
    guests = [Guest(helper.socket_path, disk) for _ in range(6)]
    for guest in guests:
        guest.start()
    try:
        for _ in range(20):
            before = [guest.done for guest in guests]
            t.eventually("every guest served by this instance", lambda: all(
                guest.done > old + 5 for guest, old in zip(guests, before)), helper=helper)
            helper.signal(signal.SIGTERM)
            ends(t, helper, 1)
            helper = t.start(directory=directory)
    finally:
        for guest in guests:
            guest.stop.set()
        for guest in guests:
            guest.join(scaled(10))
    t.equal([failure for guest in guests for failure in guest.failures], [], "failed commands")


# -- what is left behind


@test
@differs("the peer leaves both", failure="gone")
def killed_helper_leaves_no_files(t):
    pidfile = os.path.join(t.directory(), "pid")
    helper = t.start("-f", pidfile)
    t.check(os.path.exists(pidfile), "there is no PID file")
    helper.signal(signal.SIGKILL)
    t.equal(helper.wait_exit(), -signal.SIGKILL, "exit code")
    t.soon("socket and PID file gone", lambda: not os.path.lexists(helper.socket_path) and
           not os.path.lexists(pidfile), 1)


@test
@ours("the peer has no keeper")
def keeper_outlives_signals_to_the_whole_service(t):
    helper = t.start()
    keeper = t.keeper_of(helper)
    t.check(os.getsid(keeper) == keeper, "the keeper has no session of its own")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(keeper, number)
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 1)
    t.check(not os.path.lexists(helper.socket_path), "the socket file is still there")
    t.gone(keeper, "the keeper")


@test
@ours("the peer has no keeper")
def keeper_keeps_no_fd_but_its_channel(t):
    helper = t.start()
    kept = procfs.fds(t.keeper_of(helper))
    t.check(len(kept) <= 1, f"the keeper has open: {kept}")


@test
@ours("the peer has no keeper")
def helper_goes_on_without_its_keeper(t):
    helper = t.start()
    kill_and_reap(t.keeper_of(helper))
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 3)


def replace_by_file(path):
    os.unlink(path)
    with open(path, "w", encoding="ascii"):
        pass


def replace_by_socket(path):
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)


@cases(("a file, SIGTERM", replace_by_file, signal.SIGTERM),
       ("a socket, SIGTERM", replace_by_socket, signal.SIGTERM),
       ("a file, SIGKILL", replace_by_file, signal.SIGKILL),
       ("a socket, SIGKILL", replace_by_socket, signal.SIGKILL))
@ours("the peer removes anything that has the name")
def what_somebody_else_put_there_stays(t, replace, number):
    pidfile = os.path.join(t.directory(), "pid")
    helper = t.start("-f", pidfile)
    keeper = t.keeper_of(helper)
    for _ in range(3):  # a file system may give out the same inode number again
        replace(helper.socket_path)
    replace_by_file(pidfile)
    helper.signal(number)
    helper.wait_exit()
    t.gone(keeper, "the keeper")
    t.check(os.path.lexists(helper.socket_path), "what replaced the socket is gone")
    t.check(os.path.lexists(pidfile), "what replaced the PID file is gone")


@test
def socket_file_that_is_gone_already(t):
    helper = t.start()
    os.unlink(helper.socket_path)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 1)


@test
@ours("the peer has no keeper")
def removal_that_fails_is_logged(t):
    directory = os.path.join(t.directory(), "closed")
    os.mkdir(directory)
    helper = t.start(socket_path=os.path.join(directory, "socket"))
    t.keeper_of(helper)  # has by now decided what it needs to write there
    os.chmod(directory, 0o555)
    t.cleanup.callback(os.chmod, directory, 0o755)
    helper.signal(signal.SIGTERM)
    ends(t, helper, 1)
    t.check(os.path.lexists(helper.socket_path), "it was removed after all: a poor test")
    t.matches("socket", helper.log(), "standard error")
