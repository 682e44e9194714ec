# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small test runner that prints TAP.

A suite is a module whose functions carry decorators:

    @test                                   one test; the function gets the context
    @cases(row, row, ...)                   one test for each row: (label, argument...)
    @ours("why")                            only for our own program: the peer cannot do it
    @differs("why", failure="regex")        on the peer the test has to fail, with a message that
                                            matches: a difference on purpose stays a checked fact
    @limit(seconds)                         more time than usual

A test fails by AssertionError, also of the context's check functions; raising Skip skips it.

A folder's run is a call of main() with its tests, and with what they are given.
"""
import argparse
import contextlib
import fnmatch
import importlib
import os
import re
import signal
import sys
import time
import traceback
import types
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

from . import scaled

DEFAULT_LIMIT = 30.0


class Skip(Exception):
    """The test cannot run here; the message says why."""


Version = Tuple[int, ...]


class Difference(NamedTuple):
    """Of the peer's versions that are not older than since, and older than before if there is one."""
    reason: str
    failure: str
    since: Version = ()
    before: Version = ()

    def is_of(self, version: Version) -> bool:
        return version >= self.since and (not self.before or version < self.before)


class Test(NamedTuple):
    suite: str
    name: str
    run: Callable[..., None]
    arguments: Tuple[Any, ...]
    ours: Optional[str]
    differs: Optional[Difference]
    limit: float

    @property
    def full_name(self) -> str:
        return f"{self.suite}.{self.name}"


# -- decorators: they only leave marks on the function


def test(function):
    function.tap_rows = getattr(function, "tap_rows", [(None,)])
    return function


def cases(*rows):
    """Rows of (label, argument, ...). A row may be marked with row_differs."""
    def mark(function):
        function.tap_rows = [row if isinstance(row, (tuple, _MarkedRow)) else (row, row)
                             for row in rows]
        return function
    return mark


class _MarkedRow(NamedTuple):
    row: tuple
    differs: Optional[Difference]
    ours: Optional[str]


def row_differs(reason: str, failure: str, *row, since: Version = (),
                before: Version = ()) -> _MarkedRow:
    return _MarkedRow(row, Difference(reason, failure, since, before), None)


def row_ours(reason: str, *row) -> _MarkedRow:
    return _MarkedRow(row, None, reason)


def ours(reason: str):
    def mark(function):
        function.tap_ours = reason
        return function
    return mark


def differs(reason: str, failure: str, since: Version = (), before: Version = ()):
    def mark(function):
        function.tap_differs = Difference(reason, failure, since, before)
        return function
    return mark


def limit(seconds: float):
    def mark(function):
        function.tap_limit = seconds
        return function
    return mark


def collect(module: types.ModuleType, suite: str) -> List[Test]:
    found = []
    for name, function in vars(module).items():
        if not callable(function) or not hasattr(function, "tap_rows"):
            continue
        for row in function.tap_rows:
            difference = getattr(function, "tap_differs", None)
            only_ours = getattr(function, "tap_ours", None)
            if isinstance(row, _MarkedRow):
                difference, only_ours = row.differs or difference, row.ours or only_ours
                row = row.row
            label = name if row[0] is None else f"{name}[{row[0]}]"
            found.append(Test(suite, label, function, tuple(row[1:]), only_ours, difference,
                              getattr(function, "tap_limit", DEFAULT_LIMIT)))
    return found


def collect_all(folder: str, suites: Sequence[str]) -> List[Test]:
    """Those of FOLDER/suite_NAME.py for each name."""
    return [one for suite in suites
            for one in collect(importlib.import_module(f"{folder}.suite_{suite}"), suite)]


def select(tests: Sequence[Test], words: Sequence[str]) -> List[Test]:
    """Those whose suite, name, or suite.name one of the words names; * and ? match. Of these only
    what TEST_ROWS names, if tests/run has been asked for some rows."""
    def named(one: Test, word: str) -> bool:
        word = word.replace("[", "[[]")
        plain = one.name.partition("[")[0]
        return any(fnmatch.fnmatchcase(name, word) for name in
                   (one.suite, one.name, plain, one.full_name, f"{one.suite}.{plain}"))
    rows = os.environ.get("TEST_ROWS")
    return [one for one in tests if (not words or any(named(one, word) for word in words)) and
            (not rows or named(one, rows))]


# -- what a test is given


class Context:
    """Cleanup and checks. Suites derive their own with devices and processes."""

    #: Of the distribution's program, if that is what is tested.
    peer_version: Version = ()

    def __init__(self) -> None:
        self.cleanup = contextlib.ExitStack()

    def equal(self, got, wanted, what: str) -> None:
        if got == wanted:
            return
        if isinstance(got, bytes) and isinstance(wanted, bytes):
            raise AssertionError(f"{what}: {difference(got, wanted)}")
        raise AssertionError(f"{what}: {show(got)}, not {show(wanted)}")

    def check(self, condition: Any, what: str) -> None:
        if not condition:
            raise AssertionError(what)

    def matches(self, pattern: str, text: str, what: str) -> None:
        if not re.search(pattern, text, re.MULTILINE):
            raise AssertionError(f"{what}: nothing like {pattern!r} in {text!r}")

    def log(self) -> str:
        """Shown when a test fails."""
        return ""


def difference(got: bytes, wanted: bytes) -> str:
    """Where two byte strings part, with some bytes of each from there on."""
    size = len(os.path.commonprefix([got, wanted]))
    return (f"{len(got)} bytes, not {len(wanted)}; from byte {size} on "
            f"{got[size:size + 24].hex(' ') or 'nothing'}, "
            f"not {wanted[size:size + 24].hex(' ') or 'nothing'}")


def show(value: Any) -> str:
    text = value.hex(" ") if isinstance(value, (bytes, bytearray)) else repr(value)
    return text if len(text) <= 700 else f"{text[:500]} ... {text[-150:]} ({len(text)} characters)"


# -- the runner


class TimeLimit(Exception):
    pass


def _expire(_signal, _frame):
    raise TimeLimit


def _run_one(one: Test, context: Context) -> Optional[str]:
    """None if it passed, else the reason."""
    signal.signal(signal.SIGALRM, _expire)
    signal.setitimer(signal.ITIMER_REAL, scaled(one.limit))
    try:
        with context.cleanup:
            one.run(context, *one.arguments)
        return None
    except Skip:
        raise
    except TimeLimit:
        return f"not finished within {scaled(one.limit):.0f} s"
    except Exception as error:  # any error of a test is its failure
        where = [frame for frame in traceback.extract_tb(error.__traceback__)
                 if frame.name == one.run.__name__]
        line = f" (line {where[-1].lineno}: {where[-1].line})" if where else ""
        return f"{type(error).__name__}: {error}{line}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(tests: Sequence[Test], make_context: Callable[[Test], Context], peer: bool,
        timings: bool = False) -> int:
    """Run them in order and print TAP; 0 if none failed."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, one in enumerate(tests, 1):
        started = time.monotonic()
        name = one.full_name
        try:
            if peer and one.ours:
                raise Skip(f"not for the peer: {one.ours}")
            context, failure = None, None
            try:
                context = make_context(one)
            except (AssertionError, OSError) as error:
                failure = f"no test was possible: {error}"
            if context:
                failure = _run_one(one, context)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            continue
        verdict = failure
        if peer and one.differs and one.differs.is_of(context.peer_version if context else ()):
            if failure is None:
                verdict = f"passes, though expected to differ: {one.differs.reason}"
            elif re.search(one.differs.failure, failure, re.DOTALL):
                verdict = None
                name += f" (the peer differs: {one.differs.reason})"
            else:
                verdict = f"differs in another way than {one.differs.failure!r}: {failure}"
        taken = f" # {time.monotonic() - started:.2f} s" if timings else ""
        if verdict is None:
            print(f"ok {number} - {name}{taken}", flush=True)
            continue
        failed += 1
        print(f"not ok {number} - {name}{taken}", flush=True)
        log = context.log() if context else ""
        for line in verdict.splitlines() + log.splitlines():
            print(f"# {line}", flush=True)
    sys.stdout.flush()
    return 1 if failed else 0


# -- a folder's program


def main(about: str, tests: Sequence[Test], make_lab: Callable[[argparse.Namespace], Any],
         make_context: Callable[[Any, Test], Context],
         add_options: Callable[[argparse.ArgumentParser], None] = lambda _: None,
         unasked: Sequence[str] = ()) -> int:
    """Run those tests that the command line names, or all but those of the suites in unasked.

    make_lab gets the command line, with the build directory as an absolute path, and makes what all
    tests share; it has close(), and for the distribution's helper a true attribute peer. If it
    raises Skip, that is the result. make_context(lab, test) makes what one test is given."""
    parser = argparse.ArgumentParser(description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=os.path.abspath,
                        help="the build directory (build)")
    add_options(parser)
    parser.add_argument("--list", action="store_true", help="name the tests and stop")
    parser.add_argument("--timings", action="store_true", help="say how long each test took")
    parser.add_argument("only", nargs="*", help="suites, tests or SUITE.TEST; * matches")
    arguments = parser.parse_args()

    chosen = select(tests, arguments.only)
    if not arguments.only:
        chosen = [one for one in chosen if one.suite not in unasked]
    if not chosen:
        sys.exit("no such test; --list names them")
    if arguments.list:
        print("\n".join(one.full_name for one in chosen))
        return 0
    # A run that is ended from outside leaves nothing behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        lab = make_lab(arguments)
    except Skip as reason:
        print(f"1..1\nok 1 - {os.path.basename(os.path.dirname(sys.argv[0]))} # SKIP {reason}")
        return 0
    try:
        return run(chosen, lambda one: make_context(lab, one), getattr(lab, "peer", False),
                   arguments.timings)
    finally:
        lab.close()
