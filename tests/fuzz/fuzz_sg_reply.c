// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a kernel, a host adapter and a device say of a command, turned into a reply: no matter what
 * they make up, GOOD leaves only if all of them say so, a driver also by sense data that tell of
 * success. Input: opcode, length, errno, and a result.
 */
#include "fuzz.h"
#include "proto/wire.h"
#include "sg/reply.h"

static void check_reply(const struct request *request, const struct reply *reply)
{
    bool blank = true;

    fuzz_check(reply->size <= request->length);
    fuzz_check(reply->size == 0 || reply->status == SPC_STATUS_GOOD);
    for (size_t i = 0; i < SENSE_SIZE; i++)
        blank = blank && reply->sense[i] == 0;
    /* CHECK CONDITION always says why, and nothing else comes with a sense. */
    fuzz_check(blank == (reply->status != SPC_STATUS_CHECK_CONDITION));
}

/* The sense key that came with the command's own success or failure; -1: none did. */
static int read_sense_key(const struct sg_result *result)
{
    uint8_t response = result->sense[0] & 0x7f;

    if (response == 0x70)
        return result->sense_size > 2 ? result->sense[2] & 0xf : -1;
    if (response == 0x72)
        return result->sense_size > 1 ? result->sense[1] & 0xf : -1;
    return -1;
}

static bool is_success(const struct sg_result *result)
{
    unsigned driver = result->driver_status & 0x0f;
    int key = read_sense_key(result);

    if (result->host_status != 0 || result->status != SPC_STATUS_GOOD)
        return false;
    return driver == 0 || (driver == 8 && (key == 0x0 || key == 0x1 || key == 0xf));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t opcodes[] = {0x5e, 0x5f, 0xff};
    struct reader input = reader_over(data, size);
    struct request request = {.fd = -1};
    struct sg_result result = {0};
    struct reply reply;
    int error;

    request.opcode = opcodes[reader_u8(&input) % 3];
    request.length = reader_be16(&input) % (WIRE_DATA_MAX + 1);
    error = reader_u8(&input);
    result.status = reader_u8(&input);
    result.host_status = reader_be16(&input);
    result.driver_status = reader_be16(&input);
    result.residual = (int32_t)reader_be32(&input);
    result.sense_size = reader_u8(&input) % (SENSE_SIZE + 1);
    for (size_t i = 0; i < result.sense_size; i++)
        result.sense[i] = reader_u8(&input);

    memset(&reply, 0xc3, sizeof(reply));
    sg_reply_errno(error, &reply);
    check_reply(&request, &reply);
    fuzz_check(reply.status != SPC_STATUS_GOOD);

    memset(&reply, 0xc3, sizeof(reply));
    sg_reply_result(&result, &request, &reply);
    check_reply(&request, &reply);
    fuzz_check((reply.status == SPC_STATUS_GOOD) == is_success(&result));
    if (result.host_status == 0 && (result.driver_status & 0x0f) == 0 &&
        result.status == SPC_STATUS_RESERVATION_CONFLICT)
        fuzz_check(reply.status == SPC_STATUS_RESERVATION_CONFLICT);
    (void)sg_path_failed(error, &result);
    return 0;
}
