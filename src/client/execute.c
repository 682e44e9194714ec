// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One command and its answer. The helper is trusted to be who it says, since it was given a disk;
 * it is not trusted to be right: an answer counts only if every byte of it is where the protocol
 * has it, because whoever takes a wrong one for GOOD goes on to write to a disk that is somebody
 * else's. After anything else the connection is dead: what the next bytes belong to, nobody knows.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "client/connection.h"
#include "proto/wire.h"
#include "scsi/cdb.h"

#define REPLY_STATUS_AT 0
#define REPLY_SIZE_AT   4
#define REPLY_SENSE_AT  8

/* Bytes of data that may come with an answer of this status. */
static uint32_t execute_data_limit(const struct request *request, uint32_t status)
{
    bool has_data = request->opcode == SPC_PERSISTENT_RESERVE_IN && status == SPC_STATUS_GOOD;

    return has_data ? request->length : 0;
}

/* An answer on its way in: the fixed part here, the data in the result. */
struct incoming {
    uint8_t head[WIRE_REPLY_SIZE];
    size_t received; /* bytes, of both */
};

/* Nothing may have come since the last answer. That a helper has gone is told when we send. */
static int execute_check_silence(int sock)
{
    uint8_t byte;

    return recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? PRHELPER_UNEXPECTED : 0;
}

/* Receive up to `wanted` bytes in all, and more if they are there already. */
static int execute_receive(int sock, size_t wanted, int64_t deadline, struct incoming *incoming,
                           struct prhelper_result *result)
{
    while (incoming->received < wanted) {
        struct iovec iov[2];
        size_t n_iov = 0;
        ssize_t n;

        if (incoming->received < WIRE_REPLY_SIZE) {
            iov[n_iov++] = (struct iovec){incoming->head + incoming->received,
                                          WIRE_REPLY_SIZE - incoming->received};
            iov[n_iov++] = (struct iovec){result->data, sizeof(result->data)};
        } else {
            size_t offset = incoming->received - WIRE_REPLY_SIZE;

            iov[n_iov++] = (struct iovec){result->data + offset, sizeof(result->data) - offset};
        }
        n = stream_receive(sock, iov, n_iov, deadline);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return incoming->received == 0 ? PRHELPER_CLOSED : PRHELPER_CUT;
        incoming->received += (size_t)n;
    }
    return 0;
}

static int execute_receive_reply(int sock, const struct request *request, int64_t deadline,
                                 struct prhelper_result *result)
{
    struct incoming incoming = {.received = 0};
    uint32_t status, size;
    int r;

    r = execute_receive(sock, WIRE_REPLY_SIZE, deadline, &incoming, result);
    if (r != 0)
        return r;
    /* Both are signed on the wire, and a negative one is as wrong as one that is too great. */
    status = load_be32(incoming.head + REPLY_STATUS_AT);
    size = load_be32(incoming.head + REPLY_SIZE_AT);
    if (status > UINT8_MAX)
        return PRHELPER_BAD_STATUS;
    if (size > execute_data_limit(request, status))
        return PRHELPER_BAD_SIZE;
    r = execute_receive(sock, WIRE_REPLY_SIZE + size, deadline, &incoming, result);
    if (r != 0)
        return r;
    if (incoming.received > WIRE_REPLY_SIZE + size)
        return PRHELPER_UNEXPECTED;

    result->status = (uint8_t)status;
    result->size = size;
    memcpy(result->sense, incoming.head + REPLY_SENSE_AT, sizeof(result->sense));
    return 0;
}

/* True: nothing of the command has left, for a reason that lies with the device's fd. */
static bool execute_is_harmless(int r, size_t sent)
{
    return r < 0 && r != -ETIMEDOUT && sent == 0;
}

static int execute_by_socket(struct prhelper *helper, int device, const struct request *request,
                             const void *out, size_t out_size, struct prhelper_result *result)
{
    int64_t deadline = stream_deadline(helper->timeout_ms);
    uint8_t message[WIRE_CDB_SIZE + WIRE_DATA_MAX];
    size_t sent = 0;
    int r;

    memcpy(message, request->cdb, WIRE_CDB_SIZE);
    if (out_size > 0)
        memcpy(message + WIRE_CDB_SIZE, out, out_size);

    r = execute_check_silence(helper->sock);
    if (r == 0) {
        r = stream_send(helper->sock, message, WIRE_CDB_SIZE + out_size, device, deadline, &sent);
        if (execute_is_harmless(r, sent))
            return r;
    }
    if (r == 0) {
        result->outcome_unknown = true;
        r = execute_receive_reply(helper->sock, request, deadline, result);
    }
    if (r != 0) {
        cleanup_close(&helper->sock);
        helper->sock = -1;
    }
    return r;
}

void result_reset(struct prhelper_result *result)
{
    memset(result, 0, sizeof(*result));
    result->status = PRHELPER_STATUS_NONE;
}

int prhelper_execute(struct prhelper *helper, int device, const void *cdb, size_t cdb_size,
                     const void *out, size_t out_size, struct prhelper_result *ret_result)
{
    uint8_t field[WIRE_CDB_SIZE] = {0};
    struct request request;
    bool is_out;
    int r;

    result_reset(ret_result);
    if (device < 0 || cdb_size < CDB_SIZE || cdb_size > WIRE_CDB_SIZE)
        return PRHELPER_BAD_ARGUMENT;
    memcpy(field, cdb, cdb_size);
    if (!wire_decode_request(field, &request))
        return PRHELPER_BAD_ARGUMENT;
    is_out = request.opcode == SPC_PERSISTENT_RESERVE_OUT;
    if (out_size != (is_out ? request.length : 0))
        return PRHELPER_BAD_ARGUMENT;

    if (helper->execute)
        r = helper->execute(helper->context, device, field, out, out_size,
                            is_out ? 0 : request.length, ret_result);
    else if (helper->sock < 0)
        r = PRHELPER_DEAD;
    else
        r = execute_by_socket(helper, device, &request, out, out_size, ret_result);

    if (r == 0 && ret_result->size > execute_data_limit(&request, ret_result->status))
        r = PRHELPER_BAD_SIZE;
    if (r != 0) {
        bool outcome_unknown = ret_result->outcome_unknown;

        result_reset(ret_result);
        ret_result->outcome_unknown = outcome_unknown;
        return r;
    }
    ret_result->outcome_unknown = prhelper_outcome(0, ret_result) == PRHELPER_OUTCOME_UNKNOWN;
    if (ret_result->status != SPC_STATUS_CHECK_CONDITION)
        memset(ret_result->sense, 0, sizeof(ret_result->sense));
    memset(ret_result->data + ret_result->size, 0, sizeof(ret_result->data) - ret_result->size);
    return 0;
}
