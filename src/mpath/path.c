// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "mpath/hold.h"
#include "mpath/opener.h"
#include "scsi/sense.h"
#include "sg/reply.h"

#define PATH_ATTENTIONS_MAX 16 /* in a row */

/* 6/2A/03 to 05 is about registrations and reservations: an administrator is to hear of it. */
static bool path_is_attention(const struct sg_result *result, struct spc_sense *ret)
{
    return result->status == SPC_STATUS_CHECK_CONDITION && sg_has_sense(result) &&
           sense_decode(result->sense, sizeof(result->sense), ret) &&
           ret->key == SPC_SENSE_UNIT_ATTENTION;
}

static void path_issue(struct path *path)
{
    struct path_job *job = &path->job;
    const struct request request = {
        .cdb = job->cdb,
        .opcode = job->cdb[0],
        .length = job->length,
        .data = job->data,
        .fd = path->fd,
    };
    struct spc_sense sense;

    for (unsigned i = 0; i < PATH_ATTENTIONS_MAX; i++) {
        job->error = -sg_issue(&request, job->timeout_ms, &job->result);
        if (!job->asks || job->error || !path_is_attention(&job->result, &sense))
            return;
        if (sense.asc == 0x2a && sense.ascq >= 0x03 && sense.ascq <= 0x05)
            job->attention = sense;
    }
}

/* Before a command that changes something. Returns 0 or a negative errno. */
static int path_take_hold(struct path *path)
{
    if (path->directory >= 0 && path->hold < 0) {
        int fd = hold_open(path->directory, path->map->uuid);

        if (fd < 0)
            return fd;
        path->hold = fd;
    }
    return hold_take(path->hold);
}

/* Without the lock. */
static void path_work(struct path *path)
{
    struct path_job *job = &path->job;
    bool changes = job->cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    int r;

    if (path->fd < 0) {
        int fd = opener_open(path->opener, path->map->number, path->names.name);

        job->error = fd < 0 ? -fd : 0;
        path->fd = fd < 0 ? -1 : fd;
    }
    job->opened = path->fd >= 0;
    if (!job->opened)
        return;
    r = changes ? path_take_hold(path) : 0;
    if (r < 0) {
        job->opened = false;
        job->error = -r;
        return;
    }
    path_issue(path);
    if (changes)
        hold_give(&path->hold);
    if (job->error == ENODEV || job->error == ENXIO) { /* another one may have its name next time */
        cleanup_close(&path->fd);
        path->fd = -1;
    }
}

static void path_main(struct thread *thread)
{
    struct path *path = (struct path *)thread;

    /* What hangs here must not keep open what the rest of a process that was killed had open, such
     * as the sockets by which the helper waits for its answers.
     */
#ifndef SANITIZED /* which takes equal numbers for the same file */
    fdio_part(path->opener, path->directory);
#endif
    pthread_mutex_lock(path->lock);
    while (!path->quits) {
        if (path->state != PATH_BUSY) {
            pthread_cond_wait(&path->wake, path->lock);
            continue;
        }
        pthread_mutex_unlock(path->lock);
        path_work(path);
        pthread_mutex_lock(path->lock);
        path->state = PATH_DONE;
        pthread_mutex_unlock(path->lock);
        pthread_cond_broadcast(path->news);
        pthread_mutex_lock(path->lock);
    }
    pthread_mutex_unlock(path->lock);
    cleanup_close(&path->hold);
    cleanup_close(&path->fd);
}

struct path *path_new(const struct sysfs_path *names, const struct sysfs_map *map, int opener,
                      int directory, pthread_mutex_t *lock, pthread_cond_t *news)
{
    struct path *path = (struct path *)thread_new(sizeof(*path));

    if (!path)
        return NULL;
    path->names = *names;
    path->map = map;
    path->opener = opener;
    path->directory = directory;
    path->lock = lock;
    path->news = news;
    path->fd = path->hold = -1;
    pthread_cond_init(&path->wake, NULL);
    if (nexus_read(names->number, &path->nexus) < 0 ||
        thread_start(&path->thread, path_main, &path->id) < 0) {
        pthread_cond_destroy(&path->wake);
        thread_free(&path->thread);
        return NULL;
    }
    return path;
}

void path_submit(struct path *path, const struct path_job *job, int map_fd)
{
    if (!path->job.opened && map_fd >= 0)
        opener_show(path->opener, map_fd);
    path->job = *job;
    path->job.attention = SPC_NO_ADDITIONAL_SENSE;
    pthread_mutex_lock(path->lock);
    path->state = PATH_BUSY;
    pthread_mutex_unlock(path->lock);
    pthread_cond_signal(&path->wake);
}

void path_finish(struct path *path)
{
    free(path->job.data);
    path->job.data = NULL;
    pthread_mutex_lock(path->lock);
    path->state = PATH_IDLE;
    pthread_mutex_unlock(path->lock);
}

void path_free(struct path *path)
{
    pthread_mutex_lock(path->lock);
    path->quits = true;
    pthread_cond_signal(&path->wake);
    pthread_mutex_unlock(path->lock);
    pthread_join(path->id, NULL);
    pthread_cond_destroy(&path->wake);
    thread_free(&path->thread);
}

bool path_answered(const struct path *path)
{
    const struct path_job *job = &path->job;
    struct spc_sense sense;

    if (!job->opened || job->error || job->result.host_status != SG_HOST_OK)
        return false;
    return !(job->result.status == SPC_STATUS_CHECK_CONDITION && sg_has_sense(&job->result) &&
             sense_decode(job->result.sense, sizeof(job->result.sense), &sense) &&
             sense_is_of_path(sense));
}
