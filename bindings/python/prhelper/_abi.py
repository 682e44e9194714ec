# SPDX-License-Identifier: LGPL-2.1-or-later
"""Made by tools/bindings from prhelper.h: do not edit."""
from ctypes import (POINTER, Structure, c_bool, c_char_p, c_int, c_size_t, c_uint, c_uint8, c_uint16,
                    c_uint32, c_uint64, c_void_p)

VERSION_MAJOR = 0
VERSION_MINOR = 2
VERSION_MICRO = 0
CDB_MAX = 16
DATA_MAX = 8192
SENSE_MAX = 96
FEATURE_CLEANUP = 0x00000001
FEATURES = 0x00000001
FOREVER = -1
APTPL = 0x1
ALL_TG_PT = 0x2
UNREG = 0x4
TRANSPORTID_MAX = 256
TEXT_MAX = 256
TRANSPORTID_TEXT_MAX = 768

OK = 0
BAD_ARGUMENT = 1
NO_FEATURE = 2
IN_USE = 9
DEAD = 3
CLOSED = 4
CUT = 5
BAD_STATUS = 6
BAD_SIZE = 7
UNEXPECTED = 8
CANCELLED = 10
PENDING = 11
END = 16
TRUNCATED = 17
MALFORMED = 18

GOOD = 0x00
CHECK_CONDITION = 0x02
BUSY = 0x08
RESERVATION_CONFLICT = 0x18
TASK_SET_FULL = 0x28
STATUS_NONE = 0xff

WRITE_EXCLUSIVE = 1
EXCLUSIVE_ACCESS = 3
WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6
WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7
EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8

OUTCOME_DONE = 0
OUTCOME_NOT_DONE = 1
OUTCOME_UNKNOWN = 2


class prhelper_result(Structure):
    _fields_ = [
        ("status", c_uint8),
        ("outcome_unknown", c_bool),
        ("reserved", c_uint8 * 26),
        ("size", c_uint32),
        ("sense", c_uint8 * SENSE_MAX),
        ("data", c_uint8 * DATA_MAX),
    ]


class prhelper_transportid(Structure):
    _fields_ = [
        ("size", c_uint16),
        ("reserved", c_uint8 * 6),
        ("bytes", c_uint8 * TRANSPORTID_MAX),
    ]


class prhelper_list(Structure):
    _fields_ = [
        ("needed", c_uint64),
        ("generation", c_uint32),
        ("state", c_uint32),
        ("bytes", c_void_p),
        ("size", c_size_t),
        ("offset", c_size_t),
        ("reserved", c_uint64 * 2),
    ]


class prhelper_registrant(Structure):
    _fields_ = [
        ("key", c_uint64),
        ("all_tg_pt", c_bool),
        ("holder", c_bool),
        ("scope", c_uint8),
        ("type", c_uint8),
        ("target_port", c_uint16),
        ("reserved", c_uint8 * 18),
        ("port", prhelper_transportid),
    ]


class prhelper_reservation(Structure):
    _fields_ = [
        ("generation", c_uint32),
        ("held", c_bool),
        ("scope", c_uint8),
        ("type", c_uint8),
        ("reserved", c_uint8 * 9),
        ("key", c_uint64),
    ]


class prhelper_capabilities(Structure):
    _fields_ = [
        ("replace_lost", c_bool),
        ("compatible", c_bool),
        ("spec_i_pt", c_bool),
        ("all_tg_pt", c_bool),
        ("persistent", c_bool),
        ("persistent_active", c_bool),
        ("types_valid", c_bool),
        ("allow_commands", c_uint8),
        ("types", c_uint16),
        ("reserved", c_uint8 * 22),
    ]


class prhelper_sense(Structure):
    _fields_ = [
        ("key", c_uint8),
        ("asc", c_uint8),
        ("ascq", c_uint8),
        ("reserved", c_uint8 * 5),
    ]


#: Result and parameters of each function.
FUNCTIONS = {
    "prhelper_is_good": (c_bool, [c_int, POINTER(prhelper_result)]),
    "prhelper_outcome": (c_int, [c_int, POINTER(prhelper_result)]),
    "prhelper_version": (c_char_p, []),
    "prhelper_version_number": (c_int, []),
    "prhelper_connect": (c_int, [c_char_p, c_uint32, c_int, POINTER(c_void_p)]),
    "prhelper_adopt": (c_int, [c_int, c_uint32, c_int, POINTER(c_void_p)]),
    "prhelper_custom": (c_int, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "prhelper_close": (None, [c_void_p]),
    "prhelper_features": (c_uint32, [c_void_p]),
    "prhelper_set_timeout": (None, [c_void_p, c_int]),
    "prhelper_set_reconnect": (c_int, [c_void_p, c_uint, c_int]),
    "prhelper_execute": (c_int, [c_void_p, c_int, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(prhelper_result)]),
    "prhelper_read_keys": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_read_reservation": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_report_capabilities": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_read_full_status": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_register": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_register_ports": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_transportid), c_size_t, POINTER(prhelper_result)]),
    "prhelper_register_ignore": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_register_move": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, c_uint, c_uint16, POINTER(prhelper_transportid), POINTER(prhelper_result)]),
    "prhelper_reserve": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_release": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_clear": (c_int, [c_void_p, c_int, c_uint64, POINTER(prhelper_result)]),
    "prhelper_preempt": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_preempt_abort": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_replace_lost": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_cleanup": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_start_connect": (c_int, [c_char_p, c_uint32, c_int, POINTER(c_void_p)]),
    "prhelper_start_adopt": (c_int, [c_int, c_uint32, c_int, POINTER(c_void_p)]),
    "prhelper_fd": (c_int, [c_void_p]),
    "prhelper_events": (c_int, [c_void_p]),
    "prhelper_timeout": (c_int, [c_void_p]),
    "prhelper_continue": (c_int, [c_void_p]),
    "prhelper_cancel": (c_int, [c_void_p]),
    "prhelper_start_execute": (c_int, [c_void_p, c_int, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(prhelper_result)]),
    "prhelper_start_read_keys": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_start_read_reservation": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_start_report_capabilities": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_start_read_full_status": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_start_register": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_register_ports": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_transportid), c_size_t, POINTER(prhelper_result)]),
    "prhelper_start_register_ignore": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_register_move": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, c_uint, c_uint16, POINTER(prhelper_transportid), POINTER(prhelper_result)]),
    "prhelper_start_reserve": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_release": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_clear": (c_int, [c_void_p, c_int, c_uint64, POINTER(prhelper_result)]),
    "prhelper_start_preempt": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_preempt_abort": (c_int, [c_void_p, c_int, c_uint64, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_replace_lost": (c_int, [c_void_p, c_int, c_uint64, c_uint, POINTER(prhelper_result)]),
    "prhelper_start_cleanup": (c_int, [c_void_p, c_int, POINTER(prhelper_result)]),
    "prhelper_list_decode": (c_int, [c_void_p, c_size_t, POINTER(prhelper_list)]),
    "prhelper_key_next": (c_int, [POINTER(prhelper_list), POINTER(c_uint64)]),
    "prhelper_registrant_next": (c_int, [POINTER(prhelper_list), POINTER(prhelper_registrant)]),
    "prhelper_reservation_decode": (c_int, [c_void_p, c_size_t, POINTER(prhelper_reservation)]),
    "prhelper_capabilities_decode": (c_int, [c_void_p, c_size_t, POINTER(prhelper_capabilities)]),
    "prhelper_sense_decode": (c_int, [c_void_p, c_size_t, POINTER(prhelper_sense)]),
    "prhelper_describe": (c_size_t, [c_char_p, c_size_t, c_int, POINTER(prhelper_result)]),
    "prhelper_sense_describe": (c_size_t, [c_char_p, c_size_t, POINTER(prhelper_sense)]),
    "prhelper_status_name": (c_char_p, [c_uint8]),
    "prhelper_type_name": (c_char_p, [c_uint]),
    "prhelper_type_parse": (c_int, [c_char_p, POINTER(c_uint)]),
    "prhelper_transportid_format": (c_size_t, [c_char_p, c_size_t, POINTER(prhelper_transportid)]),
    "prhelper_transportid_parse": (c_int, [c_char_p, POINTER(prhelper_transportid)]),
}
