// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_CDB_H
#define SCSI_CDB_H

/*
 * Command descriptor blocks of the two persistent reservation commands. Pure functions, safe in any
 * thread; nothing here can fail.
 */

#include <stdint.h>

/* Both commands are ten-byte commands; QEMU's protocol carries them in a field of sixteen. */
#define CDB_SIZE       10
#define CDB_FIELD_SIZE 16

#define CDB_SERVICE_ACTION_MASK 0x1f /* of byte 1 */

/* The fields of a CDB, in host byte order. */
struct cdb {
    uint8_t opcode;         /* byte 0, see enum spc_opcode */
    uint8_t service_action; /* byte 1, bits 4-0, see enum spc_prin and enum spc_prout */
    uint8_t scope, type;    /* byte 2; PERSISTENT RESERVE OUT only, else 0 */
    uint32_t length;        /* bytes: allocation length (IN), parameter list length (OUT) */
};

/*
 * Take the fields out of `bytes`. Looks at no more than the ten bytes of the command and judges
 * nothing: an unknown service action, scope or type comes out as it is. For an operation code other
 * than the two, everything but the opcode is 0. SPC-4 6.15.1 (PERSISTENT RESERVE IN: allocation
 * length in bytes 7-8) and 6.16.1 (PERSISTENT RESERVE OUT: parameter list length in bytes 5-8).
 */
void cdb_decode(const uint8_t bytes[CDB_FIELD_SIZE], struct cdb *ret);

/* Build PERSISTENT RESERVE IN. `allocation_length` in bytes. SPC-4 6.15.1. */
void cdb_encode_prin(uint8_t cdb[CDB_SIZE], uint8_t service_action, uint16_t allocation_length);

/*
 * Build PERSISTENT RESERVE OUT. `scope` and `type` are four bits each; `parameter_list_length` in
 * bytes. SPC-4 6.16.1.
 */
void cdb_encode_prout(uint8_t cdb[CDB_SIZE], uint8_t service_action, uint8_t scope, uint8_t type,
                      uint32_t parameter_list_length);

#endif
