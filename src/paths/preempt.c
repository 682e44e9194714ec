// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PREEMPT (SPC-4 5.13.11.2.4), PREEMPT AND ABORT (5.13.11.2.6) and CLEAR (5.13.11.2.7).
 *
 * PREEMPT of another host's key is one command by one path. PREEMPT of the map's own key is not:
 * at the target it takes the registrations of the other paths of this map with it, where one nexus
 * would have kept its own; they are registered again, and until they are, no write of the guest may
 * go down them.
 */
#include "paths/internal.h"

void paths_aim_level(struct paths *engine, uint64_t key)
{
    engine->memory.old_key = engine->memory.key;
    engine->memory.key = key;
    engine->memory.had = engine->memory.expected = paths_bit(engine->keep);
    engine->memory.aim = PATHS_AIM_LEVEL;
}

/* Nothing was executed of what the journal was written for. */
void paths_aim_nothing(struct paths *engine)
{
    uint64_t failed = engine->memory.failed;

    engine->memory = engine->before;
    engine->memory.failed = failed;
}

bool paths_abandon(struct paths *engine, enum paths_reason reason)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    paths_aim_nothing(engine);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
    paths_answer_busy(engine, reason, 0);
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * After PREEMPT of the map's own key by `keep`, which alone is still registered: the others again,
 * and the reply. With `untouched` nothing was executed; with `partly` only the first of two.
 */
bool paths_refill(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_REFILL);
    engine->was = engine->result;
    if (engine->untouched) {
        paths_aim_nothing(engine);
        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_widen(engine));
        if (engine->was != PATHS_RESULT_CONFLICT) {
            engine->result = engine->was;
            paths_answer_result(engine);
        }
        engine->untouched = false;
        RESUME_RETURN(engine, PATHS_FRAME_REFILL);
    }
    if (engine->was == PATHS_RESULT_LOST) {
        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, engine->hung);
        RESUME_RETURN(engine, PATHS_FRAME_REFILL);
    }
    engine->was = PATHS_RESULT_GOOD;
    RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_bring_level(engine));
    if (!engine->fenced && engine->level && !engine->blind) {
        RESUME_CALL(engine, PATHS_FRAME_REFILL,
                    paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));
        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_bring_level(engine));
    }
    if (engine->fenced)
        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_withdraw(engine));
    /* Not level: the guest keeps the one path that it has until a repair. */
    if (engine->fenced || (engine->level && !engine->blind))
        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_widen(engine));
    if (engine->fenced)
        paths_answer_unknown(engine, PATHS_REASON_FENCED, 0);
    else if (!engine->level || engine->blind)
        paths_answer_unknown(engine, PATHS_REASON_NOT_LEVEL,
                             paths_usable(engine) & ~engine->memory.had);
    else if (engine->partly)
        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, engine->hung);
    else
        paths_answer_finished(engine);
    RESUME_END(engine, PATHS_FRAME_REFILL);
}

/* Through any one path with the key; its outcome is the answer. */
static bool preempt_send_by_one(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);
    engine->result = PATHS_RESULT_PATH;
    while (engine->todo != 0 && engine->result == PATHS_RESULT_PATH) {
        engine->keep = (uint8_t)paths_first(engine->todo);
        engine->todo &= engine->todo - 1;
        paths_prepare(engine, engine->keep, engine->command.service_action, engine->command.type,
                      engine->command.key, engine->command.sa_key);
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
    }
    engine->todo = 0;
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

static bool preempt_other(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    RESUME_CALL(engine, PATHS_FRAME_PART, preempt_send_by_one(engine));
    if (engine->result != PATHS_RESULT_CONFLICT) {
        paths_answer_result(engine);
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    /* The path has lost the key: again, from the look. It has it: no nexus has the other one. */
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
    if (!engine->looked)
        paths_answer_busy(engine, PATHS_REASON_NOT_READ, 0);
    else if (engine->view.key[engine->keep] == engine->command.key)
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * The map's own key, and no path or host with it holds the reservation: PREEMPT unregisters all
 * that have it, the sender too (SPC-4 5.13.11.2.5). Unless another host with the same key has
 * reserved since the look: then the sender holds that reservation now.
 */
static bool preempt_self(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    if (engine->silent) {
        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);
    engine->result = PATHS_RESULT_PATH;
    while (engine->todo != 0 && engine->result == PATHS_RESULT_PATH) {
        engine->keep = (uint8_t)paths_first(engine->todo);
        engine->todo &= engine->todo - 1;
        if (engine->memory.aim == PATHS_AIM_LEVEL)
            paths_aim_nothing(engine);
        paths_aim_level(engine, engine->command.key);
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
        paths_prepare(engine, engine->keep, engine->command.service_action, engine->command.type,
                      engine->command.key, engine->command.key);
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
    }
    engine->todo = 0;
    engine->untouched = engine->result != PATHS_RESULT_GOOD && engine->result != PATHS_RESULT_LOST;
    if (engine->result != PATHS_RESULT_GOOD) {
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_refill(engine));
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
    if (engine->looked && engine->view.key[engine->keep] == engine->command.key &&
        engine->view.holder == engine->keep) {
        engine->result = PATHS_RESULT_GOOD;
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_refill(engine));
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    /* Afterwards: multipathd then clears paths that return. Registrations made until then are
     * removed too. */
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_withdraw(engine));
    if (engine->memory.aim == PATHS_AIM_NONE)
        paths_answer_finished(engine);
    else
        paths_answer_unknown(engine, PATHS_REASON_NOT_LEVEL, paths_registered(engine));
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * The reservation is preempted by a path that loses none of its own: its holder, or any if the
 * holder is another host's with the same key, or (key 0) all registrants hold it. Every other
 * registration with that key goes, those of our other paths too (SPC-4 5.13.11.2.4.3).
 */
static bool preempt_reservation(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);
    if (engine->todo == 0) {
        paths_answer_busy(engine, PATHS_REASON_NO_PATH, 0);
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    if (engine->silent) {
        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    engine->keep = (uint8_t)paths_first(
        engine->todo & paths_holding(engine) ? engine->todo & paths_holding(engine) : engine->todo);
    engine->todo = 0;
    /* A guest whose reservation another host holds has just been migrated in: it does not run. */
    if (engine->view.holder != PATHS_HOLDER_OTHER) {
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_narrow(engine));
        if (engine->result != PATHS_RESULT_GOOD) {
            RESUME_CALL(engine, PATHS_FRAME_PART, paths_widen(engine));
            paths_answer_sense(engine, SPC_INVALID_FIELD_IN_PARAMETER_LIST,
                               PATHS_REASON_NOT_NARROWED);
            engine->step.reply.loud = true;
            RESUME_RETURN(engine, PATHS_FRAME_PART);
        }
    }
    paths_aim_level(engine, engine->command.key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
    paths_prepare(engine, engine->keep, engine->command.service_action, engine->command.type,
                  engine->command.key, engine->command.sa_key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
    engine->untouched = engine->result != PATHS_RESULT_GOOD && engine->result != PATHS_RESULT_LOST;
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_refill(engine));
    RESUME_END(engine, PATHS_FRAME_PART);
}

bool paths_preempt(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    if (!paths_key_right(engine, engine->command.key) || engine->command.key == 0)
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
    else if (engine->command.sa_key == 0 && engine->view.type == 0)
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
    else if (engine->command.sa_key == 0 && !paths_all_registrants(engine))
        paths_answer_sense(engine, SPC_INVALID_FIELD_IN_PARAMETER_LIST, PATHS_REASON_NONE);
    else if (engine->command.sa_key == 0)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, preempt_reservation(engine));
    else if (engine->command.sa_key != engine->command.key)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, preempt_other(engine));
    else if (engine->view.type == 0 || engine->view.holder_key != engine->command.key)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, preempt_self(engine));
    else if (engine->view.holder >= 0 && engine->view.type == engine->command.type &&
             !paths_shared(engine, engine->command.key))
        paths_answer(engine, SPC_STATUS_GOOD); /* nothing would change */
    else
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, preempt_reservation(engine));
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}

bool paths_clear(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    if (!paths_key_right(engine, engine->command.key) || engine->command.key == 0) {
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->silent) {
        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, preempt_send_by_one(engine));
    if (engine->result == PATHS_RESULT_CONFLICT)
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND); /* not executed: again, from the look */
    if (engine->result != PATHS_RESULT_GOOD) {
        paths_answer_result(engine);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    /* All registrations are gone. Tell multipathd, and remove what it has just registered. */
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));
    paths_answer(engine, SPC_STATUS_GOOD);
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}
