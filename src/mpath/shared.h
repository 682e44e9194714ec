// SPDX-License-Identifier: LGPL-2.1-or-later
/* State shared by the threads of all maps. Thread rule: any thread, after shared_init(). */
#ifndef MPATH_SHARED_H
#define MPATH_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "paths/paths.h"
#include "proto/maptable.h"

struct shared {
    int opener;             /* opener.h */
    int journal;            /* directory fd; -1: none */
    struct maptable *table; /* shared with the helper; NULL: it is not told */

    pthread_mutex_t lock; /* of what follows; taken last */
    pthread_cond_t ended;
    unsigned running; /* threads of maps */
    unsigned n_slots; /* of the table, given to a map */
};

void shared_init(struct shared *shared);

/* A map's thread begins, and ends. Wait until there is none. */
void shared_begin(struct shared *shared);
void shared_end(struct shared *shared);
void shared_wait(struct shared *shared);

/*
 * Before there are threads: make the table, in memory of its own. Returns an fd of it for the
 * helper, which the caller closes, or a negative errno: then there is none.
 */
int shared_make_table(struct shared *shared);

/* A slot of the table for a map, for good. Returns its number, or -1: none is left, or no table. */
int shared_take_slot(struct shared *shared);

#endif
