// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which command runs when. Pure: it neither forks nor looks at the clock.
 *
 * Commands that change something on a map run one after the other, those of different maps side by
 * side. Each is queued, then it runs, and when its child has been reaped it is gone; unless that
 * has to be killed at its deadline. Then it holds its map until the child has been reaped, which
 * may take as long as the kernel likes, and, if it has left the map suspended, until that is
 * mended.
 */
#ifndef MPATH_JOBS_H
#define MPATH_JOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Each waits in the memory of the worker with its message of 8 kB. */
#define JOBS_MAX         256 /* in all */
#define JOBS_MAP_MAX     32  /* of one map: a sick one must not take all places */
#define JOBS_RUNNING_MAX 64  /* children */

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_KILLED,  /* answered; its child may still be in the kernel */
    JOB_MENDING, /* answered; another child resumes the map */
};

/* What jobs.c wants to know of a command; the rest of it is its owner's. */
struct job {
    enum job_state state;
    dev_t map;
    bool changes; /* anything but PERSISTENT RESERVE IN */
    int64_t deadline_ms;
    pid_t pid; /* unless queued */
};

/* In the order in which they came. */
struct jobs {
    struct job *job[JOBS_MAX]; /* not owned */
    unsigned n;
};

/*
 * Take it in, queued. False: there is no room, or its map is held by a child that was killed; then
 * it was not sent, and the answer is BUSY.
 */
bool jobs_add(struct jobs *jobs, struct job *job);
void jobs_remove(struct jobs *jobs, const struct job *job);

/* A queued one that may run now, or NULL. */
struct job *jobs_next(const struct jobs *jobs);

/* One, queued, running or mending, whose deadline has passed, or NULL. */
struct job *jobs_expired(const struct jobs *jobs, int64_t now_ms);

/* Until the next deadline, for poll(2): -1 if there is none. */
int jobs_timeout_ms(const struct jobs *jobs, int64_t now_ms);

/* The one that this child works on, or NULL. */
struct job *jobs_find(const struct jobs *jobs, pid_t pid);

#endif
