# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory runs out: each allocation fails alone, and each one with all that come after it.

What is expected is what the other suites expect of a system call that fails; but with no memory at
all more than one client may notice. close(2) is here as well, see plan.py.
"""
from errno import EINTR, EIO, ENOMEM, ENOSPC
from typing import Dict, List, Tuple

from support.tap import limit, test

from . import suite_serve, suite_start, suite_worker
from .fixture import Context
from .injector import EVERY, Fault, Memory

SHORT = 40  # of each kind, where not all are tried
# Not -u: with no memory the C library crashes where it looks for a user.
OPTIONS = ("-T", "enable=conn*,file=/dev/null")


def shortages(t: Context, counts: Dict[Tuple[int, str], int]) -> List[Fault]:
    """Of each allocation, alone and with the rest."""
    total = counts[0, Memory.ALLOCATION]
    step = 1 if t.lab.full else max(1, total // SHORT)
    return [Fault(0, Memory.ALLOCATION, nth, ENOMEM, times)
            for times in (1, EVERY) for nth in range(1, total + 1, step)]


def closes(_counts: Dict[Tuple[int, str], int]) -> List[Fault]:
    return [Fault(0, Memory.CLOSE, 1, error) for error in (EINTR, EIO, ENOSPC)]


@test
@limit(3600)
def start(t: Context) -> None:
    t.needs_root()
    one = suite_start.Start(t, t.memory(), *OPTIONS)
    t.each("start-up without memory", shortages(t, one.record()), one.attempt)


@test
@limit(3600)
def requests(t: Context) -> None:
    suite_serve.each(t, "serving without memory", t.memory, lambda counts: shortages(t, counts))


@test
@limit(3600)
def worker_start(t: Context) -> None:
    t.memory()
    bench = suite_worker.Bench(t, Memory)
    bench.start_up(None)
    t.each("start-up of the worker without memory", shortages(t, bench.counts), bench.start_up)


@test
@limit(3600)
def worker_commands(t: Context) -> None:
    t.memory()
    suite_worker.each_command(t, "a command on a map without memory", suite_worker.Bench(t, Memory),
                              lambda counts: shortages(t, counts))


@test
@limit(3600)
def close(t: Context) -> None:
    """All of them at once."""
    t.needs_root()
    one = suite_start.Start(t, t.memory(), "-u", "nobody")
    t.each("start-up, every close fails", closes({}), one.attempt)
    suite_serve.each(t, "serving, every close fails", t.memory, closes)
    suite_worker.each_command(t, "a command on a map, every close fails",
                              suite_worker.Bench(t, Memory), closes)
