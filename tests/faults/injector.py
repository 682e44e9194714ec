# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test's side of the injector (tests/faults/inject.h, which explains each field)."""
import contextlib
import ctypes
import errno
import mmap
import os
import time
from typing import Dict, Iterator, List, NamedTuple, Tuple

from support import scaled

MAGIC = 0x494E4A4543543031
DEPTHS = 4
CALLS = 1024
EVERY = 2**32 - 1

_seccomp = ctypes.CDLL("libseccomp.so.2")
_seccomp.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
_ARCH_NATIVE = 0


def call_name(number: int) -> str:
    name = _seccomp.seccomp_syscall_resolve_num_arch(_ARCH_NATIVE, number)
    return name.decode() if name else f"call {number}"


def call_number(name: str) -> int:
    return _seccomp.seccomp_syscall_resolve_name(name.encode())


class Fault(NamedTuple):
    """From the nth call of that name at this depth on, so many fail with error."""
    depth: int
    call: str
    nth: int
    error: int
    times: int = 1

    def __str__(self) -> str:
        times = "" if self.times == 1 else " and all after it"
        return f"{self.call} {self.nth}{times}: {errno.errorcode[self.error]}"


class _Control(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint64), ("state", ctypes.c_uint32), ("depth", ctypes.c_uint32),
        ("number", ctypes.c_uint32), ("nth", ctypes.c_uint32), ("times", ctypes.c_uint32),
        ("error", ctypes.c_uint32), ("hits", ctypes.c_uint32), ("running", ctypes.c_uint32),
        ("begin", ctypes.c_uint32), ("pid", ctypes.c_uint32 * DEPTHS), ("count", (ctypes.c_uint32 * CALLS) * DEPTHS)]


class Injector:
    """One for each program that runs at a time."""

    def __init__(self, build: str, directory: str):
        self.binary = os.path.join(build, "tests", "faults", "inject")
        self.path = os.path.join(directory, "inject")
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, ctypes.sizeof(_Control))
            self._map = mmap.mmap(fd, ctypes.sizeof(_Control))
        finally:
            os.close(fd)
        self._block = _Control.from_buffer(self._map)
        self._block.magic = MAGIC
        # Every program of the project begins with a look at its standard fds.
        self._block.begin = call_number("fcntl")

    @property
    def prefix(self) -> List[str]:
        """What a command line begins with to have calls fail."""
        return [self.binary, self.path]

    def environment(self, base: Dict[str, str]) -> Dict[str, str]:
        """What a program needs in its environment, beside that."""
        return base

    def forget(self) -> None:
        """The next call of each kind is the first."""
        self._block.state = 0
        self._block.hits = 0
        ctypes.memset(self._block.count, 0, ctypes.sizeof(self._block.count))

    def arm(self, fault: Fault) -> None:
        self.forget()
        block = self._block
        block.depth, block.number = fault.depth, call_number(fault.call)
        block.nth, block.times, block.error = fault.nth, fault.times, fault.error
        block.state = 1

    def disarm(self) -> None:
        self._block.state = 0

    @property
    def hits(self) -> int:
        return self._block.hits

    @property
    def running(self) -> bool:
        """Whether any process of the program is left."""
        return bool(self._block.running)

    def pid(self, depth: int) -> int:
        """The latest process there, 0 if there was none."""
        return self._block.pid[depth]

    def counts(self) -> Dict[Tuple[int, str], int]:
        """How often each call was made, by depth and name."""
        return {(depth, call_name(number)): count
                for depth in range(DEPTHS) for number, count in enumerate(self._block.count[depth])
                if count}

    @contextlib.contextmanager
    def armed(self, fault: Fault) -> Iterator[None]:
        self.arm(fault)
        try:
            yield
        finally:
            self.disarm()

    def quiet(self, still: float = 0.01, timeout: float = 5.0) -> None:
        """Until no call has been made for a moment: what was asked for is over."""
        deadline = time.monotonic() + scaled(timeout)
        before = None
        while before != (now := bytes(self._block.count)):
            if time.monotonic() > deadline:
                raise AssertionError("it does not come to rest")
            before = now
            time.sleep(still)


class _Shortage(ctypes.Structure):
    _fields_ = [("calls", ctypes.c_uint32), ("first", ctypes.c_uint32), ("times", ctypes.c_uint32),
                ("hits", ctypes.c_uint32), ("close_error", ctypes.c_int32)]


class Memory(Injector):
    """Lets allocations fail (tests/preload/nomem.c), and close(2) say errors, instead of system
    calls. Those of all processes are counted together."""

    ALLOCATION, CLOSE = "allocation", "close"

    def __init__(self, build: str, directory: str):
        super().__init__(build, directory)
        self.library = os.path.join(build, "tests", "preload", "libnomem.so")
        self._shortage_path = os.path.join(directory, "nomem")
        with open(self._shortage_path, "w+b") as file:
            file.truncate(ctypes.sizeof(_Shortage))
            self._shortage_map = mmap.mmap(file.fileno(), ctypes.sizeof(_Shortage))
        self._shortage = _Shortage.from_buffer(self._shortage_map)

    def environment(self, base: Dict[str, str]) -> Dict[str, str]:
        preload = ":".join(filter(None, (base.get("LD_PRELOAD"), self.library)))
        return {**base, "LD_PRELOAD": preload, "NOMEM_CONTROL": self._shortage_path}

    def forget(self) -> None:
        super().forget()
        ctypes.memset(ctypes.addressof(self._shortage), 0, ctypes.sizeof(_Shortage))

    def arm(self, fault: Fault) -> None:
        self.forget()
        if fault.call == self.CLOSE:
            self._shortage.close_error = fault.error
        else:
            self._shortage.first, self._shortage.times = fault.nth, fault.times

    def disarm(self) -> None:
        self._shortage.times = self._shortage.close_error = 0

    @property
    def hits(self) -> int:
        return self._shortage.hits

    def counts(self) -> Dict[Tuple[int, str], int]:
        return {(0, self.ALLOCATION): self._shortage.calls}
