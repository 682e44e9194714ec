// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pool's own code in every interleaving of the scenarios below: clients that send, commands and
 * closes that block, threads that leave for want of work or cannot be had, a stop at any moment.
 *
 *     schedule-pool [--full] [SCENARIO]
 *
 * What must hold in each state: no connection is served by two threads; whenever none but a
 * client can go on, no event waits to be taken, however many commands hang (no wake-up is lost,
 * none starves); no memory of a thread that was reaped is written to; and no run goes on for
 * ever. At each end: everything was served and closed, once, and the pool's counts are right; or,
 * if it was stopped, every thread has ended and been reaped.
 *
 * Linked with a changed pool.c it has to find a violation: see mutants.py.
 */
#include "model.h"

#include POOL_SOURCE

#include <stdio.h>

static const struct scenario scenarios[] = {
    {.name = "one client, two commands", .max_threads = 2, .max_waiting = 2, .connection = {"bb"}},
    {.name = "two clients, two threads",
     .max_threads = 2,
     .max_waiting = 2,
     .connection = {"b", "b"}},
    {.name = "two clients, three threads",
     .max_threads = 3,
     .max_waiting = 2,
     .connection = {"b", "b"}},
    {.name = "commands and one that asks nothing",
     .max_threads = 2,
     .max_waiting = 2,
     .connection = {"bq", "q"}},
    {.name = "parking", .max_threads = 3, .max_waiting = 1, .connection = {"bb", "b"}},
    {.name = "closing where threads are scarce",
     .max_threads = 2,
     .max_waiting = 2,
     .discard_max = 1,
     .connection = {"b", "cc"}},
    {.name = "threads leave",
     .max_threads = 3,
     .max_waiting = 1,
     .time_outs = 2,
     .connection = {"b", "b"}},
    {.name = "threads leave while others come",
     .max_threads = 2,
     .max_waiting = 2,
     .time_outs = 2,
     .connection = {"bb"}},
    {.name = "no thread to be had",
     .max_threads = 2,
     .max_waiting = 2,
     .creations_fail = 1,
     .ensure_again = true,
     .connection = {"b", "q"}},
    {.name = "all threads asked to block",
     .max_threads = 2,
     .max_waiting = 2,
     .connection = {"b", "b", "q"}},
    {.name = "lingering", .max_threads = 4, .max_waiting = 3, .connection = {"bl", "bl"}},
    {.name = "stop", .max_threads = 2, .max_waiting = 2, .stop = true, .connection = {"b", "q"}},
    {.name = "stop with parked threads",
     .full = true,
     .max_threads = 3,
     .max_waiting = 1,
     .stop = true,
     .connection = {"b", "b"}},
    {.name = "stop while threads leave",
     .max_threads = 2,
     .max_waiting = 1,
     .stop = true,
     .time_outs = 1,
     .connection = {"b"}},
    {.name = "stop while one is held up",
     .max_threads = 2,
     .max_waiting = 2,
     .discard_max = 1,
     .stop = true,
     .connection = {"b", "cc"}},
    {.name = "stop while a command hangs",
     .max_threads = 2,
     .max_waiting = 2,
     .stop = true,
     .hang = true,
     .connection = {"b", "q"}},
    {.name = "three clients, three threads",
     .max_threads = 3,
     .max_waiting = 2,
     .full = true,
     .connection = {"b", "b", "b"}},
    {.name = "whole requests",
     .max_threads = 3,
     .max_waiting = 2,
     .discard_max = 2,
     .full = true,
     .connection = {"r", "r"}},
    {.name = "whole requests, threads leave",
     .max_threads = 3,
     .max_waiting = 1,
     .discard_max = 1,
     .time_outs = 2,
     .full = true,
     .connection = {"r", "r"}},
    {.name = "stop while threads leave and cannot be had",
     .max_threads = 3,
     .max_waiting = 1,
     .stop = true,
     .time_outs = 1,
     .creations_fail = 1,
     .full = true,
     .connection = {"b", "b"}},
};

static void serve(void *context, int fd, uint32_t events)
{
    struct model_connection *connection = &model.connection[fd];
    struct pool *pool = &model.pool;
    char action = scenario->connection[fd][connection->served++];

    (void)context;
    (void)events;
    if (connection->owned)
        engine_violation("a connection is served by two threads");
    connection->owned = true;
    if ((action == 'b' || action == 'r') && pool_may_block(pool))
        model_device("a command");
    if (action == 'c' || action == 'r')
        pool_close(pool, VICTIM_FD + (int)model.n_victims++);
    if (action == 'l' && pool_linger_begin(pool)) {
        model_device("a linger");
        pool_linger_end(pool);
    }
    connection->owned = false;
    pool_arm(pool, fd, EPOLLIN);
}

static void main_thread(void)
{
    struct pool *pool = &model.pool;
    bool ended;

    if (pool_init(pool, scenario->max_threads, serve, NULL) < 0)
        engine_violation("pool_init failed");
    pool->max_waiting = scenario->max_waiting;
    pool->max_lingering = 1;
    for (int i = 0; i < CONNECTIONS_MAX && scenario->connection[i]; i++)
        pool_add(pool, i, EPOLLIN);
    while (!pool_ensure(pool)) {
        if (!scenario->creations_fail)
            engine_violation("pool_ensure failed");
    }
    if (scenario->ensure_again) {
        engine_stop("ask for a thread");
        pool_ensure(pool);
    }
    if (!scenario->stop)
        return;
    engine_stop("stop the pool");
    model.stopping = true;
    ended = pool_stop(pool, 0);
    if (!ended && !scenario->hang)
        engine_violation("pool_stop gave up");
    if (ended && atomic_load_explicit(&pool->threads, memory_order_seq_cst) != 0)
        engine_violation("pool_stop says that all have ended, and they have not");
    model.stopped = true;
}

static void clients(void)
{
    for (size_t event = 0; event < EVENTS_MAX; event++) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            if (!scenario->connection[i] || event >= strlen(scenario->connection[i]))
                continue;
            engine_stop("a client sends");
            model.connection[i].sent++;
        }
    }
    model.all_sent = true;
    if (scenario->hang)
        return;
    engine_stop("the devices come back");
    model.released = true;
}

#define value_of(object) atomic_load_explicit(object, memory_order_seq_cst)

/* No thread can go on, and none stopped the pool. */
static void look_at_rest(void)
{
    const struct pool *pool = &model.pool;
    unsigned waiting = 0, parked = 0, stacked = 0;

    for (unsigned i = FIRST; i < ENGINE_THREADS_MAX; i++) {
        waiting += model.thread[i].wait == WAIT_EVENT;
        parked += model.thread[i].wait == WAIT_FUTEX;
    }
    for (const struct pool_thread *at = pool->parked; at; at = at->below)
        stacked++;
    if (!model.all_sent || !model.released || model.lock_owner || model.in_device)
        engine_violation("a thread waits for ever");
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (model.connection[i].sent != model.connection[i].served)
            engine_violation("an event was never taken");
    }
    if (value_of(&pool->idle) != waiting || waiting == 0)
        engine_violation("idle is not the number of threads that wait for events");
    if (stacked != parked)
        engine_violation("a parked thread is not on the stack");
    if (value_of(&pool->threads) != waiting + parked)
        engine_violation("threads is not the number of threads");
    if (pool->held_up || value_of(&pool->lingering))
        engine_violation("a count has not come back to 0");
    for (unsigned i = 0; i < model.n_victims; i++) {
        if (!model.victim_closed[i])
            engine_violation("an fd was never closed");
    }
}

static void look_at_end(void)
{
    unsigned left = value_of(&model.pool.n_discard); /* pool_deinit closes those */

    if (!model.stopped)
        engine_violation("the pool never stops");
    for (unsigned i = FIRST; i < ENGINE_THREADS_MAX && !scenario->hang; i++) {
        if (model.thread[i].started)
            engine_violation("a thread was not reaped");
    }
    for (unsigned i = 0; i < model.n_victims && !scenario->hang; i++)
        left -= !model.victim_closed[i];
    if (left != 0 && !scenario->hang)
        engine_violation("an fd was lost, or is closed twice");
}

static void look(unsigned ways[ENGINE_THREADS_MAX + 1])
{
    static const struct model_thread unused;

    for (unsigned i = FIRST; i < ENGINE_THREADS_MAX; i++) {
        if (!model.thread[i].started && memcmp(&model.thread[i], &unused, sizeof(unused)) != 0)
            engine_violation("written to the memory of a thread that was reaped");
    }
    if (value_of(&model.pool.threads) > scenario->max_threads)
        engine_violation("more threads than there may be");
    if (ways[ENGINE_THREADS_MAX] == ways[CLIENTS] && !model.stopping) {
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
            if (model_ready(i))
                engine_violation("an event waits, and no thread takes it");
        }
    }
    for (unsigned i = 0; i < ENGINE_THREADS_MAX && ways[ENGINE_THREADS_MAX] == 0; i++) {
        /* The deadline of pool_stop. */
        if (scenario->hang && model.thread[i].timed && model.lock_owner == 0)
            ways[i] = ways[ENGINE_THREADS_MAX] = 1;
    }
    if (ways[ENGINE_THREADS_MAX] == 0 && scenario->stop)
        look_at_end();
    else if (ways[ENGINE_THREADS_MAX] == 0)
        look_at_rest();
}

/* What of the model changes. */
#define MODEL_SIZE                                                                                 \
    (offsetof(__typeof__(model), pool) + offsetof(struct pool, discard) + 4 * sizeof(int))

static bool explore(unsigned number, uint64_t states_max)
{
    const struct engine_program program = {&model, MODEL_SIZE, model_ways, look};
    struct engine_result result;
    const char *verdict;

    memset(&model, 0, sizeof(model));
    model.thread[MAIN].timeout = model.thread[CLIENTS].timeout = -1;
    model.time_outs = scenario->time_outs;
    model.creations_fail = scenario->creations_fail;
    engine_create(MAIN, main_thread);
    engine_create(CLIENTS, clients);
    result = engine_explore(&program, states_max);
    if (result.violation)
        engine_tell_run();
    verdict = result.violation ? result.violation : result.complete ? NULL : "too many states";
    if (verdict)
        printf("# %s\n", verdict);
    printf("%sok %u - %s: %llu states, %llu steps, runs of up to %u\n", verdict ? "not " : "",
           number, scenario->name, (unsigned long long)result.states,
           (unsigned long long)result.steps, result.depth);
    fflush(stdout);
    return !verdict;
}

int main(int argc, char **argv)
{
    bool full = argc > 1 && strcmp(argv[1], "--full") == 0;
    const char *only = argc > 1 + full ? argv[1 + full] : NULL;
    unsigned number = 0;
    bool good = true;

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        scenario = &scenarios[i];
        if (only ? strcmp(only, scenario->name) != 0 : scenario->full && !full)
            continue;
        good = explore(++number, 100000000) && good;
        if (!good)
            break;
    }
    if (good)
        printf("1..%u\n", number);
    return !good;
}
