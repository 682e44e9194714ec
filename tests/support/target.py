# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulated target behind several paths (tests/standin/target.h), from the test's side."""
import ctypes
from typing import List, NamedTuple, Tuple

from . import scsi

PATHS_MAX, LOG_MAX = 256, 4096
HANG, LATE = 1, 2


class Sense(ctypes.Structure):
    _fields_ = [("key", ctypes.c_uint8), ("asc", ctypes.c_uint8), ("ascq", ctypes.c_uint8)]


class Path(ctypes.Structure):
    _fields_ = [("rdev", ctypes.c_uint64), ("nexus", ctypes.c_uint32),
                ("target_port", ctypes.c_uint32), ("hang", ctypes.c_uint32),
                ("only_out", ctypes.c_uint32), ("error", ctypes.c_uint32),
                ("host_status", ctypes.c_uint32), ("status", ctypes.c_uint32), ("sense", Sense),
                ("times", ctypes.c_uint32)]


class Record(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("path", "opcode", "service_action", "status")]


class Control(ctypes.Structure):
    """What of struct target is not the logical unit."""
    _fields_ = [("magic", ctypes.c_uint64), ("lock", ctypes.c_uint32), ("n_paths", ctypes.c_uint32),
                ("no_full_status", ctypes.c_uint32), ("swapped", ctypes.c_uint32),
                ("logged", ctypes.c_uint32), ("path", Path * PATHS_MAX), ("log", Record * LOG_MAX)]


class Answer(NamedTuple):
    status: int
    sense: Tuple[int, int, int]
    data: bytes


class Registration(NamedTuple):
    nexus: int
    key: int


class Target:
    """A logical unit. Nexuses are numbers; the first ones are those of paths."""

    def __init__(self, library: str, file: str, ports: int = 4):
        self.file = file
        self._library = ctypes.CDLL(library)
        self._library.target_new.restype = ctypes.POINTER(Control)
        self._library.target_new.argtypes = [ctypes.c_char_p, ctypes.c_uint]
        self._library.target_may_write.restype = ctypes.c_bool
        self._control = self._library.target_new(file.encode(), ports)
        assert self._control, file
        self.control = self._control.contents
        self._nexuses: dict = {}

    def login(self, nexus: int, initiator: str, port: int) -> int:
        assert self._library.target_login(self._control, nexus, initiator.encode(), port) == nexus
        self._nexuses[nexus] = None
        return nexus

    def add_path(self, rdev: int, nexus: int, port: int) -> Path:
        path = self.control.path[self.control.n_paths]
        path.rdev, path.nexus, path.target_port = rdev, nexus, port
        self.control.n_paths += 1
        return path

    def execute(self, nexus: int, cdb: bytes, parameters: bytes = b"") -> Answer:
        data = ctypes.create_string_buffer(8192)
        sense, size = ctypes.c_uint32(), ctypes.c_uint32()
        while True:
            status = self._library.target_execute(
                self._control, nexus, cdb[:10], parameters, len(parameters), data,
                0 if parameters else len(data), ctypes.byref(sense), ctypes.byref(size))
            code = (sense.value >> 16, sense.value >> 8 & 0xFF, sense.value & 0xFF)
            if code[0] != 6:  # a unit attention is not for the test
                return Answer(status, code, data.raw[:size.value])

    def out(self, nexus: int, action: int, key: int = 0, new: int = 0, kind: int = 0) -> int:
        """Another host's PERSISTENT RESERVE OUT; its status."""
        parameters = scsi.parameters(key, new)
        return self.execute(nexus, scsi.pr_out(len(parameters), action, kind), parameters).status

    def descriptors(self, nexus: int) -> List[bytes]:
        """Of READ FULL STATUS (SPC-4 6.15.5), no matter what other nexuses get to see."""
        hidden, self.control.no_full_status = self.control.no_full_status, 0
        swapped, self.control.swapped = self.control.swapped, 0
        data = self.execute(nexus, scsi.pr_in(8192, scsi.READ_FULL_STATUS)).data
        self.control.no_full_status, self.control.swapped = hidden, swapped
        descriptors, at = [], 8
        while at < len(data):
            size = 24 + int.from_bytes(data[at + 20:at + 24], "big")
            descriptors.append(data[at:at + size])
            at += size
        return descriptors

    def registrations(self, nexus: int) -> List[Tuple[bytes, int, int]]:
        """TransportID, relative target port, key of each, as any nexus reads them."""
        return sorted((one[24:], int.from_bytes(one[18:20], "big"), int.from_bytes(one[:8], "big"))
                      for one in self.descriptors(nexus))

    def keys(self, nexus: int) -> List[int]:
        return sorted(key for _, _, key in self.registrations(nexus))

    def holder(self, nexus: int) -> Tuple[int, List[Tuple[bytes, int]]]:
        """Type of the reservation (0: none), and TransportID and target port of its holders."""
        holders = [one for one in self.descriptors(nexus) if one[12] & 1]
        return (holders[0][13] & 0xF if holders else 0,
                [(one[24:], int.from_bytes(one[18:20], "big")) for one in holders])

    def may_write(self, nexus: int) -> bool:
        return bool(self._library.target_may_write(self._control, nexus))

    def hang(self, path: int, how: int = HANG, only_out: bool = False) -> None:
        self._library.target_set_hang(self._control, path, how, int(only_out))

    def go_on(self, path: int) -> None:
        self.hang(path, 0)

    def fail(self, path: int, error: int = 0, host_status: int = 0, status: int = 0,
             sense: tuple = (0, 0, 0), times: int = 0) -> None:
        one = self.control.path[path]
        one.sense = Sense(*sense)
        one.error, one.host_status, one.times, one.status = error, host_status, times, status

    def heal(self, path: int) -> None:
        self.fail(path)

    def log(self, opcode: int = 0x5F) -> List[Tuple[int, int]]:
        """Path and service action of each command so far that has this operation code."""
        return [(one.path, one.service_action) for one in self.control.log[:self.control.logged]
                if one.opcode == opcode]
