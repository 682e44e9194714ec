// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_SPC_H
#define SCSI_SPC_H

/*
 * The numbers of the SCSI standards that this project uses, under the standards' own names.
 *
 * Clauses are those of SPC-4 (SCSI Primary Commands - 4, INCITS 513) and SAM-5 (SCSI Architecture
 * Model - 5, INCITS 515). Numbers move between drafts, titles do not: the title is given with each.
 */

#include <stdbool.h>
#include <stdint.h>

/* Operation codes. SPC-4 6.1, Summary of commands for all device types. */
enum spc_opcode {
    SPC_TEST_UNIT_READY = 0x00,
    SPC_PERSISTENT_RESERVE_IN = 0x5e,
    SPC_PERSISTENT_RESERVE_OUT = 0x5f,
};

/* Service actions of PERSISTENT RESERVE IN, CDB byte 1, bits 4-0. SPC-4 6.15.1. */
enum spc_prin {
    SPC_PRIN_READ_KEYS = 0x00,
    SPC_PRIN_READ_RESERVATION = 0x01,
    SPC_PRIN_REPORT_CAPABILITIES = 0x02,
    SPC_PRIN_READ_FULL_STATUS = 0x03,
};

/* Service actions of PERSISTENT RESERVE OUT, CDB byte 1, bits 4-0. SPC-4 6.16.2. */
enum spc_prout {
    SPC_PROUT_REGISTER = 0x00,
    SPC_PROUT_RESERVE = 0x01,
    SPC_PROUT_RELEASE = 0x02,
    SPC_PROUT_CLEAR = 0x03,
    SPC_PROUT_PREEMPT = 0x04,
    SPC_PROUT_PREEMPT_AND_ABORT = 0x05,
    SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY = 0x06,
    SPC_PROUT_REGISTER_AND_MOVE = 0x07,
    SPC_PROUT_REPLACE_LOST_RESERVATION = 0x08,
};

/* SCOPE field, bits 7-4. SPC-4 6.15.3.3. Every other value is reserved or obsolete. */
enum spc_scope {
    SPC_SCOPE_LOGICAL_UNIT = 0x0,
};

/* TYPE field, bits 3-0. SPC-4 6.15.3.4. Every other value is reserved or obsolete. */
enum spc_type {
    SPC_TYPE_WRITE_EXCLUSIVE = 0x1,
    SPC_TYPE_EXCLUSIVE_ACCESS = 0x3,
    SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5,
    SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6,
    SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7,
    SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8,
};

/* Status codes. SAM-5 5.3.1, Status codes. */
enum spc_status {
    SPC_STATUS_GOOD = 0x00,
    SPC_STATUS_CHECK_CONDITION = 0x02,
    SPC_STATUS_CONDITION_MET = 0x04,
    SPC_STATUS_BUSY = 0x08,
    SPC_STATUS_RESERVATION_CONFLICT = 0x18,
    SPC_STATUS_TASK_SET_FULL = 0x28,
    SPC_STATUS_ACA_ACTIVE = 0x30,
    SPC_STATUS_TASK_ABORTED = 0x40,
};

/* Sense keys. SPC-4 4.5, Sense key and sense code definitions. */
enum spc_sense_key {
    SPC_SENSE_NO_SENSE = 0x0,
    SPC_SENSE_RECOVERED_ERROR = 0x1,
    SPC_SENSE_NOT_READY = 0x2,
    SPC_SENSE_MEDIUM_ERROR = 0x3,
    SPC_SENSE_HARDWARE_ERROR = 0x4,
    SPC_SENSE_ILLEGAL_REQUEST = 0x5,
    SPC_SENSE_UNIT_ATTENTION = 0x6,
    SPC_SENSE_DATA_PROTECT = 0x7,
    SPC_SENSE_BLANK_CHECK = 0x8,
    SPC_SENSE_VENDOR_SPECIFIC = 0x9,
    SPC_SENSE_COPY_ABORTED = 0xa,
    SPC_SENSE_ABORTED_COMMAND = 0xb,
    SPC_SENSE_VOLUME_OVERFLOW = 0xd,
    SPC_SENSE_MISCOMPARE = 0xe,
    SPC_SENSE_COMPLETED = 0xf,
};

/* What a CHECK CONDITION says: written K/AA/QQ in comments and logs, all hexadecimal. */
struct spc_sense {
    uint8_t key;  /* sense key */
    uint8_t asc;  /* additional sense code */
    uint8_t ascq; /* additional sense code qualifier */
};

/*
 * Every key/ASC/ASCQ that we send ourselves or look for. The names of ASC and ASCQ follow those of
 * SPC-4 4.5, Sense key and sense code definitions; where one pair goes with two keys, the name ends
 * in the rarer key. Usable as an expression and as a static initialiser.
 */
#define SPC_SENSE(key, asc, ascq) ((struct spc_sense){(key), (asc), (ascq)})

/* clang-format off */
/* 0/00/00: there is sense data, and it reports nothing. */
#define SPC_NO_ADDITIONAL_SENSE            SPC_SENSE(SPC_SENSE_NO_SENSE, 0x00, 0x00)

/* 2/04/00: not ready, cause not reportable. */
#define SPC_LU_NOT_READY                   SPC_SENSE(SPC_SENSE_NOT_READY, 0x04, 0x00)
/* 2/08/00: what LIO answers to RESERVE, RELEASE and CLEAR without a registration. */
#define SPC_LU_COMMUNICATION_FAILURE_NOT_READY SPC_SENSE(SPC_SENSE_NOT_READY, 0x08, 0x00)
/* 2/3A/00 */
#define SPC_MEDIUM_NOT_PRESENT             SPC_SENSE(SPC_SENSE_NOT_READY, 0x3a, 0x00)

/* 3/11/00 */
#define SPC_UNRECOVERED_READ_ERROR         SPC_SENSE(SPC_SENSE_MEDIUM_ERROR, 0x11, 0x00)

/* 4/44/00 */
#define SPC_INTERNAL_TARGET_FAILURE        SPC_SENSE(SPC_SENSE_HARDWARE_ERROR, 0x44, 0x00)

/* 5/1A/00: a parameter list of a length that the command does not allow. SPC-4 6.16.3. */
#define SPC_PARAMETER_LIST_LENGTH_ERROR    SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x1a, 0x00)
/* 5/20/00: the answer of a device that does not know the command at all. */
#define SPC_INVALID_OPERATION_CODE         SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x20, 0x00)
/* 5/24/00: an unknown service action, scope or type, among others. */
#define SPC_INVALID_FIELD_IN_CDB           SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x24, 0x00)
/* 5/26/00: a TransportID or a flag that the device server does not take. SPC-4 6.16.3. */
#define SPC_INVALID_FIELD_IN_PARAMETER_LIST SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x26, 0x00)
/* 5/26/04: RELEASE by the holder with another scope or type. SPC-4 5.13.11.2.2, Releasing. */
#define SPC_INVALID_RELEASE                SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x26, 0x04)
/* 5/55/04: no room for one more registration. SPC-4 5.13.7, Registering. */
#define SPC_INSUFFICIENT_REGISTRATION_RESOURCES SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, 0x55, 0x04)

/* 6/29/00: power on, reset, or bus device reset occurred. SAM-5 5.14, Unit attention. */
#define SPC_RESET_OCCURRED                 SPC_SENSE(SPC_SENSE_UNIT_ATTENTION, 0x29, 0x00)
/* 6/2A/03: another nexus cleared all registrations. SPC-4 5.13.11.2.7, Clearing. */
#define SPC_RESERVATIONS_PREEMPTED         SPC_SENSE(SPC_SENSE_UNIT_ATTENTION, 0x2a, 0x03)
/* 6/2A/04: a reservation that gave access to registrants ended or changed. 5.13.11.2.2 to 5.13.11.2.4. */
#define SPC_RESERVATIONS_RELEASED          SPC_SENSE(SPC_SENSE_UNIT_ATTENTION, 0x2a, 0x04)
/* 6/2A/05: a preempt removed this registration. SPC-4 5.13.11.2.4, Preempting. */
#define SPC_REGISTRATIONS_PREEMPTED        SPC_SENSE(SPC_SENSE_UNIT_ATTENTION, 0x2a, 0x05)
/* 6/3F/0E: the set of logical units behind the target port changed. */
#define SPC_REPORTED_LUNS_CHANGED          SPC_SENSE(SPC_SENSE_UNIT_ATTENTION, 0x3f, 0x0e)

/* 7/27/07: space allocation failed, write protect (thin provisioning is out of room). */
#define SPC_SPACE_ALLOCATION_FAILED        SPC_SENSE(SPC_SENSE_DATA_PROTECT, 0x27, 0x07)

/* B/00/06: the command ended without the device having told its outcome. */
#define SPC_IO_PROCESS_TERMINATED          SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x00, 0x06)
/* B/05/00: logical unit does not respond to selection. */
#define SPC_LU_NO_RESPONSE                 SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x05, 0x00)
/* B/08/00 */
#define SPC_LU_COMMUNICATION_FAILURE       SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x08, 0x00)
/* B/08/01 */
#define SPC_LU_COMMUNICATION_TIMEOUT       SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x08, 0x01)
/* B/29/07 */
#define SPC_IT_NEXUS_LOSS                  SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x29, 0x07)
/* B/2E/02: command timeout during processing. */
#define SPC_COMMAND_TIMEOUT                SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x2e, 0x02)
/* B/2F/02: commands cleared by device server. */
#define SPC_COMMANDS_CLEARED               SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x2f, 0x02)
/* B/47/00 */
#define SPC_PARITY_ERROR                   SPC_SENSE(SPC_SENSE_ABORTED_COMMAND, 0x47, 0x00)
/* clang-format on */

/*
 * Names, for logs and for people. Pure functions, safe in any thread; the strings are static. NULL
 * if the standard has no such number (an obsolete type has none here).
 */

/* "READ FULL STATUS" */
const char *spc_prin_name(uint8_t service_action);

/* "REGISTER AND IGNORE EXISTING KEY" */
const char *spc_prout_name(uint8_t service_action);

/* "write-exclusive-registrants-only", which is also what spc_type_parse() takes. */
const char *spc_type_name(uint8_t type);

/* "RESERVATION CONFLICT" */
const char *spc_status_name(uint8_t status);

/*
 * A reservation type by its name ("exclusive-access") or by its number ("3", "0x3"). Takes nothing
 * else: no other case, no blanks, no obsolete number. False and `ret` untouched if it is none.
 */
bool spc_type_parse(const char *text, uint8_t *ret);

/*
 * What the types have in common; all false for an obsolete or reserved type. SPC-4 6.15.3.4, Type.
 * The registrants only types are 5h and 6h and do not include the all registrants types 7h and 8h.
 */
bool spc_type_is_valid(uint8_t type);
bool spc_type_is_exclusive_access(uint8_t type); /* reads are restricted as well as writes */
bool spc_type_is_registrants_only(uint8_t type);
bool spc_type_is_all_registrants(uint8_t type);

#endif
