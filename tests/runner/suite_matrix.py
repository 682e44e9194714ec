# SPDX-License-Identifier: LGPL-2.1-or-later
"""Of tests/matrix: what a limit ends, and what stays in docs/support.md."""
import os
import signal
import time

from matrix import cells, support_page
from matrix.roots import execute
from support import scaled
from support.tap import test


@test
def limit_ends_all_that_was_started(t):
    """Also what has a process of its own: mmdebstrap has."""
    status, output = execute(["sh", "-c", "sleep 600 & echo $!; wait"], 1)
    t.equal(status, 124, "exit status")
    child = int(output.split()[0])
    deadline = time.monotonic() + scaled(10)
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{child}/stat", encoding="ascii") as file:
                if file.read().split()[2] == "Z":  # without a parent that collects it
                    return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    t.check(False, "the child lives on")


@test
def row_stays_until_its_cell_is_run_again(t):
    kept, run = [cells.Cell(name, "sid", "", 1) for name in ("kept", "run")]
    before = "| Debian sid | kept | passes | 1 | 2026-01-01 | 60 |\n" \
             "| Debian sid | run | passes | 1 | 2026-01-01 | 60 |\n" \
             "Together 2 minutes. To make the systems, which are kept, took another 9."
    result = {"status": 1, "output": "a|b", "versions": "2", "date": "2026-01-02", "seconds": 60,
              "made_seconds": 0}
    lines = support_page.table([kept, run], lambda cell: cell.name, cells.RELEASES,
                               {"run": result}, before).splitlines()
    t.equal(lines[2:4], [before.splitlines()[0],
                         "| Debian sid | run | **fails**: a/b | 2 | 2026-01-02 | 60 |"], "rows")
    t.equal(lines[-1], "Together 2 minutes. To make the systems, which are kept, took another 9.", "sum")
