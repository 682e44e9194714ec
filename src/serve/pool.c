// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Theory of operation
 *
 * A thread is in one of four places: idle (in epoll_wait, or on its way there), serving an event,
 * lingering (serving, but only waiting for its client), or parked. `idle` counts the first. The
 * one invariant is: whenever a thread is about to block, another one is idle, or is serving and
 * has not yet asked whether it may block. So an event is always taken within microseconds, however
 * many threads hang in the kernel.
 *
 * It is kept without a lock. A thread that takes an event leaves `idle`; before it may block it
 * looks at `idle`, and if that is 0 it puts a 1 there on behalf of a thread that it then unparks or
 * creates. Two threads that look at once cannot both do so, and the one that comes second may rely
 * on the other's promise: if the promise cannot be kept (no more threads), the 1 is taken back and
 * the promiser itself stays unblocked: it is told that it may not block. Who is not of the pool
 * cannot stay unblocked in its place, so pool_ensure promises nothing before it has a thread.
 *
 * Few threads wait in epoll (processors + 1); the kernel wakes one of them per event, and with more
 * of them the threads of a burst would push each other from the processors. Further idle threads
 * park, each on a word of its own, and are taken up again from the top of a stack. A thread that
 * waits or is parked for POOL_SURPLUS_MS without work leaves, but for the last one. A thread cannot
 * unmap the stack it runs on, so each one that leaves reaps the one that left before it.
 */
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
#include "serve/tracepoints.h"

int pool_init(struct pool *pool, unsigned max_threads, pool_serve_fn *serve, void *context)
{
    struct epoll_event event = {.events = EPOLLIN};
    pthread_condattr_t attributes;
    cpu_set_t cpus;
    unsigned n_cpus = 1;

    memset(pool, 0, sizeof(*pool));
    pool->serve = serve;
    pool->context = context;
    pool->max_threads = max_threads;
    pool->surplus_ms = POOL_SURPLUS_MS;
    pool->epoll_fd = -1;
    pool->stop_fd = -1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &attributes);
    pthread_condattr_destroy(&attributes);

    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        n_cpus = (unsigned)CPU_COUNT(&cpus);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) /* more processors than a cpu_set_t holds */
        n_cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    pool->max_waiting = n_cpus + 1;
    pool->max_lingering = n_cpus;

    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (pool->epoll_fd < 0)
        return -errno;
    pool->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->stop_fd < 0)
        return -errno;
    event.data.fd = pool->stop_fd;
    if (epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, pool->stop_fd, &event) < 0)
        return -errno;
    return 0;
}

void pool_deinit(struct pool *pool)
{
    assert(atomic_load(&pool->threads) == 0);
    for (unsigned i = 0; i < pool->n_discard; i++)
        close(pool->discard[i]);
    if (pool->stop_fd >= 0)
        close(pool->stop_fd);
    if (pool->epoll_fd >= 0)
        close(pool->epoll_fd);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
}

int pool_add(struct pool *pool, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.fd = fd};

    return epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int pool_arm(struct pool *pool, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.fd = fd};

    return epoll_ctl(pool->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

/* Take the thread that parked last off the stack. Called under the lock. */
static struct pool_thread *pool_pop_parked(struct pool *pool)
{
    struct pool_thread *self = pool->parked;

    if (self)
        pool->parked = self->below;
    return self;
}

/* Take this very thread off the stack. Called under the lock; false: another thread has. */
static bool pool_remove_parked(struct pool *pool, struct pool_thread *self)
{
    for (struct pool_thread **link = &pool->parked; *link; link = &(*link)->below) {
        if (*link == self) {
            *link = self->below;
            return true;
        }
    }
    return false;
}

/*
 * The thread may see the word before it is woken, work, leave and be unmapped: the wake-up then
 * goes to an address without a waiter, which the kernel allows.
 */
static void pool_unpark(struct pool_thread *self)
{
    atomic_store(&self->unparked, 1);
    futex_wake(&self->unparked);
}

/* Count a thread that waits for that as idle, and let it go. */
static void pool_take_up(struct pool *pool, struct pool_thread *self)
{
    atomic_fetch_add(&pool->idle, 1);
    pool_unpark(self);
}

/*
 * Wait until another thread needs one more idle thread and has counted this one as such, or until
 * the time is over. False: it was not needed.
 */
static bool pool_park(struct pool *pool, struct pool_thread *self)
{
    int64_t deadline = clock_now_ms() + pool->surplus_ms;
    bool expired;

    pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        pthread_mutex_unlock(&pool->lock);
        return false;
    }
    atomic_store(&self->unparked, 0);
    self->below = pool->parked;
    pool->parked = self;
    pthread_mutex_unlock(&pool->lock);

    while (!atomic_load(&self->unparked)) {
        int64_t left = deadline - clock_now_ms();

        if (left > 0) {
            futex_wait(&self->unparked, 0, (int)left);
            continue;
        }
        pthread_mutex_lock(&pool->lock);
        expired = pool_remove_parked(pool, self);
        pthread_mutex_unlock(&pool->lock);
        if (expired)
            return false;
        deadline = INT64_MAX; /* taken off the stack already: the wake-up is on its way */
    }
    return true;
}

/* Become idle, or parked where enough threads are idle. False: the thread shall leave. */
static bool pool_become_idle(struct pool *pool, struct pool_thread *self)
{
    unsigned idle = atomic_load(&pool->idle);

    while (idle < pool->max_waiting) {
        if (atomic_compare_exchange_weak(&pool->idle, &idle, idle + 1))
            return true;
    }
    return pool_park(pool, self);
}

/* Stop being idle for good. False: this is the last idle thread and has to stay. */
static bool pool_quit_idle(struct pool *pool)
{
    unsigned idle = atomic_load(&pool->idle);

    while (idle > 1) {
        if (atomic_compare_exchange_weak(&pool->idle, &idle, idle - 1))
            return true;
    }
    return false;
}

/*
 * Close what threads that were not allowed to have left behind. One that is held up for room there
 * goes on first: it has not blocked, so it stands by for events while this one may block.
 */
static void pool_close_discarded(struct pool *pool)
{
    for (;;) {
        int fds[64];
        unsigned n;

        pthread_mutex_lock(&pool->lock);
        n = atomic_load(&pool->n_discard);
        if (n == 0 || (!pool->held_up && atomic_load(&pool->idle) == 0)) {
            pthread_mutex_unlock(&pool->lock);
            return;
        }
        if (n > sizeof(fds) / sizeof(fds[0]))
            n = sizeof(fds) / sizeof(fds[0]);
        atomic_fetch_sub(&pool->n_discard, n);
        memcpy(fds, pool->discard + atomic_load(&pool->n_discard), n * sizeof(fds[0]));
        pthread_cond_broadcast(&pool->changed);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < n; i++)
            close(fds[i]);
    }
}

/* May this idle thread close for others now? Then it is not idle any more. */
static bool pool_quit_idle_to_close(struct pool *pool)
{
    bool held_up;

    pthread_mutex_lock(&pool->lock);
    held_up = pool->held_up > 0;
    pthread_mutex_unlock(&pool->lock);
    if (!held_up)
        return pool_quit_idle(pool);
    atomic_fetch_sub(&pool->idle, 1);
    return true;
}

/*
 * Done with an event: idle again, once there is nothing to close for others. False: leave.
 *
 * The list is looked at before and after becoming idle. Before, because a thread that is held up
 * may be waiting for just that. After, because of two threads that come back at once each may have
 * seen the other one not idle yet, and because a thread may be held up since, who did not see this
 * one idle; the second one to become idle, or to look under the lock, sees both.
 */
static bool pool_come_back(struct pool *pool, struct pool_thread *self)
{
    if (atomic_load(&pool->n_discard))
        pool_close_discarded(pool);
    while (pool_become_idle(pool, self)) {
        if (!atomic_load(&pool->n_discard) || !pool_quit_idle_to_close(pool))
            return true;
        pool_close_discarded(pool);
    }
    return false;
}

static void pool_leave(struct pool *pool, struct pool_thread *self)
{
    struct pool_thread *before;
    bool burst_is_over;

    trace_thread_end(atomic_load(&pool->threads) - 1);
    pthread_mutex_lock(&pool->lock);
    before = pool->left;
    pool->left = self;
    burst_is_over = atomic_fetch_sub(&pool->threads, 1) == 2;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    if (before)
        thread_reap(&before->thread);
    if (burst_is_over)
        memory_give_back(); /* the C library's records of a thousand threads */
}

static void pool_thread_main(struct thread *thread)
{
    struct pool_thread *self = (struct pool_thread *)thread;
    struct pool *pool = self->pool;

    while (!atomic_load(&self->unparked)) /* until it is counted as idle */
        futex_wait(&self->unparked, 0, pool->surplus_ms);
    do { /* idle */
        struct epoll_event event;
        int timeout = atomic_load(&pool->idle) > 1 ? pool->surplus_ms : -1;
        int n = epoll_wait(pool->epoll_fd, &event, 1, timeout);

        while (n == 0 || (n < 0 && errno == EINTR)) {
            if (n == 0 && pool_quit_idle(pool))
                goto leave;
            timeout = atomic_load(&pool->idle) > 1 ? pool->surplus_ms : -1;
            n = epoll_wait(pool->epoll_fd, &event, 1, timeout);
        }
        atomic_fetch_sub(&pool->idle, 1);
        if (n < 0 || event.data.fd == pool->stop_fd)
            break;
        pool->serve(pool->context, event.data.fd, event.events);
    } while (pool_come_back(pool, self));

leave:
    pool_leave(pool, self);
}

/*
 * Start a thread that `idle` counts already, or (promised: false) counts once it has been started.
 */
static int pool_spawn(struct pool *pool, bool promised)
{
    struct pool_thread *self;
    int r;

    pthread_mutex_lock(&pool->lock);
    if (atomic_load(&pool->threads) >= pool->max_threads || pool->stopping) {
        pthread_mutex_unlock(&pool->lock);
        return -EAGAIN;
    }
    atomic_fetch_add(&pool->threads, 1);
    pthread_mutex_unlock(&pool->lock);

    self = (struct pool_thread *)thread_new(sizeof(*self));
    r = -ENOMEM;
    if (self) {
        self->pool = pool;
        atomic_store(&self->unparked, promised);
        r = thread_start(&self->thread, pool_thread_main, NULL);
        if (r == 0) {
            trace_thread_start(atomic_load(&pool->threads));
            if (!promised)
                pool_take_up(pool, self);
            return 0;
        }
        thread_free(&self->thread);
    }
    log_client("cannot start another thread: %s", strerror(-r));
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_sub(&pool->threads, 1);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

bool pool_promise_idle(struct pool *pool)
{
    unsigned idle = atomic_load(&pool->idle);
    struct pool_thread *parked;

    do {
        if (idle > 0)
            return true;
    } while (!atomic_compare_exchange_weak(&pool->idle, &idle, 1));

    /* A thread is promised: keep it, waking after the lock is free again. */
    pthread_mutex_lock(&pool->lock);
    parked = pool_pop_parked(pool);
    pthread_mutex_unlock(&pool->lock);
    if (parked) {
        pool_unpark(parked);
        return true;
    }
    if (pool_spawn(pool, true) == 0)
        return true;
    return atomic_fetch_sub(&pool->idle, 1) > 1;
}

bool pool_ensure(struct pool *pool)
{
    struct pool_thread *parked;

    if (atomic_load(&pool->idle) > 0)
        return true;
    pthread_mutex_lock(&pool->lock);
    parked = pool_pop_parked(pool);
    pthread_mutex_unlock(&pool->lock);
    if (parked) {
        pool_take_up(pool, parked);
        return true;
    }
    return pool_spawn(pool, false) == 0 || atomic_load(&pool->idle) > 0;
}

void pool_close(struct pool *pool, int fd)
{
    bool relieve = false;

    if (pool_may_block(pool)) {
        FDIO_CLOSE(fd);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->n_discard) == POOL_DISCARD_MAX && !pool->stopping) {
        /* A thread waits here already, or is idle by now, or there is none that could come back:
         * then it is for this thread to make room, with the other one, if any, to stand by. */
        relieve = pool->held_up > 0 || atomic_load(&pool->idle) > 0 ||
                  atomic_load(&pool->threads) == 1;
        if (relieve)
            break;
        pool->held_up++;
        pthread_cond_wait(&pool->changed, &pool->lock);
        pool->held_up--;
    }
    if (!relieve && atomic_load(&pool->n_discard) < POOL_DISCARD_MAX) {
        pool->discard[atomic_fetch_add(&pool->n_discard, 1)] = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&pool->lock);
    if (relieve)
        pool_close_discarded(pool);
    if (fd >= 0)
        close(fd);
}

bool pool_linger_begin(struct pool *pool)
{
    if (atomic_load(&pool->idle) == 0 || atomic_load(&pool->threads) >= pool->max_threads)
        return false;
    if (atomic_fetch_add(&pool->lingering, 1) < pool->max_lingering)
        return true;
    atomic_fetch_sub(&pool->lingering, 1);
    return false;
}

void pool_linger_end(struct pool *pool)
{
    atomic_fetch_sub(&pool->lingering, 1);
}

bool pool_stop(struct pool *pool, int64_t deadline_ms)
{
    struct timespec deadline = {.tv_sec = deadline_ms / 1000,
                                .tv_nsec = deadline_ms % 1000 * 1000000};
    uint64_t one = 1;
    struct pool_thread *parked;
    bool ended;

    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->changed);
    while ((parked = pool_pop_parked(pool)))
        pool_take_up(pool, parked);
    pthread_mutex_unlock(&pool->lock);
    fdio_write_full(pool->stop_fd, &one, sizeof(one));

    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->threads) > 0 &&
           pthread_cond_timedwait(&pool->changed, &pool->lock, &deadline) != ETIMEDOUT)
        ;
    ended = atomic_load(&pool->threads) == 0;
    pthread_mutex_unlock(&pool->lock);
    if (ended && pool->left) {
        thread_reap(&pool->left->thread);
        pool->left = NULL;
    }
    return ended;
}
