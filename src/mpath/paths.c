// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What changes nothing may be asked of the next path when one fails. What changes something is sent
 * once to each path, but for a unit attention: that is the device server's way to say that it did
 * not execute the command (SAM-5 5.14), and says it once.
 */
#include "mpath/paths.h"

#include <string.h>

#include "scsi/cdb.h"
#include "sg/issue.h"
#include "sg/reply.h"

#define PATHS_UNIT_ATTENTIONS 5 /* how many in a row are taken */

bool paths_read(const struct map_paths *paths, const struct request *request, unsigned timeout_ms,
                struct reply *reply)
{
    reply_sense(reply, SPC_LU_NO_RESPONSE);
    for (unsigned i = 0; i < paths->n; i++) {
        struct request sent = *request;
        struct sg_result result;
        int error;

        if (paths->path[i].fd < 0)
            continue;
        sent.fd = paths->path[i].fd;
        error = -sg_issue(&sent, timeout_ms, &result);
        if (error)
            sg_reply_errno(error, reply);
        else
            sg_reply_result(&result, &sent, reply);
        if (!sg_path_failed(error, &result))
            return true;
    }
    return false;
}

/* A PERSISTENT RESERVE IN of our own: unit attentions are not for us. Bytes read, or 0. */
static size_t paths_ask(const struct map_paths *paths, uint8_t service_action, uint8_t *data,
                        size_t size, unsigned timeout_ms, struct reply *reply)
{
    uint8_t cdb[CDB_FIELD_SIZE] = {0};
    struct request request = {
        .cdb = cdb,
        .opcode = SPC_PERSISTENT_RESERVE_IN,
        .length = (uint32_t)size,
        .data = data,
    };

    cdb_encode_prin(cdb, service_action, (uint16_t)size);
    for (unsigned i = 0; i < PATHS_UNIT_ATTENTIONS; i++) {
        struct spc_sense code;

        memset(data, 0, size);
        if (!paths_read(paths, &request, timeout_ms, reply))
            return 0;
        if (reply->status == SPC_STATUS_GOOD)
            return reply->size;
        if (!sense_decode(reply->sense, sizeof(reply->sense), &code) ||
            code.key != SPC_SENSE_UNIT_ATTENTION)
            return 0;
    }
    return 0;
}

bool paths_read_reservation(const struct map_paths *paths, unsigned timeout_ms,
                            struct prin_reservation *ret, struct reply *reply)
{
    uint8_t data[PRIN_RESERVATION_SIZE];
    size_t size = paths_ask(paths, SPC_PRIN_READ_RESERVATION, data, sizeof(data), timeout_ms,
                            reply);

    if (reply->status != SPC_STATUS_GOOD)
        return false;
    if (prin_reservation_decode(data, size, ret) == PRIN_OK)
        return true;
    reply_sense(reply, SPC_LU_COMMUNICATION_FAILURE);
    return false;
}

static bool paths_read_list(const struct map_paths *paths, uint8_t service_action,
                            unsigned timeout_ms, struct prin_list *ret)
{
    static uint8_t data[PATHS_ANSWER_MAX];
    struct reply reply;
    size_t size = paths_ask(paths, service_action, data, sizeof(data), timeout_ms, &reply);

    return reply.status == SPC_STATUS_GOOD && prin_list_decode(data, size, ret) == PRIN_OK &&
           !ret->cut;
}

bool paths_read_full_status(const struct map_paths *paths, unsigned timeout_ms,
                            struct prin_list *ret)
{
    return paths_read_list(paths, SPC_PRIN_READ_FULL_STATUS, timeout_ms, ret);
}

bool paths_read_keys(const struct map_paths *paths, unsigned timeout_ms, struct prin_list *ret)
{
    return paths_read_list(paths, SPC_PRIN_READ_KEYS, timeout_ms, ret);
}

bool paths_read_capabilities(const struct map_paths *paths, unsigned timeout_ms,
                             struct prin_capabilities *ret)
{
    uint8_t data[PRIN_CAPABILITIES_SIZE];
    struct reply reply;
    size_t size = paths_ask(paths, SPC_PRIN_REPORT_CAPABILITIES, data, sizeof(data), timeout_ms,
                            &reply);

    return reply.status == SPC_STATUS_GOOD && prin_capabilities_decode(data, size, ret) == PRIN_OK;
}

struct path_answer paths_send(const struct map_path *path, const struct request *request,
                              unsigned timeout_ms)
{
    struct path_answer answer = {.verdict = PATH_FAILED};
    struct request sent = *request;

    sent.fd = path->fd;
    for (unsigned i = 0; i < PATHS_UNIT_ATTENTIONS; i++) {
        struct sg_result result;
        struct spc_sense code;
        int error = -sg_issue(&sent, timeout_ms, &result);

        answer.verdict = PATH_FAILED;
        if (error) {
            sg_reply_errno(error, &answer.reply);
            return answer;
        }
        sg_reply_result(&result, &sent, &answer.reply);
        if (answer.reply.status == SPC_STATUS_GOOD)
            answer.verdict = PATH_GOOD;
        else if (result.status == SPC_STATUS_CHECK_CONDITION && result.sense_size > 0)
            answer.verdict = PATH_CHECK;
        else if (result.host_status == 0 && result.status != SPC_STATUS_GOOD)
            answer.verdict = PATH_STATUS;

        if (answer.verdict != PATH_CHECK ||
            !sense_decode(answer.reply.sense, sizeof(answer.reply.sense), &code) ||
            code.key != SPC_SENSE_UNIT_ATTENTION)
            return answer;
    }
    return answer;
}
