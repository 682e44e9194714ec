# SPDX-License-Identifier: LGPL-2.1-or-later
"""SCSI persistent reservations by way of a qemu-pr-helper: libprhelper(3) for Python.

    with prhelper.Connection("/run/qemu-pr-helper.sock") as helper, open("/dev/sdX", "r+b") as disk:
        helper.register_ignore(disk, 0xabc)
        print(helper.read_keys(disk).keys)

Connection waits, AsyncConnection is the same for asyncio. A command that was not GOOD raises:

    OSError        there is no helper, no permission, no time left (TimeoutError) ...
    ProtocolError  the helper, or the caller, broke the rules of the protocol
    StatusError    the device answered with another status: ReservationConflict, CheckCondition ...

Each has `outcome`: whether the command was carried out. If it is Outcome.UNKNOWN, look at the device
before anything is written to it. A command that is interrupted, by KeyboardInterrupt or when its task is
cancelled, ends its connection, and the exception has `outcome` too.

One command at a time may be under way on a connection. `device` is an fd or has fileno(); it has to
be open for writing for what changes something. Keys are numbers.
"""
from ._abi import ALL_TG_PT, APTPL, FEATURE_CLEANUP, UNREG
from ._aio import AsyncConnection
from ._connection import Connection
from ._types import (Capabilities, CheckCondition, Code, FullStatus, Keys, Outcome, ProtocolError,
                     Registrant, Reservation, ReservationConflict, Result, Sense, StatusError, Type,
                     describe_transportid, parse_transportid, version)

__all__ = [
    "ALL_TG_PT", "APTPL", "AsyncConnection", "Capabilities", "CheckCondition", "Code", "Connection",
    "FEATURE_CLEANUP", "FullStatus", "Keys", "Outcome", "ProtocolError", "Registrant", "Reservation",
    "ReservationConflict", "Result", "Sense", "StatusError", "Type", "UNREG", "describe_transportid",
    "parse_transportid", "version",
]
