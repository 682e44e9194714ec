// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define MAP_IDLE_MS  5000 /* a thread without work ends after this */
#define MAP_WATCH_MS 2000 /* between two looks at paths that are away */

void work_free(struct work *work)
{
    cleanup_close(&work->device);
    cleanup_close(&work->reply);
    free(work);
}

void work_answer(const struct work *work, const struct worker_reply *answer, const uint8_t *data)
{
    uint8_t *message = malloc(WORKER_REPLY_SIZE);

    if (!message)
        return; /* the helper sees the end of its socket */
    worker_encode_reply(message, answer, data);
    (void)!send(work->reply, message, WORKER_REPLY_SIZE, MSG_DONTWAIT | MSG_NOSIGNAL);
    free(message);
}

void work_answer_busy(const struct work *work, const char *name, const char *why)
{
    struct worker_reply answer = {0};

    reply_status(&answer.reply, SPC_STATUS_BUSY, 0);
    snprintf(answer.text, sizeof(answer.text), "%s: %s", name, why);
    work_answer(work, &answer, NULL);
}

struct map *map_new(struct shared *shared, enum map_side side, const struct map_calls *calls,
                    const struct sysfs_map *names)
{
    struct map *map = calloc(1, sizeof(*map));
    pthread_condattr_t attributes;

    if (!map)
        return NULL;
    map->shared = shared;
    map->calls = calls;
    map->side = side;
    map->names = *names;
    map->journal.fd = -1;
    map->multipathd = -1;
    map->slot = -1;
    pthread_mutex_init(&map->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&map->news, &attributes);
    pthread_condattr_destroy(&attributes);
    return map;
}

/* Under the lock. Until news or then. */
static void map_sleep(struct map *map, int64_t until_ms)
{
    const struct timespec until = {.tv_sec = until_ms / 1000,
                                   .tv_nsec = until_ms % 1000 * 1000000L};

    pthread_cond_timedwait(&map->news, &map->lock, &until);
}

static enum path_state map_state(struct map *map, const struct path *path)
{
    enum path_state state;

    pthread_mutex_lock(&map->lock);
    state = path->state;
    pthread_mutex_unlock(&map->lock);
    return state;
}

/* A job that hung and has returned: no thread waits for its result. */
static void map_collect(struct map *map)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < map->count; i++) {
        if (map_state(map, map->path[i]) == PATH_DONE)
            path_finish(map->path[i]);
    }
    for (unsigned i = 0; i < map->n_left; i++) {
        struct path *path = map->left[i];

        if (map_state(map, path) == PATH_BUSY) {
            map->left[kept++] = path;
            continue;
        }
        path_finish(path);
        path_free(path);
    }
    map->n_left = kept;
}

uint64_t map_idle(struct map *map)
{
    uint64_t set = 0;

    map_collect(map);
    for (unsigned i = 0; i < map->count; i++) {
        if (map_state(map, map->path[i]) == PATH_IDLE)
            set |= (uint64_t)1 << i;
    }
    return set;
}

uint64_t map_busy(struct map *map)
{
    uint64_t all = map->count < 64 ? ((uint64_t)1 << map->count) - 1 : UINT64_MAX;

    return all & ~map_idle(map);
}

bool map_is_held(struct map *map)
{
    bool held = false;

    map_collect(map);
    pthread_mutex_lock(&map->lock);
    for (unsigned i = 0; i < map->count; i++)
        held |= map->path[i]->state == PATH_BUSY &&
                map->path[i]->job.cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    for (unsigned i = 0; i < map->n_left; i++)
        held |= map->left[i]->state == PATH_BUSY &&
                map->left[i]->job.cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    pthread_mutex_unlock(&map->lock);
    return held;
}

uint64_t map_wait(struct map *map, uint64_t set, int64_t deadline_ms, int patience_ms)
{
    int64_t limit_ms = deadline_ms;
    bool answered = false;
    uint64_t done;

    pthread_mutex_lock(&map->lock);
    for (;;) {
        int64_t now_ms = clock_now_ms();

        done = 0;
        for (unsigned i = 0; i < map->count; i++) {
            if (!(set >> i & 1) || map->path[i]->state != PATH_DONE)
                continue;
            done |= (uint64_t)1 << i;
            if (!answered && path_answered(map->path[i])) {
                answered = true;
                if (now_ms + patience_ms < limit_ms)
                    limit_ms = now_ms + patience_ms;
            }
        }
        if (done == set || now_ms >= limit_ms)
            break;
        map_sleep(map, limit_ms);
    }
    pthread_mutex_unlock(&map->lock);
    return done;
}

/* The same disk as before, by a serial that no two have. */
static struct path *map_take(struct path **path, unsigned count, const struct sysfs_path *names)
{
    for (unsigned i = 0; i < count; i++) {
        struct path *one = path[i];

        if (one && one->names.number == names->number && one->names.serial == names->serial &&
            strcmp(one->names.name, names->name) == 0) {
            path[i] = NULL;
            return one;
        }
    }
    return NULL;
}

/* One that is no path of the map any more. */
static void map_drop(struct map *map, struct path *path)
{
    if (map_state(map, path) == PATH_BUSY) {
        /* There is room: each was a path of the map, and too many paths are none. */
        if (map->n_left < PATHS_MAX)
            map->left[map->n_left++] = path;
        return;
    }
    path_finish(path);
    path_free(path);
}

int map_list_paths(struct map *map)
{
    struct path *old[PATHS_MAX];
    struct sysfs_path *found = calloc(PATHS_MAX, sizeof(*found));
    unsigned n_old = map->count;
    int n = found ? sysfs_list(map->names.number, found, PATHS_MAX) : -ENOMEM;

    if (n > PATHS_MAX)
        n = -E2BIG;
    if (n < 0) {
        free(found);
        return n;
    }
    map_collect(map);
    memcpy(old, map->path, n_old * sizeof(old[0]));
    map->count = 0;
    for (int i = 0; i < n; i++) {
        struct path *path = map_take(old, n_old, &found[i]);

        if (!path)
            path = path_new(&found[i], &map->names, map->shared->opener, map->shared->journal,
                            &map->lock, &map->news);
        if (path)
            map->path[map->count++] = path;
    }
    for (unsigned i = 0; i < n_old; i++) {
        if (old[i])
            map_drop(map, old[i]);
    }
    free(found);
    return map->count == (unsigned)n ? 0 : -ENOMEM;
}

/* Nothing hangs any more, so all threads can end. */
static bool map_let_go(struct map *map)
{
    unsigned kept = 0;

    map_collect(map);
    for (unsigned i = 0; i < map->count; i++) {
        if (map_state(map, map->path[i]) == PATH_BUSY)
            map->path[kept++] = map->path[i];
        else
            path_free(map->path[i]);
    }
    map->count = kept;
    return kept + map->n_left == 0;
}

static void map_execute(struct map *map, struct work *work)
{
    if (work->forgets)
        map->calls->forget(map);
    else if (clock_now_ms() >= work->deadline_ms)
        work_answer_busy(work, map->names.name, "earlier commands took too long");
    else
        map->calls->execute(map, work);
    work_free(work);
}

/* When to look at paths that are away. What clients send meanwhile does not put it off. */
static void map_plan(struct map *map)
{
    if (!map->is_watched)
        map->watch_ms = 0;
    else if (map->watch_ms == 0)
        map->watch_ms = clock_now_ms() + MAP_WATCH_MS;
}

static bool map_is_due(const struct map *map)
{
    return map->is_watched && clock_now_ms() >= map->watch_ms;
}

/* Under the lock. What to do next: NULL if a look is due, or after a time without anything. */
static struct work *map_next(struct map *map)
{
    struct work *work;
    int64_t until_ms;

    map_plan(map);
    until_ms = map->is_watched ? map->watch_ms : clock_now_ms() + MAP_IDLE_MS;
    while (!map->first && !map->closes && clock_now_ms() < until_ms)
        map_sleep(map, until_ms);
    work = map->closes || map_is_due(map) ? NULL : map->first;
    if (work) {
        map->first = work->next;
        map->queued--;
    }
    return work;
}

static void map_main(struct thread *thread)
{
    struct map *map = *(struct map **)(thread + 1);
    bool ends = false;

    if (map->side == MAP_CHANGES)
        (void)journal_open(&map->journal, map->shared->journal, map->names.uuid);
    pthread_mutex_lock(&map->lock);
    while (!ends) {
        struct work *work = map_next(map);

        pthread_mutex_unlock(&map->lock);
        if (work) {
            map_execute(map, work);
        } else if (map->is_watched && !map->closes) {
            map->calls->watch(map);
            map->watch_ms = 0;
        } else {
            ends = map_let_go(map) || map->closes;
        }
        pthread_mutex_lock(&map->lock);
        ends = ends && (!map->first || map->closes);
    }
    journal_close(&map->journal);
    cleanup_close(&map->multipathd);
    map->multipathd = -1;
    map->runs = false;
    map->is_old = true;
    pthread_mutex_unlock(&map->lock);
    shared_end(map->shared);
}

/* It has nothing more to do but to end. */
void map_reap(struct map *map)
{
    if (!map->is_old)
        return;
    pthread_join(map->id, NULL);
    thread_free(map->thread);
    map->is_old = false;
}

/* Under the lock. */
static bool map_start(struct map *map)
{
    if (map->runs)
        return true;
    map_reap(map);
    map->thread = thread_new(sizeof(*map->thread) + sizeof(map));
    if (!map->thread)
        return false;
    *(struct map **)(map->thread + 1) = map;
    if (thread_start(map->thread, map_main, &map->id) < 0) {
        thread_free(map->thread);
        return false;
    }
    map->runs = true;
    shared_begin(map->shared);
    return true;
}

bool map_add(struct map *map, struct work *work)
{
    struct work **last = &map->first;
    bool added;

    pthread_mutex_lock(&map->lock);
    added = !map->closes && map->queued < MAP_QUEUE_MAX && map_start(map);
    if (added) {
        work->next = NULL;
        while (*last)
            last = &(*last)->next;
        *last = work;
        map->queued++;
    }
    pthread_mutex_unlock(&map->lock);
    pthread_cond_broadcast(&map->news);
    return added;
}

bool map_watch(struct map *map)
{
    bool started;

    pthread_mutex_lock(&map->lock);
    map->is_watched = !map->runs;
    started = map_start(map);
    pthread_mutex_unlock(&map->lock);
    return started;
}

void map_meet(struct map *map, int slot)
{
    for (unsigned i = 0; i < map->n_clients && i < MAP_CLIENTS_MAX; i++) {
        if (map->client[i] == slot)
            return;
    }
    if (map->n_clients < MAP_CLIENTS_MAX)
        map->client[map->n_clients] = slot;
    if (map->n_clients <= MAP_CLIENTS_MAX)
        map->n_clients++;
}

bool map_part(struct map *map, int slot)
{
    if (map->n_clients > MAP_CLIENTS_MAX)
        return false;
    for (unsigned i = 0; i < map->n_clients; i++) {
        if (map->client[i] == slot) {
            map->client[i] = map->client[--map->n_clients];
            return map->n_clients == 0;
        }
    }
    return false;
}

void map_close(struct map *map)
{
    struct work *work;

    pthread_mutex_lock(&map->lock);
    map->closes = true;
    while ((work = map->first)) {
        map->first = work->next;
        work_free(work);
    }
    map->queued = 0;
    pthread_cond_broadcast(&map->news);
    pthread_mutex_unlock(&map->lock);
}
