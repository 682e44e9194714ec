// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef PATHS_INTERNAL_H
#define PATHS_INTERNAL_H

/* Internal functions that the engine's files share. */

#include "paths/paths.h"
#include "paths/resume.h"

/* Depths of procedures: each calls those below it. */
enum paths_frame {
    PATHS_FRAME_RUN,       /* paths.c: the whole */
    PATHS_FRAME_GUARD,     /* the repair before a command */
    PATHS_FRAME_COMMAND,   /* one command of the guest */
    PATHS_FRAME_PART,      /* a part of it */
    PATHS_FRAME_REFILL,    /* the end of several of these parts */
    PATHS_FRAME_PROCEDURE, /* level, strip, withdraw, narrow, widen */
    PATHS_FRAME_ACT,       /* a look; register one path */
    PATHS_FRAME_LOOK,      /* a look without READ FULL STATUS */
    PATHS_FRAME_PLAIN,     /* one attempt at it */
    PATHS_FRAME_READ,      /* a part of it */
    PATHS_FRAME_STEP,      /* step.c */
};

/* How a send, a tell or a drain ended. */
enum paths_result {
    PATHS_RESULT_GOOD,
    PATHS_RESULT_CONFLICT,
    PATHS_RESULT_CHECK, /* engine->sense; nothing was executed */
    PATHS_RESULT_BUSY,  /* still, after some repetitions; nothing was executed */
    PATHS_RESULT_PATH,  /* not by this path: it is away, or says no for itself alone */
    PATHS_RESULT_LOST,  /* may have been executed; if the path is in `hung`, may yet be */
};

/* How often a command is begun from the look again, and a loop that others may disturb. */
#define PATHS_ROUNDS_MAX 3

static inline bool paths_has(uint64_t set, unsigned path)
{
    return set >> path & 1;
}

static inline uint64_t paths_bit(unsigned path)
{
    return (uint64_t)1 << path;
}

/* The lowest path of a set that is not empty. */
static inline unsigned paths_first(uint64_t set)
{
    return (unsigned)__builtin_ctzll(set);
}

static inline uint64_t paths_all(const struct paths *engine)
{
    return (engine->map->count < 64 ? paths_bit(engine->map->count) : 0) - 1;
}

/* Paths that commands may go down now. */
static inline uint64_t paths_usable(const struct paths *engine)
{
    return engine->up & ~engine->hung & ~engine->view.twins;
}

/*
 * twins.c. The paths that share the registration of `path`, itself too; that those of a set share
 * one; that they do not; and the numbers as they have to be.
 */
uint64_t paths_twins_of(const struct paths_memory *memory, unsigned path);
void paths_twins_join(struct paths_memory *memory, uint64_t set);
void paths_twins_part(struct paths_memory *memory, uint64_t set);
void paths_twins_settle(struct paths_memory *memory);

/* look.c: questions about the view. */
uint64_t paths_registered(const struct paths *engine);
uint64_t paths_absent(const struct paths *engine); /* registered, but not usable */
uint64_t paths_with(const struct paths *engine, uint64_t key);
/* The members of a set that are not assumed to be registered only because they are absent. */
uint64_t paths_surely(const struct paths *engine, uint64_t set);
bool paths_key_right(const struct paths *engine, uint64_t key);
bool paths_shared(const struct paths *engine, uint64_t key);
bool paths_holds(const struct paths *engine, uint64_t key);
bool paths_all_registrants(const struct paths *engine);
bool paths_lost_some(const struct paths *engine);
bool paths_is_revived(const struct paths *engine);

/*
 * Whether absent paths with a key that they are to lose (`stale`) keep it for good: another host
 * has that key as well.
 */
bool paths_is_out_of_reach(const struct paths *engine, uint64_t stale);

/* The path that holds the reservation alone, as a set: empty if it is no path of this map. */
uint64_t paths_holding(const struct paths *engine);

/* FRAME_ACT. Ask all paths, then look: engine->up, engine->looked, engine->view. */
bool paths_look(struct paths *engine);

/*
 * FRAME_READ. Unless it is known: whether reservations persist through power loss (APTPL), which
 * every registration sets for the whole logical unit (SPC-4 5.13.5).
 */
bool paths_learn_aptpl(struct paths *engine);

/* FRAME_LOOK. A look by other commands: look_plain.c. */
bool paths_look_plain(struct paths *engine);

/* FRAME_ACT. Whether `keep` shares a registration that the look gave to another path. */
bool paths_learn_twin(struct paths *engine);

/* FRAME_STEP. Each leaves engine->result. */
bool paths_ask(struct paths *engine);
bool paths_send(struct paths *engine);
bool paths_tell(struct paths *engine, enum paths_tell tell, uint64_t key, uint64_t paths);
bool paths_drain(struct paths *engine, uint64_t paths);
bool paths_write(struct paths *engine);

/* The outcome of the step has come. */
void paths_step_end(struct paths *engine, const struct paths_outcome *outcome);

/* The command that paths_send() sends. */
void paths_prepare(struct paths *engine, unsigned path, uint8_t service_action, uint8_t type,
                   uint64_t key, uint64_t sa_key);
/* The same for a data-in command. */
void paths_prepare_read(struct paths *engine, unsigned path, uint8_t service_action);

/* FRAME_ACT. setprstatus, and wait until multipathd has registered what it registers. */
bool paths_tell_set(struct paths *engine, enum paths_tell tell);

/* repair.c, FRAME_PROCEDURE. */
bool paths_withdraw(struct paths *engine);    /* memory.aim is none when all of it is gone */
bool paths_bring_level(struct paths *engine); /* engine->level, ->fenced */
bool paths_strip(struct paths *engine);       /* engine->level, ->fenced */
bool paths_narrow(struct paths *engine);      /* to `keep`; result GOOD, or else widen */
bool paths_widen(struct paths *engine);

/* Answers: they fill in the reply, for the caller to return. */
void paths_answer(struct paths *engine, uint8_t status);
void paths_answer_sense(struct paths *engine, struct spc_sense sense, enum paths_reason reason);
void paths_answer_busy(struct paths *engine, enum paths_reason reason, uint64_t paths);
void paths_answer_unknown(struct paths *engine, enum paths_reason reason, uint64_t paths);
/* The outcome of the last send, if it was not executed. */
void paths_answer_result(struct paths *engine);
/* GOOD, and nothing is under way any more: what has the key is remembered. */
void paths_answer_finished(struct paths *engine);

/* preempt.c: the end of what unregisters all paths but `keep`. FRAME_REFILL. */
void paths_aim_level(struct paths *engine, uint64_t key);
void paths_aim_nothing(struct paths *engine);
bool paths_refill(struct paths *engine);

/*
 * FRAME_PART. multipathd has left the first word of a command without an answer, or refused it
 * where the command needs it: BUSY, since nothing has been sent to the target. It may yet do what
 * it was told; the next command tells it anew.
 */
bool paths_abandon(struct paths *engine, enum paths_reason reason);

/* FRAME_COMMAND. A command that ends without an answer is begun again from the look. */
typedef bool paths_command_function(struct paths *engine);
paths_command_function paths_repair;
paths_command_function paths_register;
paths_command_function paths_unregister;
paths_command_function paths_reserve;
paths_command_function paths_release;
paths_command_function paths_clear;
paths_command_function paths_preempt;

#endif
