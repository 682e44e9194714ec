# SPDX-License-Identifier: LGPL-2.1-or-later
"""Suites again and again beside processes that are busy, to find tests that fail now and then."""
import collections
import contextlib
import subprocess
import sys
from typing import Counter, Iterator, List

from .suite import Result, Suite

#: Ends with the process that started it: then its standard input ends.
BUSY = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while True:
    pass
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY],
                                                           stdin=subprocess.PIPE))
            stack.callback(process.kill)
        yield


class Tally:
    """Which rows have failed how often."""

    def __init__(self) -> None:
        self._runs: Counter[str] = collections.Counter()
        self._failures: Counter[str] = collections.Counter()

    def add(self, suite: Suite, result: Result) -> None:
        self._runs[suite.name] += 1
        # A row that fails twice in one run would be two rows of one name.
        self._failures.update({f"{suite.name}: {row}" for row in result.failures})

    def lines(self) -> List[str]:
        found = [f"{count} of {self._runs[row.partition(': ')[0]]} failed  {row}"
                 for row, count in self._failures.most_common()]
        times = ", ".join(f"{name} {count} times" for name, count in self._runs.items())
        return [f"ran {times}", *(found or ["no row failed"])]
