# SPDX-License-Identifier: LGPL-2.1-or-later
"""make run DEVICE=...: the story of the take-over on a real LUN, through the real helper.

A disk of LIO's is behind two I_T nexuses; scsi_debug's knows no persistent reservations. No matter what
happens, the LUN is afterwards as it was before.
"""
import contextlib
import os
import subprocess
from typing import Callable, Iterator, List

import lab
from support import scsi, tap
from support.tap import cases, test

PACKAGES = ["bash"]
STORY = "/payload/bin/story"
KEY = 0x77


class Context(tap.Context):
    def __init__(self, disk: lab.Backstore, target: lab.Iscsi):
        super().__init__()
        self.disk, self.hosts = disk, target.initiators
        self.paths: List[str] = [host.path for host in self.hosts]
        self.output = ""
        for host in self.hosts:
            host.drain()
        self.before = disk.generation()

    def log(self) -> str:
        return self.output

    def tell(self, *devices: str, answer: str = "") -> int:
        """Play it; the exit status."""
        result = subprocess.run(["bash", STORY, "/payload/bin"], input=answer,
                                env=dict(os.environ, DEVICE=" ".join(devices)), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.output = result.stdout
        return result.returncode

    def says(self, *lines: str) -> None:
        """These lines, in this order."""
        rest = iter(self.output.splitlines())
        for line in lines:
            self.check(any(line in one for one in rest), f"nothing (more) like {line!r}")

    def untouched(self) -> None:
        self.equal(self.disk.generation(), self.before, "PRGENERATION")


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    disk = lab.Backstore("story")
    target = lab.Iscsi(disk, initiators=2)
    yield lambda one: Context(disk, target)


def nobody_is_registered(t: Context) -> None:
    t.equal(t.disk.registrations(), [], "registrations")
    t.equal(os.listdir("/tmp"), [], "what is left in /tmp")


@test
def two_hosts(t: Context) -> None:
    t.equal(t.tell(*t.paths, answer="yes\n"), 0, "exit status")
    t.says("Type yes to do that", "qemu-pr-ctl register", "registered with key 0x000000000000000a",
           "registered with key 0x000000000000000b", "reserved with key 0x000000000000000a", "RESERVATION CONFLICT",
           "key 0x000000000000000a is no longer registered", "key    0x000000000000000b",
           "REGISTRATIONS PREEMPTED (6/2A/05)", "RESERVATION CONFLICT",
           "B has taken over", "no registration is left")
    nobody_is_registered(t)


@test
def one_host(t: Context) -> None:
    t.equal(t.tell(t.paths[0], answer="yes\n"), 0, "exit status")
    t.says("registered with key 0x000000000000000a", "reserved with key 0x000000000000000a", "One path is one I_T nexus",
           "no registration is left")
    nobody_is_registered(t)


@cases(("no", "no\n"), ("an empty line", "\n"), ("end of file", ""), ("y", "y\n"))
def refused(t: Context, answer: str) -> None:
    t.equal(t.tell(*t.paths, answer=answer), 1, "exit status")
    t.says("Type yes to do that: Nothing was changed.")
    t.untouched()


@test
def somebody_is_registered(t: Context) -> None:
    with contextlib.closing(t.hosts[1]) as host:
        lab.pr_out(host.fd, scsi.REGISTER_AND_IGNORE, action_key=KEY)
        before = t.disk.generation()
        t.equal(t.tell(t.paths[0], answer="yes\n"), 1, "exit status")
        t.says("0x0000000000000077", f"registered with {t.paths[0]} already. Nothing was changed.")
        t.equal(t.disk.generation(), before, "PRGENERATION")
        lab.pr_out(host.fd, scsi.CLEAR, key=KEY)


@test
def without_reservations(t: Context) -> None:
    disk = lab.scsi_debug(dev_size_mb=8)
    t.equal(t.tell(disk.path, answer="yes\n"), 1, "exit status")
    t.says("INVALID COMMAND OPERATION CODE (5/20/00)",
           "Either the device has no persistent reservations, or the helper lacks CAP_SYS_RAWIO",
           "Without DEVICE", "Nothing was changed.")


@test
def no_such_device(t: Context) -> None:
    t.equal(t.tell("/dev/nothing", answer="yes\n"), 1, "exit status")
    t.says("/dev/nothing", "Nothing was changed.")


@test
def two_disks(t: Context) -> None:
    """Not two ways to one LUN: the story breaks off, and nothing stays behind on either."""
    other = lab.Iscsi(lab.Backstore("other"), initiators=1)
    t.equal(t.tell(t.paths[0], other.initiators[0].path, answer="yes\n"), 1, "exit status")
    t.says("should have ended with 7")
    nobody_is_registered(t)
