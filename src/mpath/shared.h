// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the threads of all maps have in common. Thread rule: any thread, after shared_init(). */
#ifndef MPATH_SHARED_H
#define MPATH_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "paths/paths.h"

struct shared {
    int opener;  /* opener.h */
    int journal; /* directory fd; -1: none */

    pthread_mutex_t lock; /* of what follows; taken last */
    pthread_cond_t ended;
    unsigned running; /* threads of maps */
};

void shared_init(struct shared *shared);

/* A map's thread begins, and ends. Wait until there is none. */
void shared_begin(struct shared *shared);
void shared_end(struct shared *shared);
void shared_wait(struct shared *shared);

#endif
