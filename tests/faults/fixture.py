# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of this suite are given: helpers whose calls fail, and what may come of that."""
import collections
import errno
import json
import os
import socket
import subprocess
import time
from typing import Counter, Iterable, List, Optional, Sequence

from protocol import fixture
from support import pause, scaled, tap
from support.client import Disconnected
from support.process import Helper, serving

from . import plan
from .injector import Fault, Injector, Memory

#: However a single call ends, no client waits longer than this for what comes of it.
PATIENCE = 10.0


class Lab(fixture.Lab):
    """full: every fault; else a sample of them."""

    def __init__(self, build: str, full: bool, helper_arguments: Sequence[str]):
        super().__init__(build, "ours", None, helper_arguments)
        self.full = full
        self.can_inject: Optional[bool] = None


class Context(fixture.Context):
    lab: Lab

    def injector(self) -> Injector:
        injector = Injector(self.lab.build, self.directory())
        if self.lab.can_inject is None:
            trial = subprocess.run([*injector.prefix, "/bin/true"], check=False,
                                   stderr=subprocess.PIPE, text=True)
            self.lab.can_inject = trial.returncode == 0
            if not self.lab.can_inject:
                print(f"# {trial.stderr}", end="", flush=True)
        if not self.lab.can_inject:
            raise tap.Skip("a supervisor of system calls is not to be had: an old kernel, or a "
                           "container")
        return injector

    def memory(self) -> Memory:
        memory = Memory(self.lab.build, self.directory())
        if not os.path.exists(memory.library):
            raise tap.Skip("only with glibc")
        return memory

    def chosen(self, faults: List[Fault], common: int = 2) -> List[Fault]:
        return faults if self.lab.full else plan.some(faults, common)

    def each(self, what: str, faults: Iterable[Fault], attempt) -> None:
        """attempt(fault) returns a word for what came of it, or raises AssertionError. All are
        tried; the test fails with those that failed."""
        outcomes: Counter[str] = collections.Counter()
        failures = []
        for fault in faults:
            try:
                outcomes[attempt(fault)] += 1
            except (AssertionError, OSError, Disconnected) as error:
                failures.append(f"{fault}: {type(error).__name__}: {error}")
        total = sum(outcomes.values()) + len(failures)
        words = ", ".join(f"{count} {word}" for word, count in sorted(outcomes.items()))
        print(f"# {what}: {total} faults: {words}", flush=True)
        self.check(total > 0, "no fault was injected")
        if failures:
            shown = "\n".join(failures[:40])
            raise AssertionError(f"{len(failures)} of {total}:\n{shown}")

    def nothing_left(self, injector: Injector, fault: Fault, directory: str) -> None:
        """No process and no file, but for one whose very removal has failed, or that was not found
        when it should have been removed."""
        self.soon("every process gone", lambda: not injector.running, PATIENCE)
        left = set(os.listdir(directory)) - {"stderr", "stdout"}
        excused = fault.call in ("unlink", "unlinkat") or fault.error == errno.ENOENT
        self.check(len(left) <= excused,
                   f"left behind: {', '.join(sorted(left))}")


def read_status(path: str) -> Optional[dict]:
    """None: closed without a document."""
    with socket.socket(socket.AF_UNIX) as reader:
        reader.settimeout(scaled(PATIENCE))
        reader.connect(path)
        text = b""
        while piece := reader.recv(65536):
            text += piece
    return json.loads(text) if text else None


def await_start(program: Helper, until_named: Optional[Injector] = None) -> bool:
    """True: it serves; False: it has ended. until_named: its faults end when it has a socket."""
    begun = time.monotonic()
    while True:
        if not program.running:
            return False
        if until_named and os.path.exists(program.socket_path):
            until_named.disarm()
        if os.path.exists(program.socket_path) and serving(program.socket_path, 2):
            return True
        if time.monotonic() > begun + scaled(PATIENCE):
            raise AssertionError(f"neither serves nor ends; stderr: {program.log()!r}")
        pause(begun)
