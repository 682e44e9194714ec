# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of this suite are given: devices, helpers, connections, exact comparison."""
import os
import re
import signal
import subprocess
import sys
import time
from typing import Callable, List, Optional, Sequence, Tuple

from support import accounts, loop, mounts, pause, procfs, scaled, scsi, standin, sysfs, tap
from support.client import Connection, Reply
from support.process import Helper, Program, adopt_orphans, kill_and_reap
from support.scratch import Scratch

PEER = "/usr/bin/qemu-pr-helper"

#: Seconds in which a program has ended that is to end at once, on a machine that has other things to do.
ENDS = 10.0
#: What a device answers unless a test scripts something else.
DEFAULT_DATA = scsi.read_keys_data(0x1122334455667788)


def umask(value: int) -> Callable[[], None]:
    """For start(before_exec=...)."""
    def before_exec() -> None:
        os.umask(value)
    return before_exec


class Disk:
    """A loop device together with the answers scripted for it."""

    def __init__(self, device: loop.Loop, answers: standin.Device):
        self.path = device.path
        self.rdev = device.rdev
        self.open = device.open
        self.make_partition = device.make_partition
        self.answer = answers.answer
        self.hold = answers.hold
        self.release = answers.release
        self.calls = answers.calls
        self.wait_running = answers.wait_running
        self.settle = answers.settle
        self.probe = answers.probe
        self.close = device.close
        self._answers = answers

    @property
    def running(self) -> int:
        return self._answers.running

    @property
    def probe_result(self) -> int:
        return self._answers.probe_result

    @property
    def entered(self) -> int:
        return self._answers.entered


def version_of(program: str) -> tap.Version:
    """Of QEMU's own. Its differences were seen in 7.2, 10.0 and 11.1: Debian 12, 13 and sid."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+(?:\.\d+)+)", said)
    if not found:
        sys.exit(f"{program} does not tell its version: {said!r}")
    return tuple(int(one) for one in found[1].split("."))


class Lab(Scratch):
    """What a run shares: a directory, the stand-in, devices, and one helper with no options."""

    def __init__(self, build: str, target: str, binary: Optional[str],
                 helper_arguments: Sequence[str]):
        build = mounts.open_to_all(build)
        self.build = build
        self.peer = target == "peer"
        self.binary = binary or (PEER if self.peer else os.path.join(build, "qemu-pr-helper"))
        self.helper_arguments = list(helper_arguments)
        library = os.path.join(build, "tests", "standin", "libsgio.so")
        for needed in (self.binary, library):
            if not os.access(needed, os.R_OK):
                sys.exit(f"{needed} is missing: build first, or name another --build or --helper")
        self.peer_version = version_of(self.binary) if self.peer else ()
        adopt_orphans()
        sysfs.enter()
        accounts.enter()
        super().__init__("prh-")
        self.control = standin.Control(self.directory, library)
        self._disks: List[Disk] = []
        self._no_disk: Optional[str] = None
        self._shared: Optional[Helper] = None

    def sanitized(self) -> bool:
        """Whether the helper keeps more memory than it asked for, to watch it."""
        with open(self.binary, "rb") as file:
            code = file.read()
        return b"__asan_init" in code or b"__tsan_init" in code

    def thread_sanitized(self) -> bool:
        """Whether each process of the helper has a thread of the sanitizer's beside its own."""
        with open(self.binary, "rb") as file:
            return b"__tsan_init" in file.read()

    def close(self) -> None:
        self.discard_shared()
        for disk in self._disks:
            disk.release()
            disk.close()
        for pid in procfs.children(os.getpid()):
            kill_and_reap(pid)  # orphans that a failed test has left to us
        super().close()

    def disk(self, number: int) -> Disk:
        """The same devices in every test."""
        if self._no_disk:
            raise tap.Skip(self._no_disk)
        while len(self._disks) <= number:
            try:
                self._disks.append(self.make_disk())
            except loop.Unavailable as reason:
                self._no_disk = str(reason)
                raise tap.Skip(self._no_disk) from None
        return self._disks[number]

    def make_disk(self) -> Disk:
        device = loop.Loop(self.make_directory())
        disk = Disk(device, self.control.device(device.rdev))
        disk.answer(DEFAULT_DATA)
        return disk

    def reset(self) -> None:
        """Before each test: the shared helper runs, devices answer, nothing was asked of them."""
        for disk in self._disks:
            # Helpers are killed at the end of their test, with what they were doing; only the
            # shared one could still be at something.
            if not disk.settle():
                self.discard_shared()
            disk.answer(DEFAULT_DATA)
        if not self._shared or not self._shared.running:
            self._start_shared()
        self.control.forget()

    def discard_shared(self) -> None:
        if self._shared:
            self._shared.close()
            self._shared = None

    def _start_shared(self) -> None:
        self.discard_shared()
        self._shared = Helper(self.binary, self.make_directory(), self.helper_arguments,
                              env=self.control.environment()).wait_ready()
        # One command, so that what is opened at the first need is open before fds are counted.
        try:
            disk = self.disk(0)
        except tap.Skip:
            return
        fd = disk.open(os.O_RDONLY)
        try:
            with Connection(self._shared.socket_path) as connection:
                connection.command(scsi.pr_in(0), fd)
        finally:
            os.close(fd)

    def shared(self) -> Helper:
        assert self._shared
        return self._shared


class Context(tap.Context):
    """differs: the peer is known to fail this test."""

    def __init__(self, lab: Lab, differs: bool = False):
        super().__init__()
        self.lab, self._differs = lab, differs
        self.peer = lab.peer
        self.peer_version = lab.peer_version
        self.programs: List[Program] = []
        self._shared: Optional[Helper] = None
        lab.reset()

    def needs_root(self) -> None:
        if os.geteuid() != 0:
            raise tap.Skip("only root can do or see that")

    def needs_option(self, option: str) -> None:
        """Some options of the plan are not there yet; their tests wait for them."""
        if f"--{option}" not in self.run("--help").output():
            raise tap.Skip(f"this version has no --{option}")

    # -- devices

    @property
    def disk(self) -> Disk:
        return self.lab.disk(0)

    @property
    def other_disk(self) -> Disk:
        return self.lab.disk(1)

    def open(self, path: str, flags: int = os.O_RDWR) -> int:
        """An fd that is closed at the end of the test."""
        return self.own(os.open(path, flags | os.O_CLOEXEC))

    def own(self, fd: int) -> int:
        def close() -> None:
            try:
                os.close(fd)
            except OSError:
                pass  # the test was faster
        self.cleanup.callback(close)
        return fd

    # -- helpers

    def directory(self) -> str:
        return self.lab.make_directory()

    @property
    def helper(self) -> Helper:
        """The helper without options that all tests share. It must survive each of them."""
        if not self._shared:
            self._shared = self.lab.shared()
            self.programs.append(self._shared)
            self.cleanup.push(self._after_shared)
        return self._shared

    def _after_shared(self, failure, *_) -> None:
        assert self._shared
        if failure:
            self.lab.discard_shared()  # it may just be dying, or hold what the test left behind
        elif not self._shared.running:
            raise AssertionError(f"the helper died: {self._shared.process.returncode}")

    def start(self, *options: str, ready: bool = True, directory: Optional[str] = None,
              env: Optional[dict] = None, standin_env: bool = True, **arguments) -> Helper:
        """A helper of the test's own, ended with it."""
        variables = self.lab.control.environment() if standin_env else {}
        variables.update(env or {})
        helper = Helper(self.lab.binary, directory or self.directory(),
                        [*self.lab.helper_arguments, *options], env=variables, **arguments)
        self.programs.append(helper)
        self.cleanup.callback(helper.close)
        wait = ready and arguments.get("socket_path") != ""  # else it is elsewhere: Helper.at()
        return helper.wait_ready() if wait else helper

    def fails(self, *options: str, message: str, **arguments) -> Program:
        """Started with these options it ends with code 1, a line on standard error that matches,
        and no socket."""
        socket_path = os.path.join(self.directory(), "socket")
        program = self.run("-k", socket_path, *options, **arguments)
        self.equal(program.process.returncode, 1, "exit code")
        self.matches(message, program.log(), "standard error")
        self.equal(program.output(), "", "standard output")
        self.soon("no socket left behind", lambda: not os.path.lexists(socket_path), 1)
        return program

    def daemon(self, *options: str, pidfile: str, socket_path: str,
               **arguments) -> Tuple[Program, int]:
        """Start with -d: the parent, which has ended, and the pid of the process that stays."""
        program = self.run("-d", *options, "-k", socket_path, *self.lab.helper_arguments,
                           **arguments)
        if program.process.returncode != 0:
            return program, 0
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        self.cleanup.callback(kill_and_reap, pid)
        return program, pid

    def works(self, helper: Helper) -> None:
        """One command, answered byte for byte."""
        fd = self.disk.open()
        try:
            self.ask(scsi.pr_in(16), fd, Reply(scsi.GOOD, 16, scsi.NO_SENSE, DEFAULT_DATA),
                     helper=helper)
        finally:
            os.close(fd)

    def stop(self, helper: Helper) -> None:
        helper.signal(signal.SIGTERM)
        self.equal(helper.wait_exit(5), 0, "exit code")

    def keeper_of(self, helper: Helper) -> int:
        """The pid of the helper's keeper. It starts beside the helper, which does not wait for it;
        giving up privileges ends with no_new_privs."""
        found = procfs.children(helper.pid)
        self.equal(len(found), 1, "child processes")
        self.soon("the keeper ready",
                  lambda: any(thread.no_new_privs for thread in procfs.threads(found[0])))
        return found[0]

    def run(self, *argv: str, env: Optional[dict] = None, timeout: float = 5.0,
            wrap: Callable[[List[str]], List[str]] = list, **arguments) -> Program:
        """The helper's program with exactly these arguments, until it ends. It may take as long as a busy
        machine needs, but for a peer that is known not to end."""
        program = Program(wrap([self.lab.binary, *argv]), self.directory(),
                          env={**self.lab.control.environment(), **(env or {})}, **arguments)
        self.programs.append(program)
        self.cleanup.callback(program.close)
        program.wait_exit(timeout if self.peer and self._differs else max(timeout, ENDS))
        return program

    def namespace(self, *mounts: str) -> Callable[[List[str]], List[str]]:
        """For start(wrap=...): run in a mount namespace, after these shell commands."""
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False,
                                               stderr=subprocess.DEVNULL).returncode != 0:
            raise tap.Skip("no mount namespace to be had: no root, or a container")
        script = " && ".join(mounts)
        return lambda argv: ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                             f'{{ {script}; }} || exit 99; exec "$@"', "sh", *argv]

    def connect(self, helper: Optional[Helper] = None, **arguments) -> Connection:
        connection = Connection((helper or self.helper).socket_path, **arguments)
        self.cleanup.callback(connection.close)
        return connection

    def log(self) -> str:
        return "\n".join(program.report() for program in self.programs)

    # -- exact answers

    def ask(self, cdb: bytes, fd: int, wanted: Reply, parameters: bytes = b"",
            helper: Optional[Helper] = None, what: str = "answer") -> None:
        """One command on a connection of its own: every byte up to the end of file is compared."""
        with Connection((helper or self.helper).socket_path) as connection:
            connection.send_request(cdb, [fd], parameters)
            self.answered(connection, wanted, what=what)

    def answered(self, connection: Connection, *wanted: Reply, what: str = "answer") -> None:
        """These replies come, then, as we send no more, the end: not one byte besides."""
        connection.end()
        self.equal(connection.receive_rest(), b"".join(reply.encode() for reply in wanted), what)

    def replied(self, connection: Connection, wanted: Reply, what: str = "answer") -> None:
        """The next bytes are this reply; the connection goes on."""
        encoded = wanted.encode()
        self.equal(connection.receive_at_most(len(encoded)), encoded, what)

    def dropped(self, connection: Connection, what: str = "sent before closing") -> None:
        """The helper closes, of itself and without having sent anything (else)."""
        self.equal(connection.receive_some(), b"", what)

    # -- waiting

    def eventually(self, what: str, condition: Callable[[], bool], timeout: float = 10.0,
                   helper: Optional[Helper] = None) -> None:
        (helper or self.helper).wait_until(what, condition, timeout)

    def soon(self, what: str, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """As eventually(), of something that no helper needs to be running for."""
        begun = time.monotonic()
        while not condition():
            self.check(time.monotonic() < begun + scaled(timeout),
                       f"{what}: not within {scaled(timeout):.0f} s")
            pause(begun)

    def gone(self, pid: int, what: str, timeout: float = 10.0) -> None:
        self.check(procfs.wait_gone(pid, timeout), f"{what} (pid {pid}) is still there")
