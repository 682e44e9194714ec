# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests are given: the programs that they run and their logs, and checks of what hosts are
answered."""
import contextlib
from typing import Any, Callable, ContextManager, Dict, Iterator, Tuple

import guest
from host import CONFLICT, GOOD
from support import client, tap
from support.client import Reply
from support.process import Program

LOG_LINES = 12


class Context(tap.Context):
    """Programs and their logs; checks of answers."""

    def __init__(self, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.programs: Dict[str, Program] = {}

    def watched(self, name: str, program: Program) -> Program:
        """Its log is shown if the test fails; it is ended in any case."""
        self.programs[name] = program
        self.cleanup.callback(program.close)
        return program

    def log(self) -> str:
        parts = []
        for name, program in self.programs.items():
            parts += [f"{name}: {line}" for line in
                      (program.output() + program.log()).splitlines()[-LOG_LINES:]]
        parts += [f"kernel: {line}" for line in guest.kernel_log()[-LOG_LINES:]]
        return "\n".join(parts)

    def replied(self, got: Reply, wanted: Reply, what: str) -> None:
        self.equal(got.encode(), wanted.encode(), what)

    def good(self, got: Reply, what: str) -> None:
        self.replied(got, GOOD, what)

    def conflict(self, got: Reply, what: str) -> None:
        self.replied(got, CONFLICT, what)

    def attention(self, got: Reply, wanted: Tuple[int, int, int], what: str) -> None:
        self.replied(got, client.check_condition(*wanted), what)


def opener(make: Callable[[dict], Any], give: Callable[[Any, str], tap.Context]
           ) -> Callable[[dict], ContextManager[Callable[[tap.Test], tap.Context]]]:
    """A test file's open_lab(): what its tests share, made once of the settings and closed at the
    end, and for each test a context of that and of the test's name."""
    @contextlib.contextmanager
    def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], tap.Context]]:
        with contextlib.closing(make(settings)) as shared:
            yield lambda one: give(shared, one.full_name)
    return open_lab
