// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/shared.h"

#include <string.h>

void shared_init(struct shared *shared)
{
    memset(shared, 0, sizeof(*shared));
    shared->opener = shared->journal = -1;
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->ended, NULL);
}

void shared_begin(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    shared->running++;
    pthread_mutex_unlock(&shared->lock);
}

void shared_end(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    shared->running--;
    pthread_cond_signal(&shared->ended);
    pthread_mutex_unlock(&shared->lock);
}

void shared_wait(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    while (shared->running > 0)
        pthread_cond_wait(&shared->ended, &shared->lock);
    pthread_mutex_unlock(&shared->lock);
}
