# SPDX-License-Identifier: LGPL-2.1-or-later
"""A SCSI host adapter of a virtual machine, driven from outside: no guest runs in there.

QEMU's qtest protocol reads and writes the machine's memory and I/O ports. That is all that a
driver needs: VirtioScsi sets up a virtio-scsi-pci adapter in its legacy layout (virtio 1.1, 2.6.2,
2.7.2, 4.1.4.8, 5.6) and puts SCSI commands into its request queue. A command takes milliseconds,
where a guest's boot would take minutes, and each of its bytes is ours to choose and to see.
"""
import socket
import struct
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

from support import pause, scaled, scsi

#: The adapter's place on the PCI bus, for -device addr=.
ADDRESS = 4
#: Asked for: the time to clear the rings counts. QEMU 10.0.13 has 1024 all the same.
QUEUE_SIZE, QUEUE_SIZE_MAX = 16, 1024
#: Seconds in which a command ends.
ANSWERED = 15.0
#: Commands at a time.
SLOT_COUNT = QUEUE_SIZE // 4
SENSE_SIZE = 96

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
PCI_COMMAND, PCI_BAR0 = 0x04, 0x10
PCI_IO, PCI_MASTER = 1, 4

PORTS = 0xC000
GUEST_FEATURES, QUEUE_PFN, QUEUE_NUM, QUEUE_SELECT, QUEUE_NOTIFY, STATUS = 4, 8, 12, 14, 16, 18
ACKNOWLEDGE, DRIVER, DRIVER_OK = 1, 2, 4
REQUEST_QUEUE = 2

PAGE = 4096
RINGS = 0x100000
SLOTS = RINGS + 16 * PAGE
#: Of a slot: the request at its beginning, then the response, then the data.
RESPONSE, DATA, SLOT_SIZE = 512, 1024, 32 * 1024
DATA_MAX = SLOT_SIZE - DATA
NEXT, DEVICE_WRITES = 1, 2

REQUEST = struct.Struct("<8sQ3x32s")
RESPONSE_HEAD = struct.Struct("<IIHBB")
#: Single-level LUN 0 of target 0, as virtio-scsi encodes it.
LUN = bytes([1, 0, 0x40, 0, 0, 0, 0, 0])


class NoAnswer(AssertionError):
    """A command did not end in time."""


class Qtest:
    """The protocol: a line for each command, answered in order by a line that begins with OK."""

    def __init__(self, path: str, timeout: float = 30.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(scaled(timeout))
        begun = time.monotonic()
        while self.socket.connect_ex(path) != 0:  # not there yet, or not listening yet
            if time.monotonic() > begun + scaled(timeout):
                raise OSError(f"there is no listener on {path}")
            pause(begun)
        self._lines = self.socket.makefile("r", encoding="ascii")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def command(self, *lines: str) -> List[str]:
        """Several commands at once: what follows each OK."""
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())
        answers = []
        for line in lines:
            answer = self._lines.readline()
            if not answer.startswith("OK"):
                raise OSError(f"qtest: {line[:60]}: {answer.strip() or 'QEMU has ended'}")
            answers.append(answer[2:].strip())
        return answers


def write(address: int, data: bytes) -> str:
    return f"write {address:#x} {len(data):#x} 0x{data.hex()}"


def read(address: int, size: int) -> str:
    return f"read {address:#x} {size:#x}"


class Completion(NamedTuple):
    """What the guest gets: response is the adapter's own verdict, 0 if the rest counts."""
    status: int
    sense: bytes = b""
    data: bytes = b""
    response: int = 0

    @property
    def sense_code(self) -> Tuple[int, int, int]:
        """Sense key, ASC, ASCQ of fixed format, which is all that this house meets."""
        if len(self.sense) < 14:
            return 0, 0, 0
        return self.sense[2] & 0x0F, self.sense[12], self.sense[13]

    def __str__(self) -> str:
        text = {scsi.GOOD: "GOOD", scsi.BUSY: "BUSY",
                scsi.RESERVATION_CONFLICT: "RESERVATION CONFLICT"}.get(
                    self.status, f"status {self.status:02x}h")
        if self.status == scsi.CHECK_CONDITION:
            text = "CHECK CONDITION " + "/".join(f"{part:02X}" for part in self.sense_code)
        return text + (f", virtio-scsi response {self.response}" if self.response else "")


class VirtioScsi:
    """The driver of one adapter: up to SLOT_COUNT commands at a time."""

    def __init__(self, qtest: Qtest):
        self.qtest = qtest
        self._free = list(range(SLOT_COUNT))
        self._sizes: Dict[int, int] = {}
        self._available = self._used = 0
        self._set_up()

    def _set_up(self) -> None:
        self._configure(PCI_BAR0, PORTS)
        self._configure(PCI_COMMAND, PCI_IO | PCI_MASTER)
        port = self._port
        *_, size = self.qtest.command(
            port("outb", STATUS, 0), port("outb", STATUS, ACKNOWLEDGE),
            port("outb", STATUS, ACKNOWLEDGE | DRIVER), port("outl", GUEST_FEATURES, 0),
            port("outw", QUEUE_SELECT, REQUEST_QUEUE), f"inw {PORTS + QUEUE_NUM:#x}")
        self._size = int(size, 16)
        if not QUEUE_SIZE <= self._size <= QUEUE_SIZE_MAX:
            raise AssertionError(f"the request queue has {self._size} entries")
        # virtio 1.1, 2.6.2: descriptors, available ring, and on the next page the used ring.
        self._avail = RINGS + 16 * self._size
        self._used_ring = -(-(self._avail + 6 + 2 * self._size) // PAGE) * PAGE
        end = -(-(self._used_ring + 6 + 8 * self._size) // PAGE) * PAGE
        self.qtest.command(
            write(RINGS, bytes(end - RINGS)), port("outl", QUEUE_PFN, RINGS // PAGE),
            port("outb", STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK))

    def _configure(self, register: int, value: int) -> None:
        address = 1 << 31 | ADDRESS << 11 | register
        self.qtest.command(f"outl {CONFIG_ADDRESS:#x} {address:#x}",
                           f"outl {CONFIG_DATA:#x} {value:#x}")

    @staticmethod
    def _port(width: str, register: int, value: int) -> str:
        return f"{width} {PORTS + register:#x} {value:#x}"

    # -- commands

    def submit(self, cdb: bytes, data: bytes = b"", allocation: int = 0) -> int:
        """Start a command; the number by which collect() will know it."""
        slot = self._free.pop()
        base, first = SLOTS + slot * SLOT_SIZE, slot * 4
        parts = [(base, REQUEST.size, 0)]
        if data:
            parts.append((base + DATA, len(data), 0))
        parts.append((base + RESPONSE, RESPONSE_HEAD.size + SENSE_SIZE, DEVICE_WRITES))
        if allocation:
            parts.append((base + DATA, allocation, DEVICE_WRITES))
        descriptors = b"".join(
            struct.pack("<QIHH", address, size, flags | (NEXT if number < len(parts) else 0),
                        first + number if number < len(parts) else 0)
            for number, (address, size, flags) in enumerate(parts, 1))
        position = self._avail + 4 + 2 * (self._available % self._size)
        self._available = (self._available + 1) & 0xFFFF
        lines = [write(base, REQUEST.pack(LUN, slot, cdb)),
                 write(RINGS + 16 * first, descriptors),
                 write(position, struct.pack("<H", first)),
                 write(self._avail + 2, struct.pack("<H", self._available)),
                 self._port("outw", QUEUE_NOTIFY, REQUEST_QUEUE)]
        if data:
            lines.insert(0, write(base + DATA, data))
        self._sizes[slot] = allocation
        self.qtest.command(*lines)
        return slot

    def collect(self) -> Optional[Tuple[int, Completion]]:
        """A command that has ended, if there is one."""
        used = self._used_ring + 4 + 8 * (self._used % self._size)
        index, element = self.qtest.command(read(self._used_ring + 2, 2), read(used, 8))
        if struct.unpack("<H", bytes.fromhex(index[2:]))[0] == self._used:
            return None
        self._used = (self._used + 1) & 0xFFFF
        slot = struct.unpack("<II", bytes.fromhex(element[2:]))[0] // 4
        base, allocation = SLOTS + slot * SLOT_SIZE, self._sizes.pop(slot)
        answers = self.qtest.command(
            read(base + RESPONSE, RESPONSE_HEAD.size + SENSE_SIZE),
            *([read(base + DATA, allocation)] if allocation else []))
        raw, data = (bytes.fromhex(answer[2:]) for answer in (answers + ["0x"])[:2])
        sense_size, residual, _, status, response = RESPONSE_HEAD.unpack_from(raw)
        sense = raw[RESPONSE_HEAD.size:][:sense_size]
        self._free.append(slot)
        good = status == scsi.GOOD and response == 0
        return slot, Completion(status, sense, data[:allocation - residual] if good else b"",
                                response)

    def command(self, cdb: bytes, data: bytes = b"", allocation: int = 0) -> Completion:
        """One command from beginning to end; no other may be under way."""
        slot = self.submit(cdb, data, allocation)
        begun = time.monotonic()
        while True:
            ended = self.collect()
            if ended:
                if ended[0] != slot:
                    raise AssertionError(f"command {ended[0]} ended, not {slot}")
                return ended[1]
            if time.monotonic() > begun + scaled(ANSWERED):
                raise NoAnswer(f"no answer to CDB {cdb.hex(' ')} within {scaled(ANSWERED):.0f} s")
            pause(begun)
