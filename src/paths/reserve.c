// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RESERVE (SPC-4 5.13.9) and RELEASE (5.13.11.2.2): by one path, RELEASE by the one that holds the
 * reservation, since a RELEASE by another registered path is GOOD and does nothing.
 */
#include "paths/internal.h"

bool paths_reserve(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    if (!paths_key_right(engine, engine->command.key) || engine->command.key == 0) {
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->view.type != 0) {
        paths_answer(engine, paths_holds(engine, engine->command.key) &&
                                     engine->view.type == engine->command.type
                                 ? SPC_STATUS_GOOD
                                 : SPC_STATUS_RESERVATION_CONFLICT);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);
    engine->result = PATHS_RESULT_PATH;
    while (engine->todo != 0 && engine->result == PATHS_RESULT_PATH) {
        engine->keep = (uint8_t)paths_first(engine->todo);
        paths_prepare(engine, engine->keep, SPC_PROUT_RESERVE, engine->command.type,
                      engine->command.key, 0);
        engine->todo &= engine->todo - 1;
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_send(engine));
    }
    engine->todo = 0;
    if (engine->result == PATHS_RESULT_CONFLICT)
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND); /* not executed: again, from the look */
    if (engine->result != PATHS_RESULT_LOST) {
        paths_answer_result(engine);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    /* No answer: GOOD only if this path holds it, which nothing but this command can have done. */
    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_look(engine));
    if (engine->looked && !engine->view.unsure && engine->view.holder == engine->keep &&
        engine->view.type == engine->command.type &&
        engine->view.key[engine->keep] == engine->command.key)
        paths_answer(engine, SPC_STATUS_GOOD);
    else
        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, paths_bit(engine->keep));
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}

/*
 * The path that holds the reservation is absent: another takes the reservation over by PREEMPT of
 * their common key and releases it; then the others are registered again. Needs a map that is
 * narrowed to that one path, and no other host with the same key.
 */
static bool reserve_release_for_absent(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PART);
    engine->keep = (uint8_t)paths_first(engine->todo);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_narrow(engine));
    if (engine->result != PATHS_RESULT_GOOD) {
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_widen(engine));
        paths_answer_busy(engine, PATHS_REASON_NOT_NARROWED, paths_holding(engine));
        RESUME_RETURN(engine, PATHS_FRAME_PART);
    }
    paths_aim_level(engine, engine->command.key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));
    paths_prepare(engine, engine->keep, SPC_PROUT_PREEMPT, engine->command.type,
                  engine->command.key, engine->command.key);
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
    if (engine->result == PATHS_RESULT_GOOD) {
        paths_prepare(engine, engine->keep, SPC_PROUT_RELEASE, engine->command.type,
                      engine->command.key, 0);
        RESUME_CALL(engine, PATHS_FRAME_PART, paths_send(engine));
        engine->partly = engine->result != PATHS_RESULT_GOOD;
    } else if (engine->result != PATHS_RESULT_LOST) {
        engine->untouched = true;
    }
    RESUME_CALL(engine, PATHS_FRAME_PART, paths_refill(engine));
    RESUME_END(engine, PATHS_FRAME_PART);
}

bool paths_release(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
    if (!paths_key_right(engine, engine->command.key) || engine->command.key == 0) {
        paths_answer(engine, SPC_STATUS_RESERVATION_CONFLICT);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (!paths_holds(engine, engine->command.key)) {
        paths_answer(engine, SPC_STATUS_GOOD);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->view.type != engine->command.type) {
        paths_answer_sense(engine, SPC_INVALID_RELEASE, PATHS_REASON_NONE);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);
    if (engine->todo != 0 &&
        (paths_all_registrants(engine) || (engine->todo & paths_holding(engine)))) {
        if (!paths_all_registrants(engine))
            engine->todo &= paths_holding(engine);
        paths_prepare(engine, paths_first(engine->todo), SPC_PROUT_RELEASE, engine->command.type,
                      engine->command.key, 0);
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_send(engine));
        /* The path has gone, or the reservation has: again, from the look. */
        if (engine->result != PATHS_RESULT_PATH && engine->result != PATHS_RESULT_CONFLICT)
            paths_answer_result(engine);
        RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
    }
    if (engine->todo == 0 || paths_all_registrants(engine) ||
        paths_shared(engine, engine->command.key))
        paths_answer_busy(engine, PATHS_REASON_HOLDER_ABSENT, paths_holding(engine));
    else if (engine->silent)
        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);
    else
        RESUME_CALL(engine, PATHS_FRAME_COMMAND, reserve_release_for_absent(engine));
    RESUME_END(engine, PATHS_FRAME_COMMAND);
}
