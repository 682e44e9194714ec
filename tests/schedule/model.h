// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_SCHEDULE_MODEL_H
#define TESTS_SCHEDULE_MODEL_H

/*
 * What the pool finds instead of the system: locks, futexes, epoll, a clock, threads, all on the
 * engine's terms. To be included before pool.c, whose calls it takes over by macros.
 *
 * Each operation that another thread could notice is preceded by a stop. There is none before an
 * unlock, nor before a broadcast, which the pool makes under its lock: what follows stops anyway.
 */

/* clang-format off: what pool.c includes, so that the macros below spoil no header */
#include "serve/pool.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/futex.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#if __has_include("serve/tracepoints.h")
#include "serve/tracepoints.h"
#endif
/* clang-format on */

#include "engine.h"

#define CONNECTIONS_MAX 3
#define EVENTS_MAX      4
#define VICTIMS_MAX     6

/* Coroutines: the main thread, the clients, the pool's threads. */
#define MAIN    0
#define CLIENTS 1
#define FIRST   2

#define EPOLL_FD    1000
#define STOP_FD     1001
#define VICTIM_FD   2000 /* and so on: what connections close */
#define NO_THREAD   0xff
#define OBJECT_SIZE 128

struct scenario {
    const char *name;
    unsigned max_threads, max_waiting, discard_max;
    unsigned time_outs;      /* so many waits may end for want of an event */
    unsigned creations_fail; /* so many threads cannot be created */
    bool ensure_again;       /* the main thread asks for a thread once more, at any time */
    bool stop;               /* the main thread stops the pool, at any time */
    bool hang;               /* what blocks stays blocked, and pool_stop gives up */
    bool full;               /* long: only with --full */
    const char *connection[CONNECTIONS_MAX]; /* what each of its events brings about */
};

enum wait {
    WAIT_NOTHING,
    WAIT_LOCK,
    WAIT_SIGNAL,
    WAIT_FUTEX,
    WAIT_EVENT,
    WAIT_JOIN,
    WAIT_DEVICE, /* in a command, or in a close that blocks */
};

struct model_thread {
    enum wait wait;
    bool woken, timed, ended, started, reaped;
    unsigned ways; /* of WAIT_NOTHING */
    int timeout;
    const void *on;
    void (*main)(struct thread *);
    _Alignas(64) char object[OBJECT_SIZE]; /* struct pool_thread */
};

struct model_connection {
    bool registered, armed, once, owned;
    unsigned sent, served;
};

static struct {
    struct model_thread thread[ENGINE_THREADS_MAX];
    struct model_connection connection[CONNECTIONS_MAX];
    unsigned lock_owner; /* thread + 1 */
    bool stop_readable, released, all_sent, stopping, stopped;
    uint8_t victim_closed[VICTIMS_MAX];
    unsigned n_victims, time_outs, creations_fail, in_device;
    int64_t now;
    struct pool pool; /* last, since most of it, behind the first few fds, is never used */
} model;

static const struct scenario *scenario;

static inline struct model_thread *me(void)
{
    return &model.thread[engine_self()];
}

static unsigned wait_for(enum wait wait, const void *on, const char *operation)
{
    unsigned way;

    me()->wait = wait;
    me()->on = on;
    way = engine_stop(operation);
    me()->wait = WAIT_NOTHING;
    me()->on = NULL;
    return way;
}

static bool model_ready(unsigned i)
{
    return model.connection[i].armed && model.connection[i].sent > model.connection[i].served;
}

static unsigned model_ways(unsigned number)
{
    const struct model_thread *thread = &model.thread[number];
    bool time_out = thread->timeout >= 0 && model.time_outs > 0;
    unsigned ready = model.stop_readable;

    switch (thread->wait) {
    case WAIT_NOTHING:
        return thread->ways ? thread->ways : 1;
    case WAIT_LOCK:
        return model.lock_owner == 0;
    case WAIT_SIGNAL:
        return thread->woken && model.lock_owner == 0;
    case WAIT_FUTEX:
        return thread->woken || time_out;
    case WAIT_EVENT:
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
            ready += model_ready(i);
        return ready ? ready : time_out;
    case WAIT_JOIN:
        return ((const struct model_thread *)thread->on)->ended;
    case WAIT_DEVICE:
        return model.released;
    }
    return 0;
}

static void model_time_out(void)
{
    model.time_outs--;
    model.now += me()->timeout;
}

static void model_lock(void)
{
    wait_for(WAIT_LOCK, NULL, "lock");
    if (model.lock_owner)
        engine_violation("two threads have the lock");
    model.lock_owner = engine_self() + 1;
}

static void model_unlock(void)
{
    if (model.lock_owner != engine_self() + 1)
        engine_violation("unlocked by another thread than locked it");
    model.lock_owner = 0;
}

static int model_wait(bool timed)
{
    model_unlock();
    me()->woken = false;
    me()->timed = timed;
    wait_for(WAIT_SIGNAL, NULL, "wait for a signal");
    me()->timed = false;
    model.lock_owner = engine_self() + 1;
    return me()->woken ? 0 : ETIMEDOUT; /* that only when nothing else can happen: see look() */
}

static void model_broadcast(void)
{
    if (model.lock_owner != engine_self() + 1)
        engine_violation("a broadcast without the lock: model.h does not stop before those");
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++)
        model.thread[i].woken |= model.thread[i].wait == WAIT_SIGNAL;
}

static void model_futex_wait(_Atomic uint32_t *word, uint32_t value, int timeout)
{
    wait_for(WAIT_NOTHING, NULL, "futex wait");
    if (atomic_load_explicit(word, memory_order_seq_cst) != value)
        return;
    me()->woken = false;
    me()->timeout = timeout;
    wait_for(WAIT_FUTEX, word, "in futex wait");
    if (!me()->woken)
        model_time_out();
    me()->timeout = -1;
}

static void model_futex_wake(_Atomic uint32_t *word)
{
    wait_for(WAIT_NOTHING, NULL, "futex wake");
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++)
        model.thread[i].woken |= model.thread[i].wait == WAIT_FUTEX &&
                                 model.thread[i].on == (const void *)word;
}

static int model_epoll_ctl(int fd, const struct epoll_event *event)
{
    struct model_connection *connection = &model.connection[fd];

    if (fd == STOP_FD)
        return 0;
    wait_for(WAIT_NOTHING, NULL, "epoll_ctl");
    connection->registered = connection->armed = true;
    connection->once = event->events & EPOLLONESHOT;
    return 0;
}

static int model_epoll_wait(struct epoll_event *event, int timeout)
{
    unsigned way;

    me()->timeout = timeout;
    way = wait_for(WAIT_EVENT, NULL, "epoll_wait");
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (!model_ready(i))
            continue;
        if (way-- == 0) {
            model.connection[i].armed = !model.connection[i].once;
            *event = (struct epoll_event){.events = EPOLLIN, .data.fd = (int)i};
            me()->timeout = -1;
            return 1;
        }
    }
    if (model.stop_readable) {
        *event = (struct epoll_event){.events = EPOLLIN, .data.fd = STOP_FD};
        me()->timeout = -1;
        return 1;
    }
    model_time_out();
    me()->timeout = -1;
    return 0;
}

/* A command, or a close that blocks until the device comes back. */
static void model_device(const char *operation)
{
    model.in_device++;
    wait_for(WAIT_DEVICE, NULL, operation);
    model.in_device--;
}

static int model_close(int fd)
{
    if (fd >= VICTIM_FD && fd < VICTIM_FD + VICTIMS_MAX) {
        model_device("close");
        if (model.victim_closed[fd - VICTIM_FD]++)
            engine_violation("an fd is closed twice");
    }
    return 0;
}

static int model_write(int fd)
{
    wait_for(WAIT_NOTHING, NULL, "write to stop_fd");
    model.stop_readable = model.stop_readable || fd == STOP_FD;
    return 0;
}

static struct thread *model_thread_new(size_t size)
{
    for (unsigned i = FIRST; i < ENGINE_THREADS_MAX; i++) {
        if (model.thread[i].started)
            continue;
        if (size > OBJECT_SIZE)
            abort();
        memset(&model.thread[i], 0, sizeof(model.thread[i]));
        model.thread[i].started = true;
        model.thread[i].timeout = -1;
        return (struct thread *)model.thread[i].object;
    }
    engine_violation("more threads at a time than the scenario provides for");
    return NULL;
}

static struct model_thread *model_thread_of(struct thread *thread)
{
    return (struct model_thread *)((char *)thread - offsetof(struct model_thread, object));
}

static void model_thread_main(void)
{
    me()->main((struct thread *)me()->object);
    me()->ended = true;
}

static int model_thread_start(struct thread *thread, void (*main)(struct thread *))
{
    struct model_thread *started = model_thread_of(thread);

    me()->ways = model.creations_fail > 0 ? 2 : 1;
    if (wait_for(WAIT_NOTHING, NULL, "start a thread") == 1) {
        me()->ways = 0;
        model.creations_fail--;
        return -EAGAIN;
    }
    me()->ways = 0;
    started->main = main;
    engine_create((unsigned)(started - model.thread), model_thread_main);
    return 0;
}

static void model_thread_free(struct thread *thread)
{
    memset(model_thread_of(thread), 0, sizeof(struct model_thread));
}

static void model_thread_reap(struct thread *thread)
{
    if (thread == (struct thread *)me()->object)
        engine_violation("a thread reaps itself");
    if (!model_thread_of(thread)->started)
        engine_violation("a thread is reaped twice");
    wait_for(WAIT_JOIN, model_thread_of(thread), "join");
    model_thread_free(thread);
}

/* Stop before an atomic operation, then do it. */
#define at_stop(name, operation) (wait_for(WAIT_NOTHING, NULL, name), (operation))

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_compare_exchange_weak
#define atomic_load(object)                                                                        \
    at_stop("load " #object, atomic_load_explicit(object, memory_order_seq_cst))
#define atomic_store(object, value)                                                                \
    at_stop("store " #object, atomic_store_explicit(object, value, memory_order_seq_cst))
#define atomic_fetch_add(object, value)                                                            \
    at_stop("add " #object, atomic_fetch_add_explicit(object, value, memory_order_seq_cst))
#define atomic_fetch_sub(object, value)                                                            \
    at_stop("sub " #object, atomic_fetch_sub_explicit(object, value, memory_order_seq_cst))
#define atomic_compare_exchange_weak(object, expected, value)                                      \
    at_stop("exchange " #object,                                                                   \
            atomic_compare_exchange_strong_explicit(object, expected, value, memory_order_seq_cst, \
                                                    memory_order_seq_cst))

#define pthread_mutex_lock(mutex)                model_lock()
#define pthread_mutex_unlock(mutex)              model_unlock()
#define pthread_cond_wait(condition, mutex)      model_wait(false)
#define pthread_cond_timedwait(cond, mutex, end) ((void)(end), model_wait(true))
#define pthread_cond_broadcast(condition)        model_broadcast()
#define epoll_create1(flags)                     EPOLL_FD
#define eventfd(value, flags)                    STOP_FD
#define epoll_ctl(epoll, operation, fd, event)   model_epoll_ctl(fd, event)
#define epoll_wait(epoll, event, n, timeout)     model_epoll_wait(event, timeout)
#define futex_wait(word, value, timeout)         model_futex_wait(word, value, timeout)
#define futex_wake(word)                         model_futex_wake(word)
#define clock_now_ms()                           model.now
#define fdio_write_full(fd, bytes, size)         ((void)(bytes), model_write(fd))
#define close(fd)                                model_close(fd)
#undef FDIO_CLOSE
#define FDIO_CLOSE(fd)                     model_close(fd)
#define thread_new(size)                   model_thread_new(size)
#define thread_start(thread, main, ret_id) model_thread_start(thread, main)
#define thread_free(thread)                model_thread_free(thread)
#define thread_reap(thread)                model_thread_reap(thread)
#define memory_give_back()                 ((void)0)
#undef log_client
#define log_client(...) ((void)0)

#undef POOL_DISCARD_MAX
#define POOL_DISCARD_MAX (scenario->discard_max)

#endif
