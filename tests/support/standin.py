# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test's side of the SG_IO stand-in (tests/standin/sgio.h, which explains each field).

A program of another machine under qemu-user has numbers of its own byte order in the control block."""
import ctypes
import mmap
import os
import platform
import sys
import threading
import time
from typing import List, NamedTuple, Optional

from . import scaled

MAGIC = 0x5347494F32303031
DEVICES = 16
CALLS = 1024
PARAMETERS = 32
DATA_MAX = 16384
PARAMETER_MAX = 8192
SENSE_MAX = 256
CDB_MAX = 32
TEXT_MAX = 128
EVERY_LOOP = 2**64 - 1

SG_DXFER_NONE = -1
SG_DXFER_TO_DEV = -2
SG_DXFER_FROM_DEV = -3

SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
FUTEX_WAKE = 1

_libc = ctypes.CDLL(None, use_errno=True)
#: tests/cross/run says the byte order.
_Structure = {"big": ctypes.BigEndianStructure, "little": ctypes.LittleEndianStructure}[
    os.environ.get("TEST_EMULATED", sys.byteorder)]


class _Device(_Structure):
    _fields_ = [
        ("rdev", ctypes.c_uint64), ("error", ctypes.c_int32), ("error_calls", ctypes.c_int32),
        ("status", ctypes.c_uint32), ("host_status", ctypes.c_uint32),
        ("driver_status", ctypes.c_uint32), ("residual", ctypes.c_int32),
        ("fixed_residual", ctypes.c_uint32), ("sense_size", ctypes.c_uint32),
        ("data_size", ctypes.c_uint32), ("delay_us", ctypes.c_uint32), ("hold", ctypes.c_uint32),
        ("entered", ctypes.c_uint32), ("left", ctypes.c_uint32), ("probe", ctypes.c_uint32),
        ("probe_number", ctypes.c_int64), ("probe_argument", ctypes.c_uint64 * 6),
        ("probe_pointers", ctypes.c_uint64), ("probe_result", ctypes.c_int64),
        ("probe_text", ctypes.c_char * TEXT_MAX),
        ("sense", ctypes.c_uint8 * SENSE_MAX), ("data", ctypes.c_uint8 * DATA_MAX)]


class _Call(_Structure):
    _fields_ = [
        ("rdev", ctypes.c_uint64), ("number", ctypes.c_uint32), ("interface_id", ctypes.c_int32),
        ("direction", ctypes.c_int32), ("command_size", ctypes.c_uint32),
        ("sense_room", ctypes.c_uint32), ("transfer_size", ctypes.c_uint32),
        ("has_buffer", ctypes.c_uint32), ("timeout_ms", ctypes.c_uint32),
        ("flags", ctypes.c_uint32), ("access", ctypes.c_int32), ("cdb", ctypes.c_uint8 * CDB_MAX)]


class _Control(_Structure):
    _fields_ = [
        ("magic", ctypes.c_uint64), ("calls", ctypes.c_uint32), ("foreign", ctypes.c_uint32),
        ("device", _Device * DEVICES), ("call", _Call * CALLS),
        ("parameters", (ctypes.c_uint8 * PARAMETER_MAX) * PARAMETERS)]


assert ctypes.sizeof(_Device) == 64 + 72 + 128 + 256 + 16384 and ctypes.sizeof(_Call) == 48 + 32


class Call(NamedTuple):
    """One SG_IO as the device saw it."""
    number: int
    rdev: int
    interface_id: str
    direction: int
    sense_room: int
    transfer_size: int
    has_buffer: bool
    timeout_ms: int
    flags: int
    access: int
    cdb: bytes
    parameters: bytes


class Device:
    """What one device answers. By default: GOOD, no data, every byte of a buffer left over."""

    def __init__(self, control: "Control", slot: _Device):
        self._control = control
        self._slot = slot

    @property
    def rdev(self) -> int:
        return self._slot.rdev

    def answer(self, data: bytes = b"", status: int = 0, host_status: int = 0,
               driver_status: int = 0, sense: bytes = b"", sense_size: Optional[int] = None,
               residual: Optional[int] = None, error: int = 0, error_calls: int = -1,
               delay: float = 0.0) -> None:
        """Script the next commands. residual None is what data leaves of the buffer; the first
        error_calls of them (-1: all) fail with errno error; delay in seconds."""
        slot = self._slot
        slot.probe = 0
        slot.error, slot.error_calls = error, error_calls
        slot.status, slot.host_status, slot.driver_status = status, host_status, driver_status
        slot.fixed_residual, slot.residual = residual is not None, residual or 0
        slot.sense_size = len(sense) if sense_size is None else sense_size
        slot.data_size = len(data)
        slot.delay_us = int(delay * 1e6)
        ctypes.memset(slot.sense, 0, SENSE_MAX)
        ctypes.memmove(slot.sense, sense, len(sense))
        ctypes.memset(slot.data, 0, DATA_MAX)
        ctypes.memmove(slot.data, data, len(data))

    def probe(self, number: int, *arguments: object) -> None:
        """The next commands make this system call. An argument that is bytes is passed by its
        address; at most one can be."""
        slot = self._slot
        slot.probe_number, slot.probe_pointers, slot.probe_result = number, 0, 0
        for index in range(6):
            value = arguments[index] if index < len(arguments) else 0
            if isinstance(value, bytes):
                slot.probe_text = value
                slot.probe_pointers |= 1 << index
                value = 0
            slot.probe_argument[index] = value % 2**64
        slot.probe = 1

    @property
    def probe_result(self) -> int:
        """What it returned, a negative errno if it failed."""
        return self._slot.probe_result

    def hold(self) -> None:
        """Commands hang from now on."""
        self._slot.hold = 1

    def release(self) -> None:
        self._slot.hold = 0
        address = ctypes.addressof(self._slot) + _Device.hold.offset
        _libc.syscall(SYS_FUTEX[platform.machine()], ctypes.c_void_p(address), FUTEX_WAKE,
                      2**31 - 1, None, None, 0)

    @property
    def entered(self) -> int:
        return self._slot.entered

    @property
    def running(self) -> int:
        return self._slot.entered - self._slot.left

    def settle(self, timeout: float = 0.05) -> bool:
        """Let everything go and start again from no command. False: some never came back, because
        their program was killed, or still are on their way."""
        self.release()
        deadline = time.monotonic() + scaled(timeout)
        while self.running:
            if time.monotonic() > deadline:
                self._slot.left = self._slot.entered
                return False
            time.sleep(0.001)
        return True

    def wait_running(self, count: int, timeout: float = 10.0) -> None:
        """Until count commands are in the device."""
        deadline = time.monotonic() + scaled(timeout)
        while self.running != count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.running} commands run on the device, not {count}")
            time.sleep(0.001)

    def calls(self) -> List[Call]:
        """The commands that reached this device since the last Control.forget()."""
        return [call for call in self._control.calls() if call.rdev == self._slot.rdev]


class Control:
    """The control block: one for a run, shared by every helper that the run starts."""

    def __init__(self, directory: str, library: str):
        self.library = library
        self.path = os.path.join(directory, "sgio")
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.fchmod(fd, 0o666)
            os.ftruncate(fd, ctypes.sizeof(_Control))
            self._map = mmap.mmap(fd, ctypes.sizeof(_Control))
        finally:
            os.close(fd)
        self._block = _Control.from_buffer(self._map)
        self._block.magic = MAGIC
        self._start = 0
        self._lock = threading.Lock()

    def environment(self) -> dict:
        """What a program needs in its environment to run on the stand-in."""
        return {
            "LD_PRELOAD": self.library,
            "SGIO_CONTROL": self.path,
            # The stand-in only wraps ioctl, so it may come before the sanitizer's run-time.
            "ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"),
                                                   "verify_asan_link_order=0"])),
        }

    def device(self, rdev: int) -> Device:
        """The slot of a device, by st_rdev; taken at its first use."""
        with self._lock:
            for slot in self._block.device:
                if slot.rdev in (0, rdev):
                    slot.rdev = rdev
                    return Device(self, slot)
        raise RuntimeError("no slot left in the control block")

    def forget(self) -> None:
        """Later calls() and foreign start here."""
        self._start = self._block.calls
        self._block.foreign = 0

    @property
    def foreign(self) -> int:
        """How many SG_IO went to what is no device of ours, since forget()."""
        return self._block.foreign

    def calls(self) -> List[Call]:
        """What reached any device since forget(), oldest first."""
        last = self._block.calls
        first = max(self._start, last - CALLS)
        found = []
        for number in range(first + 1, last + 1):
            raw = self._block.call[(number - 1) % CALLS]
            if raw.number != number:
                raise AssertionError(f"record {number} is not complete")
            sent = b""
            if raw.direction == SG_DXFER_TO_DEV and number > last - PARAMETERS:
                area = self._block.parameters[(number - 1) % PARAMETERS]
                sent = bytes(area[:min(raw.transfer_size, PARAMETER_MAX)])
            found.append(Call(number, raw.rdev, chr(raw.interface_id), raw.direction,
                              raw.sense_room, raw.transfer_size, bool(raw.has_buffer),
                              raw.timeout_ms, raw.flags, raw.access,
                              bytes(raw.cdb[:raw.command_size]), sent))
        return found
