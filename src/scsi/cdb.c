// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The two commands differ in byte 2 (reserved in IN, scope and type in OUT) and in the width of the
 * length field: two bytes in IN, four in OUT, both ending at byte 8. Byte 9 is CONTROL, which we
 * leave at 0: NACA is nothing that a pass-through initiator could follow up.
 */
#include "scsi/cdb.h"

#include <string.h>

#include "base/bytes.h"
#include "scsi/spc.h"

void cdb_decode(const uint8_t bytes[CDB_FIELD_SIZE], struct cdb *ret)
{
    *ret = (struct cdb){.opcode = bytes[0]};

    switch (bytes[0]) {
    case SPC_PERSISTENT_RESERVE_IN:
        ret->service_action = bytes[1] & CDB_SERVICE_ACTION_MASK;
        ret->length = load_be16(bytes + 7);
        break;
    case SPC_PERSISTENT_RESERVE_OUT:
        ret->service_action = bytes[1] & CDB_SERVICE_ACTION_MASK;
        ret->scope = bytes[2] >> 4;
        ret->type = bytes[2] & 0x0f;
        ret->length = load_be32(bytes + 5);
        break;
    default:
        break;
    }
}

void cdb_encode_prin(uint8_t cdb[CDB_SIZE], uint8_t service_action, uint16_t allocation_length)
{
    memset(cdb, 0, CDB_SIZE);
    cdb[0] = SPC_PERSISTENT_RESERVE_IN;
    cdb[1] = service_action & CDB_SERVICE_ACTION_MASK;
    store_be16(cdb + 7, allocation_length);
}

void cdb_encode_prout(uint8_t cdb[CDB_SIZE], uint8_t service_action, uint8_t scope, uint8_t type,
                      uint32_t parameter_list_length)
{
    memset(cdb, 0, CDB_SIZE);
    cdb[0] = SPC_PERSISTENT_RESERVE_OUT;
    cdb[1] = service_action & CDB_SERVICE_ACTION_MASK;
    cdb[2] = (uint8_t)(scope << 4 | (type & 0x0f));
    store_be32(cdb + 5, parameter_list_length);
}
