# SPDX-License-Identifier: LGPL-2.1-or-later
"""In the guest: a worker that is killed, or stopped, at one of the points of a command
(tests/preload/points.c)."""
import ctypes
import mmap
import os

from support.tap import Skip

LIBRARY = "/payload/bin/libpoints.so"
WORKER = "/payload/bin/qemu-pr-mpath"
DIRECTORY = "/run/points"
TRACE_MAX = 256


class Control(ctypes.Structure):
    """struct points."""
    _fields_ = [*((name, ctypes.c_uint32) for name in ("passed", "kill_at", "stop_at_change",
                                                       "stopped", "major", "minor", "goes_on")),
                ("trace", ctypes.c_char * TRACE_MAX)]


class Points:
    """What helpers with --mpath-worker={path} share."""
    path = f"{DIRECTORY}/worker"

    def __init__(self) -> None:
        if not os.path.exists(LIBRARY):
            raise Skip("no libpoints.so")
        os.makedirs(DIRECTORY, exist_ok=True)
        with open(f"{DIRECTORY}/control", "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(self.path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n"
                       f"export LD_PRELOAD={LIBRARY} POINTS_FILE={DIRECTORY}/control\n"
                       f'exec {WORKER} "$@"\n')
        os.chmod(self.path, 0o755)
        with open(f"{DIRECTORY}/control", "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.control = Control.from_buffer(self._memory)
        self._is_to_kill = False

    def arm(self, kill_at: int = 0, stop_at_change: int = 0) -> None:
        """Of the points from now on, the first is 1; stop_at_change: of those before PERSISTENT
        RESERVE OUT."""
        ctypes.memset(ctypes.byref(self.control), 0, ctypes.sizeof(self.control))
        self.control.kill_at, self.control.stop_at_change = kill_at, stop_at_change
        self._is_to_kill = kill_at != 0

    @property
    def is_armed(self) -> bool:
        return self.control.kill_at != 0

    @property
    def was_killed(self) -> bool:
        return self._is_to_kill and not self.is_armed

    @property
    def is_settled(self) -> bool:
        """What was begun since arm() has ended: the answer, which comes last, is sent."""
        trace = self.trace()
        return not trace or trace[-1].isupper()

    @property
    def device(self) -> int:
        """To which the thread that stands is about to send."""
        return os.makedev(self.control.major, self.control.minor)

    def trace(self) -> str:
        """A letter for each point so far: o, j, m: before PERSISTENT RESERVE OUT, the journal,
        a message; O, J, M: after it."""
        return bytes(self._memory[28:28 + TRACE_MAX])[1:self.control.passed + 1].decode()
