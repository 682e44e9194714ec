# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures of real devices: tests/vm/test_bench.py in a virtual machine, and what it says."""
import json
import os
import subprocess
from typing import Dict, List, NamedTuple

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN = os.path.join(TOP, "tests", "vm", "run")
MARK = "# figures "
#: Emulated, everything is slow and little else varies: more short rounds than elsewhere.
ROUNDS_FOR_ONE = 2


class Unavailable(Exception):
    """There can be no virtual machine here; the message says why."""


class Machine(NamedTuple):
    build: str
    helper: str
    rounds: int
    accelerator: str

    def measure(self) -> Dict[str, List[Dict[str, float]]]:
        """Who -> its figures, of each round."""
        environment = {**os.environ, "TEST_BENCH_ROUNDS": str(self.rounds * ROUNDS_FOR_ONE)}
        # Its tests have limits of their own, so this has none.
        result = subprocess.run([RUN, "--build", self.build, "--helper", self.helper,
                                 "--accel", self.accelerator, "bench"], env=environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                errors="backslashreplace", check=False)
        lines = result.stdout.splitlines()
        if result.returncode:
            raise RuntimeError("in the virtual machine:\n" + "\n".join(
                line for line in lines if not line.startswith(MARK)))
        for line in lines:
            if " # SKIP " in line:
                raise Unavailable(line.partition(" # SKIP ")[2])
        return by_round(json.loads(line[len(MARK):]) for line in lines if line.startswith(MARK))


def by_round(figures) -> Dict[str, List[Dict[str, float]]]:
    """figure -> who -> values, several of these, as who -> a dictionary for each round."""
    rounds: Dict[str, List[Dict[str, float]]] = {}
    for some in figures:
        for figure, by_who in some.items():
            for who, values in by_who.items():
                mine = rounds.setdefault(who, [])
                mine += [{} for _ in range(len(values) - len(mine))]
                for one, value in zip(mine, values):
                    one[figure] = value
    return rounds
