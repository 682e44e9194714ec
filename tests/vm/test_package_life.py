# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages where systemd is process 1: installed, started, upgraded under load, removed.

dpkg runs in the container of test_systemd.py, so that the maintainer scripts find a service manager.
The clients are out here, and go by QEMU's rules (scsi/pr-manager-helper.c): a command whose CDB cannot
be sent is sent again over a new connection; one whose reply does not come has failed. They have a plain
disk and a multipath map, whose worker is a service of its own.
"""
import os
import subprocess
import threading
from typing import Dict, List, Optional, Tuple

import container
import context
import guest
import lab
import multipath
import test_package
import test_systemd
from support import client, procfs, scsi, tap
from support.client import Connection
from support.tap import limit, test

PACKAGES = ["peer", "systemd", "multipath"]

ATTEMPTS = 5  # PR_MAX_RECONNECT_ATTEMPTS
RECONNECT_DELAY_S = 1  # PR_RECONNECT_DELAY
#: Between two commands of a stream: dpkg needs some of the processor, too.
PAUSE_S = 0.25
#: From the stop of the old helper to the greeting of the new one.
CONNECT_TIMEOUT_S = 60
FAILURES_MAX = 5
CONFIGURATION = "/etc/qemu-pr-helper.conf"
DROP_IN = "/etc/systemd/system/qemu-pr-helper.service.d/local.conf"
UPGRADE_LOG = "/run/upgrade.log"
#: Of the worker, on maps.
REMEMBERED = "/run/qemu-pr-mpath"
KEY, OTHER_KEY = 0xB1, 0xB2
STEADY = 10  # commands of each kind before and after the upgrade


class Client:
    """One QEMU's connection."""

    def __init__(self, fd: int):
        self.fd = fd
        self.dials = self.connects = 0
        self._connection: Optional[Connection] = None

    def begin(self, cdb: bytes) -> Connection:
        for attempt in range(ATTEMPTS):
            try:
                if not self._connection:
                    self.dials += 1
                    self._connection = Connection(test_systemd.SOCKET, timeout=CONNECT_TIMEOUT_S)
                    self.connects += 1
                self._connection.send_request(cdb, [self.fd])
                return self._connection
            except (OSError, client.Disconnected):
                self.close()
                if attempt + 1 == ATTEMPTS:
                    raise
                threading.Event().wait(RECONNECT_DELAY_S)
        raise AssertionError("unreachable")

    def command(self, cdb: bytes, parameters: bytes = b"") -> client.Reply:
        connection = self.begin(cdb)
        if parameters:
            connection.socket.sendall(parameters)
        return connection.receive_reply()

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class Stream(threading.Thread):
    """Commands of one kind, one after the other, until it is told to end; all have to be GOOD."""

    def __init__(self, fd: int, kind: str, where: str):
        super().__init__(daemon=True)
        self.client, self.kind, self.where = Client(fd), kind, where
        self.failures: List[str] = []
        self.done = 0
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set() and len(self.failures) < FAILURES_MAX:
            try:
                reply = self.one()
            except (OSError, AssertionError, client.Disconnected) as error:
                self.failures.append(f"command {self.done}: {type(error).__name__}: {error}")
                self.client.close()
            else:
                if reply.status != scsi.GOOD:
                    self.failures.append(f"command {self.done}: {reply}")
            self.done += 1
            self.ending.wait(PAUSE_S)
        self.client.close()

    def one(self) -> client.Reply:
        if self.kind == "in":
            return self.client.command(scsi.pr_in(8))
        parameters = scsi.parameters(0, KEY)
        return self.client.command(scsi.pr_out(len(parameters), action=scsi.REGISTER_AND_IGNORE),
                                   parameters)


class Lab:
    def __init__(self, _settings: dict):
        test_package.bootstrap()
        self.disk = lab.Loopback(lab.Backstore("life")).initiator
        self.disk.drain()
        lab.load("dm_mod")
        self.manager = test_systemd.Manager()
        self.daemons = multipath.Multipath()
        lab.Iscsi(lab.Backstore("mapped"), 2)
        self.daemons.wait_paths(test_systemd.MAP, 2)
        lab.wait_for(test_systemd.NODE, lambda: os.path.exists(test_systemd.NODE))
        self.map_fd = os.open(test_systemd.NODE, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.map_fd)
        self.manager.close()
        self.daemons.close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.lab, self.manager = shared, shared.manager
        self.fds = {"disk": shared.disk.fd, "map": shared.map_fd}
        self._said: List[str] = []

    def log(self) -> str:
        state = self.manager.run("systemctl", "status", "--no-pager", "-l", test_systemd.UNIT,
                                 test_systemd.SOCKET_UNIT, test_systemd.MPATH_SOCKET_UNIT,
                                 test_systemd.MPATH_TEMPLATE.replace("@", "@*"))
        upgrade = lab.read(UPGRADE_LOG) if os.path.exists(UPGRADE_LOG) else ""
        return "\n".join([*self._said[-2:], upgrade, state.stdout, *self.lab.daemons.log(),
                          *guest.kernel_log()])

    def dpkg(self, *arguments: str) -> None:
        done = self.manager.run(*test_package.DPKG, *arguments)
        self._said += [f"dpkg {' '.join(arguments)}", done.stdout]
        self.equal(done.returncode, 0, f"exit status of dpkg {arguments[0]}")

    def names(self) -> List[str]:
        return [os.path.basename(path).split("_")[0] for path in test_package.archives("ours")]

    def version(self) -> str:
        return self.manager.run("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}",
                                "qemu-pr-helper").stdout

    def state(self, unit: str) -> str:
        return self.manager.show("ActiveState", unit=unit)["ActiveState"]

    def main_pid(self) -> int:
        found = container.members(
            f"{container.CGROUPS}/container/system.slice/{test_systemd.UNIT}")
        mains = [pid for pid in found if procfs.parent(pid) not in found]
        self.equal(len(mains), 1, f"main processes among {found}")
        return mains[0]

    @staticmethod
    def workers() -> List[int]:
        """The workers for maps; each has an opener as its child."""
        found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                 if procfs.command(pid) == os.path.basename(test_systemd.WORKER)]
        return [pid for pid in found if procfs.parent(pid) not in found]

    def runs_what_is_installed(self) -> None:
        lab.wait_for("the end of the old worker", lambda: len(self.workers()) == 1, 60)
        for pid, program in ((self.main_pid(), test_systemd.PROGRAM),
                             (self.workers()[0], test_systemd.WORKER)):
            self.equal(os.stat(f"/proc/{pid}/exe").st_ino, os.stat(program).st_ino,
                       f"the program of process {pid}, which serves, is {program}")


open_lab = context.opener(Lab, Context)


def kept(t: Context, files: Dict[str, str], when: str) -> None:
    for path, text in files.items():
        with open(path, encoding="utf-8") as file:
            t.equal(file.read(), text, f"{path} {when}")


@limit(900)
@test
def life(t: Context) -> None:
    t.dpkg("--install", *test_package.archives("theirs"))
    t.dpkg("--install", *test_package.archives("ours"))
    units = (test_systemd.SOCKET_UNIT, test_systemd.UNIT, test_systemd.MPATH_SOCKET_UNIT)
    t.equal([t.state(unit) for unit in units], ["inactive"] * 3, "units after the installation")
    # Half of a request waits for as long as dpkg unpacks.
    files = {CONFIGURATION: "client-timeout=3600\nstop-timeout=60\n",
             DROP_IN: "[Service]\nEnvironment=OPTIONS=--status-mode=640\n"}
    os.makedirs(os.path.dirname(DROP_IN))
    for path, text in files.items():
        lab.write(path, text)
    t.manager.control("daemon-reload")
    t.manager.control("start", test_systemd.SOCKET_UNIT)
    upgrade_under_load(t)
    kept(t, files, "after the upgrade")

    # The distribution's own package comes between.
    t.dpkg("--install", *test_package.archives("theirs"))
    t.runs_what_is_installed()
    for fd in t.fds.values():
        reply = Client(fd).command(scsi.pr_in(8))
        t.equal(reply.status, scsi.GOOD, "status after qemu-system-common was installed again")

    t.dpkg("--remove", *t.names())
    for path in (test_systemd.SOCKET, test_systemd.MPATH_SOCKET, "/run/qemu-pr-helper"):
        t.check(not os.path.lexists(path), f"{path} is there after removal")
    t.equal(container.members(f"{container.CGROUPS}/container/system.slice/{test_systemd.UNIT}"),
            [], "processes after removal")
    t.equal(t.workers(), [], "workers after removal")
    # The registrations of the map outlast the package.
    t.check(os.path.exists(REMEMBERED), f"{REMEMBERED} is gone after removal")
    kept(t, files, "after removal")
    t.dpkg("--purge", *t.names())
    for path in ("/etc/apparmor.d/qemu-pr-helper", REMEMBERED):
        t.check(not os.path.exists(path), f"{path} is there after the purge")


def begin_half(one: Client) -> Tuple[Connection, bytes]:
    """A PERSISTENT RESERVE OUT without its parameter list, which is returned."""
    parameters = scsi.parameters(0, OTHER_KEY)
    return one.begin(scsi.pr_out(len(parameters), action=scsi.REGISTER_AND_IGNORE)), parameters


def upgrade_under_load(t: Context) -> None:
    """No command fails on disk and map: none of a steady stream of both kinds, and none that is under
    way."""
    streams = [Stream(fd, kind, where) for where, fd in t.fds.items() for kind in ("in", "out")]
    pending = {where: Client(fd) for where, fd in t.fds.items()}
    for stream in streams:
        stream.start()
    try:
        for stream in streams:
            lab.wait_for("a steady stream", lambda: stream.done > STEADY, 60)
        old, version = [t.main_pid(), *t.workers()], t.version()
        inode = os.stat(test_systemd.SOCKET).st_ino
        halves = {where: begin_half(one) for where, one in pending.items()}
        with open(UPGRADE_LOG, "w", encoding="utf-8") as output:
            upgrading = subprocess.Popen(
                [*test_package.DPKG, "--install", *test_package.archives("higher")],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                preexec_fn=container.join(t.manager.pid, test_systemd.JOINED))
        # Now there are two commands under way, half of which the helper has. To ask systemd
        # again and again for the state would take the time that dpkg needs: the others' connections
        # end with the stop, and they dial again.
        lab.wait_for("the stop", lambda: any(stream.client.dials > 1 for stream in streams), 300)
        t.equal(t.state(test_systemd.UNIT), "deactivating", "state of the service meanwhile")
        for where, (connection, parameters) in halves.items():
            connection.socket.sendall(parameters)
            t.equal(connection.receive_reply().status, scsi.GOOD, f"status of the {where}'s half")
        t.equal(upgrading.wait(), 0, "exit status of the upgrade")
        marks = [stream.done for stream in streams]
        for stream, mark in zip(streams, marks):
            lab.wait_for("a steady stream afterwards", lambda: stream.done > mark + STEADY, 60)
    finally:
        for stream in streams:
            stream.ending.set()
        for stream in streams:
            stream.join(60)
        for one in pending.values():
            one.close()
    for stream in streams:
        t.equal(stream.failures, [],
                f"failed commands of {stream.done} ({stream.kind}, {stream.where})")
        t.check(stream.client.connects >= 2,
                f"{stream.kind} of the {stream.where} was never connected again")
    t.equal(len(old), 2, "helpers and workers before")
    t.check(t.version() != version and t.version().endswith(" installed"), t.version())
    t.runs_what_is_installed()
    t.check(not {t.main_pid(), *t.workers()} & set(old), "there is an old process that serves")
    t.equal(t.state(test_systemd.SOCKET_UNIT), "active", "socket unit")
    t.equal(os.stat(test_systemd.SOCKET).st_ino, inode, "the socket's inode")
    counts = [f"{stream.done} {stream.kind} ({stream.where})" for stream in streams]
    print(f"# {', '.join(counts)}, none failed")
