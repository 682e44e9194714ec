# SPDX-License-Identifier: LGPL-2.1-or-later
"""The multipath worker and its opener, of which one system call fails.

The worker is that of tests/mpath: real, on a machine made of files, with a simulated target. It is
ready and works, or says what is missing, or ends. A command is GOOD only if all paths have what it
gives them, BUSY only if none has, and the next command is served.
"""
import tempfile
from typing import Optional

from mpath import fixture as mpath
from support import scsi
from support.tap import limit, test
from support.worker import Reply

from . import plan
from .fixture import PATIENCE, Context
from .injector import Fault, Injector

WORKER, OPENER = 0, 1
PATHS = 2


class Bench:
    """A machine for workers, and the faults of those."""

    def __init__(self, t: Context, make_injector=Injector):
        self.t = t
        lab = mpath.Lab(t.lab.build)
        t.cleanup.callback(lab.close)
        self.context = mpath.Context(lab)
        t.cleanup.push(self.context.cleanup)
        self.machine = self.context.machine()
        self.map = self.machine.make_map(PATHS)
        self.injector = make_injector(t.lab.build, tempfile.mkdtemp(dir=lab.directory))
        self.keys = 0

    def start(self) -> None:
        self.worker = self.machine.start(prefix=self.injector.prefix,
                                         env=self.injector.environment({}))
        self.session = mpath.Session(self.context, self.machine, self.map, self.worker)

    def close(self) -> None:
        self.worker.close()
        self.t.soon("every process gone", lambda: not self.injector.running, PATIENCE)

    def ask(self, hard: bool) -> bool:
        """One command, each with a key of its own. hard: GOOD is the only answer. Returns whether it
        was GOOD."""
        t, target = self.t, self.machine.target
        self.keys += 1
        key = 0x1000 + self.keys
        before = target.keys(mpath.OTHER)
        try:
            reply: Optional[Reply] = self.session.send(scsi.REGISTER_AND_IGNORE, 0, key,
                                                       deadline=8.0).reply(PATIENCE)
        except ConnectionError:
            reply = None  # the worker is gone
        keys = target.keys(mpath.OTHER)
        if reply and reply.status == scsi.GOOD:
            t.equal(reply.code, mpath.GOOD, "answer")
            # One path may have been away for as long as the fault lasted.
            t.check(set(keys) == {key} and (len(keys) == PATHS or not hard), f"keys: {keys}")
            return True
        t.check(not hard, f"after the fault: {reply and (reply.code, reply.text)}")
        if reply and reply.status == scsi.BUSY:
            t.check(key not in keys, f"keys of one that is BUSY: {keys}, before {before}")
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
            good = self.ask(hard=False)
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
        plan.every(counts, WORKER) + plan.every(counts, OPENER)))
