// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef PATHS_RESUME_H
#define PATHS_RESUME_H

/*
 * Procedures that stop at a step and go on when its outcome is there, so that a rule reads from top
 * to bottom though each of its commands takes a call of the engine.
 *
 * Such a procedure returns whether it has stopped: true, there is a step to carry out; false, it
 * has come to its end. Where it stopped is a line number in engine->at[], one for each depth of
 * calls:
 *
 *     static bool example(struct paths *engine)
 *     {
 *         RESUME_BEGIN(engine, PATHS_FRAME_COMMAND);
 *         RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_look(engine));
 *         if (!engine->looked)
 *             RESUME_RETURN(engine, PATHS_FRAME_COMMAND);
 *         ...
 *         RESUME_END(engine, PATHS_FRAME_COMMAND);
 *     }
 *
 * Rules: no local variable lives across a call or a step, since the function is left there; no
 * switch around one; one call or step on a line. A procedure of one depth calls those of a greater
 * depth only. It is begun anew when it is called again after its end.
 */
#define RESUME_BEGIN(engine, frame)                                                                \
    switch ((engine)->at[frame]) {                                                                 \
    case 0:

#define RESUME_CALL(engine, frame, call)                                                           \
    do {                                                                                           \
        (engine)->at[frame] = __LINE__;                                                            \
        __attribute__((fallthrough));                                                              \
    case __LINE__:                                                                                 \
        if (call)                                                                                  \
            return true;                                                                           \
    } while (0)

/* Hand out engine->step, and go on here when its outcome has been fed. */
#define RESUME_STEP(engine, frame)                                                                 \
    do {                                                                                           \
        (engine)->at[frame] = __LINE__;                                                            \
        return true;                                                                               \
    case __LINE__:;                                                                                \
    } while (0)

#define RESUME_RETURN(engine, frame)                                                               \
    do {                                                                                           \
        (engine)->at[frame] = 0;                                                                   \
        return false;                                                                              \
    } while (0)

#define RESUME_END(engine, frame)                                                                  \
    }                                                                                              \
    (engine)->at[frame] = 0;                                                                       \
    return false

#endif
