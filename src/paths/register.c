// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * REGISTER and REGISTER AND IGNORE EXISTING KEY with a service action key that is not 0
 * (SPC-4 5.13.7): every path of the map gets the new key.
 *
 * Always by REGISTER that names the key which the look showed on that path, also for the guest's
 * AND IGNORE: one that comes late, or after another host's PREEMPT, conflicts instead of bringing a
 * fenced path back. And the path that holds the reservation comes last: until then another host's
 * PREEMPT of the old key still takes the reservation.
 */
#include "paths/internal.h"

bool paths_tell_set(struct paths *engine, enum paths_tell tell)
{
    RESUME_BEGIN(engine, PATHS_FRAME_ACT);
    RESUME_CALL(engine, PATHS_FRAME_ACT, paths_tell(engine, tell, 0, paths_usable(engine)));
    /* 0.13 registers what it does not find registered; a second exchange waits for that. */
    RESUME_CALL(engine, PATHS_FRAME_ACT, paths_tell(engine, PATHS_TELL_GETPRSTATUS, 0, 0));
    RESUME_END(engine, PATHS_FRAME_ACT);
}

/*
 * Register one path, `keep`, with memory.key, from the key that the view shows, and look. On return
 * either engine->fenced, or memory.had has it, or it could not be done. With engine->blind nothing
 * more may be registered: 0->n has no answer, and whether another host has fenced that registration
 * already cannot be told from its never having been.
 */
static bool register_one(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    for (engine->spin = 0; engine->spin < PATHS_ROUNDS_MAX; engine->spin++) {
        if (engine->view.key[engine->keep] == engine->memory.key) {
            engine->memory.had |= paths_bit(engine->keep);
            break;
        }
        if (!paths_has(paths_usable(engine), engine->keep))
            break;
        paths_prepare(engine, engine->keep, SPC_PROUT_REGISTER, 0, engine->view.key[engine->keep],
                      engine->memory.key);
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
        engine->was = engine->result;
        if (engine->was == PATHS_RESULT_PATH)
            break;
        if (engine->was == PATHS_RESULT_LOST && engine->view.key[engine->keep] == 0)
            engine->blind = engine->late = true;
        if (engine->was == PATHS_RESULT_GOOD) {
            engine->memory.had |= paths_bit(engine->keep);
            engine->memory.expected |= paths_bit(engine->keep);
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
        }
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
        if (!engine->looked)
            break;
        engine->fenced = paths_lost_some(engine);
        /* multipathd registers too: such a path, if it loses its registration, is fenced like
         * others. */
        if (!engine->fenced)
            engine->memory.expected |= paths_surely(engine, paths_registered(engine));
        if (engine->fenced || engine->was != PATHS_RESULT_CONFLICT)
            break;
        if (engine->view.key[engine->keep] == 0)
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_learn_twin(engine));
        if (engine->memory.twin[engine->keep] != 0)
            break;
    }
    if (!engine->fenced && engine->looked && engine->view.key[engine->keep] == engine->memory.key) {
        engine->memory.had |= paths_bit(engine->keep);
        engine->blind = false; /* executed after all: it cannot come late */
    }
    engine->spin = 0;
    engine->was = PATHS_RESULT_GOOD;
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

/*
 * Before the holder changes its key: what absent or silent paths of ours still have under the old
 * one goes by PREEMPT of that key, sent by the holder with the same key and type. It keeps its own
 * registration and the reservation and drops the others, in one instant (SPC-4 5.13.11.2.4.3).
 * engine->fenced, or engine->looked is false, if the command cannot go on. A conflict is not a
 * fence: multipathd may have given the holder the new key, and then what is absent goes at the end.
 */
static bool register_preempt_before_holder(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
    if (!engine->looked)
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    engine->fenced = paths_lost_some(engine);
    /* Those that can be used by now change their key first: returned, or in place of a twin. */
    engine->todo = paths_usable(engine) & ~paths_holding(engine) &
                   paths_with(engine, engine->view.key[engine->holder]);
    while (engine->todo != 0 && !engine->fenced && engine->looked) {
        engine->keep = (uint8_t)paths_first(engine->todo);
        engine->todo &= engine->todo - 1;
        RESUME_CALL(engine, PATHS_FRAME_PART, register_one(engine));
    }
    engine->todo = 0;
    if (!engine->looked || engine->fenced || engine->view.holder != engine->holder)
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    engine->old_key = engine->view.key[engine->holder];
    if (engine->old_key == 0 || engine->old_key == engine->memory.key ||
        paths_shared(engine, engine->old_key) ||
        paths_with(engine, engine->old_key) == paths_holding(engine))
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    paths_prepare(engine, (unsigned)engine->holder, SPC_PROUT_PREEMPT, engine->view.type,
                  engine->old_key, engine->old_key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
    if (engine->result == PATHS_RESULT_GOOD) {
        engine->memory.expected &= ~(paths_with(engine, engine->old_key) & ~paths_holding(engine));
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
        engine->result = PATHS_RESULT_GOOD;
    }
    if (engine->result == PATHS_RESULT_CONFLICT) {
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
        engine->fenced = paths_lost_some(engine);
    } else if (engine->result == PATHS_RESULT_LOST) {
        engine->looked = false;
    }
    RESUME_END(engine, PATHS_FRAME_PART);
}

/* Paths that are absent with a key that the command would have to take away. */
static uint64_t register_stale_absent(const struct paths *engine)
{
    return paths_absent(engine) & ~paths_with(engine, engine->command.sa_key);
}

/* After a withdrawal: the guest is fenced, and what it asked for was done in part. */
static void register_answer_fenced(struct paths *engine)
{
    paths_answer_unknown(engine, PATHS_REASON_FENCED, engine->memory.had);
}

/* All usable paths have the key: multipathd is told, and a last look decides. */
static bool register_confirm(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_bring_level(engine));
    if (engine->fenced || !engine->level || engine->blind)
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_bring_level(engine));
    if ((register_stale_absent(engine) & ~engine->view.shared) ||
        paths_is_out_of_reach(engine, register_stale_absent(engine)))
        engine->level = false;
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * Every usable path has the key already: it is registered to itself by one of them, for APTPL,
 * which the logical unit takes from the last registration (SPC-4 5.13.5), and for PRGENERATION.
 */
static bool register_again(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    engine->todo = paths_usable(engine);
    engine->result = PATHS_RESULT_PATH;
    while (engine->todo != 0 && engine->result == PATHS_RESULT_PATH) {
        paths_prepare(engine, paths_first(engine->todo), SPC_PROUT_REGISTER, 0,
                      engine->command.sa_key, engine->command.sa_key);
        engine->todo &= engine->todo - 1;
        engine->harmless = true;
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
        engine->harmless = false;
    }
    engine->todo = 0;
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * No path took the new key: BUSY. multipathd gets the old one again, since it would register a path
 * that returns with the new one. It has done so already: then the command is not undone.
 */
static bool register_nothing_done(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    if (engine->before.key != 0)
        RESUME_CALL(engine, PATHS_FRAME_PART,
                    paths_tell(engine, PATHS_TELL_SETPRKEY, engine->before.key, 0));
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
    if (engine->looked && paths_with(engine, engine->command.sa_key) != 0)
        RESUME_CALL(engine, PATHS_FRAME_PART,
                    paths_tell(engine, PATHS_TELL_SETPRKEY, engine->command.sa_key, 0));
    if (!engine->looked || paths_with(engine, engine->command.sa_key) != 0) {
        paths_answer_unknown(engine, PATHS_REASON_NOT_LEVEL, paths_usable(engine));
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    /* Our own PREEMPT may have removed the registrations of absent paths. */
    engine->before.had &= engine->memory.expected;
    engine->before.expected &= engine->memory.expected;
    paths_aim_nothing(engine);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
    paths_answer_busy(engine, PATHS_REASON_NO_PATH, 0);
    RESUME_END(engine, PATHS_FRAME_PART);
}

bool paths_register(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    if (engine->command.service_action == SPC_PROUT_REGISTER &&
        !paths_key_right(engine, engine->command.key)) {
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->silent) {
        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (paths_is_out_of_reach(engine, register_stale_absent(engine))) {
        paths_answer_busy(engine, PATHS_REASON_SHARED_ABSENT, register_stale_absent(engine));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }

    engine->memory.old_key = engine->memory.key;
    if (engine->command.service_action == SPC_PROUT_REGISTER)
        engine->memory.old_key = engine->command.key;
    engine->memory.key = engine->command.sa_key;
    engine->memory.had = paths_surely(engine, paths_with(engine, engine->command.sa_key));
    engine->memory.aim = PATHS_AIM_LEVEL;
    engine->memory.aptpl = engine->command.aptpl;
    engine->memory.aptpl_known = true;
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_write(engine));
    /* First, so that a path that returns gets the new key, not the old one. */
    RESUME_CALL(engine, PATHS_FRAME_COMMAND,
                paths_tell(engine, PATHS_TELL_SETPRKEY, engine->command.sa_key, 0));
    /* Finds no key and unsets itself; from then on 0.13 clears a path with a late registration. */
    if (engine->result != PATHS_RESULT_LOST && engine->start == 0 && !engine->view.sa_key_shared)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS));
    if (engine->result == PATHS_RESULT_LOST) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND,
                    paths_abandon(engine, PATHS_REASON_MULTIPATHD_SILENT));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    /* It has refused, so it will not remove an absent path's registration when the path returns. */
    if (engine->untold && paths_is_out_of_reach(engine, register_stale_absent(engine))) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_abandon(engine, PATHS_REASON_SHARED_ABSENT));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }

    if (!(paths_usable(engine) & ~paths_with(engine, engine->command.sa_key))) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_again(engine));
        if (engine->result != PATHS_RESULT_GOOD && engine->result != PATHS_RESULT_CONFLICT) {
            paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, paths_bit(engine->by));
            RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
        }
    }
    engine->todo = paths_usable(engine) & ~paths_holding(engine);
    while (engine->todo != 0 && !engine->fenced && engine->looked && !engine->blind) {
        engine->keep = (uint8_t)paths_first(engine->todo);
        engine->todo &= engine->todo - 1;
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_one(engine));
    }
    if (!engine->fenced && engine->looked && !engine->blind && engine->holder >= 0 &&
        paths_has(paths_usable(engine), (unsigned)engine->holder)) {
        if (engine->view.key[engine->holder] != engine->command.sa_key)
            RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_preempt_before_holder(engine));
        engine->keep = (uint8_t)engine->holder;
        if (!engine->fenced && engine->looked)
            RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_one(engine));
    }
    if (!engine->fenced && engine->looked && engine->memory.had == 0) {
        if (engine->lost) {
            paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, engine->hung);
            RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
        }
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_nothing_done(engine));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    engine->level = engine->looked && !engine->blind;
    if (!engine->fenced && engine->level && register_stale_absent(engine) &&
        !paths_is_out_of_reach(engine, register_stale_absent(engine)))
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_strip(engine));
    if (!engine->fenced && engine->level)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, register_confirm(engine));
    if (engine->fenced) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));
        register_answer_fenced(engine);
    } else if (!engine->looked) {
        paths_answer_unknown(engine, PATHS_REASON_NOT_READ, 0);
    } else if (engine->blind) {
        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, engine->hung);
    } else if (!engine->level) {
        paths_answer_unknown(engine, PATHS_REASON_NOT_LEVEL,
                             paths_usable(engine) & ~engine->memory.had);
    } else {
        paths_answer_finished(engine);
    }
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}
