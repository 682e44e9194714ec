// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Single steps, and what their outcomes mean. Two rules live here.
 *
 * A path's no is not the logical unit's: a path that is offline, whose target port group is in
 * another state, or whose target port does not have the logical unit, speaks for itself alone.
 *
 * A command without an answer is never sent twice: it may have been executed, or may yet be.
 */
#include <assert.h>
#include <string.h>

#include "paths/internal.h"
#include "scsi/sense.h"

/* Repetitions of a command that ended with BUSY, and with a unit attention. */
#define PATHS_RETRIES_MAX    3
#define PATHS_ATTENTIONS_MAX 16

/* 6/2A/03 to 05: a guest is to hear of it. */
static bool step_is_of_reservations(struct spc_sense sense)
{
    return sense.key == SPC_SENSE_UNIT_ATTENTION && sense.asc == 0x2a && sense.ascq >= 0x03 &&
           sense.ascq <= 0x05;
}

/*
 * Sense keys with which nothing has been executed. With the others (a medium or hardware error, an
 * aborted command) the device server may have got anywhere.
 */
static bool step_is_refusal(struct spc_sense sense)
{
    return sense.key == SPC_SENSE_ILLEGAL_REQUEST || sense.key == SPC_SENSE_NOT_READY ||
           sense.key == SPC_SENSE_DATA_PROTECT;
}

static enum paths_result step_classify(const struct paths_outcome *outcome)
{
    if (outcome->end == PATHS_REFUSED)
        return PATHS_RESULT_PATH;
    if (outcome->end != PATHS_DONE)
        return PATHS_RESULT_LOST;
    switch (outcome->status) {
    case SPC_STATUS_GOOD:
        return PATHS_RESULT_GOOD;
    case SPC_STATUS_RESERVATION_CONFLICT:
        return PATHS_RESULT_CONFLICT;
    case SPC_STATUS_BUSY:
    case SPC_STATUS_TASK_SET_FULL:
    case SPC_STATUS_ACA_ACTIVE:
        return PATHS_RESULT_BUSY;
    case SPC_STATUS_CHECK_CONDITION:
        if (sense_is_of_path(outcome->sense))
            return PATHS_RESULT_PATH;
        return step_is_refusal(outcome->sense) || outcome->sense.key == SPC_SENSE_UNIT_ATTENTION
                   ? PATHS_RESULT_CHECK
                   : PATHS_RESULT_LOST;
    default:
        return PATHS_RESULT_LOST;
    }
}

static void step_begin(struct paths *engine, enum paths_step_kind kind)
{
    memset(&engine->step, 0, sizeof(engine->step));
    engine->step.kind = kind;
}

void paths_prepare(struct paths *engine, unsigned path, uint8_t service_action, uint8_t type,
                   uint64_t key, uint64_t sa_key)
{
    struct prout prout = {
        .key = key,
        .sa_key = sa_key,
        /* Every registration sets it for the whole logical unit: SPC-4 5.13.5. */
        .aptpl = engine->memory.aptpl && (service_action == SPC_PROUT_REGISTER ||
                                          service_action == SPC_PROUT_REGISTER_AND_MOVE),
    };

    assert(path < engine->map->count);
    step_begin(engine, PATHS_STEP_SEND);
    engine->step.path = path;
    engine->step.parameters_length = PROUT_SIZE;
    cdb_encode_prout(engine->step.cdb, service_action, SPC_SCOPE_LOGICAL_UNIT, type, PROUT_SIZE);
    prout_encode(service_action, &prout, NULL, 0, engine->step.parameters, PROUT_SIZE);
    engine->by = (uint8_t)path;
    engine->retries = 0;
    engine->attentions = 0;
}

void paths_prepare_read(struct paths *engine, unsigned path, uint8_t service_action)
{
    assert(path < engine->map->count);
    step_begin(engine, PATHS_STEP_SEND);
    engine->step.path = path;
    cdb_encode_prin(engine->step.cdb, service_action, PATHS_DATA_MAX);
    engine->retries = 0;
    engine->attentions = 0;
}

static void step_note_outcome(struct paths *engine, const struct paths_outcome *outcome)
{
    engine->result = (uint8_t)step_classify(outcome);
    engine->sense = outcome->end == PATHS_DONE && outcome->status == SPC_STATUS_CHECK_CONDITION
                        ? outcome->sense
                        : SPC_NO_ADDITIONAL_SENSE;
    /* Until it is asked again. */
    if (engine->result == PATHS_RESULT_PATH)
        engine->up &= ~paths_bit(engine->step.path);
    if (outcome->end == PATHS_LOST)
        engine->hung |= paths_bit(engine->step.path);
    engine->data = engine->result == PATHS_RESULT_GOOD ? outcome->data : NULL;
    engine->length = engine->data ? outcome->length : 0;
    if (engine->step.parameters_length > 0 && engine->result != PATHS_RESULT_PATH &&
        !engine->harmless) {
        engine->sent = true;
        engine->lost |= engine->result == PATHS_RESULT_LOST;
    }
}

void paths_step_end(struct paths *engine, const struct paths_outcome *outcome)
{
    switch (engine->step.kind) {
    case PATHS_STEP_ASK:
        engine->heard = outcome->answered & engine->step.paths;
        engine->up = engine->heard;
        if (step_is_of_reservations(outcome->sense))
            engine->attention = outcome->sense;
        break;
    case PATHS_STEP_SEND:
        step_note_outcome(engine, outcome);
        break;
    case PATHS_STEP_TELL:
    case PATHS_STEP_DRAIN:
        engine->result = outcome->end == PATHS_DONE      ? PATHS_RESULT_GOOD
                         : outcome->end == PATHS_REFUSED ? PATHS_RESULT_PATH
                                                         : PATHS_RESULT_LOST;
        if (engine->step.kind == PATHS_STEP_TELL && engine->step.tell == PATHS_TELL_GETPRSTATUS)
            engine->set = outcome->end == PATHS_DONE && outcome->set;
        break;
    case PATHS_STEP_JOURNAL:
    case PATHS_STEP_REPLY:
        break;
    }
}

bool paths_ask(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_STEP);
    step_begin(engine, PATHS_STEP_ASK);
    engine->step.paths = paths_all(engine) & ~engine->hung;
    engine->up = 0;
    if (engine->step.paths != 0)
        RESUME_STEP(engine, PATHS_FRAME_STEP);
    RESUME_END(engine, PATHS_FRAME_STEP);
}

/* One of these went by without an effect, and the command may be sent again. */
static bool step_send_again(struct paths *engine)
{
    if (engine->result == PATHS_RESULT_CHECK && engine->sense.key == SPC_SENSE_UNIT_ATTENTION) {
        if (step_is_of_reservations(engine->sense))
            engine->attention = engine->sense;
        if (++engine->attentions <= PATHS_ATTENTIONS_MAX)
            return true;
        engine->result = PATHS_RESULT_BUSY;
    } else if (engine->result == PATHS_RESULT_BUSY) {
        return ++engine->retries <= PATHS_RETRIES_MAX;
    }
    return false;
}

bool paths_send(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_STEP);
    /* The path gave no answer in the meantime, perhaps to a look: it is not used again. */
    if (paths_has(engine->hung, engine->step.path)) {
        engine->result = PATHS_RESULT_PATH;
        engine->data = NULL;
        RESUME_RETURN(engine, PATHS_FRAME_STEP);
    }
    do {
        RESUME_STEP(engine, PATHS_FRAME_STEP);
    } while (step_send_again(engine));
    RESUME_END(engine, PATHS_FRAME_STEP);
}

bool paths_tell(struct paths *engine, enum paths_tell tell, uint64_t key, uint64_t paths)
{
    RESUME_BEGIN(engine, PATHS_FRAME_STEP);
    engine->result = PATHS_RESULT_GOOD;
    if (engine->map->multipathd == PATHS_MULTIPATHD_NONE)
        RESUME_RETURN(engine, PATHS_FRAME_STEP);
    step_begin(engine, PATHS_STEP_TELL);
    engine->step.tell = tell;
    engine->step.key = key;
    engine->step.paths = paths;
    /* A path that returns is treated by what multipathd was told: that is a change too. */
    engine->sent |= tell == PATHS_TELL_SETPRKEY || tell == PATHS_TELL_SETPRSTATUS ||
                    tell == PATHS_TELL_SETPRSTATUS_LIST || tell == PATHS_TELL_UNSETPRSTATUS;
    RESUME_STEP(engine, PATHS_FRAME_STEP);
    if (engine->result != PATHS_RESULT_GOOD && tell != PATHS_TELL_GETPRSTATUS)
        engine->untold = true;
    RESUME_END(engine, PATHS_FRAME_STEP);
}

bool paths_drain(struct paths *engine, uint64_t paths)
{
    RESUME_BEGIN(engine, PATHS_FRAME_STEP);
    step_begin(engine, PATHS_STEP_DRAIN);
    engine->step.paths = paths;
    RESUME_STEP(engine, PATHS_FRAME_STEP);
    RESUME_END(engine, PATHS_FRAME_STEP);
}

bool paths_write(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_STEP);
    step_begin(engine, PATHS_STEP_JOURNAL);
    RESUME_STEP(engine, PATHS_FRAME_STEP);
    RESUME_END(engine, PATHS_FRAME_STEP);
}
