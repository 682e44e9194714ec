// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The backend for what concerns all paths of a multipath map: the worker process, which is started
 * when it is needed for the first time, and again when it has died.
 *
 * Thread rule: init and deinit are the main thread's, mpath_execute may be called by any thread.
 */
#ifndef HELPER_BACKEND_MPATH_H
#define HELPER_BACKEND_MPATH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/keeper.h"
#include "proto/maptable.h"
#include "proto/request.h"
#include "proto/worker.h"

struct mpath_options {
    unsigned deadline_ms;   /* for a command in the worker */
    unsigned grace_ms;      /* beyond that: the worker tells of a missed deadline by itself */
    unsigned io_timeout_ms; /* for the kernel, of each of its SG_IO */
    const char *service;    /* borrowed: the socket of what starts workers; NULL: the keeper does */
};

/* What is known of the worker, for reports. */
enum mpath_condition {
    MPATH_IMPOSSIBLE, /* there can be none */
    MPATH_STOPPED,    /* not needed yet, or ended */
    MPATH_RUNNING,
    MPATH_FAILED, /* the last one could not work */
};

struct mpath_facts {
    enum mpath_condition condition;
    uint32_t pid;                   /* of MPATH_RUNNING */
    char problem[WORKER_TEXT_SIZE]; /* of MPATH_IMPOSSIBLE and MPATH_FAILED; else "" */
};

/* Slots of connections whose end may be told; of that of others the worker hears nothing. */
#define MPATH_SLOTS_MAX 8192
/* Ended ones that wait for the channel; more are not told of. */
#define MPATH_FAREWELLS_MAX 64

struct mpath {
    struct mpath_options options;
    struct keeper *keeper; /* NULL: there can be no worker */

    pthread_mutex_t lock; /* of everything below, and of sending on the channel */
    int channel;          /* -1: no worker runs */
    unsigned delay_ms;    /* between the starts of this worker and the next one */
    int64_t started_ms;   /* the last start; 0: there has been none */
    bool is_logged;       /* that there can be none */

    pthread_mutex_t facts_lock; /* taken last, and never for long */
    struct mpath_facts facts;
    int running;                  /* the channel, borrowed, with MPATH_RUNNING; else -1 */
    const struct maptable *table; /* of the last worker that had one; NULL: none */
    unsigned n_farewells;
    int farewell[MPATH_FAREWELLS_MAX];
    uint8_t has_sent[MPATH_SLOTS_MAX / 8]; /* a bit for each slot */
};

/*
 * keeper, borrowed, starts the workers; NULL if it cannot, and then `problem` says why, as a person
 * would read it after "no multipath: ".
 */
void mpath_init(struct mpath *mpath, const struct mpath_options *options, struct keeper *keeper,
                const char *problem);
void mpath_deinit(struct mpath *mpath);

/* As of now: a worker that was killed has ended. Does not wait. */
void mpath_get_facts(struct mpath *mpath, struct mpath_facts *ret);

/*
 * What a worker has told of its maps' paths. Begin with *at 0; each call gives the next map, until
 * it returns false. Does not wait.
 */
bool mpath_next_map(struct mpath *mpath, unsigned *at, struct maptable_map *ret_map);

/*
 * Have the worker execute a command on a map, whose device number is `number`, and fill in the
 * reply. May block until the deadline, and a little longer. Returns false if there is no worker and
 * none can be started: the command was not sent, and the reply is untouched.
 */
bool mpath_execute(struct mpath *mpath, const struct request *request, dev_t number,
                   struct reply *reply);

/* A client is gone: the worker is told if it had to do with it. Never blocks; any thread. */
void mpath_forget(struct mpath *mpath, int slot);

#endif
