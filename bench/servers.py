# SPDX-License-Identifier: LGPL-2.1-or-later
"""The servers that are compared: how each is started, what its processes hold, how it is ended."""
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from typing import Dict, Iterator, List, Optional, Tuple

START_SECONDS = 60.0  # under valgrind a start takes seconds


def commands(build: str, helper: str, peers: Dict[str, List[str]],
             status: str) -> Dict[str, List[str]]:
    """Name and command line, to which "-k SOCKET" is added. The helper comes first: as packages
    install it, so with a status socket, in that directory; and with no configuration of the host's."""
    floor = os.path.join(build, "bench", "bench-floor")
    ours = [helper, "--config=/dev/null", f"--status-socket={status}/"]
    return {"helper": ours, **peers, "floor": [floor], "ideal": [floor, "--ioctl"]}


def steps(build: str, helper: List[str]) -> Dict[str, List[str]]:
    """What stands between the floor and the helper, one thing after the other."""
    floor = os.path.join(build, "bench", "bench-floor")
    return {"helper": helper, "floor": [floor], "+ioctl": [floor, "--ioctl"],
            "+fstat": [floor, "--ioctl", "--fstat"],
            "+filter": [floor, "--ioctl", "--fstat", "--filter"],
            "unconfined": helper + ["--sandbox=off"]}


class Server:
    """One running server in a directory of its own."""

    def __init__(self, command: List[str], directory: str, environment: Dict[str, str],
                 cpu: Optional[int] = None):
        self.socket = os.path.join(directory, "sock")
        self._ignored = [path for path in (environment.get("LD_PRELOAD"),
                                           environment.get("SGIO_CONTROL")) if path]
        self._log = open(os.path.join(directory, "log"), "w+", encoding="utf-8", errors="replace")

        def pin() -> None:
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        self._process = subprocess.Popen(command + ["-k", self.socket],
                                         env={**os.environ, **environment}, preexec_fn=pin,
                                         stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=self._log)
        self.pid = self._process.pid
        self._family: List[int] = []
        try:
            self._wait_serving()
            self._family = self.processes()
        except BaseException:
            self.kill()
            raise

    def _wait_serving(self) -> None:
        """Until a handshake has been answered: everything that starting involves is then done."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"{self._process.args[0]} ended at once: {self._log.read()}")
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.socket)
                except (FileNotFoundError, ConnectionRefusedError):
                    time.sleep(0.005)
                    continue
                probe.settimeout(START_SECONDS)
                probe.recv(4)
                probe.send(bytes(4))
                return
        raise RuntimeError(f"{self._process.args[0]} does not listen")

    def processes(self) -> List[int]:
        """The server and everything it started, no matter which session that moved to."""
        parents: Dict[int, int] = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                    parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
        family = [self.pid]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def memory(self, pids: Optional[List[int]] = None) -> Tuple[int, int]:
        """Private dirty and resident kB of all processes, without the stand-in's mappings."""
        private = resident = 0
        for pid in pids or self.processes():
            counted = True
            with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as smaps:
                for line in smaps:
                    name, _, value = line.partition(":")
                    if " " in name:  # the header of a mapping: "start-end perms offset dev ..."
                        counted = not any(line.rstrip().endswith(path) for path in self._ignored)
                    elif counted and name == "Private_Dirty":
                        private += int(value.split()[0])
                    elif counted and name == "Rss":
                        resident += int(value.split()[0])
        return private, resident

    def proportional_kb(self) -> int:
        """Proportional set size of all processes."""
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total

    def switches(self) -> int:
        """Context switches of the serving process's threads that live."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{self.pid}/task/{task}/status", encoding="utf-8") as status:
                    total += sum(int(line.split()[1]) for line in status
                                 if "voluntary_ctxt_switches" in line)
        return total

    def cpu_ns(self) -> int:
        """Processor time of the serving process, threads that have ended included."""
        # What clock_getcpuclockid(3) computes, CPUCLOCK_SCHED being 2.
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def settled_memory(self) -> Tuple[int, int]:
        """The same, once two readings a moment apart agree."""
        last = self.memory()
        for _ in range(20):
            time.sleep(0.1)
            now = self.memory()
            if now == last:
                break
            last = now
        return last

    def terminate(self) -> int:
        """Ask it to end, and wait: needed where something is written at exit."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(START_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """A server with hung commands ends no other way."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        # A companion that outlives its helper for a moment would disturb the next measurement.
        deadline = time.monotonic() + 5
        while any(map(alive, self._family)) and time.monotonic() < deadline:
            time.sleep(0.002)
        self._log.close()


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def running(command: List[str], environment: Dict[str, str],
            cpu: Optional[int] = None) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        server = Server(command, directory, environment, cpu)
        try:
            yield server
        finally:
            server.kill()
