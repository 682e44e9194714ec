# SPDX-License-Identifier: LGPL-2.1-or-later
"""In the guest: hosts that write all the time, and know which of their writes may land.

Each write has a number, which it puts into a block of its host's own. What a host's last command
means for its writes the test says: from when it has been answered each write MUST land, or MUST NOT;
while a command is under way that changes it, EITHER. A write that began before the last change is
not judged.
"""
import mmap
import os
import struct
import threading
import time
from typing import List, Optional

import lab
from support import scaled

MUST, MUST_NOT, EITHER = "must land", "must not land", "either"
BLOCK = 4096
PAUSE = 0.001


class Judged:
    """What all writers have in common. disk: the file behind all hosts' devices; block: the writer's
    own; pause: seconds between two writes."""

    def __init__(self, name: str, disk: str, block: int, pause: float):
        self.name, self.disk, self.block, self.pause = name, disk, block, pause
        self.failures: List[str] = []
        self._lock = threading.Lock()
        # Goes on where the one before ended, whose last write is still on the disk.
        self._rule, self._change, self._done, self._number = EITHER, 0, 0, self.landed()
        self._barred: Optional[int] = None  # writes from this one on must not land
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, number: int) -> int:
        """Write it into the block: 0, or an errno."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self._ends:
            with self._lock:
                change = self._change
                self._number += 1
                number = self._number
            error = self.put(number)
            with self._lock:
                if change == self._change:
                    self._judge(number, error)
            time.sleep(self.pause)

    def _judge(self, number: int, error: int) -> None:
        self._done += 1
        if self._rule == MUST and error:
            self.failures.append(f"write {number} of {self.name}: {os.strerror(error)}")
        elif self._rule == MUST_NOT and not error:
            self.failures.append(f"write {number} of {self.name} landed")

    def landed(self) -> int:
        """The number of the last write that has got to the disk."""
        with open(self.disk, "rb") as file:
            file.seek(self.block * BLOCK)
            return int.from_bytes(file.read(8), "big")

    def rule(self, rule: str, writes: int = 6) -> None:
        """From now on. Returns when so many writes have been judged by it."""
        self._check()
        with self._lock:
            self._rule, self._done = rule, 0
            self._change += 1
            first = self._number + 1
        if rule == EITHER:
            return
        lab.wait_for(f"{writes} writes of {self.name}", lambda: self._done >= writes, 60)
        if rule == MUST_NOT:
            self._barred = first

    def _check(self) -> None:
        if self._barred is not None and self.landed() >= self._barred:
            self.failures.append(f"{self.name} was told that write {self._barred} failed, and "
                                 f"{self.landed()} is on the disk")
        self._barred = None

    def close(self) -> None:
        """Ends; a write that hangs is left alone."""
        self._ends = True
        self._thread.join(scaled(20))
        self._check()


class Writer(Judged):
    """One of this machine's. node: its device."""

    def __init__(self, name: str, node: str, disk: str, block: int):
        self._fd = os.open(node, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        super().__init__(name, disk, block, PAUSE)

    def put(self, number: int) -> int:
        with mmap.mmap(-1, BLOCK) as buffer:
            buffer[:8] = struct.pack(">Q", number)
            try:
                os.pwritev(self._fd, [buffer], self.block * BLOCK)
            except OSError as fault:
                return fault.errno
        return 0

    def close(self) -> None:
        super().close()
        if not self._thread.is_alive():
            os.close(self._fd)
