# SPDX-License-Identifier: LGPL-2.1-or-later
"""A start-up in which one system call fails.

Either the helper serves afterwards, as always and with all that was asked for, or it ends with code
1 and a message. Whichever it is, at the end nothing of it is left.
"""
import errno
import os
import re

from support.process import Helper
from support.tap import limit, test

from .fixture import Context, await_start, read_status
from .injector import Fault, Injector
from . import plan

HELPER, KEEPER = 0, 1


class Start:
    """A way to start the helper, over and over."""

    def __init__(self, t: Context, injector: Injector, *options: str):
        self.t, self.injector, self.options = t, injector, options

    def start(self) -> Helper:
        self.directory = self.t.directory()
        path = lambda name: os.path.join(self.directory, name)  # noqa: E731
        self.status = path("status")
        return Helper(self.t.lab.binary, self.directory,
                      ["-f", path("pid"), "--status-socket", self.status, *self.options,
                       *self.t.lab.helper_arguments],
                      env=self.injector.environment(self.t.lab.control.environment()), prefix=self.injector.prefix)

    def record(self) -> dict:
        """What is called until the helper serves."""
        self.injector.forget()
        helper = self.start()
        try:
            helper.wait_ready()
            self.injector.quiet()
            return self.injector.counts()
        finally:
            helper.close()

    def attempt(self, fault: Fault) -> str:
        t = self.t
        self.injector.arm(fault)
        helper = self.start()
        try:
            if not await_start(helper, self.injector if fault.times > 1 else None):
                self.refused(helper, fault)
                return "refused to start"
            hit = self.injector.hits
            self.injector.disarm()
            t.works(helper)
            if os.path.exists(self.status):
                t.check(read_status(self.status), "no status")
            else:  # which costs no client anything, and is said
                t.check("status" in helper.log(), f"no status socket, and no word of it: {helper.log()}")
            t.equal(helper.stop(), 0, "exit code")
            t.nothing_left(self.injector, fault, self.directory)
            if not hit:
                return "not reached"
            return "served, and said so" if helper.log() else "served"
        finally:
            helper.close()

    def refused(self, helper: Helper, fault: Fault) -> None:
        t = self.t
        t.equal(helper.wait_exit(), 1, "exit code")
        if fault.call == "fcntl":
            self.remove_unlocked_pidfile()
        t.nothing_left(self.injector, fault, self.directory)
        t.check(re.search(r"^qemu-pr-helper: .{10,}$", helper.log(), re.MULTILINE),
                f"no message, but {helper.log()!r}")


    def remove_unlocked_pidfile(self) -> None:
        """A PID file that cannot be locked may be another helper's by now, and has to stay."""
        path = os.path.join(self.directory, "pid")
        if os.path.exists(path) and os.path.getsize(path) == 0:
            os.unlink(path)


def each(t: Context, what: str, depth: int, *options: str) -> None:
    start = Start(t, t.injector(), *options)
    t.each(what, t.chosen(plan.every(start.record(), depth)), start.attempt)


@test
@limit(3600)
def helper(t: Context) -> None:
    t.needs_root()
    each(t, "start-up of the helper", HELPER, "-u", "nobody")


@test
@limit(3600)
def keeper(t: Context) -> None:
    t.needs_root()
    each(t, "start-up of the keeper", KEEPER, "-u", "nobody")


@test
@limit(3600)
def default_user(t: Context) -> None:
    """What was not asked for is no reason not to serve; and it is said."""
    t.needs_root()
    start = Start(t, t.injector())
    start.record()

    def attempt(fault: Fault) -> str:
        outcome = start.attempt(fault)
        t.equal(outcome, "served, and said so", "outcome")
        return outcome
    t.each("a user that cannot be had",
           [Fault(HELPER, call, 1, error) for call in ("setgroups", "setresgid", "setresuid")
            for error in (errno.EPERM, errno.EINVAL, errno.EAGAIN, errno.ENOSYS)], attempt)
