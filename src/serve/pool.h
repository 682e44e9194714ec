// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An elastic leader/follower pool. Threads wait in epoll_wait(2); the one that an event wakes
 * serves it itself to the end, and before it does anything that may block it makes sure
 * that another one waits. Nothing is handed from thread to thread.
 *
 * Thread rule: init, deinit and stop belong to one thread that is not of the pool; everything else
 * may be called by any thread.
 */
#ifndef SERVE_POOL_H
#define SERVE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"

/* Surplus threads leave after this long without work. */
#define POOL_SURPLUS_MS 10000

/* fds that wait for a thread that may close them, when no more threads can be had. */
#define POOL_DISCARD_MAX 1024

/*
 * Serve the events of a registered fd. Until the fd is armed again no other thread is given an
 * event of it, and nothing else will be: arming it is the last thing to do.
 */
typedef void pool_serve_fn(void *context, int fd, uint32_t events);

struct pool_thread {
    struct thread thread; /* first: thread.h */
    struct pool *pool;
    struct pool_thread *below; /* the next one in the stack of parked threads */
    _Atomic uint32_t unparked;
};

struct pool {
    pool_serve_fn *serve;
    void *context;
    unsigned max_threads;
    unsigned max_waiting; /* threads in epoll_wait: more would only thrash the scheduler */
    unsigned max_lingering;
    int surplus_ms; /* POOL_SURPLUS_MS */
    int epoll_fd;
    int stop_fd; /* readable once the threads shall leave */
    atomic_bool stopping;

    /* Threads in or on the way to epoll_wait: counted from their creation, so that one busy client
     * does not bring about a thread for each of its requests. */
    atomic_uint idle;
    atomic_uint lingering;

    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t changed;
    atomic_uint threads;        /* changes under the lock, may be looked at without */
    unsigned held_up;           /* threads that wait for room in discard[] */
    struct pool_thread *parked; /* last in, first out: the warmest stack comes back first */
    struct pool_thread *left;   /* the last one that left, for its successor to reap */
    atomic_uint n_discard;      /* changes under the lock, may be looked at without */
    int discard[POOL_DISCARD_MAX];
};

/*
 * max_threads: at least 2, or nothing may ever block. No thread is started before pool_ensure or
 * pool_may_block asks for one. Returns 0 or a negative errno; a half-made pool may be given to
 * pool_deinit.
 */
int pool_init(struct pool *pool, unsigned max_threads, pool_serve_fn *serve, void *context);
void pool_deinit(struct pool *pool);

/* Make sure that a thread waits for events, or will. False: none could be started. */
bool pool_ensure(struct pool *pool);

/* Register fd and arm it for one event. Returns 0 or a negative errno. */
int pool_add(struct pool *pool, int fd, uint32_t events);

/* Arm a registered fd for one more event. Returns 0 or a negative errno. */
int pool_arm(struct pool *pool, int fd, uint32_t events);

/*
 * To be asked by a serving thread before anything that may block. True: go ahead, another thread
 * waits for events. False: there are as many threads as there may be and all others may be
 * blocked, so the caller has to keep to what cannot block.
 */
static inline bool pool_may_block(struct pool *pool);

/* The rest of pool_may_block: no thread is idle, so one has to be promised. */
bool pool_promise_idle(struct pool *pool);

static inline bool pool_may_block(struct pool *pool)
{
    return atomic_load(&pool->idle) > 0 || pool_promise_idle(pool);
}

/*
 * Close an fd. Closing may block (a FUSE or NFS file, a lingering socket, a socket in whose queue
 * such fds wait), so a thread that may not leaves it to the next one that may. When too many wait
 * already, the caller is held up until a thread has returned, or the pool stops; but if there is
 * no other thread that could return, it closes the fd itself.
 */
void pool_close(struct pool *pool, int fd);

/*
 * May the caller wait a moment for the next request of the client that it has just served, instead
 * of going back to epoll? Only while the load is low, another thread waits, and there may be more:
 * or clients would be turned away for the sake of one that has nothing to say. If so, it has to be
 * followed by pool_linger_end.
 */
bool pool_linger_begin(struct pool *pool);
void pool_linger_end(struct pool *pool);

/*
 * Make all threads leave, wait for them until deadline_ms (base/clock.h) and reap them. False: some
 * are blocked and are left as they are; then the pool may not be deinitialised.
 */
bool pool_stop(struct pool *pool, int64_t deadline_ms);

#endif
