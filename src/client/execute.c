// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One command and its answer. The helper is trusted to be who it says, since it was given a disk;
 * it is not trusted to be right: an answer counts only if every byte of it is where the protocol
 * has it, because a client that takes a wrong one for GOOD goes on to write to a disk of another
 * host. After anything else the connection is dead: what the next bytes belong to is unknown.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "client/connection.h"
#include "client/stream.h"
#include "scsi/cdb.h"

#define REPLY_STATUS_AT 0
#define REPLY_SIZE_AT   4
#define REPLY_SENSE_AT  8

static void execute_reset(struct prhelper_result *result)
{
    memset(result, 0, sizeof(*result));
    result->status = PRHELPER_STATUS_NONE;
}

/* Bytes of data that may come with an answer of this status. */
static uint32_t execute_data_limit(const struct prhelper *helper, uint32_t status)
{
    bool has_data = helper->opcode == SPC_PERSISTENT_RESERVE_IN && status == SPC_STATUS_GOOD;

    return has_data ? helper->length : 0;
}

/* The command has been sent, or will not be. */
static void execute_release_device(struct prhelper *helper)
{
    if (helper->device_is_ours)
        cleanup_close(&helper->device);
    helper->device = -1;
    helper->device_is_ours = false;
}

/* Before the first byte: what the helper has done since the last answer. */
static int execute_check(struct prhelper *helper)
{
    ssize_t n = stream_peek(helper->sock);

    if (n > 0)
        return PRHELPER_UNEXPECTED;
    if (n == 0)
        return PRHELPER_CLOSED;
    if (helper->needs & ~helper->features) {
        helper->state = CONNECTION_IDLE;
        return PRHELPER_NO_FEATURE;
    }
    return 0; /* an error of the socket is told when we send */
}

int execute_send(struct prhelper *helper)
{
    bool is_first = helper->sent == 0;
    int r = is_first ? execute_check(helper) : 0;
    ssize_t n;

    if (r != 0)
        return r;
    n = stream_send(helper->sock, helper->message + helper->sent, helper->size - helper->sent,
                    is_first ? helper->device : -1);
    if (n == -EAGAIN)
        return PRHELPER_PENDING;
    if (n == -EPIPE)
        return PRHELPER_CLOSED;
    if (n < 0) {
        /* Nothing has left, for a reason that lies with the device's fd or with the kernel. */
        if (is_first)
            helper->state = CONNECTION_IDLE;
        return (int)n;
    }
    helper->sent += (size_t)n;
    if (helper->sent == helper->size) {
        execute_release_device(helper);
        helper->state = CONNECTION_RECEIVING;
    }
    return 0;
}

/* How much there must be before it is all; or an error, if it cannot be an answer. */
static int execute_wanted(const struct prhelper *helper, size_t *ret_wanted)
{
    uint32_t status, size;

    *ret_wanted = WIRE_REPLY_SIZE;
    if (helper->received < WIRE_REPLY_SIZE)
        return 0;
    /* Both are signed on the wire, and a negative one is as wrong as one that is too great. */
    status = load_be32(helper->head + REPLY_STATUS_AT);
    size = load_be32(helper->head + REPLY_SIZE_AT);
    if (status > UINT8_MAX)
        return PRHELPER_BAD_STATUS;
    if (size > execute_data_limit(helper, status))
        return PRHELPER_BAD_SIZE;
    *ret_wanted = WIRE_REPLY_SIZE + size;
    return 0;
}

int execute_receive(struct prhelper *helper)
{
    struct prhelper_result *result = helper->result;
    struct iovec iov[2];
    size_t n_iov = 0, wanted, offset = 0;
    ssize_t n;
    int r;

    if (helper->received < WIRE_REPLY_SIZE)
        iov[n_iov++] = (struct iovec){helper->head + helper->received,
                                      WIRE_REPLY_SIZE - helper->received};
    else
        offset = helper->received - WIRE_REPLY_SIZE;
    /* All that there is, to see whether it is too much. */
    iov[n_iov++] = (struct iovec){result->data + offset, sizeof(result->data) - offset};
    n = stream_receive(helper->sock, iov, n_iov);
    if (n == -EAGAIN)
        return PRHELPER_PENDING;
    if (n < 0)
        return (int)n;
    if (n == 0)
        return helper->received == 0 ? PRHELPER_CLOSED : PRHELPER_CUT;
    helper->received += (size_t)n;
    r = execute_wanted(helper, &wanted);
    if (r != 0 || helper->received < wanted)
        return r;
    if (helper->received > wanted)
        return PRHELPER_UNEXPECTED;

    result->status = (uint8_t)load_be32(helper->head + REPLY_STATUS_AT);
    result->size = (uint32_t)(wanted - WIRE_REPLY_SIZE);
    memcpy(result->sense, helper->head + REPLY_SENSE_AT, sizeof(result->sense));
    helper->state = CONNECTION_IDLE;
    return 0;
}

int execute_end(struct prhelper *helper, int r)
{
    struct prhelper_result *result = helper->result;

    if (r == 0) {
        result->outcome_unknown = prhelper_outcome(0, result) == PRHELPER_OUTCOME_UNKNOWN;
        if (result->status != SPC_STATUS_CHECK_CONDITION)
            memset(result->sense, 0, sizeof(result->sense));
        memset(result->data + result->size, 0, sizeof(result->data) - result->size);
    } else {
        bool outcome_unknown = helper->execute ? result->outcome_unknown
                                               : helper->sent == helper->size;

        execute_reset(result);
        result->outcome_unknown = outcome_unknown;
    }
    execute_release_device(helper);
    helper->result = NULL;
    return r;
}

int execute_claim(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    if (helper->state > CONNECTION_IDLE) {
        if (ret_result != helper->result)
            execute_reset(ret_result);
        return PRHELPER_IN_USE;
    }
    execute_reset(ret_result);
    return device < 0 ? PRHELPER_BAD_ARGUMENT : 0;
}

/* Not by a helper. */
static int execute_by_other_means(struct prhelper *helper)
{
    struct prhelper_result *result = helper->result;
    const uint8_t *out = helper->message + WIRE_CDB_SIZE;
    size_t out_size = helper->size - WIRE_CDB_SIZE;
    bool is_in = helper->opcode == SPC_PERSISTENT_RESERVE_IN;
    int r = helper->execute(helper->context, helper->device, helper->message,
                            out_size > 0 ? out : NULL, out_size, is_in ? helper->length : 0,
                            result);

    if (r == 0 && result->size > execute_data_limit(helper, result->status)) {
        result->outcome_unknown = true;
        r = PRHELPER_BAD_SIZE;
    }
    return execute_end(helper, r);
}

/* Not all is sent, and may have to be sent again; the caller may close the device meanwhile. */
static int execute_keep_device(struct prhelper *helper)
{
    int device = fcntl(helper->device, F_DUPFD_CLOEXEC, 0);

    if (device < 0) {
        int r = -errno;

        prhelper_cancel(helper);
        return r;
    }
    helper->device = device;
    helper->device_is_ours = true;
    return PRHELPER_PENDING;
}

int execute_start(struct prhelper *helper, int device, size_t out_size, uint32_t needs,
                  struct prhelper_result *ret_result)
{
    struct request request;
    int r;

    if (!wire_decode_request(helper->message, &request))
        return PRHELPER_BAD_ARGUMENT;
    if (out_size != (request.opcode == SPC_PERSISTENT_RESERVE_OUT ? request.length : 0))
        return PRHELPER_BAD_ARGUMENT;
    if (helper->state == CONNECTION_DEAD && helper->tries == 0)
        return PRHELPER_DEAD;

    helper->result = ret_result;
    helper->device = device;
    helper->needs = needs;
    helper->opcode = request.opcode;
    helper->length = request.length;
    helper->size = WIRE_CDB_SIZE + out_size;
    helper->sent = helper->received = 0;
    if (helper->execute)
        return execute_by_other_means(helper);

    helper->deadline = stream_deadline(helper->timeout_ms);
    helper->tries_left = helper->tries;
    if (helper->state == CONNECTION_DEAD) {
        helper->tries_left--; /* this one */
        helper->wake = 0;
        helper->state = CONNECTION_PAUSED;
    } else {
        helper->state = CONNECTION_SENDING;
    }
    r = connection_advance(helper);
    return r == PRHELPER_PENDING && helper->sent < helper->size ? execute_keep_device(helper) : r;
}

int prhelper_start_execute(struct prhelper *helper, int device, const void *cdb, size_t cdb_size,
                           const void *out, size_t out_size, struct prhelper_result *ret_result)
{
    int r = execute_claim(helper, device, ret_result);

    if (r != 0)
        return r;
    if (cdb_size < CDB_SIZE || cdb_size > WIRE_CDB_SIZE || out_size > WIRE_DATA_MAX)
        return PRHELPER_BAD_ARGUMENT;
    memset(helper->message, 0, WIRE_CDB_SIZE);
    memcpy(helper->message, cdb, cdb_size);
    if (out_size > 0)
        memcpy(helper->message + WIRE_CDB_SIZE, out, out_size);
    return execute_start(helper, device, out_size, 0, ret_result);
}
