# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: qemu-pr-ctl, and something for it to talk to."""
import contextlib
import itertools
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from simulator.fixture import Simulator
from support import accounts, loop, mounts, scaled, scsi, standin, sysfs, tap, terminal
from support.process import Helper, adopt_orphans, environment
from support.schema import Schema
from support.scratch import Scratch

(GOOD, INTERNAL, USAGE, DEVICE, HELPER, UNKNOWN, REFUSED, CONFLICT, CHECK, OTHER, DATA,
 TROUBLE) = range(12)

NOBODY = 65534


def hexkey(number: int) -> str:
    """As it is written wherever one stands."""
    return f"0x{number:016x}"


TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(TOP, "docs", "ctl.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = Schema(json.load(schema_file))


class Result(NamedTuple):
    """How a program ended, and what it said."""
    status: int
    out: str
    err: str

    @property
    def json(self) -> Dict[str, Any]:
        """What --json has printed, which is as ctl.schema.json says, or the helper's document."""
        document = json.loads(self.out)
        if "program" not in document:
            faults = SCHEMA.faults(document)
            if faults:
                raise AssertionError(f"against docs/ctl.schema.json: {faults}")
        return document


class FakeHelper:
    """A helper that says what a test tells it, right or wrong. Each entry of answers is for one
    request: bytes to send, or None to close instead. After the last one it closes, and with hang_up
    after the greeting. With by_action it answers any number of requests, by their service action."""

    def __init__(self, directory: str, answers: Sequence[Optional[bytes]],
                 greeting: bytes = b"\0\0\0\1", hang_up: bool = False,
                 by_action: Optional[Dict[int, bytes]] = None):
        self.path = os.path.join(directory, "fake")
        self.requests: List[Tuple[bytes, bytes]] = []
        self._answers = list(answers)
        self._by_action = by_action
        self._greeting = greeting
        self._hang_up = hang_up
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client:
            try:
                client.sendall(self._greeting)
                if self._hang_up or len(self._receive(client, 4)) < 4:
                    return
                for answer in self._answers if self._by_action is None else itertools.repeat(b""):
                    cdb = self._receive(client, 16)
                    if len(cdb) < 16:
                        return
                    if self._by_action is not None:
                        answer = self._by_action[cdb[1] & 0x1F]
                    length = struct.unpack_from(">I", cdb, 5)[0] if cdb[0] == scsi.PR_OUT else 0
                    self.requests.append((cdb, self._receive(client, length)))
                    if answer is None:
                        return
                    client.sendall(answer)
            except (BrokenPipeError, ConnectionResetError):
                pass

    @staticmethod
    def _receive(client: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            # The fds that come with it are closed by the kernel: there is no room for them.
            piece = client.recv(size - len(data))
            if not piece:
                break
            data += piece
        return data

    def close(self) -> None:
        # A thread that still waits for a client is woken by this.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._thread.join(scaled(5))


class Disk:
    """A loop device with scripted answers; its node is one of our own, which every user may open."""

    def __init__(self, device: loop.Loop, answers: standin.Device, node: str):
        self.path = node
        self.answers = answers
        self.answer = answers.answer
        self.calls = answers.calls
        self.rdev = device.rdev
        self.open = device.open  # by the kernel's name, below /dev
        self._device = device
        self._partition: Optional[str] = None
        os.mknod(node, stat.S_IFBLK | 0o666, device.rdev)
        os.chmod(node, 0o666)

    def partition(self) -> str:
        """Always the same one."""
        if not self._partition:
            try:
                self._device.make_partition(self.path + "1")
            except loop.Unavailable as reason:
                raise tap.Skip(str(reason)) from None
            self._partition = self.path + "1"
        return self._partition

    def close(self) -> None:
        os.unlink(self.path)
        self._device.close()


class Lab(Scratch):
    """What a run shares: the programs, a directory, and, made when first wanted, the rest."""

    def __init__(self, build: str, helper_arguments: Sequence[str] = ()):
        build = mounts.open_to_all(build)
        self.build = build
        self.helper_arguments = list(helper_arguments)
        self.ctl = os.path.join(build, "qemu-pr-ctl")
        self.simulator_binary = os.path.join(build, "qemu-pr-simulator")
        self.helper_binary = os.path.join(build, "qemu-pr-helper")
        for needed in (self.ctl, self.simulator_binary, self.helper_binary):
            if not os.access(needed, os.X_OK):
                sys.exit(f"{needed} is missing: build first, or name another --build")
        adopt_orphans()
        sysfs.enter()
        accounts.enter()
        super().__init__("prc-")
        self._simulator: Optional[Simulator] = None
        self._control: Optional[standin.Control] = None
        self._disks: Dict[bool, Disk] = {}
        self._helper: Optional[Helper] = None

    def close(self) -> None:
        if self._simulator:
            self._simulator.close()
        if self._helper:
            self._helper.close()
        for disk in self._disks.values():
            disk.close()
        super().close()

    def simulator(self) -> Simulator:
        """Two hosts, a and b; faults are played as self.faults says."""
        if not self._simulator:
            directory = self.make_directory()
            self.faults = os.path.join(directory, "faults")
            self._simulator = Simulator(self.simulator_binary, directory, ("a", "b"),
                                        ["--faults", self.faults])
            self._simulator.wait_ready()
        return self._simulator

    def control(self) -> standin.Control:
        if not self._control:
            library = os.path.join(self.build, "tests", "standin", "libsgio.so")
            self._control = standin.Control(self.directory, library)
        return self._control

    def disk(self, scsi_disk: bool = True) -> Disk:
        """Always the same one; with False one that is no SCSI disk."""
        if scsi_disk not in self._disks:
            try:
                device = loop.Loop(self.make_directory(), scsi=scsi_disk)
                self._disks[scsi_disk] = Disk(device, self.control().device(device.rdev),
                                              os.path.join(self.make_directory(), "disk"))
            except (loop.Unavailable, PermissionError) as reason:
                raise tap.Skip(str(reason)) from None
        return self._disks[scsi_disk]

    def helper(self) -> Helper:
        """The real helper, over the stand-in."""
        if not self._helper:
            self._helper = Helper(self.helper_binary, self.make_directory(),
                                  ["--socket-mode=0777", *self.helper_arguments],
                                  env=self.control().environment())
            self._helper.wait_ready()
        return self._helper


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self._ran: List[str] = []

    def directory(self) -> str:
        return self.lab.make_directory()

    def run(self, *argv: str, env: Optional[Dict[str, str]] = None, user: Optional[int] = None,
            stdin: Optional[str] = None, stdout=subprocess.PIPE, timeout: float = 10,
            pass_fds: Sequence[int] = (), typed: Optional[str] = None) -> Result:
        """Any program, until it ends. Its standard input is a terminal if something is typed."""
        if user is not None and os.geteuid() != 0:
            raise tap.Skip("only root can become another user")

        def become() -> None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

        with contextlib.ExitStack() as stack:
            source = (subprocess.PIPE if typed is None
                      else stack.enter_context(terminal.typed(typed)))
            return self._run(argv, stdin, timeout, env=environment(env), stdin_from=source,
                             stdout=stdout, pass_fds=pass_fds,
                             preexec_fn=become if user is not None else None)

    def _run(self, argv: Sequence[str], stdin: Optional[str], timeout: float, stdin_from: int,
             **arguments) -> Result:
        process = subprocess.Popen(argv, cwd="/", text=True, stdin=stdin_from,
                                   stderr=subprocess.PIPE, **arguments)
        try:
            out, err = process.communicate(stdin, scaled(timeout))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"{' '.join(argv)}: still running after {timeout} s") from None
        self._ran.append(f"{' '.join(argv)}: {process.returncode}\n{out or ''}{err}")
        return Result(process.returncode, out or "", err)

    def ctl(self, *argv: str, **arguments) -> Result:
        return self.run(self.lab.ctl, *argv, **arguments)

    def expect(self, result: Result, status: int, out: Optional[str] = None,
               err: Optional[str] = None) -> Result:
        """Exit status and, where given, the exact text of both streams."""
        self.equal(result.status, status, f"exit status ({result.err.strip()!r})")
        if out is not None:
            self.equal(result.out, out, "standard output")
        if err is not None:
            self.equal(result.err, err, "standard error")
        return result

    def mounts_or_skip(self) -> None:
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "-n", "true"], check=False,
                                               stderr=subprocess.DEVNULL).returncode != 0:
            raise tap.Skip("no namespaces to be had: no root, or a container")

    def make_lun(self) -> str:
        path = os.path.join(self.directory(), "lun")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        return path

    def host(self, name: str) -> List[str]:
        """Options to speak as one of the simulator's hosts."""
        return ["-k", self.lab.simulator().sockets[name]]

    def fault(self, lun: str, what: str) -> None:
        """Let the simulator's LUN do this for the rest of the test."""
        self.lab.simulator()
        with open(self.lab.faults + "~", "w", encoding="utf-8") as file:
            file.write(f"{lun} {what}\n")
        os.rename(self.lab.faults + "~", self.lab.faults)
        self.cleanup.callback(lambda: os.path.exists(self.lab.faults) and
                              os.unlink(self.lab.faults))

    def fake(self, *answers: Optional[bytes], **arguments) -> FakeHelper:
        helper = FakeHelper(self.directory(), answers, **arguments)
        self.cleanup.callback(helper.close)
        return helper

    def _ready(self, disk: Disk) -> Disk:
        disk.answer()
        self.lab.control().forget()
        return disk

    @property
    def disk(self) -> Disk:
        """Answers GOOD until a test says something else."""
        return self._ready(self.lab.disk())

    @property
    def no_scsi_disk(self) -> Disk:
        """The same, but a block device of another kind."""
        return self._ready(self.lab.disk(scsi_disk=False))

    def log(self) -> str:
        return "\n".join(self._ran[-4:])
