# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator's logical unit against LIO: the same random commands to both (tests/conform).

Three initiators, each through two target ports, are six I_T nexuses of one LUN. Each test is one
seed; TEST_CONFORM_SEEDS and TEST_CONFORM_STEPS say how many of how many steps,
TEST_CONFORM_FIRST_SEED where they begin. And for each fault that pr-conform can make in the
logical unit, that the departures of LIO which it resembles do not excuse it.
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
#: Steps within which a fault has to be found out.
MUTATION_STEPS = 2000
FIRST_SEED = int(os.environ.get("TEST_CONFORM_FIRST_SEED", "1"))


MUTATIONS = (
    "attention-lost", "attention-code", "attention-through-all-ports", "access-for-all",
    "access-for-holder-only", "generation-of-unregistering", "generation-of-reserving",
    "spec-i-pt-forgets", "spec-i-pt-key", "transportid-code", "all-tg-pt-ignored",
    "preempt-spares", "preempt-type", "move-stays", "release-of-others", "release-code",
    "clear-keeps", "unregistered-code", "cut-length")


class Context(tap.Context):
    def __init__(self, target: lab.Iscsi, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.nodes = [initiator.generic_path for initiator in target.initiators]

    def log(self) -> str:
        return "\n".join(guest.kernel_log()[-12:])


def know(target: lab.Iscsi, name: str) -> None:
    """Let LIO know an initiator that never comes: it registers none that it has no ACL for."""
    for tag in target.groups:
        group = f"{target.fabric}/tpgt_{tag}"
        os.makedirs(f"{group}/acls/{name}/lun_0")
        os.symlink(f"{group}/lun/lun_0", f"{group}/acls/{name}/lun_0/disk")


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    lab.write("/proc/sys/kernel/printk", 1)  # LIO says something about every error
    os.makedirs("/var/target/pr", exist_ok=True)
    target = lab.Iscsi(lab.Backstore("conform"), initiators=3, groups=2, acls=True)
    know(target, f"{lab.PREFIX}:nobody")
    yield lambda one: Context(target, one.full_name)


def conform(t: Context, *arguments: object) -> subprocess.CompletedProcess:
    result = subprocess.run([PROGRAM, *map(str, arguments), *t.nodes], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    print(result.stdout, end="", flush=True)
    return result


@cases(*((f"seed {seed}", seed) for seed in range(FIRST_SEED, FIRST_SEED + SEEDS)))
@limit(120)
def random_steps(t: Context, seed: int) -> None:
    t.equal(conform(t, seed, STEPS).returncode, 0, "exit status of pr-conform")


@cases(*((name, name) for name in MUTATIONS))
@limit(120)
def mutation(t: Context, name: str) -> None:
    result = conform(t, "--mutation", name, FIRST_SEED, MUTATION_STEPS)
    t.equal(result.returncode, 1, "exit status of pr-conform")
    t.matches(": the answers differ$", result.stdout, "what it says")
