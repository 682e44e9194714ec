// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * REGISTER and REGISTER AND IGNORE EXISTING KEY with service action key 0 (SPC-4 5.13.11.2.3): no
 * path of the map stays registered, and the reservation, if one of them holds it, goes with the
 * last.
 *
 * multipathd is told first, so that it clears a path that returns instead of registering it. The
 * path that holds the reservation comes last, and before it goes it takes away by PREEMPT what
 * absent paths still have.
 */
#include "paths/internal.h"

/* The path that goes last: the one that holds the reservation if it can be used. */
static uint8_t unregister_last_path(const struct paths *engine)
{
    uint64_t usable = paths_registered(engine) & paths_usable(engine);

    return (uint8_t)paths_first(usable & paths_holding(engine) ? usable & paths_holding(engine)
                                                               : usable);
}

/* Paths other than `keep` that have a registration of their own, which PREEMPT would take away. */
static uint64_t unregister_others(const struct paths *engine)
{
    return paths_registered(engine) & ~paths_bit(engine->keep) & ~engine->view.shared &
           ~engine->view.twins;
}

/*
 * What paths other than `keep` still have: PREEMPT of its key by `keep`. If that was the key of the
 * holder, `keep` holds the reservation now and must still be registered; otherwise PREEMPT of its
 * own key has unregistered it as well (SPC-4 5.13.11.2.5).
 */
static bool unregister_strip_others(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    engine->again = unregister_others(engine);
    if (engine->again == 0)
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    engine->old_key = engine->view.key[paths_first(engine->again)];
    engine->from_none = (paths_holding(engine) & paths_with(engine, engine->old_key)) == 0;
    paths_prepare(engine, engine->keep, SPC_PROUT_PREEMPT,
                  engine->view.type ? engine->view.type : SPC_TYPE_WRITE_EXCLUSIVE,
                  engine->view.key[engine->keep], engine->old_key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
    engine->was = engine->result;
    engine->again = 0;
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));
    if (engine->was == PATHS_RESULT_LOST ||
        (engine->looked && engine->view.key[engine->keep] == 0 &&
         (engine->was != PATHS_RESULT_GOOD || !engine->from_none)))
        engine->fenced = true;
    engine->was = PATHS_RESULT_GOOD;
    engine->from_none = false;
    engine->old_key = 0;
    RESUME_END(engine, PATHS_FRAME_PART);
}

bool paths_unregister(struct paths *engine)
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
    if (paths_is_out_of_reach(engine, paths_absent(engine))) {
        paths_answer_busy(engine, PATHS_REASON_SHARED_ABSENT, paths_absent(engine));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->start != 0 && !(engine->start & paths_usable(engine))) {
        paths_answer_busy(engine, PATHS_REASON_NO_PATH, engine->start);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }

    engine->memory.aim = PATHS_AIM_WITHDRAW;
    engine->memory.old_key = engine->memory.key;
    if (engine->start & paths_usable(engine))
        engine->memory.key = engine->view.key[paths_first(engine->start & paths_usable(engine))];
    engine->memory.had = 0;
    engine->memory.expected = 0;
    engine->memory.aptpl = engine->command.aptpl;
    engine->memory.aptpl_known = true;
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_write(engine));
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_tell(engine, PATHS_TELL_UNSETPRSTATUS, 0, 0));
    if (engine->result == PATHS_RESULT_LOST) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND,
                    paths_abandon(engine, PATHS_REASON_MULTIPATHD_SILENT));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    /* It has refused, so it will not remove an absent path's registration when the path returns. */
    if (engine->untold && paths_is_out_of_reach(engine, paths_absent(engine))) {
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_abandon(engine, PATHS_REASON_SHARED_ABSENT));
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->start == 0) {
        paths_answer_finished(engine);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }

    engine->keep = unregister_last_path(engine);
    engine->todo = paths_registered(engine) & paths_usable(engine) & ~paths_bit(engine->keep);
    while (engine->todo != 0) {
        paths_prepare(engine, paths_first(engine->todo), SPC_PROUT_REGISTER, 0,
                      engine->view.key[paths_first(engine->todo)], 0);
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_send(engine));
        engine->todo &= engine->todo - 1;
    }
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_look(engine));
    engine->fenced = engine->looked && engine->view.key[engine->keep] == 0;
    if (!engine->fenced && engine->looked)
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, unregister_strip_others(engine));
    /* `keep` could not be used, and another path may be by now: it must not go before that one. */
    engine->partly = engine->looked && unregister_others(engine) != 0;
    if (!engine->fenced && engine->looked && engine->view.key[engine->keep] != 0 &&
        !engine->partly) {
        paths_prepare(engine, engine->keep, SPC_PROUT_REGISTER, 0, engine->view.key[engine->keep],
                      0);
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_send(engine));
        engine->fenced = engine->result != PATHS_RESULT_GOOD;
    }
    if (!engine->looked) {
        paths_answer_unknown(engine, PATHS_REASON_NOT_READ, 0);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    /* The remaining registrations, and a second message to multipathd, which may have registered a
     * path in the meantime. */
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));
    if (engine->fenced)
        paths_answer_unknown(engine, engine->lost ? PATHS_REASON_NO_ANSWER : PATHS_REASON_FENCED,
                             engine->hung);
    else if (engine->memory.aim != PATHS_AIM_NONE || engine->partly)
        paths_answer_unknown(engine, PATHS_REASON_NOT_LEVEL, paths_registered(engine));
    else
        paths_answer_finished(engine);
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}
