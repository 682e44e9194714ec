// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * QEMU's protocol: which bytes are a request, and that no reply can be encoded that makes QEMU's
 * client abort. Input: features, CDB, and a backend's reply.
 */
#include "fuzz.h"
#include "proto/wire.h"
#include "scsi/cdb.h"

#define GUARD 0xc3

/* What a request is, said once more and without the code of src/scsi. */
static bool expect_request(const uint8_t *cdb, uint32_t *ret_length)
{
    *ret_length = 0;
    if (cdb[0] == 0x5e)
        *ret_length = (uint32_t)(cdb[7] << 8 | cdb[8]);
    else if (cdb[0] == 0x5f)
        *ret_length = (uint32_t)cdb[5] << 24 | (uint32_t)cdb[6] << 16 | (uint32_t)cdb[7] << 8 |
                      (uint32_t)cdb[8];
    else if (cdb[0] != 0xff)
        return false;
    return *ret_length <= 8192;
}

static void check_reply(const struct request *request, struct reader *input)
{
    uint8_t bytes[WIRE_REPLY_SIZE + 1];
    struct reply reply;
    uint32_t size;

    reply.status = reader_u8(input);
    reply.size = reader_be32(input);
    for (size_t i = 0; i < SENSE_SIZE; i++)
        reply.sense[i] = reader_u8(input);
    bytes[WIRE_REPLY_SIZE] = GUARD;
    size = wire_encode_reply(request, &reply, bytes);

    fuzz_check(bytes[WIRE_REPLY_SIZE] == GUARD);
    fuzz_check(size <= request->length && size <= reply.size);
    fuzz_check(size == 0 || (request->opcode == 0x5e && reply.status == 0));
    if (request->opcode == 0x5e && reply.status == 0)
        fuzz_check(size == request->length || size == reply.size);
    fuzz_check(load_be32(bytes) == reply.status);
    fuzz_check(load_be32(bytes + 4) == size);
    fuzz_check(memcmp(bytes + 8, reply.sense, SENSE_SIZE) == 0);
}

/* A CDB of the two commands, built from its own fields, has the same fields. */
static void check_cdb(const uint8_t *bytes)
{
    uint8_t built[CDB_FIELD_SIZE] = {0};
    struct cdb cdb, again;

    cdb_decode(bytes, &cdb);
    if (cdb.opcode == SPC_PERSISTENT_RESERVE_IN)
        cdb_encode_prin(built, cdb.service_action, (uint16_t)cdb.length);
    else if (cdb.opcode == SPC_PERSISTENT_RESERVE_OUT)
        cdb_encode_prout(built, cdb.service_action, cdb.scope, cdb.type, cdb.length);
    else
        return;
    cdb_decode(built, &again);
    fuzz_check(again.opcode == cdb.opcode && again.service_action == cdb.service_action);
    fuzz_check(again.scope == cdb.scope && again.type == cdb.type && again.length == cdb.length);
    fuzz_check(cdb.service_action < 32 && cdb.scope < 16 && cdb.type < 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    uint8_t features[WIRE_FEATURES_SIZE], cdb[WIRE_CDB_SIZE];
    struct request request;
    uint32_t length;
    bool is_request;

    store_be32(features, reader_be32(&input));
    fuzz_check(wire_accept_features(features) == (load_be32(features) <= 1));
    for (size_t i = 0; i < sizeof(cdb); i++)
        cdb[i] = reader_u8(&input);

    is_request = wire_decode_request(cdb, &request);
    fuzz_check(is_request == expect_request(cdb, &length));
    check_cdb(cdb);
    if (!is_request)
        return 0;
    fuzz_check(request.cdb == cdb && request.opcode == cdb[0] && request.length == length);
    fuzz_check(!request.data && request.fd == -1);
    fuzz_check(wire_has_parameters(&request) == (cdb[0] == 0x5f && length > 0));
    check_reply(&request, &input);
    return 0;
}
