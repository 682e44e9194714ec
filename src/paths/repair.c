// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Procedures that bring all paths of the map to one state, and the repair of what a command left
 * when a path hung, an answer was lost or the caller died.
 */
#include "paths/internal.h"

/* The next path of a set: one that holds the reservation last of all. */
static unsigned repair_next_of(const struct paths *engine, uint64_t todo)
{
    uint64_t first = todo & ~paths_holding(engine);

    return paths_first(first ? first : todo);
}

/*
 * Before the path that holds the reservation goes, `by`: what absent paths have. With the
 * reservation gone, another host's PREEMPT of their key would succeed, and not give it the
 * reservation.
 */
static uint64_t repair_left_behind(const struct paths *engine)
{
    return paths_has(paths_holding(engine), engine->by)
               ? paths_absent(engine) & ~engine->view.shared
               : 0;
}

/*
 * Another host has fenced this map, or a command is to leave nothing: REGISTER x->0 by every usable
 * path of ours that is registered, with the key that the look showed. Always when fenced, and never
 * because a path failed: registering the rest would undo the fence, unregistering it would make a
 * failed command destroy the reservation.
 */
bool paths_withdraw(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    engine->memory.expected = 0;
    if (engine->memory.aim != PATHS_AIM_WITHDRAW) {
        engine->memory.aim = PATHS_AIM_WITHDRAW;
        engine->memory.had = 0;
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
    }
    for (engine->spin = 0; engine->spin < PATHS_ROUNDS_MAX + 1; engine->spin++) {
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
        if (!engine->looked)
            break;
        engine->again = paths_registered(engine) & paths_usable(engine);
        if (engine->again == 0) {
            /* A path that returns is now cleared by multipathd (0.13), or left alone. */
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,
                        paths_tell(engine, PATHS_TELL_UNSETPRSTATUS, 0, 0));
            if (paths_registered(engine) != 0)
                break;
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
            if (!engine->looked)
                break;
            /* Unless a 0->n may arrive late: its registration has to be removed too. */
            if (paths_registered(engine) == 0 && !engine->late) {
                engine->memory.aim = PATHS_AIM_NONE;
                engine->memory.key = engine->memory.old_key = 0;
                RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
                break;
            }
        }
        while (engine->again != 0) {
            engine->by = (uint8_t)repair_next_of(engine, engine->again);
            engine->again &= ~paths_bit(engine->by);
            if (repair_left_behind(engine) != 0) {
                paths_prepare(engine, engine->by, SPC_PROUT_PREEMPT, engine->view.type,
                              engine->view.key[engine->by],
                              engine->view.key[paths_first(repair_left_behind(engine))]);
                RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
                break;
            }
            paths_prepare(engine, engine->by, SPC_PROUT_REGISTER, 0, engine->view.key[engine->by],
                          0);
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
        }
    }
    engine->spin = 0;
    engine->again = 0;
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

/*
 * Bring every usable path to memory.key, one after the other with a look after each: 0->n is the
 * one registration that cannot name a key, and so does not notice another host's PREEMPT.
 */
bool paths_bring_level(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    engine->level = false;
    for (engine->spin = 0; engine->spin < engine->map->count + PATHS_ROUNDS_MAX; engine->spin++) {
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
        if (!engine->looked)
            break;
        if (paths_lost_some(engine)) {
            engine->fenced = true;
            break;
        }
        engine->again = paths_surely(engine, paths_with(engine, engine->memory.key)) &
                        ~engine->hung;
        if (engine->again != engine->memory.had) {
            engine->memory.had = engine->again;
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
        }
        if (engine->from_none && paths_has(paths_with(engine, engine->memory.key), engine->keep))
            engine->blind = false; /* executed after all: it cannot come late */
        engine->level = !(paths_usable(engine) & ~engine->memory.had);
        if (engine->level || engine->was == PATHS_RESULT_LOST)
            break;
        engine->by = (uint8_t)repair_next_of(engine, paths_usable(engine) & ~engine->memory.had);
        paths_prepare(engine, engine->by, SPC_PROUT_REGISTER, 0, engine->view.key[engine->by],
                      engine->memory.key);
        engine->from_none = engine->view.key[engine->by] == 0;
        engine->keep = engine->by;
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
        engine->was = engine->result;
        if (engine->was == PATHS_RESULT_GOOD) {
            engine->memory.had |= paths_bit(engine->by);
            engine->memory.expected |= paths_bit(engine->by);
        }
        if (engine->was == PATHS_RESULT_CONFLICT && engine->from_none) {
            /* Unless multipathd has registered it meanwhile. */
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
            if (engine->looked && engine->view.key[engine->keep] == 0)
                RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_learn_twin(engine));
        }
        if (engine->was == PATHS_RESULT_LOST && engine->from_none) {
            engine->blind = engine->late = true;
            /* 0.13 then clears the path when it returns; but it would clear a holder that flaps. */
            if (paths_holding(engine) == 0 && !paths_all_registrants(engine)) {
                RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,
                            paths_tell(engine, PATHS_TELL_UNSETPRSTATUS, 0, 0));
            }
        }
    }
    engine->spin = 0;
    engine->again = 0;
    engine->was = PATHS_RESULT_GOOD;
    engine->from_none = false;
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

/*
 * What absent paths have of ours under another key than memory.key goes by PREEMPT of that key,
 * sent by a path that has memory.key: absent paths cannot change it, and with it could write where
 * the guest may not. Not if another host has that key too. engine->level: no other is left.
 */
bool paths_strip(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    engine->level = false;
    for (engine->spin = 0; engine->spin < PATHS_ROUNDS_MAX; engine->spin++) {
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));
        if (!engine->looked)
            break;
        if (paths_lost_some(engine)) {
            engine->fenced = true;
            break;
        }
        engine->again = paths_registered(engine) & ~paths_with(engine, engine->memory.key) &
                        ~engine->view.shared;
        engine->level = engine->again == 0;
        if (engine->level)
            break;
        /* One that is back is for paths_bring_level(). */
        if (engine->again & paths_usable(engine)) {
            engine->level = true;
            break;
        }
        engine->old_key = engine->view.key[paths_first(engine->again)];
        if (!(paths_with(engine, engine->memory.key) & paths_usable(engine)))
            break;
        paths_prepare(
            engine, paths_first(paths_with(engine, engine->memory.key) & paths_usable(engine)),
            SPC_PROUT_PREEMPT, engine->view.type ? engine->view.type : SPC_TYPE_WRITE_EXCLUSIVE,
            engine->memory.key, engine->old_key);
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_send(engine));
        if (engine->result == PATHS_RESULT_GOOD) {
            engine->memory.expected &= ~paths_with(engine, engine->old_key);
            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
        }
        if (engine->result == PATHS_RESULT_LOST)
            break;
    }
    engine->spin = 0;
    engine->again = 0;
    engine->old_key = 0;
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

/*
 * Leave the guest one path, so that none of its writes meets a gap in the registrations of the
 * others. A path that was failed on purpose stays so until it is reinstated.
 */
bool paths_narrow(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    /*
     * Those too that say no for themselves, since they may have writes of the guest, and those that
     * share a registration with another path. None is failed already: paths_run() has reinstated
     * it, or has found multipathd silent, and without multipathd no map is narrowed.
     *
     * Not those that do not answer: multipathd looks no more after a path that it was told to fail,
     * and if we reinstated it, writes of the guest would meet it before it is registered again. Who
     * carries this out refuses it while the map may still use such a path.
     */
    engine->memory.failed = engine->heard & ~engine->hung & ~paths_bit(engine->keep);
    engine->result = PATHS_RESULT_GOOD;
    if (engine->memory.failed == 0)
        RESUME_RETURN(engine, PATHS_FRAME_PROCEDURE);
    if (engine->map->multipathd == PATHS_MULTIPATHD_NONE) {
        engine->memory.failed = 0;
        engine->result = PATHS_RESULT_PATH;
        RESUME_RETURN(engine, PATHS_FRAME_PROCEDURE);
    }
    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,
                paths_tell(engine, PATHS_TELL_FAIL, 0, engine->memory.failed));
    if (engine->result == PATHS_RESULT_GOOD)
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_drain(engine, engine->memory.failed));
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

bool paths_widen(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PROCEDURE);
    if (engine->memory.failed == 0)
        RESUME_RETURN(engine, PATHS_FRAME_PROCEDURE);
    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,
                paths_tell(engine, PATHS_TELL_REINSTATE, 0, engine->memory.failed));
    if (engine->result == PATHS_RESULT_GOOD || engine->result == PATHS_RESULT_PATH) {
        engine->memory.failed = 0;
        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));
    }
    RESUME_END(engine, PATHS_FRAME_PROCEDURE);
}

/*
 * A command that was to bring all paths to memory.key had no effect: all that are registered have
 * one other key. (One that is not may have lost it by our own PREEMPT.)
 */
static bool repair_is_untouched(const struct paths *engine)
{
    uint64_t registered = paths_registered(engine);

    return engine->memory.had == 0 && registered != 0 && !paths_lost_some(engine) &&
           engine->view.key[paths_first(registered)] != engine->memory.key &&
           paths_with(engine, engine->view.key[paths_first(registered)]) == registered;
}

static bool repair_is_fenced(const struct paths *engine)
{
    return paths_lost_some(engine) || (engine->looked && engine->memory.had == 0 &&
                                       paths_with(engine, engine->memory.key) == 0);
}

/*
 * Without READ FULL STATUS: no usable path has the key, and whether an absent one has it or another
 * host alone cannot be told. Then this map may have been fenced.
 */
static bool repair_is_unattributed(const struct paths *engine)
{
    uint64_t with = paths_with(engine, engine->memory.key);

    return engine->memory.plain && engine->memory.aim == PATHS_AIM_LEVEL && with != 0 &&
           !(with & paths_usable(engine));
}

/*
 * A path is usable that has no key, or an old one, while the map is registered: it came back
 * without multipathd having registered it.
 */
static bool repair_is_incomplete(const struct paths *engine)
{
    uint64_t with = paths_with(engine, engine->memory.key);

    return with != 0 && (paths_usable(engine) & ~with) != 0;
}

/* Bring all paths to memory.key after a look; memory.aim is none when that is done. */
static bool repair_level(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_bring_level(engine));
    if (!engine->fenced && engine->level)
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_strip(engine));
    if (!engine->fenced && engine->level) {
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_bring_level(engine));
    }
    if (!engine->fenced && engine->level && engine->looked && !engine->blind &&
        !(paths_registered(engine) & ~paths_with(engine, engine->memory.key))) {
        engine->memory.aim = PATHS_AIM_NONE;
        engine->memory.old_key = 0;
        engine->memory.expected = engine->memory.had;
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
    }
    RESUME_END(engine, PATHS_FRAME_PART);
}

/*
 * Finish what an earlier command left: it may finish one whose answer was "unknown", never one that
 * was answered otherwise. What it cannot finish stays in memory.aim.
 */
static bool repair_aim(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_look(engine));
    if (!engine->looked)
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    if (engine->memory.aim == PATHS_AIM_NONE) {
        if (!paths_is_revived(engine) && !repair_is_incomplete(engine))
            RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
        engine->memory.aim = PATHS_AIM_LEVEL;
        if (!paths_is_revived(engine))
            RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_write(engine));
    }
    if (repair_is_unattributed(engine))
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    if (engine->memory.aim == PATHS_AIM_LEVEL)
        engine->memory.expected |= paths_surely(engine, paths_registered(engine));
    if (engine->memory.aim == PATHS_AIM_LEVEL && repair_is_untouched(engine)) {
        engine->memory.key = engine->view.key[paths_first(paths_registered(engine))];
        engine->memory.had = paths_surely(engine, paths_registered(engine));
        engine->memory.expected = engine->memory.had;
        engine->memory.old_key = 0;
        if (!repair_is_incomplete(engine))
            engine->memory.aim = PATHS_AIM_NONE;
        RESUME_CALL(engine, PATHS_FRAME_COMMAND,
                    paths_tell(engine, PATHS_TELL_SETPRKEY, engine->memory.key, 0));
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_write(engine));
    }
    if (engine->memory.aim == PATHS_AIM_LEVEL && !repair_is_fenced(engine))
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, repair_level(engine));
    if (!engine->looked && !engine->fenced)
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    if (engine->memory.aim == PATHS_AIM_WITHDRAW || engine->fenced ||
        (engine->memory.aim == PATHS_AIM_LEVEL && repair_is_fenced(engine))) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));
    }
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}

bool paths_repair(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_GUARD);
    RESUME_CALL(engine, PATHS_FRAME_GUARD, paths_tell(engine, PATHS_TELL_GETPRSTATUS, 0, 0));
    if (engine->result == PATHS_RESULT_LOST) {
        engine->silent = true;
        RESUME_RETURN(engine, PATHS_FRAME_GUARD);
    }
    if (engine->memory.aim != PATHS_AIM_NONE || engine->command.repair)
        RESUME_CALL(engine, PATHS_FRAME_GUARD, repair_aim(engine));
    if (engine->memory.aim == PATHS_AIM_NONE)
        RESUME_CALL(engine, PATHS_FRAME_GUARD, paths_widen(engine));
    RESUME_END(engine, PATHS_FRAME_GUARD);
}
