// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Messages between the helper and the multipath worker. Each side must stand no matter what the
 * other one sends. Input: which message, by how many bytes its size is wrong, the message; zeros
 * behind it.
 */
#include "fuzz.h"
#include "proto/worker.h"

#define MESSAGE_MAX (WORKER_REPLY_SIZE + 256)

_Static_assert(WORKER_REPLY_SIZE >= WORKER_REQUEST_SIZE && WORKER_REPLY_SIZE >= WORKER_HELLO_SIZE,
               "the longest message");

/* A text as it may go to the log: ended, and without control characters. */
static void check_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    fuzz_check(length < size);
    for (size_t i = 0; i < length; i++)
        fuzz_check((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}

static void check_hello(const uint8_t *bytes, size_t size)
{
    uint8_t built[WORKER_HELLO_SIZE];
    struct worker_hello hello, again;

    if (!worker_decode_hello(bytes, size, &hello))
        return;
    fuzz_check(size == WORKER_HELLO_SIZE);
    check_text(hello.text, sizeof(hello.text));
    worker_encode_hello(built, &hello);
    fuzz_check(worker_decode_hello(built, sizeof(built), &again));
    fuzz_check(again.ready == hello.ready && again.later == hello.later &&
               strcmp(again.text, hello.text) == 0);
}

static void check_request(uint8_t *bytes, size_t size)
{
    uint8_t built[WORKER_REQUEST_SIZE];
    struct worker_request request, again;
    uint32_t length;

    if (!worker_decode_request(bytes, size, &request))
        return;
    fuzz_check(size == WORKER_REQUEST_SIZE);
    length = request.request.length;
    fuzz_check(length <= WIRE_DATA_MAX && request.request.fd == -1);
    fuzz_check(request.request.data >= bytes && request.request.data + length <= bytes + size);
    fuzz_check(request.request.cdb >= bytes &&
               request.request.cdb + WIRE_CDB_SIZE <= request.request.data);
    worker_encode_request(built, &request);
    fuzz_check(worker_decode_request(built, sizeof(built), &again));
    fuzz_check(again.deadline_ms == request.deadline_ms &&
               again.io_timeout_ms == request.io_timeout_ms);
    fuzz_check(memcmp(again.request.cdb, request.request.cdb, WIRE_CDB_SIZE) == 0);
    if (wire_has_parameters(&request.request))
        fuzz_check(memcmp(again.request.data, request.request.data, length) == 0);
}

static void check_reply(const uint8_t *bytes, size_t size)
{
    uint8_t built[WORKER_REPLY_SIZE];
    struct worker_reply reply, again;
    const uint8_t *data, *data_again;

    if (!worker_decode_reply(bytes, size, &reply, &data))
        return;
    fuzz_check(size == WORKER_REPLY_SIZE);
    fuzz_check(reply.reply.size <= WIRE_DATA_MAX);
    fuzz_check(data >= bytes && data + reply.reply.size <= bytes + size);
    check_text(reply.text, sizeof(reply.text));
    worker_encode_reply(built, &reply, data);
    fuzz_check(worker_decode_reply(built, sizeof(built), &again, &data_again));
    fuzz_check(again.reply.status == reply.reply.status && again.reply.size == reply.reply.size);
    fuzz_check(memcmp(again.reply.sense, reply.reply.sense, SENSE_SIZE) == 0);
    fuzz_check(strcmp(again.text, reply.text) == 0);
    fuzz_check(memcmp(data_again, data, reply.reply.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t sizes[] = {WORKER_HELLO_SIZE, WORKER_REQUEST_SIZE, WORKER_REPLY_SIZE};
    struct reader input = reader_over(data, size);
    uint8_t kind = reader_u8(&input) % 3;
    int8_t off = (int8_t)reader_u8(&input);
    size_t length = (size_t)((ptrdiff_t)sizes[kind] + off);
    size_t given = reader_left(&input) < length ? reader_left(&input) : length;
    uint8_t *message = calloc(1, length);

    fuzz_check(message && length <= MESSAGE_MAX);
    memcpy(message, reader_take(&input, given), given);
    switch (kind) {
    case 0:
        check_hello(message, length);
        break;
    case 1:
        check_request(message, length);
        break;
    default:
        check_reply(message, length);
        break;
    }
    free(message);
    return 0;
}
