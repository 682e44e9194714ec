// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One path of a map, and its thread, which opens the path's node and sends one command at a time. A
 * path that hangs keeps its own thread and nothing else.
 *
 * Thread rule: the functions are the map's thread's; `state`, and what a job came to, are read and
 * written under the map's lock, but by the thread that the state says to have the job.
 */
#ifndef MPATH_PATH_H
#define MPATH_PATH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "mpath/nexus.h"
#include "mpath/sysfs.h"
#include "scsi/cdb.h"
#include "sg/issue.h"

enum path_state {
    PATH_IDLE,
    PATH_BUSY, /* the thread has the job */
    PATH_DONE, /* what it came to is there */
};

/* One command and what it came to. */
struct path_job {
    uint8_t cdb[CDB_FIELD_SIZE];
    uint8_t *data; /* `length` bytes, owned by the job; NULL if there are none */
    uint32_t length;
    unsigned timeout_ms; /* for the kernel's error handling */
    bool asks;           /* TEST UNIT READY: unit attentions are taken, and it is sent again */

    bool opened;                /* there was an fd to send it on */
    int error;                  /* an errno (positive), of open(2) or of the ioctl; or 0 */
    struct sg_result result;    /* if that is 0 */
    struct spc_sense attention; /* the last unit attention about reservations that was taken */
};

/*
 * Its two conditions are signalled without the lock, which a thread that is woken would have to
 * wait for: that costs each command a change of threads.
 */
struct path {
    struct thread thread; /* first: thread.h */
    pthread_t id;
    struct sysfs_path names;
    struct nexus nexus;
    const struct sysfs_map *map; /* borrowed */
    int opener, directory;       /* kept open by the thread; directory: of the journal; -1: none */

    pthread_mutex_t *lock; /* the map's */
    pthread_cond_t *news;  /* the map's: a job is done */
    pthread_cond_t wake;
    enum path_state state;
    bool quits;
    struct path_job job;

    /* In the thread's own table; -1: not open. */
    int fd;   /* of the path */
    int hold; /* hold.h */

    /* What the map's thread knows about it. */
    bool is_asked; /* whether it has a relative target port is known */
    bool has_target_port;
    uint16_t target_port; /* relative target port identifier */
    bool is_level;        /* has answered a repair, and every command since */
    int64_t answered_ms;  /* when it did, or answered anything after that */
    bool is_learnt;       /* nexus.initiator and target_port are what the target has shown */
};

/*
 * Start one, without opening the path. directory: the journal's (journal.h); -1: none. NULL: no
 * memory, no fd, or no thread.
 */
struct path *path_new(const struct sysfs_path *names, const struct sysfs_map *map, int opener,
                      int directory, pthread_mutex_t *lock, pthread_cond_t *news);

/*
 * Give an idle one something to do; the job's data are the path's from now on. map_fd: the map, as
 * a client has passed it; borrowed; -1: none.
 */
void path_submit(struct path *path, const struct path_job *job, int map_fd);

/* Take note of what the last job came to: a path that is done is idle again. */
void path_finish(struct path *path);

/* End the thread of an idle one and free it. */
void path_free(struct path *path);

/* Whether the device, and not only the way to it, answered to a job that is done. */
bool path_answered(const struct path *path);

#endif
