# SPDX-License-Identifier: LGPL-2.1-or-later
"""System calls made by a thread of another process: what would an attacker in it be allowed?

The thread is stopped in the system call that it waits in (ptrace), made to execute another one by
the same instruction, and put back. The kernel's filters see a call of that thread like any other:
they stand after the tracer, and have the last word.
"""
import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import time
from typing import Optional, Union

from . import procfs, scaled
from .tap import Skip

PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_DETACH, PTRACE_SYSCALL = 12, 13, 17, 24
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
PTRACE_O_TRACESYSGOOD = 1
PTRACE_O_EXITKILL = 1 << 20
SYSCALL_STOP = signal.SIGTRAP | 0x80
WALL = 0x40000000

#: The two-byte instructions, and how registers carry a call: its number, then the arguments.
SYSCALL = b"\x0f\x05"
INT80 = b"\xcd\x80"  # a call by the numbers of i386
ARGUMENTS = {SYSCALL: ("rdi", "rsi", "rdx", "r10", "r8", "r9"),
             INT80: ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp")}

#: Below the stack of a stopped thread, and below what the ABI lets it use there.
SCRATCH = 8192
#: What a filter that kills leaves pending, while the call only seems to return.
FATAL = 1 << signal.SIGSYS - 1
#: What the kernel has a system call return that shall be made again.
RESTART = range(-516, -511)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class _Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
        "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds",
        "es", "fs", "gs")]


class Killed(Exception):
    """The call ends the process, or at least the thread, by this signal."""

    def __init__(self, number: int):
        super().__init__(f"killed by signal {number}")
        self.signal = number


def needs_injection() -> None:
    """Skip where this cannot be done."""
    if platform.machine() != "x86_64" or struct.calcsize("P") != 8:
        raise Skip(f"registers of {platform.machine()} are not known here")
    if os.geteuid() != 0:
        raise Skip("only root can trace a process that is not dumpable")


def _ptrace(request: int, tid: int, data: Union[int, _Registers] = 0) -> None:
    pointer = ctypes.addressof(data) if isinstance(data, _Registers) else data
    if _libc.ptrace(request, tid, None, pointer) < 0:
        number = ctypes.get_errno()
        if request == PTRACE_SEIZE and number == errno.EPERM:
            raise Skip("processes cannot be traced here")
        raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


def _wait_stop(tid: int, wanted: Optional[int]) -> None:
    """Until it has stopped. An end is left for others to take note of, too."""
    news = os.waitid(os.P_PID, tid, os.WEXITED | os.WSTOPPED | os.WNOWAIT | WALL)
    assert news
    if news.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        raise Killed(news.si_status)
    os.waitpid(tid, WALL)
    if news.si_status == signal.SIGSEGV:
        raise Skip("calls cannot be made by that instruction here")
    if news.si_code != os.CLD_TRAPPED or wanted not in (None, news.si_status & 0xFF):
        raise AssertionError(f"thread {tid} has not stopped as expected: {news}")


def _poke(tid: int, address: int, data: bytes) -> None:
    """Also where the thread itself may not write."""
    with open(f"/proc/{tid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(data)


def _instruction(tid: int, registers: _Registers) -> Optional[int]:
    """Where the system call is that the thread is in, or about to enter; None: it does something
    else."""
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        memory.seek(registers.rip - len(SYSCALL))
        code = memory.read(2 * len(SYSCALL))
    if code.startswith(SYSCALL):
        return registers.rip - len(SYSCALL)
    if code.endswith(SYSCALL):
        return registers.rip
    return None


def _stop(tid: int, ret_saved: _Registers) -> int:
    """Stop a thread in a system call; its registers, and where the call is. One that waits with a
    time-out may be between two calls, and on a busy machine it stays there for a while."""
    deadline = time.monotonic() + scaled(5)
    while True:
        _ptrace(PTRACE_SEIZE, tid, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
        _ptrace(PTRACE_INTERRUPT, tid)
        _wait_stop(tid, signal.SIGTRAP)
        _ptrace(PTRACE_GETREGS, tid, ret_saved)
        address = _instruction(tid, ret_saved)
        if address is not None:
            return address
        _ptrace(PTRACE_DETACH, tid)
        if time.monotonic() > deadline:
            raise AssertionError(f"thread {tid} does not wait in a system call")
        time.sleep(0.001)


def _make(tid: int, saved: _Registers, address: int, instruction: bytes, number: int,
          arguments: tuple) -> int:
    registers = _Registers.from_buffer_copy(saved)
    registers.rip, registers.rax, registers.orig_rax = address, number, 2**64 - 1
    room = saved.rsp - SCRATCH
    for name, value in zip(ARGUMENTS[instruction], arguments):
        if isinstance(value, bytes):
            _poke(tid, room, value + b"\0")
            value, room = room, room + (len(value) + 16 & ~15)
        setattr(registers, name, value % 2**64)
    _ptrace(PTRACE_SETREGS, tid, registers)
    for _ in ("entry", "exit"):
        _ptrace(PTRACE_SYSCALL, tid)
        _wait_stop(tid, SYSCALL_STOP)
    _ptrace(PTRACE_GETREGS, tid, registers)
    return ctypes.c_int64(registers.rax).value


def call(tid: int, number: int, *arguments: Union[int, bytes], instruction: bytes = SYSCALL) -> int:
    """Have a thread, which waits in some system call, make another one. Arguments that are bytes
    are passed by their address. Returns what it returned, a negative errno if it failed."""
    saved = _Registers()
    address = _stop(tid, saved)
    _poke(tid, address, instruction)
    try:
        result = _make(tid, saved, address, instruction, number, arguments)
    finally:
        with contextlib.suppress(OSError):  # it may be gone
            _poke(tid, address, SYSCALL)
    if ctypes.c_int64(saved.rax).value in RESTART:
        saved.rip, saved.rax = address, saved.orig_rax
    saved.orig_rax = 2**64 - 1
    _ptrace(PTRACE_SETREGS, tid, saved)
    fatal = int(procfs.status(tid)["SigPnd"], 16) & FATAL
    _ptrace(PTRACE_DETACH, tid)
    if fatal:
        raise Killed(signal.SIGSYS)
    return result
