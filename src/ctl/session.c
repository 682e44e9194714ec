// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A unit attention is news for the initiator, told once, in place of the answer to the command that
 * comes next; that command was not carried out (SAM-5 5.14). So it is noted and the command sent
 * again. The exception are those after which it is not known what a command that changes something
 * has done: a helper reports a reset of the transport as a unit attention.
 */
#include "ctl/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "ctl/command.h"
#include "scsi/spc.h"

#define SESSION_CONNECT_MS 10000

const char *session_socket(const struct session *session)
{
    return session->options->socket ? session->options->socket : BUILD_DEFAULT_SOCKET;
}

int session_open_device(struct session *session, const struct options *options)
{
    int access = options->command->changes && !options->dry_run ? O_RDWR : O_RDONLY;

    *session = (struct session){.options = options, .device_fd = -1};
    /* Without O_NONBLOCK a FIFO, a tape or a device in exclusive use would block. */
    session->device_fd = open(options->device, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return session->device_fd < 0 ? -errno : 0;
}

int session_connect(struct session *session)
{
    int timeout_ms = session->options->timeout_ms;
    int r;

    if (session->options->direct) {
        session->direct.timeout_ms = timeout_ms < 0 ? DIRECT_TIMEOUT_MS : timeout_ms;
        return prhelper_custom(direct_execute, &session->direct, &session->helper);
    }
    r = prhelper_connect(session_socket(session), PRHELPER_FEATURES,
                         timeout_ms < 0 ? SESSION_CONNECT_MS : timeout_ms, &session->helper);
    if (r == 0)
        prhelper_set_timeout(session->helper, timeout_ms);
    return r;
}

void session_disconnect(struct session *session)
{
    prhelper_close(session->helper);
    session->helper = NULL;
}

void session_close(struct session *session)
{
    session_disconnect(session);
    free(session->long_data);
    session->long_data = NULL;
    if (session->device_fd >= 0)
        close(session->device_fd);
    session->device_fd = -1;
}

static bool session_is_attention(const struct command *command, const struct outcome *outcome,
                                 struct prhelper_sense *ret_sense)
{
    if (outcome->r != 0 || outcome->result.status != PRHELPER_CHECK_CONDITION ||
        prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), ret_sense) != 0)
        return false;
    return ret_sense->key == SPC_SENSE_UNIT_ATTENTION && !outcome_is_unknown(outcome, command);
}

/*
 * The list goes on behind what there was room for. It may have grown since, so there is more than
 * one try. Where this fails, what has come already is the answer.
 */
static void session_lengthen(struct session *session, const struct command *command,
                             struct outcome *outcome)
{
    size_t size = outcome->result.size, room = sizeof(outcome->result.data);
    const uint8_t *data = outcome->result.data;
    struct prhelper_result result;
    struct prhelper_list list;

    while (prhelper_list_decode(data, size, &list) == 0 && list.needed > room &&
           room < DIRECT_ROOM_MAX) {
        size_t more = list.needed < DIRECT_ROOM_MAX ? (size_t)list.needed : DIRECT_ROOM_MAX;
        uint8_t *longer = calloc(1, more);

        if (!longer ||
            direct_read(&session->direct, session->device_fd, command->service_action, longer, more,
                        &result) != 0 ||
            result.status != PRHELPER_GOOD || result.size < size) {
            session->direct.problem[0] = '\0';
            free(longer);
            return;
        }
        free(session->long_data);
        session->long_data = longer;
        session->long_size = size = result.size;
        outcome->is_long = true;
        data = longer;
        room = more;
    }
}

const uint8_t *session_data(const struct session *session, const struct outcome *outcome,
                            size_t *ret_size)
{
    *ret_size = outcome->is_long ? session->long_size : outcome->result.size;
    return outcome->is_long ? session->long_data : outcome->result.data;
}

void session_send(struct session *session, const struct command *command, struct outcome *outcome)
{
    struct prhelper_sense sense;

    memset(outcome, 0, sizeof(*outcome));
    for (;;) {
        outcome->r = command->send(session->helper, session->device_fd, session->options,
                                   &outcome->result);
        if (outcome->n_attentions == OUTCOME_ATTENTIONS_MAX ||
            !session_is_attention(command, outcome, &sense))
            break;
        outcome->attentions[outcome->n_attentions++] = sense;
        if (session->n_attentions < OUTCOME_ATTENTIONS_MAX)
            session->attentions[session->n_attentions++] = sense;
    }
    if (command->lists && session->options->direct &&
        prhelper_is_good(outcome->r, &outcome->result))
        session_lengthen(session, command, outcome);
}
