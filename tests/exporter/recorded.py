# SPDX-License-Identifier: LGPL-2.1-or-later
"""Status documents that were recorded, from many sockets by one thread; and what a look at them costs."""
import os
import selectors
import socket
import threading
import time
from typing import Dict, List, NamedTuple

from support import scaled


class Recorded:
    """Many status sockets by one thread, each of which says its text to every reader, or less of it."""

    def __init__(self, texts: Dict[str, bytes], hang: bool = False):
        self.readers = 0
        self._hang = hang
        self._selector = selectors.DefaultSelector()
        self._listeners: List[socket.socket] = []
        for path, text in texts.items():
            one = socket.socket(socket.AF_UNIX)
            one.bind(path)
            one.listen(64)
            one.setblocking(False)
            self._listeners.append(one)
            self._selector.register(one, selectors.EVENT_READ, text)
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._held: List[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            for event, _ in self._selector.select():
                if event.fileobj is self._wake:
                    return
                try:
                    reader, _ = event.fileobj.accept()
                except OSError:
                    continue
                self.readers += 1
                self._tell(reader, event.data)

    def _tell(self, reader: socket.socket, text: bytes) -> None:
        reader.setblocking(False)
        try:
            reader.send(text)  # what fits: no reader is waited for
        except OSError:
            pass
        if self._hang:
            self._held.append(reader)
        else:
            reader.close()

    def close(self) -> None:
        self._waker.send(b"x")
        self._thread.join(scaled(10))
        for one in (*self._listeners, *self._held, self._wake, self._waker):
            one.close()
        self._selector.close()


def cpu_s(pid: int) -> float:
    """Processor time of a process."""
    # What clock_getcpuclockid(3) computes, CPUCLOCK_SCHED being 2.
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def machine_s() -> float:
    """Processor time that all processes together have used, or another machine has."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Of one scrape: seconds that it took, the exporter's processor time, and that of other processes."""
    wall: float
    cpu: float
    others: float


class Meter:
    """Around one scrape."""

    def __init__(self, pid: int):
        self._pid = pid
        self._before = self._now()

    def _now(self) -> List[float]:
        own = os.times()
        return [time.monotonic(), cpu_s(self._pid), own.user + own.system, machine_s()]

    def stop(self) -> Cost:
        wall, cpu, own, machine = (now - before for now, before in zip(self._now(), self._before))
        return Cost(wall, cpu, max(0.0, machine - own - cpu))
