# SPDX-License-Identifier: LGPL-2.1-or-later
"""CDBs, parameter lists and sense data of the two persistent-reservation commands."""
import struct

PR_IN = 0x5E
PR_OUT = 0x5F
CLEANUP = 0xFF

READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)
(REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE,
 REGISTER_AND_MOVE) = range(8)

GOOD = 0x00
CHECK_CONDITION = 0x02
BUSY = 0x08
RESERVATION_CONFLICT = 0x18
TASK_SET_FULL = 0x28

SENSE_SIZE = 96
DATA_MAX = 8192


def pr_in(allocation: int, action: int = READ_KEYS, filler: bytes = bytes(6)) -> bytes:
    """PERSISTENT RESERVE IN; filler goes to bytes 10 to 15, which are no part of the command."""
    return struct.pack(">BB5xHB", PR_IN, action, allocation, 0) + filler


def pr_out(length: int, action: int = REGISTER, scope_type: int = 0,
           filler: bytes = bytes(6)) -> bytes:
    """PERSISTENT RESERVE OUT; the length field is that of the standard, CDB bytes 5 to 8."""
    return struct.pack(">BBB2xIB", PR_OUT, action, scope_type, length, 0) + filler


def cleanup() -> bytes:
    return bytes([CLEANUP]) + bytes(15)


def parameters(key: int = 0, action_key: int = 0, flags: int = 0) -> bytes:
    """The basic parameter list of PERSISTENT RESERVE OUT, 24 bytes."""
    return struct.pack(">QQ4xB3x", key, action_key, flags)


def read_keys_data(*keys: int, generation: int = 1) -> bytes:
    return struct.pack(">II", generation, 8 * len(keys)) + b"".join(
        struct.pack(">Q", key) for key in keys)


def sense(key: int, asc: int, ascq: int) -> bytes:
    """Fixed-format sense data as the helper builds it, filled up to 96 bytes."""
    return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]) + bytes(82)


NO_SENSE = bytes(SENSE_SIZE)
