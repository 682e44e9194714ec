# SPDX-License-Identifier: LGPL-2.1-or-later
"""Suites side by side.

With one job they run in the order of the table, and their lines are shown as they come. With more the
longest come first, by what they took last time, or else by what they usually take or by their limit, and
the lines of a suite are shown together when it has ended. What measures runs when all others have ended, one after the other.
A virtual machine waits until there is memory for it.

Many suites wait for something most of the time. So, if no number of jobs was asked for, one suite more
begins whenever a processor has had little to do for a moment.

Where more wants to run than there are processors, by us or by others, all takes longer. So the limits
of a suite, and by TEST_TIME_SCALE those of its tests, are multiplied by the load of a processor at its
start; those of what measures are not.
"""
import os
import threading
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from .suite import Result, Run, Suite

#: Of the memory that is available at the start, virtual machines get so much.
FOR_MACHINES = 0.75
#: Beside others a suite may take so many times longer.
STRETCH = 2.0
#: If so much of a processor has been idle for so many seconds, there is room for a suite more.
SPARE, PAUSE = 0.4, 2.0
#: The limits are not multiplied by more for a load.
MOST_LOAD = 10.0


def processors() -> int:
    return len(os.sched_getaffinity(0))


def available_megabytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return 0


def load() -> float:
    """How many want each processor, at least one."""
    return min(MOST_LOAD, max(1.0, os.getloadavg()[0] / processors()))


class Idle:
    """How many processors had nothing to do since the last time that this was asked."""

    def __init__(self) -> None:
        self._before = self._ticks()

    @staticmethod
    def _ticks() -> Tuple[int, int]:
        """Of all processors: those without work, all."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    def __call__(self) -> float:
        (idle, total), before = self._ticks(), self._before
        self._before = idle, total
        # Those of other containers, too, if this one has a part of the machine; a share is a share.
        return processors() * (idle - before[0]) / max(1, total - before[1])


class Schedule:
    """One use of suites. done(suite, result) is called for each, one call at a time. busy: how many
    want each processor by what has been started beside us. extra: so many more than jobs at a time, as
    long as a processor is idle."""

    def __init__(self, suites: Sequence[Suite], jobs: int, directory: str,
                 say: Callable[[str], None], done: Callable[[Suite, Result], None],
                 seconds: Optional[Dict[str, float]] = None, busy: float = 1.0,
                 current_load: Callable[[], float] = load, extra: int = 0,
                 idle: Optional[Callable[[], float]] = None):
        self._waiting = list(suites)
        self._jobs, self._directory = jobs, directory
        self._say, self._done = say, done
        self._stretch = STRETCH if jobs + extra > 1 else 1.0
        self._scale = float(os.environ.get("TEST_TIME_SCALE", "1"))
        self._busy, self._load = busy, current_load
        self._extra, self._idle = extra, idle or Idle()
        self._megabytes = int(FOR_MACHINES * available_megabytes())
        self._running: List[Suite] = []
        self._runs: List[Run] = []
        self._changed = threading.Condition()
        self._error: Optional[BaseException] = None
        if jobs + extra > 1:
            known = seconds or {}
            self._waiting.sort(key=lambda one: (one.alone, -known.get(one.name, one.usual or one.limit)))

    def _fits(self, suite: Suite) -> bool:
        if not self._running:
            return True
        if suite.alone or any(one.alone for one in self._running):
            return False
        if suite.lock and any(one.lock == suite.lock for one in self._running):
            return False
        return (not suite.megabytes or
                sum(one.megabytes for one in self._running) + suite.megabytes <= self._megabytes)

    def _next(self, room: int) -> Optional[Suite]:
        """The first that may start now, with others so that there are so many."""
        if len(self._running) >= room:
            return None
        # What runs alone comes last, and waits for everything before it.
        return next((one for one in self._waiting if self._fits(one)), None)

    def _one(self, suite: Suite) -> None:
        """In a thread of its own."""
        lines: List[str] = []
        say = self._say if self._jobs + self._extra == 1 else lines.append
        try:
            # suite.limit has been multiplied by self._scale already.
            scale = self._scale if suite.alone else max(self._scale, self._busy, self._load())
            run = Run(suite, self._directory, suite.limit * self._stretch * scale / self._scale, say,
                      scale)
            with self._changed:
                self._runs.append(run)
            result = run.wait()
            with self._changed:
                self._runs.remove(run)
                for line in lines:
                    self._say(line)
                self._done(suite, result)
        except BaseException as error:  # a defect of the runner's own is not to pass for a result
            with self._changed:
                self._error = error
        finally:
            with self._changed:
                self._running.remove(suite)
                self._changed.notify()

    def run(self) -> None:
        """Until all have ended. An interruption ends them."""
        try:
            with self._changed:
                room = self._jobs
                while (self._waiting or self._running) and not self._error:
                    suite = self._next(room) if self._waiting else None
                    room = self._jobs
                    if suite:
                        self._waiting.remove(suite)
                        self._running.append(suite)
                        threading.Thread(target=self._one, args=(suite,), daemon=True).start()
                        continue
                    self._idle()  # from now on
                    if not self._changed.wait(PAUSE) and self._idle() >= SPARE:
                        room += self._extra
        finally:
            for run in list(self._runs):
                run.terminate()
        if self._error:
            raise self._error
