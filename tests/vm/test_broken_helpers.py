# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test of the tests: helpers that are broken on purpose (broken_helper.py) are caught.

Each row is a fault and a test of another file that must fail because of it, for that reason. The
first rows have no fault, and must pass: that it is the fault which is noticed, and not the way in
which it is brought about.
"""
import contextlib
import importlib
import io
import os
from typing import Callable, Iterator

import qemu
import qtest
from support import tap
from support.tap import cases, limit

PACKAGES = ["qemu"]
MEMORY = 768

#: An answer that has not come in so many seconds does not come.
SOON = 4.0
BROKEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "broken_helper.py")


class Context(qemu.Context):
    def __init__(self, shared: qemu.Lab, name: str):
        super().__init__(shared, name)
        self.output = ""

    def judge(self, fault: str, name: str) -> str:
        """What another suite's test says of a helper with that fault."""
        suite = name.partition(".")[0]
        chosen = tap.select(tap.collect(importlib.import_module(f"test_{suite}"), suite), [name])
        self.equal(len(chosen), 1, f"tests of the name {name}")
        self.lab.prefix = ["/usr/bin/python3", "-IS", BROKEN, fault]
        self.cleanup.callback(self.lab.prefix.clear)
        output = io.StringIO()
        if fault == "dropped reply":  # which is to be seen by that
            self.cleanup.callback(setattr, qtest, "ANSWERED", qtest.ANSWERED)
            qtest.ANSWERED = SOON
        # Its time limit takes the place of ours; and nothing comes after it that could hang.
        with contextlib.redirect_stdout(output):
            tap.run(chosen, lambda one: qemu.Context(self.lab, one.full_name), False)
        self.output = output.getvalue()
        return self.output

    def log(self) -> str:
        return self.output


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = qemu.Lab(settings)
    yield lambda one: Context(shared, one.full_name)


@cases("qemu.views", "qemu.refusals", "qemu.service_actions", "qemu.allocation_lengths",
       "fencing.two_guests[preempt and abort]")
@limit(150)
def no_fault(t: Context, name: str) -> None:
    t.matches(r"^ok 1 ", t.judge("none", name), f"what {name} says")


CAUGHT = [
    ("GOOD for a conflict", "qemu.refusals", "b reserves, too: 'GOOD', not 'RESERVATION CONFLICT'"),
    ("BUSY for a conflict", "qemu.refusals", "b reserves, too: 'BUSY', not 'RESERVATION CONFLICT'"),
    ("sense for a conflict", "qemu.refusals", "b reserves, too: 'CHECK CONDITION 05/24/00', not"),
    ("no sense", "qemu.refusals", r"\(2, \(0, 0, 0\), 0\), not \(2, \(5, "),
    ("dropped reply", "qemu.views", "no answer to CDB"),
    ("dropped reply", "restart.killed", "no answer to CDB"),
    ("data cut short", "qemu.allocation_lengths", r"service action \d with 7 bytes"),
    ("wrong data", "qemu.views", "data of service action 0 of a: "),
    ("wrong data", "restart.killed", r"READ KEYS|keys that the guest reads"),
    ("GOOD for nothing", "qemu.refusals", "b preempts|what a learns first"),
    ("GOOD for nothing", "fencing.two_guests[preempt and abort]", "region of a since it was fenced"),
    ("GOOD too early", "fencing.two_guests[preempt and abort]", "region of a since it was fenced"),
    ("GOOD for a conflict", "fencing.two_guests[preempt and abort]", "a reserves, fenced: 'GOOD'"),
    # Not a fault of an answer: this one loses what is under way when it is told to end.
    ("none", "restart.in_the_middle[READ KEYS]", "when it was terminated: 'CHECK CONDITION 05/24/00"),
]


@cases(*((f"{fault}, by {name}", fault, name, failure) for fault, name, failure in CAUGHT))
@limit(150)
def caught(t: Context, fault: str, name: str, failure: str) -> None:
    output = t.judge(fault, name)
    t.matches(r"^not ok 1 ", output, f"what {name} says")
    t.matches(f"^# .*({failure})", output, f"what {name} says")
