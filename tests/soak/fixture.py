# SPDX-License-Identifier: LGPL-2.1-or-later
"""A run of the load (main.c), and what it has found."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Dict, List, NamedTuple, Optional

from support import accounts, loop, procfs, scaled, sysfs, tap
from support.scratch import Scratch

DISKS = 4
#: What one helper has more at the end than at the beginning, at most: some threads' stacks, and
#: what the C library's allocator keeps in pieces. A byte for each command would be 2 MB in 20
#: minutes.
GROWTH_KB = 1024
#: The main thread, one that waits for clients, and a sanitizer's own.
THREADS = 3


class State(NamedTuple):
    """What a helper has when no client asks anything of it."""
    fds: int
    private_kb: int  # 0 with a sanitizer, which keeps what the helper gives back


class Result(NamedTuple):
    numbers: Dict[str, int]
    notes: List[str]  # what was wrong, in words
    before: State
    after: State
    status: dict  # what the veteran said at the end

    def wrong(self) -> Dict[str, int]:
        return {name: number for name, number in self.numbers.items()
                if name.startswith("wrong.") and number}

    def leaked(self) -> str:
        """What the veteran has more than at the beginning; empty if nothing."""
        found = []
        if self.after.fds > self.before.fds:
            found.append(f"{self.after.fds} open fds, {self.before.fds} at the beginning")
        if self.after.private_kb > self.before.private_kb + GROWTH_KB:
            found.append(f"{self.after.private_kb} kB, {self.before.private_kb} at the beginning")
        return "; ".join(found)


class Watcher(threading.Thread):
    """A client that reads a helper's status again and again. Each document has to be whole."""

    def __init__(self, path: str):
        super().__init__(daemon=True)
        self.path = path
        self.read = 0
        self.wrong: List[str] = []
        self.ending = threading.Event()

    def look(self) -> dict:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(scaled(20))
            connection.connect(self.path)
            text = b"".join(iter(lambda: connection.recv(65536), b""))
        self.read += 1
        return json.loads(text)

    def run(self) -> None:
        while not self.ending.wait(0.02):
            try:
                self.look()
            except (OSError, ValueError) as error:
                self.wrong.append(f"status: {error}")

    def end(self) -> None:
        self.ending.set()
        self.join()


class Lab(Scratch):
    def __init__(self, build: str, seconds: int, seed: int):
        self.seconds = seconds
        self.seed = seed
        self.helper = os.path.join(build, "qemu-pr-helper")
        self.program = os.path.join(build, "tests", "soak", "soak")
        self.library = os.path.join(build, "tests", "soak", "libsoakdriver.so")
        for needed in (self.helper, self.program, self.library):
            if not os.access(needed, os.R_OK):
                sys.exit(f"{needed} is missing: build first, or name another --build")
        sysfs.enter()
        accounts.enter()
        super().__init__("prh-")
        self.disks: List[loop.Loop] = []
        self.result: Optional[Result] = None
        self.failure = ""

    def close(self) -> None:
        for disk in self.disks:
            disk.close()
        super().close()

    def sanitized(self) -> bool:
        """Whether the helper keeps more memory than it asked for, to watch it."""
        with open(self.helper, "rb") as file:
            code = file.read()
        return b"__asan_init" in code or b"__tsan_init" in code

    def _make_disks(self) -> None:
        try:
            while len(self.disks) < DISKS:
                self.disks.append(loop.Loop(self.make_directory()))
        except loop.Unavailable as reason:
            raise tap.Skip(str(reason)) from None

    def load(self) -> Result:
        """The long run, once for all tests that judge it."""
        self._make_disks()
        if not self.result and not self.failure:
            self.failure = "the load has not come to its end"
            self.result = self.run(patient=True, seconds=self.seconds, seed=self.seed)
        if not self.result:
            raise AssertionError(self.failure)
        return self.result

    def run(self, patient: bool = False, **settings) -> Result:
        """patient: until the threads of the load have left, which takes ten seconds."""
        self._make_disks()
        directory = self.make_directory()
        settings = {"patience": int(scaled(20)), **settings, "helper": self.helper,
                    "library": self.library, "directory": directory,
                    "sandbox": int(not self.sanitized())}
        words = [self.program, *(f"{name}={value}" for name, value in settings.items()),
                 *(disk.path for disk in self.disks)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment(), start_new_session=True) as process:
            watcher = Watcher(os.path.join(directory, "status"))
            try:
                return self._follow(process, os.path.join(directory, "mailbox"), watcher,
                                    patient)
            except BaseException:
                process.terminate()  # it ends its helpers, if it can
                raise
            finally:
                watcher.ending.set()
                process.stdin.close()
                process.wait()
                end_group(process.pid)

    def _follow(self, process: subprocess.Popen, mailbox: str, watcher: Watcher,
                patient: bool) -> Result:
        assert process.stdin and process.stdout
        numbers, notes, states, status = {}, [], [], {}
        for line in process.stdout:
            name, _, value = line.rstrip("\n").partition(" ")
            if name == "#":
                notes.append(value)
            elif name in ("ready", "quiet"):
                before = states[0] if states else None
                state = settled(int(value), mailbox, before, patient)
                states.append(state._replace(private_kb=0) if self.sanitized() else state)
                if before:
                    watcher.end()
                    try:
                        status = watcher.look()
                    except (OSError, ValueError) as error:  # such as one that has just died
                        watcher.wrong.append(f"status at the end: {error}")
                else:
                    watcher.start()
                process.stdin.write("go on\n")
                process.stdin.flush()
            else:
                numbers[name] = int(value)
        if process.wait() != 0 or len(states) != 2:
            raise AssertionError(f"the load ended with {process.returncode}; {notes}")
        numbers["status.documents"] = watcher.read
        numbers["wrong.status"] = len(watcher.wrong)
        return Result(numbers, notes + watcher.wrong[:10], states[0], states[1], status)


def end_group(pid: int) -> None:
    """Of a leader that has ended: the processes it has left behind."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def environment() -> Dict[str, str]:
    """For the load and its helpers. The library only wraps ioctl, so it may come before a
    sanitizer's run-time."""
    options = filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"])
    return {**os.environ, "LC_ALL": "C", "ASAN_OPTIONS": ":".join(options)}


def settled(pid: int, mailbox: str, before: Optional[State], patient: bool) -> State:
    """What it has when its clients are gone, and idle threads as well, or after a while."""
    deadline = time.monotonic() + scaled(30 if patient else 2)
    while True:
        fds = len(procfs.fds(pid))
        done = not before or (fds <= before.fds and
                              (not patient or procfs.thread_count(pid) <= THREADS))
        if done or time.monotonic() > deadline:
            return State(fds, procfs.private_kb(pid, without=mailbox))
        time.sleep(0.01)
