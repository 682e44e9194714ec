// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The worker has rights that the helper has not: what comes from it is looked at as closely as what
 * comes from a client.
 */
#include "proto/worker.h"

#include <string.h>

#include "base/bytes.h"

#define WORKER_VERSION 3

/* The second field of a hello. */
enum worker_readiness { WORKER_NEVER, WORKER_READY, WORKER_LATER };

/* The first field: kind and version, so that neither can be taken for another. */
enum worker_kind {
    WORKER_HELLO = 'h' << 8 | WORKER_VERSION,
    WORKER_REQUEST = 'q' << 8 | WORKER_VERSION,
    WORKER_REPLY = 'p' << 8 | WORKER_VERSION,
    WORKER_FAREWELL = 'f' << 8 | WORKER_VERSION,
};

/* A text of up to size - 1 bytes, and zeros behind it. */
static void worker_put_text(struct writer *writer, const char *text, size_t size)
{
    size_t length = strnlen(text, size - 1);

    writer_put(writer, (const uint8_t *)text, length);
    writer_zeros(writer, size - length);
}

static void worker_take_text(struct reader *reader, char *ret_text, size_t size)
{
    const uint8_t *bytes = reader_take(reader, size);
    size_t length = 0;

    if (bytes) {
        for (; length < size - 1 && bytes[length]; length++)
            ret_text[length] =
                (char)(bytes[length] < 0x20 || bytes[length] == 0x7f ? '?' : bytes[length]);
    }
    ret_text[length] = '\0';
}

void worker_encode_hello(uint8_t bytes[WORKER_HELLO_SIZE], const struct worker_hello *hello)
{
    struct writer writer = writer_over(bytes, WORKER_HELLO_SIZE);

    writer_be32(&writer, WORKER_HELLO);
    writer_be32(&writer, hello->ready ? WORKER_READY : hello->later ? WORKER_LATER : WORKER_NEVER);
    writer_be32(&writer, hello->pid);
    worker_put_text(&writer, hello->text, sizeof(hello->text));
}

bool worker_decode_hello(const uint8_t *bytes, size_t size, struct worker_hello *ret)
{
    struct reader reader = reader_over(bytes, size);
    struct worker_hello hello;
    uint32_t kind, ready;

    if (size != WORKER_HELLO_SIZE)
        return false;
    kind = reader_be32(&reader);
    ready = reader_be32(&reader);
    hello.pid = reader_be32(&reader);
    worker_take_text(&reader, hello.text, sizeof(hello.text));
    if (kind != WORKER_HELLO || ready > WORKER_LATER)
        return false;
    hello.ready = ready == WORKER_READY;
    hello.later = ready == WORKER_LATER;
    *ret = hello;
    return true;
}

void worker_encode_request(uint8_t bytes[WORKER_REQUEST_SIZE], const struct worker_request *request)
{
    struct writer writer = writer_over(bytes, WORKER_REQUEST_SIZE);
    size_t size = wire_has_parameters(&request->request) ? request->request.length : 0;

    writer_be32(&writer, WORKER_REQUEST);
    writer_be32(&writer, request->deadline_ms);
    writer_be32(&writer, request->io_timeout_ms);
    writer_be32(&writer, (uint32_t)request->request.slot);
    writer_put(&writer, request->request.cdb, WIRE_CDB_SIZE);
    writer_put(&writer, request->request.data, size);
    writer_zeros(&writer, WIRE_DATA_MAX - size);
}

bool worker_decode_request(uint8_t *bytes, size_t size, struct worker_request *ret)
{
    struct reader reader = reader_over(bytes, size);
    struct worker_request decoded;
    uint32_t kind, slot;
    const uint8_t *cdb;

    if (size != WORKER_REQUEST_SIZE)
        return false;
    kind = reader_be32(&reader);
    decoded.deadline_ms = reader_be32(&reader);
    decoded.io_timeout_ms = reader_be32(&reader);
    slot = reader_be32(&reader);
    cdb = reader_take(&reader, WIRE_CDB_SIZE);
    if (kind != WORKER_REQUEST || slot > INT32_MAX || !wire_decode_request(cdb, &decoded.request))
        return false;
    decoded.request.slot = (int)slot;
    decoded.request.data = bytes + (size - WIRE_DATA_MAX);
    *ret = decoded;
    return true;
}

void worker_encode_farewell(uint8_t bytes[WORKER_FAREWELL_SIZE], int slot)
{
    store_be32(bytes, WORKER_FAREWELL);
    store_be32(bytes + 4, (uint32_t)slot);
}

bool worker_decode_farewell(const uint8_t *bytes, size_t size, int *ret_slot)
{
    if (size != WORKER_FAREWELL_SIZE || load_be32(bytes) != WORKER_FAREWELL ||
        load_be32(bytes + 4) > INT32_MAX)
        return false;
    *ret_slot = (int)load_be32(bytes + 4);
    return true;
}

void worker_encode_reply(uint8_t bytes[WORKER_REPLY_SIZE], const struct worker_reply *reply,
                         const uint8_t *data)
{
    struct writer writer = writer_over(bytes, WORKER_REPLY_SIZE);
    size_t size = reply->reply.size < WIRE_DATA_MAX ? reply->reply.size : WIRE_DATA_MAX;

    writer_be32(&writer, WORKER_REPLY);
    writer_be32(&writer, reply->reply.status);
    writer_be32(&writer, (uint32_t)size);
    writer_put(&writer, reply->reply.sense, SENSE_SIZE);
    worker_put_text(&writer, reply->text, sizeof(reply->text));
    writer_put(&writer, data, size);
    writer_zeros(&writer, WIRE_DATA_MAX - size);
}

bool worker_decode_reply(const uint8_t *bytes, size_t size, struct worker_reply *ret,
                         const uint8_t **ret_data)
{
    struct reader reader = reader_over(bytes, size);
    struct worker_reply decoded;
    uint32_t kind, status;

    if (size != WORKER_REPLY_SIZE)
        return false;
    kind = reader_be32(&reader);
    status = reader_be32(&reader);
    decoded.reply.status = (uint8_t)status;
    decoded.reply.size = reader_be32(&reader);
    memcpy(decoded.reply.sense, reader_take(&reader, SENSE_SIZE), SENSE_SIZE);
    worker_take_text(&reader, decoded.text, sizeof(decoded.text));
    if (kind != WORKER_REPLY || status > UINT8_MAX || decoded.reply.size > WIRE_DATA_MAX)
        return false;
    *ret = decoded;
    *ret_data = bytes + (size - WIRE_DATA_MAX);
    return true;
}
