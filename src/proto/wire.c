// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The layout of the protocol and its two invariants: a request is refused before anything is
 * allocated for it, and a reply that would make the client abort cannot be encoded.
 */
#include "proto/wire.h"

#include <string.h>

#include "base/bytes.h"
#include "scsi/cdb.h"

_Static_assert(4 + 4 + SENSE_SIZE == WIRE_REPLY_SIZE, "status, size, sense");

void wire_encode_features(uint8_t bytes[WIRE_FEATURES_SIZE], uint32_t features)
{
    store_be32(bytes, features);
}

bool wire_accept_features(const uint8_t bytes[WIRE_FEATURES_SIZE])
{
    return (load_be32(bytes) & ~WIRE_FEATURES) == 0;
}

bool wire_decode_request(const uint8_t cdb[WIRE_CDB_SIZE], struct request *ret)
{
    struct cdb decoded;
    uint32_t length = 0;

    switch (cdb[0]) {
    case SPC_PERSISTENT_RESERVE_IN:
    case SPC_PERSISTENT_RESERVE_OUT:
        /* QEMU's client reads bytes 7-8 of a PERSISTENT RESERVE OUT, SPC-4 6.16 has bytes 5-8. A
         * list for which that makes a difference is longer than the limit. */
        cdb_decode(cdb, &decoded);
        length = decoded.length;
        break;
    case WIRE_CLEANUP:
        /* The one client that sends it negotiates no features at all: its request lacks a byte
         * swap. To insist on the feature bit would only break it. */
        break;
    default:
        return false;
    }
    if (length > WIRE_DATA_MAX)
        return false;

    *ret = (struct request){.cdb = cdb, .opcode = cdb[0], .length = length, .fd = -1};
    return true;
}

uint32_t wire_encode_reply(const struct request *request, const struct reply *reply,
                           uint8_t bytes[WIRE_REPLY_SIZE])
{
    uint32_t size = 0;

    if (request->opcode == SPC_PERSISTENT_RESERVE_IN && reply->status == SPC_STATUS_GOOD)
        size = reply->size < request->length ? reply->size : request->length;

    store_be32(bytes, reply->status);
    store_be32(bytes + 4, size);
    memcpy(bytes + 8, reply->sense, SENSE_SIZE);
    return size;
}
