// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One thread, which waits in one place for requests and never for a device: it looks at what has
 * come and gives it to the thread of its map (map.h). Every request is answered, or its socket
 * closed by the end of this process.
 */
#include "mpath/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "mpath/command.h"
#include "mpath/read.h"
#include "sg/device.h"

/* The half of a map that a request is for; made if need be. NULL: too many, or no memory. */
static struct map *worker_find(struct worker *worker, enum map_side side,
                               const struct sysfs_map *names)
{
    struct map *map;

    for (map = worker->maps; map; map = map->next) {
        if (map->side == side && map->names.number == names->number &&
            strcmp(map->names.uuid, names->uuid) == 0)
            return map;
    }
    if (worker->n_maps == WORKER_MAPS_MAX)
        return NULL;
    map = map_new(&worker->shared, side, side == MAP_READS ? &read_calls : &command_calls, names);
    if (!map)
        return NULL;
    map->next = worker->maps;
    worker->maps = map;
    worker->n_maps++;
    return map;
}

/* Repeat the helper's checks; see sysfs.c. False: the helper has its answer. */
static bool worker_may_execute(const struct work *work, bool changes, struct sysfs_map *ret)
{
    int r = sysfs_identify(work->device, ret);
    struct worker_reply answer = {0};

    if (r == 0 && (!changes || sysfs_is_writable(work->device)))
        return true;
    if (device_is_shortage(-r)) {
        work_answer_busy(work, "?", strerror(-r));
        return false;
    }
    reply_sense(&answer.reply, SPC_INVALID_OPERATION_CODE);
    snprintf(answer.text, sizeof(answer.text), "?: %s",
             r == 0 || r == -ENODEV ? "not a multipath map, or not open for writing"
                                    : "cannot determine whether it is a multipath map");
    work_answer(work, &answer, NULL);
    return false;
}

/* A client has sent something. */
static void worker_meet(struct worker *worker, int slot)
{
    if (slot < WORKER_SLOTS_MAX)
        worker->has_sent[slot / 8] |= (uint8_t)(1 << slot % 8);
}

/* Returns whether the work is its map's now. */
static bool worker_dispatch(struct worker *worker, struct work *work)
{
    bool changes = work->request.request.opcode != SPC_PERSISTENT_RESERVE_IN;
    int slot = work->request.request.slot;
    struct sysfs_map names;
    struct map *map;

    if (changes)
        worker_meet(worker, slot);
    if (!worker_may_execute(work, changes, &names))
        return false;
    map = worker_find(worker, changes ? MAP_CHANGES : MAP_READS, &names);
    if (map && map_add(map, work)) {
        if (changes)
            map_meet(map, slot);
        return true;
    }
    work_answer_busy(work, names.name, "too many commands are waiting");
    return false;
}

/* The last client of a map is gone, as far as is known. */
static void worker_forget(struct map *map)
{
    struct work *work = calloc(1, sizeof(*work));

    if (!work)
        return;
    work->forgets = true;
    work->device = work->reply = -1;
    if (!map_add(map, work))
        work_free(work);
}

/*
 * A client is gone. One that has sent this worker nothing was served by a worker before it; which
 * map it was at is not known.
 */
static void worker_part(struct worker *worker, int slot)
{
    bool is_ours = slot >= WORKER_SLOTS_MAX || (worker->has_sent[slot / 8] >> slot % 8 & 1);

    if (slot < WORKER_SLOTS_MAX)
        worker->has_sent[slot / 8] &= (uint8_t) ~(1 << slot % 8);
    for (struct map *map = worker->maps; map; map = map->next) {
        if (map_part(map, slot) || (!is_ours && map->is_inherited && map->n_clients == 0))
            worker_forget(map);
    }
}

/* A message with its fds has come. */
static void worker_take(struct worker *worker, const uint8_t *bytes, size_t size,
                        const struct fdio_message *message)
{
    struct work *work = calloc(1, sizeof(*work));

    if (!work || size != sizeof(work->message) || message->fds_lost ||
        message->n_fds != WORKER_REQUEST_FDS) {
        free(work);
        for (unsigned i = 0; i < message->n_fds; i++)
            close(message->fds[i]);
        return; /* the helper sees the end of its reply socket */
    }
    work->device = message->fds[0];
    work->reply = message->fds[1];
    memcpy(work->message, bytes, size);
    if (!worker_decode_request(work->message, size, &work->request)) {
        work_free(work);
        return;
    }
    work->allowed_ms = work->request.deadline_ms;
    work->deadline_ms = clock_now_ms() + work->allowed_ms;
    if (!worker_dispatch(worker, work))
        work_free(work);
}

static void worker_receive(struct worker *worker)
{
    /* One byte more than a message: one that is too long is not taken for a message. */
    static uint8_t bytes[WORKER_REQUEST_SIZE + 1];
    struct fdio_message message;
    ssize_t n;

    while ((n = fdio_receive(worker->channel, bytes, sizeof(bytes), MSG_DONTWAIT, &message)) > 0) {
        int slot;

        if (worker_decode_farewell(bytes, (size_t)n, &slot) && message.n_fds == 0)
            worker_part(worker, slot);
        else
            worker_take(worker, bytes, (size_t)n, &message);
    }
    if (n != -EAGAIN) /* the end, or an error that will not go away */
        worker->channel = -1;
}

/* The paths of a map by the names that the journal has for them. NULL: they cannot be listed now.
 */
static struct paths_map *worker_list(dev_t number)
{
    struct paths_map *map = calloc(1, sizeof(*map));
    struct sysfs_path *path = calloc(PATHS_MAX, sizeof(*path));
    int n = map && path ? sysfs_list(number, path, PATHS_MAX) : -ENOMEM;

    for (int i = 0; i < n && i < PATHS_MAX; i++) {
        struct nexus nexus;
        int r = nexus_read(path[i].number, &nexus);

        if (r < 0)
            n = r;
        else
            map->path[map->count++].id = nexus.id;
    }
    free(path);
    if (n >= 0 || n == -ENOENT) /* it has just gone */
        return map;
    free(map);
    return NULL;
}

/* What a worker before this one has left unfinished, before a client asks for the map, or has only
 * remembered. Where the paths cannot be listed it may be either: the map's thread looks again. */
static void worker_resume(void *context, const struct sysfs_map *names)
{
    struct worker *worker = context;
    struct paths_map *known = worker_list(names->number);
    struct paths_memory memory = {0};
    struct map *map = NULL;

    if (known)
        journal_peek(worker->shared.journal, names->uuid, known, &memory);
    if (!known || memory.key != 0 || paths_unfinished(&memory))
        map = worker_find(worker, MAP_CHANGES, names);
    if (map) {
        map->is_inherited = true;
        if (!known || paths_unfinished(&memory))
            (void)map_watch(map);
    }
    free(known);
}

bool worker_run(struct worker *worker)
{
    bool has_opener = true;

    sysfs_each_map(worker_resume, worker);
    while (worker->channel >= 0 && has_opener) {
        struct pollfd events[] = {
            {.fd = worker->channel, .events = POLLIN},
            {.fd = worker->shared.opener, .events = POLLIN}, /* it says nothing: this is its end */
        };

        if (poll(events, 2, -1) < 0)
            continue;
        has_opener = events[1].revents == 0;
        if (events[0].revents)
            worker_receive(worker);
    }
    for (struct map *map = worker->maps; map; map = map->next)
        map_close(map);
    shared_wait(&worker->shared);
    for (struct map *map = worker->maps; map; map = map->next)
        map_reap(map);
    return has_opener;
}
