# SPDX-License-Identifier: LGPL-2.1-or-later
"""One suite: a command that prints TAP, and what came of it.

"ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP reason". A suite that ends with an error without
having said "not ok", or that ran fewer tests than its plan, counts as one more failure.
"""
import fnmatch
import os
import re
import signal
import subprocess
import threading
import time
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

#: cmocka says "not ok 1 # SKIP name".
RESULT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-)?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
#: What a runner of tests may say behind the name of one that has passed.
TIMING = re.compile(r" # [\d.]+ s$")


class Suite(NamedTuple):
    name: str
    limit: int               # seconds, on a quiet machine
    command: Sequence[str]
    alone: bool = False      # it measures: nothing may run beside it
    megabytes: int = 0       # what a virtual machine takes
    lock: str = ""           # of suites with the same one only one runs at a time
    usual: float = 0.0       # seconds that it takes, if that is known


class Result(NamedTuple):
    passed: int
    failed: int
    skipped: int
    seconds: float
    failures: Sequence[str] = ()  # the names of the tests that have failed
    processor: float = 0.0        # seconds of processor time, of what it has waited for

    @property
    def counts(self) -> tuple:
        return self.passed, self.failed, self.skipped


def matches(name: str, word: str) -> bool:
    """Do the parts of word follow one another in name? "dist" is in dist and in vm/dist, and not in
    client/disturbed. A part may have * and ?; - and _ are the same."""
    def parts(text: str) -> List[str]:
        return text.replace("_", "-").strip("/").split("/")
    wanted, have = parts(word), parts(name)
    return any(all(fnmatch.fnmatchcase(*pair) for pair in zip(have[at:], wanted))
               for at in range(len(have) - len(wanted) + 1))


class Run:
    """A suite that runs. say gets each line for people as soon as it is there. scale is what the suite
    itself is told to multiply its limits by."""

    def __init__(self, suite: Suite, directory: str, limit: float, say: Callable[[str], None],
                 scale: float = 1.0):
        self.suite = suite
        self._say, self._limit = say, round(limit)
        self._passed = self._skipped = 0
        self._failures: List[str] = []
        self._plan: Optional[int] = None
        self._expired = False
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            suite.command, cwd=directory,
            env=dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", TEST_TIME_SCALE=f"{scale:g}"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="backslashreplace", start_new_session=True)

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        """So that it can clean up behind itself."""
        if self._process.poll() is None:
            self._process.terminate()

    def _expire(self) -> None:
        self._expired = True
        self.kill()

    def _fail(self, what: str) -> None:
        self._failures.append(what)
        self._say(f"FAIL  {self.suite.name}: {what}")

    def _read(self, line: str) -> None:
        result, plan = RESULT.match(line), PLAN.match(line)
        if plan:
            self._plan = int(plan.group(1))
        elif result and result.group(1) and not result.group(2).startswith("# SKIP"):
            self._fail(TIMING.sub("", result.group(2)))
        elif result and re.search(r"#\s*skip", result.group(2), re.IGNORECASE):
            self._skipped += 1
            self._say(f"skip  {self.suite.name}: {result.group(2)}")
        elif result:
            self._passed += 1
            self._say(f"ok    {self.suite.name}: {result.group(2)}")
        elif line:
            self._say(f"      {line}")

    def _reap(self) -> Tuple[int, float]:
        """Its exit status and processor time."""
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # terminate() has noticed its end before
            return self._process.wait(), 0.0
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, usage.ru_utime + usage.ru_stime

    def _judge_end(self, code: int) -> None:
        """What a suite does not say of itself."""
        ran = self._passed + len(self._failures) + self._skipped
        if self._expired:
            self._fail(f"not finished after {self._limit} s")
        elif code != 0 and not self._failures:
            self._fail(f"ended with {code}")
        elif self._plan is not None and ran < self._plan:
            self._fail(f"{self._plan} tests planned, {ran} ran")
        elif ran == 0 and not self._failures:
            self._fail("ran no test")

    def wait(self) -> Result:
        """Until it has ended."""
        name = self.suite.name
        self._say(f"----  {name}: at most {self._limit} s")
        timer = threading.Timer(self._limit, self._expire)
        timer.daemon = True
        timer.start()
        assert self._process.stdout
        with self._process.stdout as output:
            for line in output:
                self._read(line.rstrip("\n"))
        code, processor = self._reap()
        timer.cancel()
        self._judge_end(code)
        seconds = time.monotonic() - self._started
        self._say(f"----  {name}: {seconds:.1f} s")
        return Result(self._passed, len(self._failures), self._skipped, seconds,
                      tuple(self._failures), processor)
