# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator sees of two guests: who holds which key, what hangs, what was left behind.

Guests are processes with the command line of a QEMU that hold a connection to the helper. Two
share a LUN by I_T nexuses of their own, as they should. What hangs is a multipath map that queues
because it has no path.
"""
import contextlib
import json
import os
import re
import subprocess
import sys
from typing import Callable, Iterator, List

import guest
import lab
from support import scsi, tap
from support.process import Helper, environment
from support.tap import limit, test

PACKAGES: List[str] = []

CTL = "/payload/bin/qemu-pr-ctl"
GOOD = 0
KEY_A, KEY_B = 0xA1, 0xB1

#: Sends one command, given as hexadecimal digits with its parameter list, says what came of it, and
#: stays.
CLIENT = """
import os, sys
socket, device, cdb, parameters = sys.argv[1:5]
sys.path.insert(0, "/payload/tests")
from support.client import Connection
connection = Connection(socket)
fd = os.open(device, os.O_RDWR | os.O_NONBLOCK)
print("sent", flush=True)
print(connection.command(bytes.fromhex(cdb), fd, bytes.fromhex(parameters)).status, flush=True)
sys.stdin.read()
"""


class Guest:
    def __init__(self, t: "Context", name: str, device: str, cdb: bytes, parameters: bytes = b""):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-c", CLIENT, t.helper.socket_path, device, cdb.hex(),
             parameters.hex(), "-name", f"guest={name},debug-threads=on"],
            executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment({"PYTHONHOME": sys.base_prefix}))
        t.cleanup.callback(self.end)
        t.equal(self.process.stdout.readline(), "sent\n", f"first line of {name}")

    @classmethod
    def registers(cls, t: "Context", name: str, device: str, key: int) -> "Guest":
        parameters = scsi.parameters(0, key)
        self = cls(t, name, device, scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE),
                   parameters)
        t.equal(self.process.stdout.readline(), "0\n", f"status of the command of {name}")
        return self

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Lab:
    def __init__(self, settings: dict):
        self.disk = lab.Backstore("shared")
        self.target = lab.Iscsi(self.disk, 2)
        self.program = settings["helper"]
        self.started = 0


class Context(tap.Context):
    """With a helper of its own: its status begins with nothing."""

    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        if "--status-socket" not in subprocess.run([shared.program, "--help"], capture_output=True,
                                                   text=True, check=False).stdout:
            raise tap.Skip("this helper has no --status-socket")
        self.disk = shared.disk
        self.first, self.second = shared.target.initiators
        for initiator in shared.target.initiators:
            initiator.drain()
        lab.pr_out(self.first.fd, scsi.REGISTER_AND_IGNORE, action_key=1)
        lab.pr_out(self.first.fd, scsi.CLEAR, key=1)
        for initiator in shared.target.initiators:
            initiator.drain()
        shared.started += 1
        directory = f"/run/helper{shared.started}"
        os.mkdir(directory)
        self.status_path = f"{directory}/status"
        self.helper = Helper(shared.program, directory,
                             [f"--status-socket={self.status_path}", "--hung-after=10"])
        self.cleanup.callback(self.helper.close)
        self.helper.wait_ready()
        self._said = ""

    def ctl(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        result = subprocess.run([CTL, *argv], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False, env=environment())
        self._said = result.stdout + result.stderr
        return result

    def status(self) -> str:
        result = self.ctl("status", "-s", self.status_path)
        self.equal((result.returncode, result.stderr), (GOOD, ""), "exit status and errors")
        return result.stdout

    def wait_status(self, pattern: str) -> str:
        """The helper hears of some things a moment after they happened."""
        return str(lab.wait_for(f"{pattern} in the status", lambda: (
            lambda text: text if re.search(pattern, text, re.MULTILINE) else "")(self.status()),
            20))

    def keys(self) -> List[int]:
        return sorted(one.key for one in self.disk.registrations())

    def log(self) -> str:
        return "\n".join([self._said, self.helper.log(), *guest.kernel_log(20)])


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = Lab(settings)
    yield lambda one: Context(shared, one.full_name)


@test
def two_guests_with_their_keys(t: Context) -> None:
    alpha = Guest.registers(t, "alpha", t.first.path, KEY_A)
    beta = Guest.registers(t, "beta", t.second.path, KEY_B)
    text = t.status()
    for name, one, disk, key in [("alpha", alpha, t.first, KEY_A), ("beta", beta, t.second, KEY_B)]:
        t.matches(rf"^\d+:\d+ {disk.block} +0x{key:016x} +{name} +{one.process.pid} .* registered$",
                  text, f"key of {name}")
        t.matches(rf"^\d+ +{name} +{one.process.pid} +0 +idle ", text, f"client {name}")
    t.check("SAME NEXUS" not in text, "an alarm without a reason")
    wwn = lab.read(f"/sys/block/{t.first.block}/device/wwid")
    t.equal(len(re.findall(rf" {wwn} ", text)), 2, "one LUN by two nexuses")


@test
def shared_nexus(t: Context) -> None:
    """By the disk's node and by its SCSI generic node."""
    Guest.registers(t, "alpha", t.first.path, KEY_A)
    Guest.registers(t, "beta", t.first.generic_path, KEY_B)
    t.matches("^SAME NEXUS  .*(alpha, beta|beta, alpha) are one initiator", t.status(), "alarm")


@test
@limit(60)
def hung_lun(t: Context) -> None:
    """A command that does not come back, with its age, while the other guest is served."""
    name = "waits"
    lab.load("dm_multipath")
    node = lab.add_map(name, "mpath-waits", "0 2048 multipath 1 queue_if_no_path 0 0 0")
    t.cleanup.callback(lab.remove_map, name)
    hanging = Guest(t, "alpha", node, scsi.pr_in(8192))
    t.cleanup.callback(lab.run, "dmsetup", "message", name, "0", "fail_if_no_path")
    Guest.registers(t, "beta", t.second.path, KEY_B)
    text = t.wait_status(r"^HUNG  .* waits: a command of alpha has been in flight for \d+ s$")
    t.matches(rf" waits +\d+ s HUNG +PERSISTENT RESERVE IN, READ KEYS +alpha +{hanging.process.pid} ",
              text, "command in flight")
    document = json.loads(t.ctl("status", "-s", t.status_path, "--json").stdout)
    age = max(one["age_s"] for device in document["devices"] for one in device["in_flight"])
    t.check(age >= document["hung_after_s"], f"marked after {age} s")


@test
def stale_key(t: Context) -> None:
    """A guest that is killed leaves its key, and cleanup takes it away, on request only."""
    alpha = Guest.registers(t, "alpha", t.first.path, KEY_A)
    Guest.registers(t, "beta", t.second.path, KEY_B)
    options = ("-k", t.helper.socket_path, "-s", t.status_path, f"--key={KEY_A:x}", "--yes",
               t.first.path)
    t.equal(t.ctl("cleanup", *options).returncode, 6, "refused while alpha runs")
    alpha.end()
    t.wait_status(r"0x00000000000000a1 +alpha .*unverified, client gone")
    t.equal(t.keys(), [KEY_A, KEY_B], "nothing is removed by itself")
    t.equal(t.ctl("cleanup", *options).returncode, GOOD, "exit status")
    t.equal(t.keys(), [KEY_B], "keys on the device")
    t.check("client gone" not in t.status(), "it is still listed")
