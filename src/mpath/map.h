// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A map in use: what is to be done on it, one after the other, by a thread of its own, which is
 * there while there is something to do or to watch. Threads of the map's paths send the commands
 * (path.h), so that this one never waits for a device longer than it likes.
 *
 * PERSISTENT RESERVE IN runs in parallel to commands that change something: it has a separate
 * `struct map`.
 */
#ifndef MPATH_MAP_H
#define MPATH_MAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "mpath/journal.h"
#include "mpath/path.h"
#include "mpath/shared.h"
#include "mpath/sysfs.h"
#include "paths/paths.h"
#include "proto/worker.h"

/* For one map; each waits in the worker's memory with its message of 8 kB. */
#define MAP_QUEUE_MAX 32

/* Virtual machines and tools that use one map through one helper. */
#define MAP_CLIENTS_MAX 32

/* A request that has come, and what belongs to it. */
struct work {
    struct work *next;
    bool forgets;      /* no request: the map's last client is gone */
    int device, reply; /* fds, owned; -1: none */
    int64_t deadline_ms;
    uint32_t allowed_ms;
    struct worker_request request; /* points into message */
    uint8_t message[WORKER_REQUEST_SIZE];
};

enum map_side { MAP_CHANGES, MAP_READS };

struct map;

/* The work of the thread: command.h, read.h. */
struct map_calls {
    void (*execute)(struct map *map, struct work *work); /* and answer; the work is freed later */
    void (*watch)(struct map *map);                      /* while is_watched; NULL: never */
    void (*forget)(struct map *map);                     /* the last client is gone */
};

struct map {
    struct map *next;
    struct shared *shared; /* borrowed */
    const struct map_calls *calls;
    enum map_side side;
    struct sysfs_map names;
    int client[MAP_CLIENTS_MAX]; /* slots of connections that have sent something; main thread's */
    unsigned n_clients;          /* MAP_CLIENTS_MAX + 1: more than can be known */
    bool is_inherited;           /* a worker before this one may have had other clients at it */

    pthread_mutex_t lock;
    pthread_cond_t news; /* something to do, or a path's job is done */
    struct work *first;
    unsigned queued;
    bool runs;   /* there is a thread */
    bool is_old; /* there was one, to be joined */
    bool closes; /* nothing new will come: the thread is to end */
    pthread_t id;
    struct thread *thread;

    /* The map's thread's own. */
    struct journal journal;
    int multipathd;                /* a connection to it, while the thread runs; -1: none */
    enum paths_multipathd version; /* of the process at its other end; NONE: not known yet */
    unsigned count;
    struct path *path[PATHS_MAX];
    struct path *left[PATHS_MAX]; /* hang, and are no paths of the map any more */
    unsigned n_left;
    bool is_watched;  /* something is to be done when a path returns */
    int64_t watch_ms; /* if so: when to look for it; 0: not planned yet */
    int slot;         /* of shared->table, once it was told; -1: none */
};

/* Make one. NULL: no memory. */
struct map *map_new(struct shared *shared, enum map_side side, const struct map_calls *calls,
                    const struct sysfs_map *names);

/* Give it something to do. False: there is no room, or no thread; it stays the caller's. */
bool map_add(struct map *map, struct work *work);

/* Main thread: a client has sent something, or is gone; returns whether it was the last. */
void map_meet(struct map *map, int slot);
bool map_part(struct map *map, int slot);

/* Have it end when what it has begun is done; what has not begun is dropped. */
void map_close(struct map *map);

/* After shared_wait(): its thread has come to its end. */
void map_reap(struct map *map);

/* Have its thread look after it: something is remembered of it. */
bool map_watch(struct map *map);

void work_free(struct work *work);

/* Send an answer. Never waits: a helper that does not read has no wish to. */
void work_answer(const struct work *work, const struct worker_reply *answer, const uint8_t *data);

/* An answer of the worker's own that means that nothing was sent. */
void work_answer_busy(const struct work *work, const char *name, const char *why);

/*
 * The map's thread only: list its paths anew, and make a struct path for each. Returns 0, or a
 * negative errno: -E2BIG: more than PATHS_MAX.
 */
int map_list_paths(struct map *map);

/* Paths whose thread is free, that is that can be given a job. */
uint64_t map_idle(struct map *map);

/* And the others, which hang. */
uint64_t map_busy(struct map *map);

/*
 * Wait until all of a set are done; once one of them has answered, no longer than patience_ms more;
 * and not beyond deadline_ms. Returns those that are done.
 */
uint64_t map_wait(struct map *map, uint64_t set, int64_t deadline_ms, int patience_ms);

/* A path is at a command that changes something, which an earlier command has given up. */
bool map_is_held(struct map *map);

#endif
