# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs under test: started with a log of their own, awaited by what they do, ended by pid."""
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from typing import Callable, Dict, List, Optional, Sequence

from . import pause, procfs, scaled
from .attempts import NUMBERS

#: Calls that a main loop waits in.
WAITING = tuple(NUMBERS[name] for name in ("poll", "ppoll", "restart_syscall"))

PR_SET_CHILD_SUBREAPER = 36

#: Only this much of the caller's environment reaches a program under test.
INHERITED = ("PATH", "LANG", "TMPDIR", "UBSAN_OPTIONS", "TSAN_OPTIONS", "ASAN_OPTIONS",
             "LSAN_OPTIONS", "LD_LIBRARY_PATH")


def adopt_orphans() -> None:
    """Daemons that leave their parent become our children, so that none is lost."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def environment(extra: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    base = {name: os.environ[name] for name in INHERITED if name in os.environ}
    base["LC_ALL"] = "C"
    base.update(extra or {})
    return base


def reap(pid: int) -> None:
    """Take the exit status of an adopted orphan, if it is ours and has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def kill_and_reap(pid: int) -> None:
    """End a process that is no Popen of ours, such as a daemon by its PID file."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    procfs.wait_gone(pid, scaled(5))
    reap(pid)


def serving(path: str, timeout: float = 5.0) -> bool:
    """Whether a helper greets clients on the socket at path. It has forgotten the one that tried
    when this returns: an end of file says that it closed its end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(scaled(timeout))
        try:
            probe.connect(path)
            if len(probe.recv(4, socket.MSG_WAITALL)) != 4:
                return False
            probe.sendall(bytes(4))
            probe.shutdown(socket.SHUT_WR)
            return probe.recv(1) == b""
        except OSError:  # not there, not listening, a full queue, no greeting in time
            return False


class Program:
    """A running program. Its standard error goes to a file, so that it never has to wait for us."""

    def __init__(self, argv: Sequence[str], directory: str, env: Optional[Dict[str, str]] = None,
                 stderr: Optional[int] = None, pass_fds: Sequence[int] = (),
                 before_exec: Optional[Callable[[], None]] = None, cwd: str = "/"):
        self.argv = list(argv)
        self.log_path = os.path.join(directory, "stderr")
        self.out_path = os.path.join(directory, "stdout")
        self.started = time.monotonic()
        with open(self.log_path, "ab") as log, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(
                self.argv, env=environment(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                stderr=log if stderr is None else stderr, pass_fds=pass_fds,
                preexec_fn=before_exec, start_new_session=True)
        self.pid = self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="backslashreplace") as log:
            return log.read()

    def output(self) -> str:
        with open(self.out_path, encoding="utf-8", errors="backslashreplace") as out:
            return out.read()

    def report(self) -> str:
        """For a failed test: what it is, how it does, and what it said last."""
        state = "running" if self.running else f"ended with {self.process.returncode}"
        try:
            said = self.log().splitlines()[-8:]
        except FileNotFoundError:
            said = []  # the test has removed the directory
        return "\n".join([f"{' '.join(self.argv)}: {state}", *(f"    {line}" for line in said)])

    def wait_until(self, what: str, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Until condition() holds; an early end of the program is a failure at once."""
        begun = time.monotonic()
        while not condition():
            if not self.running and not condition():
                raise AssertionError(f"ended with {self.process.returncode} before {what}; "
                                     f"stderr: {self.log()!r}")
            if time.monotonic() > begun + scaled(timeout):
                raise AssertionError(f"{what}: not within {scaled(timeout):.0f} s; "
                                     f"stderr: {self.log()!r}")
            pause(begun)

    def wait_log(self, pattern: str, timeout: float = 10.0) -> "re.Match[str]":
        """Until a line of standard error matches."""
        self.wait_until(f"a line like {pattern!r} on stderr",
                        lambda: bool(re.search(pattern, self.log(), re.MULTILINE)), timeout)
        match = re.search(pattern, self.log(), re.MULTILINE)
        assert match
        return match

    def wait_exit(self, timeout: float = 10.0) -> int:
        """The exit code, negative for a signal."""
        try:
            return self.process.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {scaled(timeout):.1f} s; "
                                 f"stderr: {self.log()!r}") from None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def suspend_in_poll(self) -> None:
        """SIGSTOP, while its main loop waits: it has looked at nothing of what comes meanwhile, and
        makes another system call to go on (restart_syscall(2)). Elsewhere it may be on its way: it
        is let go on, and stopped again. It may wait in restart_syscall(2) then, and for ever."""
        def suspended() -> bool:
            self.signal(signal.SIGSTOP)
            self.wait_until("every thread stopped",
                            lambda: all(procfs.state(thread.tid) in "TtX"
                                        for thread in procfs.threads(self.pid)))
            if procfs.system_call(self.pid) in WAITING:
                return True
            self.signal(signal.SIGCONT)
            return False
        self.wait_until("its main loop waits", suspended)

    def stop(self, timeout: float = 10.0) -> int:
        """Ask it to end and wait for that."""
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def close(self) -> None:
        """In any state: end it, and the processes it started."""
        started = procfs.children(self.pid) if self.running else []
        if self.running:
            self.process.kill()
        self.process.wait()
        for pid in started:
            # They end by themselves when they see that we killed their parent.
            if not procfs.wait_gone(pid, scaled(2)):
                kill_and_reap(pid)
            reap(pid)


class Helper(Program):
    """A helper, ours or the peer, on a socket in directory."""

    def __init__(self, binary: str, directory: str, options: Sequence[str] = (),
                 socket_path: Optional[str] = None, prefix: Sequence[str] = (),
                 wrap: Callable[[List[str]], List[str]] = list, **arguments):
        self.socket_path = socket_path or os.path.join(directory, "socket")
        argv = [binary, "-k", self.socket_path] if socket_path != "" else [binary]
        super().__init__([*prefix, *wrap(argv + list(options))], directory, **arguments)

    def at(self, socket_path: str) -> "Helper":
        """It was not told the path by -k, but will be found there."""
        self.socket_path = socket_path
        return self

    def wait_ready(self, timeout: float = 10.0) -> "Helper":
        self.wait_until("serving", lambda: serving(self.socket_path), timeout)
        return self
