// SPDX-License-Identifier: LGPL-2.1-or-later
#include "doctor/answer.h"

#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "ctl/command.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "sg/issue.h"

/* The whole list from the kernel, in place of its beginning; if that fails the beginning stays. */
static void answer_read_directly(int fd, enum spc_prin action, size_t needed, struct answer *answer)
{
    uint8_t cdb[CDB_FIELD_SIZE] = {0}, data[ANSWER_MAX];
    struct request request = {.cdb = cdb, .data = data, .fd = fd};
    struct sg_result result;
    size_t left;

    request.length = (uint32_t)(needed < ANSWER_MAX ? needed : ANSWER_MAX);
    cdb_encode_prin(cdb, (uint8_t)action, (uint16_t)request.length);
    request.opcode = cdb[0];
    if (sg_issue(&request, DIRECT_TIMEOUT_MS, &result) < 0 || result.status != SPC_STATUS_GOOD ||
        result.host_status != SG_HOST_OK || (result.driver_status & SG_DRIVER_MASK) != SG_DRIVER_OK)
        return;
    left = result.residual > 0 ? (size_t)result.residual : 0;
    if (left > request.length || request.length - left <= answer->size)
        return;
    answer->size = request.length - left;
    memcpy(answer->data, data, answer->size);
}

bool answer_read(struct session *session, enum spc_prin action, struct answer *ret,
                 struct outcome *outcome)
{
    const struct command *command = action == SPC_PRIN_READ_KEYS ? &cmd_keys : &cmd_full_status;
    struct outcome own = {.r = 0};
    struct prin_list list;

    outcome = outcome ? outcome : &own;
    session_send(session, command, outcome);
    ret->size = 0;
    ret->good = prhelper_is_good(outcome->r, &outcome->result);
    if (!ret->good)
        return false;
    ret->size = outcome->result.size;
    memcpy(ret->data, outcome->result.data, ret->size);
    if (prin_list_decode(ret->data, ret->size, &list) == PRIN_OK && list.needed > ret->size &&
        geteuid() == 0)
        answer_read_directly(session->device_fd, action, list.needed, ret);
    return true;
}

uint32_t answer_generation(const struct answer *answer)
{
    struct prin_list list;

    return prin_list_decode(answer->data, answer->size, &list) == PRIN_OK ? list.generation : 0;
}
