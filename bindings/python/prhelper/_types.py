# SPDX-License-Identifier: LGPL-2.1-or-later
"""What commands return, and what they raise."""
import ctypes
import enum
from typing import List, NamedTuple, Optional, Tuple

from . import _abi
from ._library import lib


class Outcome(enum.IntEnum):
    """Whether a command was carried out."""
    DONE = _abi.OUTCOME_DONE
    NOT_DONE = _abi.OUTCOME_NOT_DONE  # and never will be: it may be sent again
    UNKNOWN = _abi.OUTCOME_UNKNOWN    # it may have been, or may still be: look at the device


class Code(enum.IntEnum):
    """What broke the rules of the protocol, or of the library: libprhelper(3), ERRORS."""
    BAD_ARGUMENT = _abi.BAD_ARGUMENT
    NO_FEATURE = _abi.NO_FEATURE
    IN_USE = _abi.IN_USE
    DEAD = _abi.DEAD
    CLOSED = _abi.CLOSED
    CUT = _abi.CUT
    BAD_STATUS = _abi.BAD_STATUS
    BAD_SIZE = _abi.BAD_SIZE
    UNEXPECTED = _abi.UNEXPECTED
    CANCELLED = _abi.CANCELLED
    TRUNCATED = _abi.TRUNCATED
    MALFORMED = _abi.MALFORMED


class Type(enum.IntEnum):
    """Types of persistent reservations."""
    WRITE_EXCLUSIVE = _abi.WRITE_EXCLUSIVE
    EXCLUSIVE_ACCESS = _abi.EXCLUSIVE_ACCESS
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = _abi.WRITE_EXCLUSIVE_REGISTRANTS_ONLY
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = _abi.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = _abi.WRITE_EXCLUSIVE_ALL_REGISTRANTS
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = _abi.EXCLUSIVE_ACCESS_ALL_REGISTRANTS


class Sense(NamedTuple):
    key: int
    asc: int
    ascq: int


class Result(NamedTuple):
    """An answer, good or bad."""
    status: int
    outcome: Outcome
    sense: bytes  # for CHECK CONDITION, else b""
    data: bytes
    text: str     # in words

    @property
    def sense_code(self) -> Optional[Sense]:
        """What the sense data says, if there is any that can be understood."""
        code = _abi.prhelper_sense()
        if lib.prhelper_sense_decode(self.sense, len(self.sense), code) != 0:
            return None
        return Sense(code.key, code.asc, code.ascq)


class Keys(NamedTuple):
    generation: int  # goes up with every change of registrations
    keys: List[int]  # one for each registration
    truncated: bool  # there are more than the protocol can carry


class Reservation(NamedTuple):
    generation: int
    held: bool
    scope: int
    type: int  # a Type, or another number of the device's
    key: int   # 0 if all registrants hold it


class Capabilities(NamedTuple):
    replace_lost: bool
    compatible: bool
    spec_i_pt: bool
    all_tg_pt: bool
    persistent: bool
    persistent_active: bool
    types: Optional[Tuple[int, ...]]  # None: the device does not say
    allow_commands: int


class Registrant(NamedTuple):
    key: int
    all_tg_pt: bool
    holder: bool
    scope: int
    type: int
    target_port: int
    transportid: bytes


class FullStatus(NamedTuple):
    generation: int
    registrants: List[Registrant]
    truncated: bool


class ProtocolError(Exception):
    """No answer, or none that counts."""

    def __init__(self, code: int, text: str, outcome: Outcome):
        super().__init__(text)
        self.code, self.outcome = Code(code), outcome


class StatusError(Exception):
    """An answer that is not GOOD."""

    def __init__(self, result: Result):
        super().__init__(result.text)
        self.result, self.status, self.outcome = result, result.status, result.outcome


class ReservationConflict(StatusError):
    pass


class CheckCondition(StatusError):
    @property
    def sense(self) -> Optional[Sense]:
        return self.result.sense_code


def describe(r: int, result: Optional[_abi.prhelper_result]) -> str:
    text = ctypes.create_string_buffer(_abi.TEXT_MAX)
    lib.prhelper_describe(text, len(text), r, result)
    return text.value.decode(errors="replace")


def error_of(r: int, result: Optional[_abi.prhelper_result] = None) -> Exception:
    """The exception for what a call returned that was not 0. Without a result no command was sent."""
    outcome = Outcome(lib.prhelper_outcome(r, result)) if result else Outcome.NOT_DONE
    if r > 0:
        return ProtocolError(r, describe(r, result), outcome)
    error = OSError(-r, describe(r, result))
    error.outcome = outcome
    return error


def result_of(result: _abi.prhelper_result) -> Result:
    is_check = result.status == _abi.CHECK_CONDITION
    return Result(result.status, Outcome(lib.prhelper_outcome(0, result)),
                  bytes(result.sense) if is_check else b"", bytes(result.data[:result.size]),
                  describe(0, result))


def good(result: Result) -> Result:
    """Itself; raises if it is not GOOD."""
    if result.status == _abi.GOOD:
        return result
    kind = {_abi.RESERVATION_CONFLICT: ReservationConflict, _abi.CHECK_CONDITION: CheckCondition}
    raise kind.get(result.status, StatusError)(result)


def _decoded(r: int) -> None:
    if r != 0:
        raise ProtocolError(r, describe(r, None), Outcome.DONE)


def _walk(result: Result, following, member):
    """Generation, all that `following` finds in the list, and whether it was cut."""
    walk, found = _abi.prhelper_list(), []
    _decoded(lib.prhelper_list_decode(result.data, len(result.data), walk))
    while True:
        one = member()
        r = following(walk, one)
        if r == _abi.END:
            return walk.generation, found, False
        if r == _abi.TRUNCATED:
            return walk.generation, found, True
        _decoded(r)
        found.append(one)


def keys_of(result: Result) -> Keys:
    generation, found, truncated = _walk(result, lib.prhelper_key_next, ctypes.c_uint64)
    return Keys(generation, [one.value for one in found], truncated)


def full_status_of(result: Result) -> FullStatus:
    generation, found, truncated = _walk(result, lib.prhelper_registrant_next,
                                         _abi.prhelper_registrant)
    return FullStatus(generation, [
        Registrant(one.key, one.all_tg_pt, one.holder, one.scope, one.type, one.target_port,
                   bytes(one.port.bytes[:one.port.size])) for one in found], truncated)


def reservation_of(result: Result) -> Reservation:
    one = _abi.prhelper_reservation()
    _decoded(lib.prhelper_reservation_decode(result.data, len(result.data), one))
    return Reservation(one.generation, one.held, one.scope, one.type, one.key)


def capabilities_of(result: Result) -> Capabilities:
    one = _abi.prhelper_capabilities()
    _decoded(lib.prhelper_capabilities_decode(result.data, len(result.data), one))
    types = tuple(kind for kind in range(16) if one.types >> kind & 1) if one.types_valid else None
    return Capabilities(one.replace_lost, one.compatible, one.spec_i_pt, one.all_tg_pt,
                        one.persistent, one.persistent_active, types, one.allow_commands)


def nothing_of(_result: Result) -> None:
    return None


def transportid_struct(transportid: bytes) -> _abi.prhelper_transportid:
    if len(transportid) > _abi.TRANSPORTID_MAX:
        raise error_of(_abi.BAD_ARGUMENT)
    port = _abi.prhelper_transportid(size=len(transportid))
    ctypes.memmove(port.bytes, transportid, len(transportid))
    return port


def parse_transportid(text: str) -> bytes:
    """The bytes of "iqn.2026-01.example:node,i,0x1", "sas:5000c500a1b2c3d4" and so on."""
    port = _abi.prhelper_transportid()
    if lib.prhelper_transportid_parse(text.encode(), port) != 0:
        raise ValueError(f"not a TransportID: {text}")
    return bytes(port.bytes[:port.size])


def describe_transportid(transportid: bytes) -> str:
    """The reverse."""
    text = ctypes.create_string_buffer(_abi.TRANSPORTID_TEXT_MAX)
    lib.prhelper_transportid_format(text, len(text), transportid_struct(transportid))
    return text.value.decode()


def version() -> str:
    """Of the library."""
    return lib.prhelper_version().decode()
