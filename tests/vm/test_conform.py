# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator's logical unit against LIO: the same random commands to both (tests/conform).

Three initiators, each through two target ports, are six I_T nexuses of one LUN. Each test is one
seed; TEST_CONFORM_SEEDS and TEST_CONFORM_STEPS say how many of how many steps,
TEST_CONFORM_FIRST_SEED where they begin.
"""
import contextlib
import os
import subprocess
from typing import Callable, Iterator

import guest
import lab
from support import tap
from support.tap import cases, limit

PROGRAM = "/payload/bin/pr-conform"
SEEDS = int(os.environ.get("TEST_CONFORM_SEEDS", "10"))
STEPS = int(os.environ.get("TEST_CONFORM_STEPS", "200"))
FIRST_SEED = int(os.environ.get("TEST_CONFORM_FIRST_SEED", "1"))


class Context(tap.Context):
    def __init__(self, target: lab.Iscsi, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.nodes = [initiator.generic_path for initiator in target.initiators]

    def log(self) -> str:
        return "\n".join(guest.kernel_log()[-12:])


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    lab.write("/proc/sys/kernel/printk", 1)  # LIO says something about every error
    os.makedirs("/var/target/pr", exist_ok=True)
    target = lab.Iscsi(lab.Backstore("conform"), initiators=3, groups=2,
                       acls=True)
    yield lambda one: Context(target, one.full_name)


@cases(*((f"seed {seed}", seed) for seed in range(FIRST_SEED, FIRST_SEED + SEEDS)))
@limit(120)
def random_steps(t: Context, seed: int) -> None:
    result = subprocess.run([PROGRAM, str(seed), str(STEPS), *t.nodes], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    print(result.stdout, end="", flush=True)
    t.equal(result.returncode, 0, "exit status of pr-conform")
