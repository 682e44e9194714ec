# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helper ends and comes back while a guest sends commands, one after the other.

After SIGTERM no command fails. After SIGKILL a command may be lost, and then the guest gets the
sense that QEMU makes for that, and no other. With socket activation no connect() fails.
No matter what happens, an answer that is GOOD is true: each registration has a new key, and the keys that
the guest reads are compared with what it was told, and with LIO's table.
"""
import contextlib
import os
import random
import select
import signal
import socket
import struct
import threading
import time
from typing import Callable, List, Optional, Set

import lab
import qemu
import qtest
from qemu import HELPER_LOST, HELPER_UNREACHABLE, Context, open_lab
from support import scaled, scsi
from support.process import Helper
from support.systemd import activation, passing
from support.tap import cases, differs, limit, test

PACKAGES = ["qemu"]
MEMORY = 768
#: How often the helper ends in one test, and the pairs of commands between two of these at least.
RESTARTS, COMMANDS = int(os.environ.get("TEST_RESTARTS", "6")), 3


class Commands:
    """A guest that registers new keys and reads them back, and knows what may be true."""

    def __init__(self, t: Context, guest: qemu.Guest, tolerated: Set[tuple]):
        self.t, self.guest, self.tolerated = t, guest, tolerated
        self.count = 0
        self.lost: List[str] = []
        #: The key that is registered: one, or several if a command's outcome is unknown.
        self.keys = {0}
        self._next = 0x1000

    def _failed(self, answer: qtest.Completion, what: str) -> bool:
        self.count += 1
        if answer.status == scsi.GOOD and answer.response == 0:
            return False
        self.t.check(answer.status == scsi.CHECK_CONDITION and answer.response == 0
                     and answer.sense_code in self.tolerated,
                     f"command {self.count}, {what}: {answer}")
        self.lost.append(str(answer))
        return True

    def register(self) -> None:
        self._next += 1
        answer = self.guest.tell(scsi.REGISTER_AND_IGNORE, action_key=self._next)
        self.keys = {self._next} | (self.keys if self._failed(answer, "REGISTER") else set())

    def read_keys(self) -> None:
        answer = self.guest.ask(scsi.READ_KEYS)
        if self._failed(answer, "READ KEYS"):
            return
        _, size = struct.unpack_from(">II", answer.data)
        self.t.equal(len(answer.data), 8 + size, "size of READ KEYS data")
        self.true(set(struct.unpack(f">{size // 8}Q", answer.data[8:])), "that the guest reads")

    def true(self, found: Set[int], where: str) -> None:
        found = found or {0}
        self.t.check(len(found) == 1 and found <= self.keys,
                     f"keys {where}: {found}, may be {self.keys}")
        self.keys = found

    def go_on(self, disturbance: "Disturbance") -> None:
        """Commands for as long as it lasts, and some more."""
        with disturbance:
            while disturbance.is_alive():
                self.register()
                self.read_keys()
                disturbance.sent.set()
        self.tolerated = set()
        self.register()
        self.read_keys()
        self.true({one.key for one in self.t.disk.registrations()}, "in configfs")
        print(f"# {self.count} commands, {len(self.lost)} lost: {sorted(set(self.lost))}")


class Disturbance(threading.Thread):
    """Does something RESTARTS times while the main thread is the guest; commands come between."""

    def __init__(self, action: Callable[[], None]):
        super().__init__(daemon=True)
        self._action = action
        self._over = False
        self._error: Optional[BaseException] = None
        self.sent = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_error) -> None:
        self._over = True
        while self.is_alive():
            self.sent.set()
            self.join(0.05)
        if self._error:
            raise self._error

    def run(self) -> None:
        try:
            for _ in range(RESTARTS):
                for _ in range(COMMANDS):
                    self.sent.clear()
                    self.sent.wait()
                    if self._over:
                        return
                # Not always at the same place of a command.
                time.sleep(random.uniform(0, 0.02))
                self._action()
        except BaseException as error:  # pylint: disable=broad-except
            self._error = error


class Service:
    """A helper that is started again whenever it has ended."""

    def __init__(self, t: Context):
        self.t = t
        self.helper = t.helper()
        self.path = self.helper.socket_path

    def restart(self, number: int) -> None:
        """End it by a signal, if that has not been done; return when the next one serves."""
        if self.helper.running:
            self.helper.signal(number)
        code = self.helper.wait_exit()
        self.t.equal(code, 0 if number == signal.SIGTERM else -number, "exit code of the helper")
        self._again()

    def _again(self) -> None:
        self.helper = self.t.helper(self.path)


class Activated(Service):
    """Started by a client that comes, as systemd does it; the socket is not the helper's own."""

    def __init__(self, t: Context):  # pylint: disable=super-init-not-called
        self.t = t
        self.path = f"{t.lab.directory()}.socket"
        self._listener = socket.socket(socket.AF_UNIX)
        t.cleanup.callback(self._listener.close)
        self._listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self._listener.listen(128)
        self.helper = self._start()

    def _start(self) -> Helper:
        return self.t.helper("", wrap=activation, **passing(self._listener)).at(self.path)

    def _again(self) -> None:
        select.select([self._listener], [], [])
        self.helper = self._start()


class Callers(threading.Thread):
    """Clients that come and go all the time: none may be refused, no matter what happens to the helper."""

    def __init__(self, path: str):
        super().__init__(daemon=True)
        self._path = path
        self._over = threading.Event()
        self.greeted = self.lost = 0
        self.refused: List[str] = []

    def __enter__(self) -> "Callers":
        self.start()
        return self

    def __exit__(self, *_error) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.005):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(scaled(10))
                try:
                    caller.connect(self._path)
                except OSError as error:
                    self.refused.append(str(error))
                    continue
                with contextlib.suppress(OSError):
                    if len(caller.recv(4)) == 4:
                        self.greeted += 1
                        continue
                self.lost += 1


def disturbed(t: Context, service: Service, number: int, tolerated: Set[tuple]) -> None:
    guest = t.guest(0, service.path)
    commands = Commands(t, guest, tolerated)
    commands.go_on(Disturbance(lambda: service.restart(number)))
    t.check(guest.connected(), "QEMU is not connected")
    changes = guest.status_changes()
    t.check(changes[-2:] == [False, True] and changes.count(True) <= RESTARTS,
            f"PR_MANAGER_STATUS_CHANGED: {changes}")
    # A process that is killed closes its files in any order. If the listening socket outlives the
    # connection, QEMU connects again, to be cut off before it is greeted: another False.
    again = {(True, True)} if number == signal.SIGKILL else {(True, True), (False, False)}
    t.check(not again.intersection(zip(changes, changes[1:])),
            f"PR_MANAGER_STATUS_CHANGED does not alternate: {changes}")


def lost_by_termination(t: Context) -> Set[tuple]:
    """Nothing. Of the peer's commands some are lost, not in each run; see in_the_middle()."""
    return {HELPER_LOST} if t.lab.peer else set()


@test
@limit(60 + 10 * RESTARTS)
def terminated(t: Context) -> None:
    disturbed(t, Service(t), signal.SIGTERM, lost_by_termination(t))


@test
@limit(60 + 10 * RESTARTS)
def killed(t: Context) -> None:
    disturbed(t, Service(t), signal.SIGKILL, {HELPER_LOST})


@test
@limit(60 + 10 * RESTARTS)
def terminated_activated(t: Context) -> None:
    service = Activated(t)
    with Callers(service.path) as callers:
        disturbed(t, service, signal.SIGTERM, lost_by_termination(t))
    t.equal(callers.refused, [], "connects that failed")
    t.check(callers.greeted > RESTARTS, f"only {callers.greeted} clients greeted")
    t.check(callers.lost == 0 or t.lab.peer, f"{callers.lost} clients not greeted")


@test
@limit(60 + 10 * RESTARTS)
def killed_activated(t: Context) -> None:
    service = Activated(t)
    with Callers(service.path) as callers:
        disturbed(t, service, signal.SIGKILL, {HELPER_LOST})
    t.equal(callers.refused, [], "connects that failed")
    t.check(callers.greeted > RESTARTS, f"only {callers.greeted} clients greeted")


def waits_for_the_helper(guest: qemu.Guest) -> bool:
    """Whether a thread of QEMU has sent a request and reads the reply."""
    tasks = f"/proc/{guest.program.pid}/task"
    for one in os.listdir(tasks):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "unix_stream_read_generic" in lab.read(f"{tasks}/{one}/stack"):
                return True
    return False


def stopped(pid: int) -> bool:
    """Whether SIGSTOP has arrived everywhere: a thread in the kernel goes on until it leaves it."""
    tasks = f"/proc/{pid}/task"
    return all(lab.read(f"{tasks}/{one}/stat").rpartition(")")[2].split()[0] == "T"
               for one in os.listdir(tasks))


@cases(("READ KEYS", scsi.pr_in(2048), b""),
       ("REGISTER", scsi.pr_out(24, scsi.REGISTER_AND_IGNORE), scsi.parameters(0, qemu.KEY_B)))
@differs("it drops the command that it has when it is told to end",
         failure="terminated: 'CHECK CONDITION 05/24/00', not 'GOOD'")
@limit(60)
def in_the_middle(t: Context, cdb: bytes, parameters: bytes) -> None:
    """It certainly has the request and has not answered when the signal comes."""
    service = Service(t)
    guest = t.guest(0, service.path)
    for number in (signal.SIGTERM, signal.SIGKILL):
        t.good(guest.tell(scsi.REGISTER_AND_IGNORE, action_key=qemu.KEY_A), "before")
        service.helper.signal(signal.SIGSTOP)
        lab.wait_for("the helper stopped", lambda: stopped(service.helper.pid))
        guest.adapter.submit(cdb[:10], parameters, 0 if parameters else 2048)
        lab.wait_for("QEMU waits for the reply", lambda: waits_for_the_helper(guest))
        service.helper.signal(number)
        service.helper.signal(signal.SIGCONT)
        _, answer = lab.wait_for("an answer", guest.adapter.collect)
        if number == signal.SIGTERM:
            t.good(answer, "a command that the helper had when it was terminated")
            t.registered(a=qemu.KEY_B if parameters else qemu.KEY_A)
        else:
            t.sense(answer, HELPER_LOST, "a command that the helper had when it was killed")
            t.registered(a=qemu.KEY_A)
        service.restart(number)
    t.good(guest.ask(scsi.READ_KEYS), "READ KEYS after all")
    t.equal(guest.status_changes(), [False, True] * 2, "PR_MANAGER_STATUS_CHANGED")


@test
@limit(60 + 10 * RESTARTS)
def unreachable(t: Context) -> None:
    """No helper for longer than QEMU tries: a sense of its own, and then everything works again."""
    service = Service(t)
    guest = t.guest(0, service.path)
    t.good(guest.tell(scsi.REGISTER, action_key=qemu.KEY_A), "before")
    service.helper.stop()
    t.sense(guest.ask(scsi.READ_KEYS), HELPER_UNREACHABLE, "READ KEYS without a helper")
    t.sense(guest.tell(scsi.CLEAR, key=qemu.KEY_A), HELPER_UNREACHABLE, "CLEAR without a helper")
    t.check(not guest.connected(), "QEMU says that it is connected")
    t.good(guest.read(0), "READ(10) meanwhile")
    t.registered(a=qemu.KEY_A)
    t.helper(service.path)
    t.equal(guest.ask(scsi.READ_KEYS).data[8:], struct.pack(">Q", qemu.KEY_A), "READ KEYS after")
    t.equal(guest.status_changes(), [False, True], "PR_MANAGER_STATUS_CHANGED")
