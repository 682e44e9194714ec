# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second judge of the simulator's logical unit: the persistent-reservation tests of libiscsi's
iscsi-test-cu, which no one here wrote.

It needs a whole SCSI disk, so it gets one of LIO's; tests/preload sends its PERSISTENT RESERVE
commands to a simulator instead. What it calls passed can have been skipped, or have failed, so each
of its tests is judged by its log; and whether it was the simulator that executed, by PRGENERATION.

Its tests of two initiators (ProutPreempt, and Access and Ownership of ProutReserve) cannot run here.
Given two devices it does see that they are one LUN, and has them ready as first and second path; but
each of these tests begins by asking whether the first has an iSCSI context of libiscsi's own, which
only a URL makes, and skips itself if not. Over a URL no ioctl is made that could be redirected. That
they still do so is tested, so that a version that no longer does is noticed. What they would ask is
asked of LIO and of the simulator's logical unit by test_conform.py.
"""
import contextlib
import os
import re
import struct
import subprocess
from typing import Callable, Dict, Iterator, List

import lab
from support import client, scsi, tap
from support.tap import cases, limit

PACKAGES = ["libiscsi"]
PRELOAD = "/payload/bin/libprsocket.so"
SIMULATOR = "/payload/bin/qemu-pr-simulator"
SOCKET, LUN = "/run/simulator", "/run/lun"


class Context(tap.Context):
    def __init__(self, disk: lab.Backstore, paths: List[str]):
        super().__init__()
        self.disk, self.paths = disk, paths
        self.output = ""

    def log(self) -> str:
        return self.output


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    disk = lab.Backstore("judge")
    target = lab.Iscsi(disk, initiators=2)
    with open(LUN, "wb"):
        pass
    simulator = subprocess.Popen([SIMULATOR, "--nexus", f"host={SOCKET}"])
    try:
        lab.wait_for(SOCKET, lambda: os.path.exists(SOCKET))
        yield lambda one: Context(disk, [initiator.path for initiator in target.initiators])
    finally:
        simulator.kill()
        simulator.wait()


def simulated_generation() -> int:
    fd = os.open(LUN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with client.Connection(SOCKET) as connection:
            return struct.unpack_from(">I", connection.command(scsi.pr_in(8), fd).payload)[0]
    finally:
        os.close(fd)


def logs(output: str) -> Dict[str, str]:
    """What was said of each test."""
    parts = re.split(r"^  Test: (\w+) \.\.\.", output.partition("\nRun Summary:")[0],
                     flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def run(t: Context, tests: str, paths: List[str]) -> Dict[str, str]:
    environment = dict(os.environ, LD_PRELOAD=PRELOAD, PR_SOCKET=SOCKET, PR_LUN=LUN)
    result = subprocess.run(["iscsi-test-cu", "--dataloss", "-V", "-t", f"SCSI.{tests}", *paths],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    t.output = result.stdout
    t.equal(result.returncode, 0, "exit status")
    return logs(result.stdout)


@cases(*((f"{suite}.{name}", suite, name) for suite, name in (
    ("PrinReadKeys", "Simple"), ("PrinReadKeys", "Truncate"),
    ("PrinServiceactionRange", "Range"), ("PrinReportCapabilities", "Simple"),
    ("ProutRegister", "Simple"), ("ProutReserve", "Simple"), ("ProutClear", "Simple"))))
@limit(60)
def judge(t: Context, suite: str, name: str) -> None:
    generation, untouched = simulated_generation(), t.disk.generation()
    found = run(t, f"{suite}.{name}", t.paths[:1])
    t.equal(list(found), [name], "tests that ran")
    t.matches(r"^passed$", found[name], "log of the test")
    for bad in ("[FAILED]", "[SKIPPED]", "FAILED"):
        t.check(bad not in found[name], f"{bad} in the log of the test")
    if suite.startswith("Prout"):
        t.check(simulated_generation() > generation, "the simulator was not asked")
    t.equal(t.disk.generation(), untouched, "PRGENERATION of the real disk")


@cases(("ProutPreempt", "ProutPreempt", 1), ("ProutReserve", "ProutReserve", 12))
@limit(60)
def two_initiators(t: Context, suite: str, count: int) -> None:
    """These skip themselves: see the head of this file."""
    found = run(t, suite, t.paths)
    t.check("found matching LU device identifier for all (2) paths" in t.output, "two paths")
    skipped = [name for name, log in found.items() if "only supported for iSCSI backends" in log]
    t.equal(len(skipped), count, f"tests that were skipped ({skipped})")
