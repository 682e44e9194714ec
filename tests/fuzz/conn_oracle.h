// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_FUZZ_CONN_ORACLE_H
#define TESTS_FUZZ_CONN_ORACLE_H

/*
 * What a client must get for the bytes and fds that it has sent, worked out from the whole of them
 * at once and not byte by byte: the protocol a second time, with nothing of src/ but its constants.
 */

#include <string.h>

#include "fuzz.h"
#include "proto/wire.h"

#define ORACLE_STREAM_MAX   65536
#define ORACLE_MESSAGES_MAX 512
#define ORACLE_REQUESTS_MAX 4096

/* Everything that a client has sent. */
struct oracle_stream {
    uint8_t bytes[ORACLE_STREAM_MAX];
    size_t size;
    struct {
        size_t at; /* where its first byte is */
        unsigned n_fds;
    } message[ORACLE_MESSAGES_MAX];
    size_t n_messages;
};

struct oracle_request {
    const uint8_t *cdb, *parameters;
    uint32_t length;
};

/* What becomes of the connection once all that is served. */
enum oracle_fate {
    ORACLE_IDLE,   /* between two requests */
    ORACLE_MIDDLE, /* an item is incomplete */
    ORACLE_CLOSED, /* the protocol is broken */
};

struct oracle {
    struct oracle_request request[ORACLE_REQUESTS_MAX];
    size_t n_requests;
    enum oracle_fate fate;
};

/* fds of messages that begin in [from, to): a message's fds arrive with its first byte. */
static inline unsigned oracle_fds(const struct oracle_stream *stream, size_t from, size_t to)
{
    unsigned n_fds = 0;

    for (size_t i = 0; i < stream->n_messages; i++) {
        if (stream->message[i].at >= from && stream->message[i].at < to)
            n_fds += stream->message[i].n_fds;
    }
    return n_fds;
}

static inline void oracle_judge(const struct oracle_stream *stream, struct oracle *ret)
{
    const uint8_t *bytes = stream->bytes;
    size_t at = WIRE_FEATURES_SIZE;

    ret->n_requests = 0;
    ret->fate = ORACLE_MIDDLE;
    if (stream->size < at)
        return;
    ret->fate = ORACLE_CLOSED;
    if (bytes[0] || bytes[1] || bytes[2] || bytes[3] > 1)
        return;
    while (at < stream->size) {
        size_t end = at + WIRE_CDB_SIZE;
        unsigned n_fds = oracle_fds(stream, at, end < stream->size ? end : stream->size);
        struct oracle_request request = {.cdb = bytes + at};

        ret->fate = n_fds > 1 ? ORACLE_CLOSED : ORACLE_MIDDLE;
        if (n_fds > 1 || end > stream->size)
            return;
        ret->fate = ORACLE_CLOSED;
        if (n_fds == 0)
            return;
        if (bytes[at] == 0x5e)
            request.length = load_be16(bytes + at + 7);
        else if (bytes[at] == 0x5f)
            request.length = load_be32(bytes + at + 5);
        else if (bytes[at] != 0xff)
            return;
        if (request.length > 8192)
            return;
        if (bytes[at] == 0x5f) {
            request.parameters = bytes + end;
            end += request.length;
        }
        ret->fate = ORACLE_MIDDLE;
        if (end > stream->size)
            return;
        fuzz_check(ret->n_requests < ORACLE_REQUESTS_MAX);
        ret->request[ret->n_requests++] = request;
        at = end;
    }
    ret->fate = ORACLE_IDLE;
}

#endif
