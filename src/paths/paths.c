// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The life of a command: finish what an earlier one left, barrier, look, judge what is remembered,
 * carry the command out, reply.
 */
#include "paths/paths.h"

#include <assert.h>
#include <string.h>

#include "paths/internal.h"

static void paths_reply_begin(struct paths *engine)
{
    memset(&engine->step, 0, sizeof(engine->step));
    engine->step.kind = PATHS_STEP_REPLY;
}

void paths_answer(struct paths *engine, uint8_t status)
{
    paths_reply_begin(engine);
    engine->step.reply.status = status;
    if (engine->untold && status == SPC_STATUS_GOOD)
        engine->step.reply.reason = PATHS_REASON_NOT_TOLD;
}

void paths_answer_sense(struct paths *engine, struct spc_sense sense, enum paths_reason reason)
{
    paths_reply_begin(engine);
    engine->step.reply.status = SPC_STATUS_CHECK_CONDITION;
    engine->step.reply.sense = sense;
    engine->step.reply.reason = reason;
}

void paths_answer_busy(struct paths *engine, enum paths_reason reason, uint64_t paths)
{
    paths_reply_begin(engine);
    engine->step.reply.status = SPC_STATUS_BUSY;
    engine->step.reply.reason = reason;
    engine->step.reply.paths = paths;
}

void paths_answer_unknown(struct paths *engine, enum paths_reason reason, uint64_t paths)
{
    if (!engine->sent) {
        /* Nothing has been changed, so that is known. */
        paths_aim_nothing(engine);
        paths_answer_busy(engine, reason, paths);
        return;
    }
    paths_answer_sense(engine, SPC_LU_COMMUNICATION_FAILURE, reason);
    engine->step.reply.unknown = true;
    engine->step.reply.loud = true;
    engine->step.reply.paths = paths;
}

void paths_answer_result(struct paths *engine)
{
    switch ((enum paths_result)engine->result) {
    case PATHS_RESULT_GOOD:
        paths_answer(engine, SPC_STATUS_GOOD);
        break;
    case PATHS_RESULT_CONFLICT:
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
        break;
    case PATHS_RESULT_CHECK:
        paths_answer_sense(engine, engine->sense, PATHS_REASON_NONE);
        break;
    case PATHS_RESULT_BUSY:
        paths_answer_busy(engine, PATHS_REASON_TARGET_BUSY, 0);
        break;
    case PATHS_RESULT_PATH:
        paths_answer_busy(engine, PATHS_REASON_NO_PATH, 0);
        break;
    case PATHS_RESULT_LOST:
        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, paths_bit(engine->by));
        break;
    }
}

void paths_answer_finished(struct paths *engine)
{
    if (engine->memory.aim == PATHS_AIM_LEVEL)
        engine->memory.had = paths_surely(engine, paths_with(engine, engine->memory.key));
    else
        engine->memory.had = engine->memory.key = 0;
    engine->memory.old_key = 0;
    engine->memory.expected = engine->memory.had;
    engine->memory.aim = PATHS_AIM_NONE;
    paths_answer(engine, SPC_STATUS_GOOD);
}

/* Commands that a map does not support or that the guest may not send: nothing is sent. */
static bool paths_command_refused(struct paths *engine)
{
    const struct paths_command *command = &engine->command;

    if (command->repair)
        return false;
    if (command->service_action > SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY) {
        paths_answer_sense(engine, SPC_INVALID_FIELD_IN_CDB, PATHS_REASON_NOT_SERVED);
        return true;
    }
    if (command->spec_i_pt || command->all_tg_pt) {
        paths_answer_sense(engine, SPC_INVALID_FIELD_IN_PARAMETER_LIST, PATHS_REASON_NOT_SERVED);
        return true;
    }
    switch (command->service_action) {
    case SPC_PROUT_RESERVE:
    case SPC_PROUT_RELEASE:
    case SPC_PROUT_PREEMPT:
    case SPC_PROUT_PREEMPT_AND_ABORT:
        if (command->scope == SPC_SCOPE_LOGICAL_UNIT && spc_type_is_valid(command->type))
            return false;
        paths_answer_sense(engine, SPC_INVALID_FIELD_IN_CDB, PATHS_REASON_NONE);
        return true;
    default:
        return false;
    }
}

static bool paths_command_run(struct paths *engine)
{
    switch (engine->command.service_action) {
    case SPC_PROUT_REGISTER:
    case SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY:
        return engine->command.sa_key != 0 ? paths_register(engine) : paths_unregister(engine);
    case SPC_PROUT_RESERVE:
        return paths_reserve(engine);
    case SPC_PROUT_RELEASE:
        return paths_release(engine);
    case SPC_PROUT_CLEAR:
        return paths_clear(engine);
    default:
        return paths_preempt(engine);
    }
}

/*
 * Without READ FULL STATUS: no usable path has the guest's key (or, if it says that it has none,
 * the map's), and whether an absent one has it, or another host alone, cannot be told; nor who of
 * the two holds the reservation.
 */
static bool paths_is_unattributed(const struct paths *engine)
{
    uint64_t with = paths_with(engine,
                               engine->command.key ? engine->command.key : engine->memory.key);

    if (!engine->memory.plain ||
        engine->command.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY)
        return false;
    return (with != 0 && !(paths_registered(engine) & paths_usable(engine))) ||
           (engine->view.unsure && (engine->command.service_action == SPC_PROUT_RESERVE ||
                                    engine->command.service_action == SPC_PROUT_RELEASE));
}

static void paths_round_begin(struct paths *engine)
{
    engine->silent = false;
    engine->fenced = false;
    engine->blind = false;
    engine->todo = 0;
    engine->result = PATHS_RESULT_GOOD;
}

/*
 * Barrier, then look, then act. The barrier is an exchange with multipathd, whose handler of a
 * returning path registers, counts, and may clear again under the lock that its socket waits for:
 * half way a fenced path looks registered, and if the number of keys went down meanwhile it would
 * clear the path, with the reservation if the path holds it.
 */
static bool paths_run(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_RUN);
    if (paths_command_refused(engine))
        return true;
    if (paths_unfinished(&engine->memory) || engine->command.repair) {
        RESUME_CALL(engine, PATHS_FRAME_RUN, paths_repair(engine));
        if (engine->command.repair ? paths_unfinished(&engine->memory)
                                   : engine->memory.aim != PATHS_AIM_NONE) {
            paths_answer_busy(engine, PATHS_REASON_UNFINISHED, engine->memory.had);
            return true;
        }
        engine->sent = engine->lost = false;
        if (engine->command.repair) {
            /* Without a look it is due still. */
            if (engine->looked)
                paths_answer(engine, SPC_STATUS_GOOD);
            else
                paths_answer_busy(
                    engine, engine->silent ? PATHS_REASON_MULTIPATHD_SILENT : PATHS_REASON_NOT_READ,
                    0);
            return true;
        }
    }
    engine->before = engine->memory;
    for (engine->round = 0; engine->round < PATHS_ROUNDS_MAX; engine->round++) {
        paths_round_begin(engine);
        RESUME_CALL(engine, PATHS_FRAME_RUN, paths_tell(engine, PATHS_TELL_GETPRSTATUS, 0, 0));
        engine->silent = engine->result == PATHS_RESULT_LOST;
        /* Paths that are still failed on purpose: only what needs all of them has to wait. */
        if (!engine->silent && engine->memory.failed != 0) {
            RESUME_CALL(engine, PATHS_FRAME_RUN, paths_widen(engine));
            engine->silent = engine->memory.failed != 0;
        }
        RESUME_CALL(engine, PATHS_FRAME_RUN, paths_look(engine));
        if (!paths_usable(engine)) {
            paths_answer_busy(engine, PATHS_REASON_NO_PATH, 0);
            return true;
        }
        if (!engine->looked) {
            paths_answer_busy(engine, PATHS_REASON_NOT_READ, 0);
            return true;
        }
        if (engine->attention.key != 0) {
            paths_answer_sense(engine, engine->attention, PATHS_REASON_ATTENTION);
            return true;
        }
        if (paths_is_revived(engine)) {
            RESUME_CALL(engine, PATHS_FRAME_RUN, paths_withdraw(engine));
            if (engine->memory.aim != PATHS_AIM_NONE) {
                paths_answer_busy(engine, PATHS_REASON_FENCED, engine->memory.had);
                return true;
            }
            RESUME_CALL(engine, PATHS_FRAME_RUN, paths_look(engine));
            if (!engine->looked) {
                paths_answer_busy(engine, PATHS_REASON_NOT_READ, 0);
                return true;
            }
        }
        if (paths_is_unattributed(engine)) {
            paths_answer_busy(engine, PATHS_REASON_NOT_ATTRIBUTED, paths_absent(engine));
            return true;
        }
        engine->start = paths_registered(engine);
        engine->memory.expected = paths_surely(engine, engine->start);
        engine->holder = engine->view.holder;
        RESUME_CALL(engine, PATHS_FRAME_RUN, paths_command_run(engine));
        if (engine->step.kind == PATHS_STEP_REPLY)
            return true;
    }
    paths_answer_busy(engine, PATHS_REASON_TARGET_BUSY, 0);
    return true;
    RESUME_END(engine, PATHS_FRAME_RUN);
}

void paths_begin(struct paths *engine, const struct paths_map *map,
                 const struct paths_memory *memory, const struct paths_command *command)
{
    assert(map->count <= PATHS_MAX);
    memset(engine, 0, sizeof(*engine));
    engine->map = map;
    engine->memory = *memory;
    engine->before = *memory;
    engine->command = *command;
    paths_run(engine);
}

const struct paths_step *paths_step(const struct paths *engine)
{
    return &engine->step;
}

void paths_feed(struct paths *engine, const struct paths_outcome *outcome)
{
    assert(engine->step.kind != PATHS_STEP_REPLY);
    paths_step_end(engine, outcome);
    paths_run(engine);
    engine->data = NULL;
    engine->length = 0;
}

void paths_give_up(struct paths *engine)
{
    if (engine->step.kind == PATHS_STEP_REPLY)
        return;
    paths_answer_unknown(engine, PATHS_REASON_DEADLINE, engine->hung);
}
