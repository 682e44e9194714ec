// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One command on a map, by the map's thread: the engine (paths.h) says what to do, and this does
 * it. The parts have a file each: steps.c (commands to paths), told.c (multipathd), observe.c (who
 * is who at the target).
 */
#ifndef MPATH_COMMAND_H
#define MPATH_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "mpath/map.h"
#include "paths/paths.h"
#include "proto/worker.h"

/* How long the paths that do not answer are waited for once another one has. */
#define COMMAND_PATIENCE_MS 1000

enum told_key { TOLD_KEY_NOT_ASKED, TOLD_KEY_TAKEN, TOLD_KEY_OTHER };

struct command {
    struct map *map;
    const struct work *work; /* NULL: a repair, for no client */
    bool forgets;            /* nor that: see command_forget() */
    int64_t deadline_ms;
    unsigned io_timeout_ms;
    struct paths_command wanted;
    bool is_cleanup; /* QEMU's CLEANUP asks for it */
    struct paths_map known;
    struct paths_memory memory;
    struct paths engine;
    struct worker_reply answer;

    bool has_asked;             /* they were asked which of them answer */
    uint64_t answered;          /* paths that answered when they were asked last */
    uint64_t fresh;             /* paths that need not be asked again: see steps_ask() */
    struct spc_sense attention; /* one about reservations, met by a command of our own */
    bool has_disturbed;         /* something that the target tells other nexuses of was sent */
    uint8_t *data;              /* of the last reading step; owned */
    enum told_key daemon_key;   /* whether multipathd has the key that is aimed at */
    bool is_silent;             /* multipathd is there and did not answer */
    char daemon_text[128];      /* why it could not be asked, for people */
    uint64_t unlearnt;          /* registered, and not yet found at the target */
    uint64_t *seen;             /* descriptors of others at the last look, by hash; owned */
    unsigned n_seen;
    bool is_forgetful; /* the journal could not be written */
};

/*
 * Of MAP_CHANGES. execute: one command. watch: look at paths that were away, and repair what is
 * unfinished. forget: if no path of the map is registered, as after a live migration has taken the
 * reservation to another host, multipathd forgets the key, or it would register a path that
 * returns.
 */
extern const struct map_calls command_calls;

/* Add a sentence for the administrator; the first one names the map. What is too much is cut. */
void command_say(struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* steps.c */

/* Open paths and learn their target ports. */
void steps_prepare(struct command *command);

/* Carry out one step of the engine, of PATHS_STEP_ASK, SEND, DRAIN. */
void steps_ask(struct command *command, const struct paths_step *step, struct paths_outcome *ret);
void steps_send(struct command *command, const struct paths_step *step, struct paths_outcome *ret);
/*
 * What this command did by one path the target tells the others by a unit attention. To the guest
 * they are one nexus, which is not told of what it does itself: take them.
 */
void steps_settle(struct command *command);

void steps_drain(struct command *command, const struct paths_step *step, struct paths_outcome *ret);

/* Whether a path of a set has reads or writes in flight, or that cannot be told. */
bool steps_in_flight(const struct command *command, uint64_t set);

/*
 * A PERSISTENT RESERVE IN of our own by any path, unit attentions taken. Returns whether it was
 * GOOD; command->data, of *ret_size bytes.
 */
bool steps_read(struct command *command, uint8_t service_action, size_t *ret_size);

/* REGISTER of a key to itself by one path, which changes nothing: does the path have the key? */
bool steps_has_key(struct command *command, unsigned path, uint64_t key, bool aptpl);

/* told.c */

/* Connect, and find out which multipathd it is: known.multipathd. */
void told_begin(struct command *command);
void told_step(struct command *command, const struct paths_step *step, struct paths_outcome *ret);
/* The map is registered no more: multipathd is to register nothing, with no key. */
void told_forget(struct command *command);
/* After the answer: what an administrator could do, and a key that is no longer in use. */
void told_end(struct command *command);

/* report.c: tell the helper of the map's paths as they are now; `gone`: there are none. */
void report_paths(struct command *command);
void report_gone(struct map *map);

/* observe.c */

/* Put together known.path from what is learnt of each path. */
void observe_fill(struct command *command);
/* Learn, before the engine begins, which registrations are of paths that sysfs does not name. */
void observe_begin(struct command *command);
/* Whether every path can be told at the target, and none of them is registered there. */
bool observe_nothing(struct command *command);
/* A path without a name has been registered. */
void observe_registered(struct command *command, unsigned path);
/* READ FULL STATUS has come. False: the engine had better not go by it. */
bool observe_look(struct command *command, const uint8_t *data, size_t size);

#endif
