// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The helper has tried the map itself, and the path that the kernel took had no answer but one for
 * itself. Each other path leads to the same logical unit, so the first that answers will do.
 */
#include "mpath/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sg/reply.h"

#define READ_PATIENCE_MS 2000 /* for one path, while there are others */

/* Returns whether the path answered for the logical unit; reply is what it came to. */
static bool read_take(struct path *path, struct worker_reply *answer, uint8_t **ret_data)
{
    const struct path_job *job = &path->job;
    const struct request request = {.opcode = job->cdb[0], .length = job->length};
    bool answered;

    if (!job->opened || job->error)
        sg_reply_errno(job->error, &answer->reply);
    else
        sg_reply_result(&job->result, &request, &answer->reply);
    if (!job->opened)
        reply_sense(&answer->reply, SPC_LU_NO_RESPONSE);
    answered = job->opened && !sg_path_failed(job->error, &job->result);
    if (answered) {
        *ret_data = path->job.data;
        path->job.data = NULL;
    }
    path_finish(path);
    return answered;
}

static bool read_by(struct map *map, unsigned at, const struct work *work,
                    struct worker_reply *answer, uint8_t **ret_data)
{
    const struct request *request = &work->request.request;
    int64_t limit_ms = clock_now_ms() + READ_PATIENCE_MS;
    struct path_job job = {
        .length = request->length,
        .timeout_ms = work->request.io_timeout_ms,
        .data = calloc(1, request->length + 1),
    };

    if (!job.data)
        return false;
    memcpy(job.cdb, request->cdb, sizeof(job.cdb));
    path_submit(map->path[at], &job, work->device);
    if (at + 1 == map->count || limit_ms > work->deadline_ms)
        limit_ms = work->deadline_ms;
    if (!map_wait(map, (uint64_t)1 << at, limit_ms, READ_PATIENCE_MS)) {
        reply_sense(&answer->reply, SPC_LU_COMMUNICATION_TIMEOUT);
        return false;
    }
    return read_take(map->path[at], answer, ret_data);
}

static void read_execute(struct map *map, struct work *work)
{
    struct worker_reply answer = {0};
    uint8_t *data = NULL;
    int r = map_list_paths(map);
    bool answered = false;

    if (r < 0) {
        reply_sense(&answer.reply, SPC_LU_COMMUNICATION_FAILURE);
        snprintf(answer.text, sizeof(answer.text), "%s: its paths cannot be listed: %s",
                 map->names.name, strerror(-r));
        work_answer(work, &answer, NULL);
        return;
    }
    reply_sense(&answer.reply, SPC_LU_NO_RESPONSE);
    for (unsigned i = 0; i < map->count && !answered && clock_now_ms() < work->deadline_ms; i++) {
        if (map_idle(map) >> i & 1)
            answered = read_by(map, i, work, &answer, &data);
    }
    if (!answered)
        snprintf(answer.text, sizeof(answer.text), "%s: none of its %u paths answers",
                 map->names.name, map->count);
    work_answer(work, &answer, data);
    free(data);
}

const struct map_calls read_calls = {.execute = read_execute};
