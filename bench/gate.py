# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gate: those figures of the helper that do not depend on how busy the machine is, compared
with the ones in gate.json. Prints TAP."""
import json
import math
import os
import platform
import subprocess
from typing import Callable, Dict, List, NamedTuple

import measure

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gate.json")
#: valgrind's own system calls are not in the helper's filter, and it writes to a file of root's.
NO_SANDBOX = ["--sandbox=off", "-u", "root"]
ROOM = 1.03
PAGES_KB = 8  # memory comes in pages; two more say nothing
TRIES = 3     # a busy machine can add to a figure (a time-out more), never take away


class Check(NamedTuple):
    figure: str
    measure: Callable[[measure.Bench, List[str]], measure.Figures]
    slack: float = 0.0
    same_toolchain: bool = False


CHECKS = [
    Check("idle_private_kb", lambda bench, helper: bench.memory(helper), PAGES_KB),
    Check("system_calls", lambda bench, helper: bench.system_calls(helper)[0]),
    Check("instructions", lambda bench, helper: bench.instructions(helper + NO_SANDBOX)[0],
          same_toolchain=True),
    # Ratios of one run, so a busy machine does not decide: a twentieth, and a quarter of what is rare.
    Check("beside_exporters_p50", lambda bench, helper: bench.beside_exporters(helper), 0.02),
    Check("beside_exporters_p99", lambda bench, helper: bench.beside_exporters(helper), 0.22),
]


def toolchain() -> str:
    """Instructions compare only where architecture, C library and compiler agree."""
    compiler = subprocess.run(["cc", "-dumpfullversion"], stdout=subprocess.PIPE, text=True,
                              check=False).stdout.strip()
    return f"{platform.machine()}, {' '.join(platform.libc_ver())}, cc {compiler}"


def update(bench: measure.Bench, helper: List[str]) -> int:
    figures: Dict[str, float] = {
        check.figure: round(check.measure(bench, helper)[check.figure], 2) for check in CHECKS}
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump({"toolchain": toolchain(), "figures": figures}, file, indent=4)
        file.write("\n")
    print(f"{FILE}: {figures}")
    return 0


def run(bench: measure.Bench, helper: List[str]) -> int:
    with open(FILE, encoding="utf-8") as file:
        committed = json.load(file)
    failed = False
    known: Dict[str, float] = {}  # one measurement may give several figures
    print(f"1..{len(CHECKS)}")
    for index, check in enumerate(CHECKS, 1):
        name = f"{index} - {check.figure}"
        if check.same_toolchain and toolchain() != committed["toolchain"]:
            print(f"ok {name} # SKIP this is {toolchain()}, the figure {committed['toolchain']}")
            continue
        allowed = committed["figures"][check.figure] * ROOM + check.slack
        value = known.get(check.figure, math.inf)
        try:
            for _ in range(TRIES):
                if value <= allowed:
                    break
                known.update(check.measure(bench, helper))
                value = min(value, known[check.figure])
        except measure.Unavailable as reason:
            print(f"ok {name} # SKIP {reason}")
            continue
        good = value <= allowed
        failed = failed or not good
        print(f"{'ok' if good else 'not ok'} {name}: {value:.2f}, at most {allowed:.2f}",
              flush=True)
    return 1 if failed else 0
