# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper that serves while one system call fails.

Each answer is true. At most one client notices; the helper lives; when the
clients have gone it has the fds that it had before; and the next client is served as ever.
"""
import os
import shutil
import signal

from mpath import fixture as mpath
from support import procfs, scsi
from support.client import Connection, Disconnected
from support.process import Helper
from support.tap import limit, test

from . import plan
from .clients import KEYS, READ_KEYS, REGISTER, Clients
from .fixture import PATIENCE, Context, read_status
from .injector import Fault, Injector

HELPER, KEEPER = 0, 1
PATHS = 2  # of a map
REGISTER_AND_IGNORE = scsi.pr_out(24, scsi.REGISTER_AND_IGNORE)
#: What a helper may grow by, however many faults it has seen: stacks that munmap has left, threads.
MOST_KB = 256
GRACE = 0.02  # SERVER_GRACE_MS of src/serve/server.c


class Service:
    """A helper and its clients."""

    def __init__(self, t: Context, injector: Injector):
        self.t, self.injector = t, injector
        self.directory = t.directory()
        path = lambda name: os.path.join(self.directory, name)  # noqa: E731
        self.helper = Helper(t.lab.binary, self.directory,
                             ["-f", path("pid"), "--status-socket", path("status"),
                              *t.lab.helper_arguments],
                             env=injector.environment(t.lab.control.environment()),
                             prefix=self.injector.prefix)
        t.cleanup.callback(self.helper.close)
        self.helper.wait_ready()
        self.clients = Clients(t, self.helper.socket_path, path("status"), self.injector.quiet)

    def warm_up(self) -> "Service":
        """What is opened at the first need is open then."""
        self.go_through()
        self.t.equal(self.go_through(), 0, "worse answers without any fault")
        self.fds = len(procfs.fds(self.helper.pid))
        self.kb = procfs.private_kb(self.helper.pid, without=self.t.lab.control.path)
        return self

    def grown_kb(self) -> int:
        now = procfs.private_kb(self.helper.pid, without=self.t.lab.control.path)
        return now - self.kb

    def go_through(self) -> int:
        worse = self.clients.go_through()
        self.injector.quiet()
        return worse

    def record(self) -> dict:
        """What is called meanwhile. No two times are the same: in full the most, else the least."""
        found: dict = {}
        extreme = max if self.t.lab.full else min
        for _ in range(3):
            self.injector.forget()
            self.go_through()
            for call, count in self.injector.counts().items():
                found[call] = extreme(count, found.get(call, count))
        return found

    def attempt(self, fault: Fault) -> str:
        t = self.t
        with self.injector.armed(fault):
            worse = self.clients.go_through()
            hits = self.injector.hits
        t.check(self.helper.running, f"the helper died: {self.helper.process.returncode}")
        t.check(worse <= 1 or fault.times > 1, f"{worse} clients noticed")
        t.works(self.helper)
        t.check(read_status(self.clients.status_path), "no status")
        t.eventually("no more fds than before",
                     lambda: len(procfs.fds(self.helper.pid)) <= self.fds, PATIENCE, self.helper)
        if not hits:
            return "not reached"
        return "noticed by one client" if worse else "unnoticed"


def each(t: Context, what: str, make_injector, make_faults) -> None:
    service = Service(t, make_injector()).warm_up()
    faults = make_faults(service.record())

    def attempt(fault: Fault) -> str:
        nonlocal service
        try:
            return service.attempt(fault)
        except Exception:
            service.helper.close()
            service = Service(t, make_injector()).warm_up()  # a healthy one for the next fault
            raise
    t.each(what, faults, attempt)
    grown = service.grown_kb()
    print(f"# {what}: the helper has grown by {grown} kB", flush=True)
    t.check(grown <= MOST_KB, f"the helper has grown by {grown} kB")


@test
@limit(3600)
def requests(t: Context) -> None:
    each(t, "serving requests", t.injector,
         lambda counts: t.chosen(plan.every(counts, HELPER), 3))


class End:
    """A helper is told to go while a command hangs."""

    def __init__(self, t: Context):
        self.t = t
        self.counts: dict = {}

    def attempt(self, fault: Fault) -> str:
        """SIGTERM; then the command comes back."""
        t = self.t
        for disk in (t.disk, t.other_disk):
            disk.settle()  # from a helper that went without its command
        service = Service(t, t.injector())
        client = service.clients.second
        service.clients.imperfect = 0
        client.disk.hold()
        try:
            client.send(READ_KEYS)
            client.disk.wait_running(1)
            service.clients.first.connect()
            service.injector.quiet()
            if fault:
                service.injector.arm(fault)
            else:
                service.injector.forget()
            service.helper.signal(signal.SIGTERM)
            service.injector.quiet(2 * GRACE)
        finally:
            client.disk.release()
        client.hear(KEYS)
        hits = service.injector.hits
        t.equal(service.helper.wait_exit(PATIENCE), 0, "exit code")
        t.nothing_left(service.injector, fault, service.directory)
        self.counts = service.injector.counts()
        service.helper.close()
        hits = service.injector.hits
        if not hits:
            return "not reached"
        return "noticed by one client" if service.clients.imperfect else "unnoticed"


NO_FAULT = Fault(0, "none", 0, 5)


@test
@limit(3600)
def end(t: Context) -> None:
    one = End(t)
    one.attempt(NO_FAULT)
    faults = [fault for depth in (HELPER, KEEPER) for fault in plan.every(one.counts, depth)]
    t.each("shutdown", t.chosen(faults), one.attempt)


class Map:
    """The whole way of a command on a multipath map: helper, keeper, worker, opener. The map is a
    loop device that this helper's own /sys says to be one; the worker is that of tests/mpath, and so
    are the map's paths and their target."""

    def __init__(self, t: Context):
        self.t = t
        t.needs_root()
        lab = mpath.Lab(t.lab.build)
        t.cleanup.callback(lab.close)
        context = mpath.Context(lab)
        t.cleanup.push(context.cleanup)
        self.machine = context.machine()
        made = self.machine.make_map(PATHS)
        self.fd = t.own(t.disk.open())
        number = f"{os.major(t.disk.rdev)}:{os.minor(t.disk.rdev)}"
        for sysfs in (self.machine.path("sys"), self.machine.path("block")):
            shutil.copytree(made.sys, f"{sysfs}/{number}", symlinks=True)
        self.worker = self.machine.path("worker")
        mpath.write(self.worker, f"#!/bin/sh\ncd {self.machine.directory} && "
                                 f"LD_PRELOAD={lab.target} TARGET_CONTROL={self.machine.target.file} "
                                 f"exec {lab.binary}\n")
        os.chmod(self.worker, 0o755)
        self.wrap = t.namespace(f"mount --bind {self.machine.path('block')} /sys/dev/block")
        self.injector = t.injector()
        self.counts: dict = {}
        self.keys = 0x2000

    def ask(self) -> int:
        """A command with a key of its own; its status, -1 if it was hung up on."""
        t, target = self.t, self.machine.target
        self.keys += 1
        try:
            with Connection(self.helper.socket_path, timeout=PATIENCE) as connection:
                status = connection.command(REGISTER_AND_IGNORE, self.fd,
                                            scsi.parameters(0, self.keys)).status
        except (Disconnected, ConnectionError):
            return -1
        keys = target.keys(mpath.OTHER)
        if status == scsi.GOOD:
            t.equal(keys, [self.keys] * PATHS, "keys at the target, of one that is GOOD")
        elif status == scsi.BUSY:
            t.check(self.keys not in keys, f"keys at the target, of one that is BUSY: {keys}")
        else:
            t.equal(status, scsi.CHECK_CONDITION, "status")
        return status

    def attempt(self, fault: Fault) -> str:
        t = self.t
        directory = t.directory()
        self.helper = Helper(t.lab.binary, directory,
                             [f"--mpath-worker={self.worker}", *t.lab.helper_arguments],
                             env=t.lab.control.environment(), prefix=self.injector.prefix,
                             wrap=self.wrap)
        try:
            self.helper.wait_ready()
            self.injector.quiet()
            with self.injector.armed(fault):
                status = self.ask()
                self.injector.quiet()
                hits = self.injector.hits
            self.counts = self.injector.counts()
            # A worker that could not be started is tried again after a second.
            t.eventually("the next command GOOD", lambda: self.ask() == scsi.GOOD, PATIENCE,
                         self.helper)
            t.equal(self.helper.stop(), 0, "exit code")
            t.nothing_left(self.injector, fault, directory)
            return "not reached" if not hits else "GOOD" if status == scsi.GOOD else "not GOOD"
        finally:
            self.helper.close()


@test
@limit(3600)
def multipath(t: Context) -> None:
    one = Map(t)
    one.attempt(NO_FAULT)
    faults = plan.every(one.counts, HELPER) + plan.every(one.counts, KEEPER)
    t.each("the first command on a map", t.chosen(faults, 1), one.attempt)
