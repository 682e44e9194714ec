// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

int shared_make_table(struct shared *shared)
{
    int fd = memfd_create("qemu-pr-mpath", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *table = MAP_FAILED;
    int error;

    /* What has been mapped here stays: the other side can make it neither shorter nor longer. */
    if (fd >= 0 && ftruncate(fd, sizeof(*shared->table)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        table = mmap(NULL, sizeof(*shared->table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (table == MAP_FAILED) {
        error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    shared->table = table;
    return fd;
}

int shared_take_slot(struct shared *shared)
{
    int slot = -1;

    if (!shared->table)
        return -1;
    pthread_mutex_lock(&shared->lock);
    if (shared->n_slots < MAPTABLE_SLOTS)
        slot = (int)shared->n_slots++;
    pthread_mutex_unlock(&shared->lock);
    return slot;
}
