# SPDX-License-Identifier: LGPL-2.1-or-later
"""The multipath worker and its children, of which one system call fails.

The worker is that of tests/mpath: real, on a machine made of files. It is ready and works, or says
what is missing, or ends. A command is GOOD only if the library was called for it and multipathd
knows of it, BUSY only if the library was not called, and the next command is served.
"""
import os
import tempfile
from typing import Optional

from mpath import fixture as mpath
from support import scsi, tap
from support.tap import limit, test
from support.worker import Reply

from . import plan
from .fixture import PATIENCE, Context
from .injector import Fault, Injector

WORKER, CHILD = 0, 1


class Bench:
    """A machine for workers, and the faults of those."""

    def __init__(self, t: Context, make_injector=Injector):
        self.t = t
        if not os.path.exists(os.path.join(t.lab.build, "qemu-pr-mpath")):
            raise tap.Skip("not built, for want of mpath_persist.h")
        lab = mpath.Lab(t.lab.build)
        t.cleanup.callback(lab.close)
        self.context = mpath.Context(lab)
        t.cleanup.push(self.context.cleanup)
        self.machine = self.context.machine()
        self.injector = make_injector(t.lab.build, tempfile.mkdtemp(dir=lab.directory))
        self.keys = 0

    def start(self) -> None:
        self.worker = self.machine.start(prefix=self.injector.prefix,
                                         env=self.injector.environment({}))
        self.session = mpath.Session(self.context, self.machine, self.worker)

    def close(self) -> None:
        self.worker.close()
        self.t.soon("every process gone", lambda: not self.injector.running, PATIENCE)

    def ask(self, hard: bool, recorded: bool = True) -> bool:
        """One command, each with a key of its own. hard: GOOD is the only answer. recorded: what
        the library was asked is known. Returns whether it was GOOD."""
        t = self.t
        self.keys += 1
        key = 0x1000 + self.keys
        self.machine.multipathd.answers["getprkey"] = b"0x%x\n" % key
        try:
            reply: Optional[Reply] = self.session.out(new=key, deadline=5.0).reply(PATIENCE)
        except ConnectionError:
            reply = None  # the worker is gone
        calls = [line for line in self.machine.calls() if line.split()[4] == f"{key:x}"]
        if reply and reply.status == scsi.GOOD:
            t.equal(reply.code, mpath.GOOD, "answer")
            t.check(len(calls) == 1 or not recorded,
                    f"{len(calls)} calls of the library, for one that is GOOD")
            return True
        t.check(not hard, f"after the fault: {reply and (reply.code, reply.text)}")
        if reply and reply.status == scsi.BUSY:
            t.equal(len(calls), 0, "calls of the library, for one that is BUSY")
        elif reply:
            t.equal(reply.status, scsi.CHECK_CONDITION, "status")
            t.check(reply.text, "no text for the administrator")
        return False

    def start_up(self, fault: Optional[Fault]) -> str:
        t, injector = self.t, self.injector
        injector.arm(fault) if fault else injector.forget()
        self.start()
        try:
            message = None
            try:
                message = self.worker.hello(PATIENCE)
            except (AssertionError, ConnectionError):
                t.check(self.worker.wait_exit(PATIENCE) > 0, "neither a hello nor an exit code")
                return "ended"
            if not message.ready:
                t.check(message.text, "not ready, and no word why")
                t.check(self.worker.wait_exit(PATIENCE) > 0, "exit code")
                return "said what is missing"
            if not fault:
                injector.quiet()
                self.counts = injector.counts()
            injector.disarm()
            self.ask(hard=True)
            return "served" if injector.hits else "not reached"
        finally:
            self.close()

    def command(self, fault: Fault) -> str:
        """While a command is executed; the worker goes on, or the next one does."""
        if not self.worker.running:
            self.start()
            self.t.check(self.worker.hello(PATIENCE).ready, "not ready")
        with self.injector.armed(fault):
            # The stand-in library keeps its record by these.
            good = self.ask(hard=False, recorded=fault.call not in ("openat", "lseek", "write"))
            self.injector.quiet(0.005)
            hits = self.injector.hits
        if not self.worker.running:
            self.t.equal(self.worker.wait_exit(), 0, "exit code")
            return "worker ended"
        self.ask(hard=True)
        if not hits:
            return "not reached"
        return "GOOD" if good else "not GOOD"


@test
@limit(3600)
def start(t: Context) -> None:
    bench = Bench(t)
    bench.start_up(None)
    t.each("start-up of the worker", t.chosen(plan.every(bench.counts, WORKER)), bench.start_up)


def each_command(t: Context, what: str, bench: Bench, make_faults) -> None:
    bench.start()
    t.check(bench.worker.hello(PATIENCE).ready, "not ready")
    bench.ask(hard=True)
    bench.injector.quiet()
    bench.injector.forget()
    bench.ask(hard=True)
    bench.injector.quiet()
    counts = bench.injector.counts()

    def attempt(fault: Fault) -> str:
        try:
            return bench.command(fault)
        except Exception:
            bench.close()  # the next fault shall find a healthy one
            raise
    t.each(what, make_faults(counts), attempt)


@test
@limit(3600)
def commands(t: Context) -> None:
    each_command(t, "a command on a map", Bench(t), lambda counts: t.chosen(
        plan.every(counts, WORKER) + plan.every(counts, CHILD)))
