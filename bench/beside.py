# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a helper's client notices of exporters that ask the helper for its status all the time.

One helper and one client on one CPU. Slices of commands with and without questions alternate, in pairs whose
order alternates, too: what slows the machine down hits both of a pair. The exporters and those who ask them are
kept on other CPUs, so that what is measured is the helper's own work for them, and what its threads wait for."""
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import threading
import time
from typing import Dict, Iterator, List

from servers import START_SECONDS, Server

#: One exporter asks its helpers once in a second at most, so this is many times what a node has.
EXPORTERS = 10
PAIRS = 15
RANKS = ("p50", "p99")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Asked:
    """Exporters of this helper alone, each asked again and again while `asking` is set."""

    def __init__(self, program: str, place: str, cpus: List[int]):
        self.ports = [free_port() for _ in range(EXPORTERS)]
        self._cpus, self._asking, self._ended = cpus, threading.Event(), False
        self._programs = [subprocess.Popen(
            [program, "--quiet", f"--listen=127.0.0.1:{port}", f"--status={place}"],
            preexec_fn=lambda: os.sched_setaffinity(0, cpus), stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) for port in self.ports]
        self.looks = 0
        self._count = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=[port]) for port in self.ports]
        for port in self.ports:
            self._wait(port)
        for thread in self._threads:
            thread.start()

    def get(self, port: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(ConnectionError):
                if "\nqemu_pr_helper_up{" not in self.get(port):
                    raise RuntimeError("the exporter does not see the helper")
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the exporter does not serve")
            time.sleep(0.01)

    def _ask(self, port: int) -> None:
        os.sched_setaffinity(0, self._cpus)  # of this thread
        while not self._ended:
            if not self._asking.wait(0.1):
                continue
            text = self.get(port)
            with self._count:
                self.looks += '\nqemu_pr_helper_up{helper=' in text
            time.sleep(0.01)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        self._asking.set()
        yield
        self._asking.clear()
        time.sleep(0.03)  # what was asked has been answered

    def close(self) -> None:
        self._ended = True
        self._asking.set()
        for thread in self._threads:
            thread.join()
        for program in self._programs:
            program.kill()
            program.wait()


def ratios(server: Server, asked: Asked, measure_slice) -> Dict[str, float]:
    """Of each rank the median of the pairs' ratios: beside exporters, over alone."""
    pairs = []
    for turn in range(PAIRS):
        both = {}
        for beside in ((True, False) if turn % 2 else (False, True)):
            with asked.asking() if beside else contextlib.nullcontext():
                both[beside] = measure_slice(server)
        pairs.append(both)
    if asked.looks < PAIRS:
        raise RuntimeError(f"the exporters were answered {asked.looks} times only")
    return {f"beside_exporters_{rank}": statistics.median(
        both[True][f"{rank}_us"] / both[False][f"{rank}_us"] for both in pairs) for rank in RANKS}
