# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second judge of the simulator's logical unit: the persistent-reservation tests of libiscsi's
iscsi-test-cu, which no one here wrote.

It needs a whole SCSI disk, so it gets one of LIO's; tests/preload sends its PERSISTENT RESERVE
commands to a simulator instead. What it calls passed can have been skipped, or have failed, so each
of its tests is judged by its log; and whether it was the simulator that executed, by PRGENERATION.

Not here: its tests of two initiators, as they need sessions that it makes by itself.
"""
import contextlib
import os
import re
import struct
import subprocess
from typing import Callable, Dict, Iterator

import lab
from support import client, scsi, tap
from support.tap import cases, limit

PACKAGES = ["libiscsi"]
PRELOAD = "/payload/bin/libprsocket.so"
SIMULATOR = "/payload/bin/qemu-pr-simulator"
SOCKET, LUN = "/run/simulator", "/run/lun"


class Context(tap.Context):
    def __init__(self, disk: lab.Backstore, path: str):
        super().__init__()
        self.disk, self.path = disk, path
        self.output = ""

    def log(self) -> str:
        return self.output


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    disk = lab.Backstore("judge")
    target = lab.Iscsi(disk, initiators=1)
    with open(LUN, "wb"):
        pass
    simulator = subprocess.Popen([SIMULATOR, "--nexus", f"host={SOCKET}"])
    try:
        lab.wait_for(SOCKET, lambda: os.path.exists(SOCKET))
        yield lambda one: Context(disk, target.initiators[0].path)
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


@cases(*((f"{suite}.{name}", suite, name) for suite, name in (
    ("PrinReadKeys", "Simple"), ("PrinReadKeys", "Truncate"),
    ("PrinServiceactionRange", "Range"), ("PrinReportCapabilities", "Simple"),
    ("ProutRegister", "Simple"), ("ProutReserve", "Simple"), ("ProutClear", "Simple"))))
@limit(60)
def judge(t: Context, suite: str, name: str) -> None:
    generation, untouched = simulated_generation(), t.disk.generation()
    environment = dict(os.environ, LD_PRELOAD=PRELOAD, PR_SOCKET=SOCKET, PR_LUN=LUN)
    result = subprocess.run(["iscsi-test-cu", "--dataloss", "-V", "-t", f"SCSI.{suite}.{name}",
                             t.path], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    t.output = result.stdout
    t.equal(result.returncode, 0, "exit status")
    found = logs(result.stdout)
    t.equal(list(found), [name], "tests that ran")
    t.matches(r"^passed$", found[name], "log of the test")
    for bad in ("[FAILED]", "[SKIPPED]", "FAILED"):
        t.check(bad not in found[name], f"{bad} in the log of the test")
    if suite.startswith("Prout"):
        t.check(simulated_generation() > generation, "the simulator was not asked")
    t.equal(t.disk.generation(), untouched, "PRGENERATION of the real disk")
