// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands to paths. All are waited for with patience, and none is waited for that has been given
 * up: its path stays busy until it returns, which the next command, or the watch, will see.
 *
 * What an errno or the host adapter says before a command has been sent is a refusal of that path
 * alone. What it says of one that may have been sent leaves the outcome open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "mpath/command.h"
#include "scsi/prin.h"
#include "scsi/vpd.h"
#include "sg/reply.h"

#define STEPS_READ_MS        3000  /* for an answer to a command that changes nothing */
#define STEPS_WRITE_MS       10000 /* to one that does */
#define STEPS_ABORT_MS       30000 /* to PREEMPT AND ABORT, which may have much to abort */
#define STEPS_FRESH_MS       200   /* an answer is news for so long */
#define STEPS_DRAIN_MS       1000
#define STEPS_DRAIN_PAUSE_MS 2

#define STEPS_INQUIRY      0x12
#define STEPS_INQUIRY_SIZE 252
/* Nearly every answer fits; a longer one is asked for again. */
#define STEPS_READ_SIZE 2048

static int64_t steps_limit(const struct command *command, int ms)
{
    int64_t limit_ms = clock_now_ms() + ms;

    return limit_ms < command->deadline_ms ? limit_ms : command->deadline_ms;
}

/* data: `length` bytes to send; NULL: room for as many. */
static bool steps_submit(struct command *command, unsigned path, struct path_job *job,
                         const uint8_t *data)
{
    job->timeout_ms = command->io_timeout_ms;
    if (job->length > 0) {
        job->data = calloc(1, job->length);
        if (!job->data)
            return false;
        if (data)
            memcpy(job->data, data, job->length);
    }
    path_submit(command->map->path[path], job, command->work ? command->work->device : -1);
    return true;
}

/* The device's answer to a job that is done and was answered. */
static void steps_reply(const struct path_job *job, struct reply *ret)
{
    const struct request request = {.opcode = job->cdb[0], .length = job->length};

    sg_reply_result(&job->result, &request, ret);
}

/* INQUIRY, VPD page 83h. */
static void steps_take_page(struct path *path)
{
    struct reply reply;

    if (!path_answered(path))
        return;
    steps_reply(&path->job, &reply);
    path->is_asked = true;
    path->has_target_port = reply.status == SPC_STATUS_GOOD &&
                            vpd_target_port(path->job.data, reply.size, &path->target_port);
}

void steps_prepare(struct command *command)
{
    struct map *map = command->map;
    uint64_t idle = map_idle(map), asked = 0, done;

    for (unsigned i = 0; i < map->count; i++) {
        struct path_job job = {
            .cdb = {STEPS_INQUIRY, 1, 0x83, 0, STEPS_INQUIRY_SIZE},
            .length = STEPS_INQUIRY_SIZE,
            .asks = true,
        };

        if ((idle >> i & 1) && !map->path[i]->is_asked && steps_submit(command, i, &job, NULL))
            asked |= (uint64_t)1 << i;
    }
    done = map_wait(map, asked, command->deadline_ms, COMMAND_PATIENCE_MS);
    for (unsigned i = 0; i < map->count; i++) {
        if (!(done >> i & 1))
            continue;
        steps_take_page(map->path[i]);
        path_finish(map->path[i]);
    }
}

/* TEST UNIT READY by each of a set that is free. Returns those that answered. */
static uint64_t steps_ask_set(struct command *command, uint64_t set)
{
    struct map *map = command->map;
    uint64_t idle = map_idle(map), asked = 0, answered = 0, done;

    for (unsigned i = 0; i < map->count; i++) {
        struct path_job job = {.cdb = {SPC_TEST_UNIT_READY}, .asks = true};

        /* One whose port has not been asked for cannot be told at the target. */
        if ((set & idle) >> i & 1 && map->path[i]->is_asked && steps_submit(command, i, &job, NULL))
            asked |= (uint64_t)1 << i;
    }
    done = map_wait(map, asked, command->deadline_ms, COMMAND_PATIENCE_MS);
    for (unsigned i = 0; i < map->count; i++) {
        struct path *path = map->path[i];

        if (!(done >> i & 1))
            continue;
        if (path_answered(path)) {
            answered |= (uint64_t)1 << i;
            path->answered_ms = clock_now_ms();
        }
        if (path->job.attention.key != 0)
            command->attention = path->job.attention;
        path_finish(path);
    }
    return answered;
}

/* Those that have answered this command a moment ago. */
static uint64_t steps_fresh(const struct command *command)
{
    int64_t since_ms = clock_now_ms() - STEPS_FRESH_MS;
    uint64_t set = 0;

    for (unsigned i = 0; i < command->map->count; i++) {
        if ((command->fresh >> i & 1) && command->map->path[i]->answered_ms >= since_ms)
            set |= (uint64_t)1 << i;
    }
    return set;
}

/*
 * Of most commands more than half would be TEST UNIT READY. A path that has answered this command a
 * moment ago is not asked again, as long as every path that was used has answered: one that has
 * gone since might as well go the moment after. One that has not answered is asked each time.
 */
void steps_ask(struct command *command, const struct paths_step *step, struct paths_outcome *ret)
{
    uint64_t fresh = steps_fresh(command) & step->paths;

    command->has_asked = true;
    command->answered = fresh | steps_ask_set(command, step->paths & ~fresh);
    command->fresh = command->answered;
    ret->answered = command->answered;
    ret->sense = command->attention;
    command->attention = SPC_NO_ADDITIONAL_SENSE;
}

void steps_settle(struct command *command)
{
    if (command->has_disturbed)
        (void)steps_ask_set(command, command->answered);
}

/*
 * Whether the target tells other registered nexuses of a command by a unit attention
 * (SPC-4 5.13.11.2.2, 5.13.11.2.4 to 5.13.11.2.7). Of REGISTER it does so if it ends a reservation,
 * but by then no path of the map is registered any more.
 */
static bool steps_disturbs(uint8_t service_action)
{
    return service_action == SPC_PROUT_RELEASE || service_action == SPC_PROUT_CLEAR ||
           service_action == SPC_PROUT_PREEMPT || service_action == SPC_PROUT_PREEMPT_AND_ABORT;
}

/* What a step through one path shows about all: without an answer for the logical unit, observe
 * again. */
static void steps_refresh(struct command *command, unsigned path,
                          const struct paths_outcome *outcome)
{
    if (outcome->end != PATHS_DONE ||
        (outcome->status == SPC_STATUS_CHECK_CONDITION && sense_is_of_path(outcome->sense)))
        command->fresh = 0;
    else
        command->map->path[path]->answered_ms = clock_now_ms();
}

/* Whether a host status says that the command was never sent. */
static bool steps_is_unsent(unsigned host_status)
{
    switch (host_status) {
    case SG_HOST_NO_CONNECT:
    case SG_HOST_BAD_TARGET:
    case SG_HOST_BUS_BUSY:
    case SG_HOST_IMM_RETRY:
    case SG_HOST_REQUEUE:
    case SG_HOST_TRANSPORT_FAILFAST:
    case SG_HOST_TRANSPORT_MARGINAL:
        return true;
    default:
        return false;
    }
}

/* The outcome of a job that is done. */
static void steps_judge(const struct path_job *job, struct paths_outcome *ret)
{
    const struct sg_result *result = &job->result;
    bool sense_counts = result->host_status == SG_HOST_TARGET_FAILURE ||
                        result->host_status == SG_HOST_ALLOC_FAILURE ||
                        result->host_status == SG_HOST_MEDIUM_ERROR ||
                        result->host_status == SG_HOST_RESERVATION_CONFLICT;
    struct reply reply;

    ret->end = PATHS_DONE;
    if (!job->opened || (job->error && job->error != EINTR && job->error != EFAULT)) {
        ret->end = PATHS_REFUSED;
        return;
    }
    if (!job->error && steps_is_unsent(result->host_status)) {
        if (result->host_status == SG_HOST_BUS_BUSY || result->host_status == SG_HOST_IMM_RETRY ||
            result->host_status == SG_HOST_REQUEUE)
            ret->status = SPC_STATUS_BUSY;
        else
            ret->end = PATHS_REFUSED;
        return;
    }
    /* It may have been executed, and is over: not one of the answers that the engine knows. */
    ret->status = SPC_STATUS_TASK_ABORTED;
    if (job->error || (result->host_status != SG_HOST_OK && !sense_counts) ||
        (result->driver_status & SG_DRIVER_MASK) == SG_DRIVER_TIMEOUT)
        return;
    steps_reply(job, &reply);
    if (reply.status == SPC_STATUS_CHECK_CONDITION &&
        !sense_decode(reply.sense, sizeof(reply.sense), &ret->sense))
        return;
    ret->status = reply.status;
    if (reply.status == SPC_STATUS_GOOD && job->cdb[0] != SPC_PERSISTENT_RESERVE_OUT)
        ret->length = reply.size;
}

/* One job by one path, which must be idle. */
static void steps_one(struct command *command, unsigned at, struct path_job *job, int limit_ms,
                      struct paths_outcome *ret)
{
    struct map *map = command->map;
    struct path *path = map->path[at];

    ret->end = PATHS_LOST;
    if (!map_wait(map, (uint64_t)1 << at, steps_limit(command, limit_ms), limit_ms))
        return;
    steps_judge(&path->job, ret);
    if (job->cdb[0] != SPC_PERSISTENT_RESERVE_OUT) {
        free(command->data);
        command->data = path->job.data;
        path->job.data = NULL;
        ret->data = command->data;
    }
    if (path->job.attention.key != 0)
        command->attention = path->job.attention;
    path_finish(path);
}

/* A reading command, with as much room as its answer needs. */
static void steps_read_by(struct command *command, unsigned path, const uint8_t *cdb, bool asks,
                          struct paths_outcome *ret)
{
    uint32_t size = STEPS_READ_SIZE;

    for (;;) {
        struct path_job job = {.length = size, .asks = asks};
        struct prin_list list;

        memcpy(job.cdb, cdb, CDB_SIZE);
        store_be16(job.cdb + 7, (uint16_t)size);
        memset(ret, 0, sizeof(*ret));
        ret->end = PATHS_REFUSED;
        if (!steps_submit(command, path, &job, NULL))
            return;
        steps_one(command, path, &job, STEPS_READ_MS, ret);
        if (ret->end != PATHS_DONE || ret->status != SPC_STATUS_GOOD || size == PATHS_DATA_MAX ||
            ret->length < size || prin_list_decode(ret->data, ret->length, &list) != PRIN_OK ||
            !list.cut)
            return;
        size = PATHS_DATA_MAX;
    }
}

static bool steps_registers(const struct paths_step *step)
{
    return (step->cdb[1] & CDB_SERVICE_ACTION_MASK) == SPC_PROUT_REGISTER &&
           load_be64(step->parameters) == 0;
}

void steps_send(struct command *command, const struct paths_step *step, struct paths_outcome *ret)
{
    uint8_t service_action = step->cdb[1] & CDB_SERVICE_ACTION_MASK;
    struct path_job job = {.length = step->parameters_length};

    ret->end = PATHS_REFUSED;
    if (!(map_idle(command->map) >> step->path & 1)) {
        command->fresh = 0;
        return;
    }
    if (step->parameters_length == 0) {
        steps_read_by(command, step->path, step->cdb, false, ret);
        steps_refresh(command, step->path, ret);
        if (service_action == SPC_PRIN_READ_FULL_STATUS && ret->end == PATHS_DONE &&
            ret->status == SPC_STATUS_GOOD && !observe_look(command, ret->data, ret->length)) {
            /* As a target says that does not serve it. */
            ret->status = SPC_STATUS_CHECK_CONDITION;
            ret->sense = SPC_INVALID_FIELD_IN_CDB;
        }
        return;
    }
    memcpy(job.cdb, step->cdb, CDB_SIZE);
    if (!steps_submit(command, step->path, &job, step->parameters))
        return;
    steps_one(command, step->path, &job,
              service_action == SPC_PROUT_PREEMPT_AND_ABORT ? STEPS_ABORT_MS : STEPS_WRITE_MS, ret);
    steps_refresh(command, step->path, ret);
    if (steps_disturbs(service_action) || ret->end != PATHS_DONE) {
        command->has_disturbed = true;
        command->fresh = 0;
    }
    if (steps_registers(step) &&
        (ret->end == PATHS_LOST || (ret->end == PATHS_DONE && ret->status == SPC_STATUS_GOOD)))
        observe_registered(command, step->path);
}

bool steps_read(struct command *command, uint8_t service_action, size_t *ret_size)
{
    uint64_t idle = map_idle(command->map);
    uint8_t cdb[CDB_SIZE];

    cdb_encode_prin(cdb, service_action, STEPS_READ_SIZE);
    for (unsigned i = 0; i < command->map->count; i++) {
        struct paths_outcome outcome;

        if (!(idle >> i & 1) || !command->map->path[i]->is_asked)
            continue;
        steps_read_by(command, i, cdb, true, &outcome);
        if (outcome.end == PATHS_DONE && outcome.status == SPC_STATUS_GOOD) {
            *ret_size = outcome.length;
            return true;
        }
    }
    return false;
}

bool steps_has_key(struct command *command, unsigned path, uint64_t key, bool aptpl)
{
    const struct prout prout = {.key = key, .sa_key = key, .aptpl = aptpl};
    struct path_job job = {.length = PROUT_SIZE, .asks = true};
    struct paths_outcome outcome = {0};
    uint8_t parameters[PROUT_SIZE];

    if (!(map_idle(command->map) >> path & 1))
        return false;
    cdb_encode_prout(job.cdb, SPC_PROUT_REGISTER, SPC_SCOPE_LOGICAL_UNIT, 0, PROUT_SIZE);
    prout_encode(SPC_PROUT_REGISTER, &prout, NULL, 0, parameters, sizeof(parameters));
    if (!steps_submit(command, path, &job, parameters))
        return false;
    steps_one(command, path, &job, STEPS_WRITE_MS, &outcome);
    return outcome.end == PATHS_DONE && outcome.status == SPC_STATUS_GOOD;
}

bool steps_in_flight(const struct command *command, uint64_t set)
{
    for (unsigned i = 0; i < command->map->count; i++) {
        if ((set >> i & 1) && sysfs_inflight(command->map->path[i]->names.number) != 0)
            return true;
    }
    return false;
}

/* For all paths except the one that is left to the guest: an absent path may also hold writes. */
void steps_drain(struct command *command, const struct paths_step *step, struct paths_outcome *ret)
{
    uint64_t left = command->answered & ~step->paths;
    const struct timespec pause = {.tv_nsec = STEPS_DRAIN_PAUSE_MS * 1000000L};
    int64_t limit_ms = steps_limit(command, STEPS_DRAIN_MS);

    while (steps_in_flight(command, ~left)) {
        if (clock_now_ms() >= limit_ms) {
            ret->end = PATHS_REFUSED;
            return;
        }
        nanosleep(&pause, NULL);
    }
}
