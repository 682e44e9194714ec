// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * There are few, so all questions are answered by looking through the list. It is in order of
 * arrival, so whatever stands before a job in it came earlier.
 *
 * A child that was killed holds its map: its own command may still be on the way to the device.
 * Reading waits for nobody. It changes nothing, the helper's own reading is not held up by the
 * worker either, and a look at the reservations is what somebody with such a map needs.
 */
#include "mpath/jobs.h"

#include <limits.h>
#include <stddef.h>

/* Must `later` wait for `earlier`, which is of the same map? */
static bool jobs_must_wait(const struct job *later, const struct job *earlier)
{
    return later->changes && earlier->changes;
}

static bool jobs_has_deadline(const struct job *job)
{
    return job->state != JOB_KILLED;
}

bool jobs_add(struct jobs *jobs, struct job *job)
{
    unsigned n_map = 0;

    if (jobs->n == JOBS_MAX)
        return false;
    for (unsigned i = 0; i < jobs->n; i++) {
        const struct job *one = jobs->job[i];

        if (one->map != job->map)
            continue;
        if (++n_map == JOBS_MAP_MAX)
            return false;
        if (job->changes && (one->state == JOB_KILLED || one->state == JOB_MENDING))
            return false;
    }
    job->state = JOB_QUEUED;
    jobs->job[jobs->n++] = job;
    return true;
}

void jobs_remove(struct jobs *jobs, const struct job *job)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < jobs->n; i++) {
        if (jobs->job[i] != job)
            jobs->job[kept++] = jobs->job[i];
    }
    jobs->n = kept;
}

struct job *jobs_next(const struct jobs *jobs)
{
    unsigned running = 0;

    for (unsigned i = 0; i < jobs->n; i++)
        running += jobs->job[i]->state != JOB_QUEUED;
    if (running >= JOBS_RUNNING_MAX)
        return NULL;

    for (unsigned i = 0; i < jobs->n; i++) {
        struct job *job = jobs->job[i];
        bool wait = job->state != JOB_QUEUED;

        for (unsigned k = 0; k < i && !wait; k++)
            wait = jobs->job[k]->map == job->map && jobs_must_wait(job, jobs->job[k]);
        if (!wait)
            return job;
    }
    return NULL;
}

struct job *jobs_expired(const struct jobs *jobs, int64_t now_ms)
{
    for (unsigned i = 0; i < jobs->n; i++) {
        if (jobs_has_deadline(jobs->job[i]) && jobs->job[i]->deadline_ms <= now_ms)
            return jobs->job[i];
    }
    return NULL;
}

int jobs_timeout_ms(const struct jobs *jobs, int64_t now_ms)
{
    int64_t left = INT64_MAX;

    for (unsigned i = 0; i < jobs->n; i++) {
        if (jobs_has_deadline(jobs->job[i]) && jobs->job[i]->deadline_ms - now_ms < left)
            left = jobs->job[i]->deadline_ms - now_ms;
    }
    if (left == INT64_MAX)
        return -1;
    if (left < 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

struct job *jobs_find(const struct jobs *jobs, pid_t pid)
{
    for (unsigned i = 0; i < jobs->n; i++) {
        if (jobs->job[i]->state != JOB_QUEUED && jobs->job[i]->pid == pid)
            return jobs->job[i];
    }
    return NULL;
}
