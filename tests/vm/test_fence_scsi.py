# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pacemaker's fence_scsi and sg_persist, unmodified, with their PERSISTENT RESERVE commands led
through the helper by a preloaded library (tests/preload).

Both run as an ordinary user: what the helper did not do for them, the kernel would refuse. Two
nodes of a cluster are two I_T nexuses, each with a place of its own for what fence_scsi remembers.
"""
import contextlib
import os
import struct
import subprocess
from typing import Callable, Iterator, List

import container
import context
import lab
from support import scsi
from support.process import Helper
from support.tap import cases, limit, test

PACKAGES = ["fence"]

USER = 65534
PRELOAD = "/payload/bin/libprsocket.so"
STORE = "/var/run"  # which is /run: where fence_scsi keeps its node's key; not configurable
#: Nothing that is needed may be below STORE, since each node has one of its own there.
PLACE = "/var/tmp"
KEY_A, KEY_B = "a1a20001", "b1b20002"
#: fence_scsi's choice
TYPE = "Write Exclusive Access, Registrants Only"
GOOD, CONFLICT, ILLEGAL_REQUEST = 0, 24, 5  # exit status of sg_persist


class Lab:
    def __init__(self, settings: dict):
        self.disk = lab.Backstore("shared")
        self.initiators = lab.Iscsi(self.disk, 2).initiators
        os.mkdir(f"{PLACE}/helper")
        self.helper = Helper(settings["helper"], f"{PLACE}/helper",
                             before_exec=lambda: os.umask(0) and None).wait_ready()
        os.makedirs(STORE, exist_ok=True)
        for number, initiator in enumerate(self.initiators):
            os.chown(initiator.path, USER, USER)
            os.mkdir(f"{PLACE}/node{number}")
            os.chown(f"{PLACE}/node{number}", USER, USER)


class Context(context.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(name)
        self.lab, self.disk = shared, shared.disk
        self.programs["helper"] = shared.helper
        self.said: List[str] = []
        self.prepare()
        for number in range(2):
            for file in os.listdir(f"{PLACE}/node{number}"):
                os.unlink(f"{PLACE}/node{number}/{file}")

    def log(self) -> str:
        return "\n".join([*self.said, super().log()])

    def prepare(self) -> None:
        lab.reset(self.lab.initiators)

    def path(self, node: int) -> str:
        return self.lab.initiators[node].path

    def run(self, node: int, *command: str) -> subprocess.CompletedProcess:
        """On node 0 or 1."""
        def become_user() -> None:
            container.mount(f"{PLACE}/node{node}", STORE, flags=container.MS_BIND)
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
        environment = dict(os.environ, LD_PRELOAD=PRELOAD, PR_SOCKET=self.lab.helper.socket_path)
        result = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
            preexec_fn=container.enter(container.CLONE_NEWNS, become_user))
        self.said.append(f"node {node}: {' '.join(command)}: {result.returncode}")
        self.said += [f"    {line}" for line in result.stdout.splitlines()[-context.LOG_LINES:]]
        return result

    def fence(self, node: int, action: str, key: str) -> int:
        return self.run(node, "fence_scsi", "-o", action, "-k", key, "-d", self.path(node),
                        "-v").returncode

    def persist(self, node: int, *options: str) -> subprocess.CompletedProcess:
        return self.run(node, "sg_persist", "-n", *options, self.path(node))

    def keys(self) -> List[str]:
        return [f"{one.key:x}" for one in self.disk.registrations()]

    def held(self, node: int) -> None:
        holder, kind = self.disk.reservation()
        self.equal((holder, kind), (self.lab.initiators[node].name,
                                    f"SPC-3 Reservation Type: {TYPE}"), "holder in configfs")

    def write(self, node: int) -> bool:
        """Whether the node can."""
        with contextlib.closing(self.lab.initiators[node]) as initiator:
            fd = initiator.open(os.O_RDWR | os.O_DIRECT)
            try:
                return lab.transfer(fd, 0x5A) is None
            finally:
                os.close(fd)


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[object], Context]]:
    shared = Lab(settings)
    try:
        yield lambda one: Context(shared, one.full_name)
    finally:
        shared.helper.close()


@test
def nothing_without_the_helper(t: Context) -> None:
    """What the rest relies on: this user cannot do it by itself."""
    result = subprocess.run(
        ["sg_persist", "-n", "--in", "--read-keys", t.path(0)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, user=USER)
    t.check(result.returncode != 0, f"it can: {result.stdout}")


# -- fence_scsi


@test
@limit(180)
def fence_scsi(t: Context) -> None:
    """Two nodes come, one fences the other, which comes back."""
    t.equal(t.fence(0, "on", KEY_A), 0, "exit status of on, node 0")
    t.held(0)
    t.check(t.fence(0, "off", KEY_A) != 0, "node 0 fenced itself")
    t.equal(t.fence(1, "on", KEY_B), 0, "exit status of on, node 1")
    t.held(0)
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")
    t.equal(t.fence(0, "status", KEY_A), 0, "exit status of status, node 0")
    t.equal(t.fence(1, "monitor", KEY_B), 0, "exit status of monitor, node 1")

    t.equal(t.fence(1, "off", KEY_A), 0, "exit status of off, of node 0 by node 1")
    t.held(1)
    t.equal(t.keys(), [KEY_B], "keys in configfs")
    t.lab.initiators[0].drain()
    t.equal((t.write(0), t.write(1)), (False, True), "who can write")
    t.equal(t.fence(1, "status", KEY_A), 2, "exit status of status: node 0 is off")

    t.equal(t.fence(0, "on", KEY_A), 0, "exit status of on, node 0 again")
    t.held(1)
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    t.equal((t.write(0), t.write(1)), (True, True), "who can write")


# -- sg_persist


@cases(("keys", "-k"), ("reservation", "-r"), ("full status", "-s"), ("capabilities", "-c"))
def sg_persist_in(t: Context, option: str) -> None:
    """Word by word what it prints when root asks the device directly."""
    lab.pr_out(t.lab.initiators[0].fd, scsi.REGISTER, action_key=int(KEY_A, 16))
    lab.pr_out(t.lab.initiators[1].fd, scsi.REGISTER, action_key=int(KEY_B, 16))
    lab.pr_out(t.lab.initiators[1].fd, scsi.RESERVE, 5, int(KEY_B, 16))
    for node in range(2):
        through = t.persist(node, "--in", option)
        direct = subprocess.run(["sg_persist", "-n", "--in", option, t.path(node)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        t.equal((through.returncode, through.stdout), (0, direct.stdout), f"node {node}")


@test
@limit(60)
def sg_persist_out(t: Context) -> None:
    """Every service action that it has."""
    def out(node: int, *options: str, wanted: int = GOOD) -> None:
        result = t.persist(node, "--out", *options)
        t.equal(result.returncode, wanted, f"exit status of {' '.join(options)}")

    def drain() -> None:
        for initiator in t.lab.initiators:
            initiator.drain()
    out(0, "--register", f"--param-sark={KEY_A}")
    out(1, "--register-ignore", f"--param-sark={KEY_B}", "--param-aptpl")
    t.equal(t.keys(), [KEY_A, KEY_B], "keys in configfs")
    out(0, "--reserve", f"--param-rk={KEY_A}", "--prout-type=5")
    t.held(0)
    out(1, "--reserve", f"--param-rk={KEY_B}", "--prout-type=5", wanted=CONFLICT)
    out(0, "--release", f"--param-rk={KEY_A}", "--prout-type=5")
    t.equal(t.disk.reservation()[0], None, "holder in configfs")
    drain()
    out(1, "--reserve", f"--param-rk={KEY_B}", "--prout-type=5")
    out(0, "--preempt", f"--param-rk={KEY_A}", f"--param-sark={KEY_B}", "--prout-type=5")
    t.held(0)
    t.equal(t.keys(), [KEY_A], "keys in configfs")
    drain()
    out(1, "--register", f"--param-sark={KEY_B}")
    out(1, "--preempt-abort", f"--param-rk={KEY_B}", f"--param-sark={KEY_A}", "--prout-type=5")
    t.held(1)
    drain()
    out(0, "--register", f"--param-sark={KEY_A}")
    drain()
    name = t.lab.initiators[0].name
    # The TransportID of node 0, by its port: as READ FULL STATUS has it.
    transport = transport_id(lab.pr_in(t.lab.initiators[1].fd, scsi.READ_FULL_STATUS).data, name)
    out(1, "--register-move", f"--param-rk={KEY_B}", "--param-sark=c1c2", "--prout-type=5",
        "--relative-target-port=1", f"--transport-id={transport}")
    t.equal(t.disk.reservation()[0], name, "holder in configfs")
    drain()
    out(0, "--clear", "--param-rk=c1c2")
    t.equal(t.keys(), [], "keys in configfs")


def transport_id(status: bytes, name: str) -> str:
    """As sg_persist takes it: bytes in hexadecimal, with commas."""
    at = 8
    while at < len(status):
        size, = struct.unpack_from(">I", status, at + 20)
        found = status[at + 24:at + 24 + size]
        if name.encode() in found:
            return ",".join(f"{byte:02x}" for byte in found)
        at += 24 + size
    raise AssertionError(f"{name} is not in the full status")
