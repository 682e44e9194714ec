// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_POOL_EVENTS_H
#define TESTS_UNIT_POOL_EVENTS_H

/*
 * A pool whose events are bytes in pipes: which byte it is says what the thread that takes the
 * event does with the pool. What threads see is kept in the jobs and looked at by the test itself,
 * since an assertion must not fail in a thread.
 *
 * For tests that are linked with pthread_create, pthread_mutex_lock and pthread_mutex_unlock
 * wrapped.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "await.h"
#include "cmocka_compat.h"
#include "logged.h"
#include "passing.h"
#include "serve/pool.h"

#define JOBS 48

enum command {
    QUICK = 'q',          /* nothing */
    ASK = 'a',            /* ask whether it may block, but do not */
    BLOCK = 'b',          /* ask, and if so wait at the gate `blocked` */
    BLOCK_A_MOMENT = 'm', /* ask, and if so be away for a moment */
    LINGER = 'l',         /* ask, and if so wait at the gate `blocked` */
    DISCARD = 'd',        /* close job->discard copies of job->victim */
    STAND_BY = 's',       /* wait at the gate `busy` */
    CLOSE = 'c',          /* wait at the gate `closing` and close one copy of job->victim */
    CLOSE_LATE = 'C',     /* close one, and stall between the question and the list */
    COME_BACK_LATE = 'S', /* wait at the gate `busy`, and stall between the list and being idle */
};

struct job {
    int read_end, write_end;
    unsigned discard;
    int victim;
    unsigned plain; /* only the owner counts here: a sanitizer sees it if there are two */
    atomic_bool owned;
    atomic_bool answer; /* of the pool, to the last question */
    atomic_uint served;
};

static struct pool pool;
static struct job jobs[JOBS];
static struct job *job_of[4096]; /* by fd */

static atomic_uint served, violations, creations;
static atomic_uint inside; /* of block_a_moment */
static unsigned threads_to_be_had;
static atomic_int create_error; /* errno for pthread_create; 0: let it be */

/* Where threads wait for the test, and the test sees them wait. */
struct gate {
    bool open;
    atomic_uint waiting;
};

static struct gate blocked; /* those that have asked whether they may */
static struct gate busy;    /* those that are serving, and not blocked in the eyes of the pool */
static struct gate closing; /* those that are about to close something */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument)
{
    if (create_error)
        return create_error;
    creations++;
    return __real_pthread_create(id, attributes, main, argument);
}

/*
 * Moments between two steps of the pool that take long enough for the test's other thread: a hook
 * that the thread calls before it takes the pool's lock for the so-and-so-many-th time, and one
 * after it has released it.
 */
static _Thread_local unsigned locks_to_go, unlocks_to_go;
static void (*stall)(void);

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (mutex == &pool.lock && locks_to_go && --locks_to_go == 0)
        stall();
    return __real_pthread_mutex_lock(mutex);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int r = __real_pthread_mutex_unlock(mutex);

    if (mutex == &pool.lock && unlocks_to_go && --unlocks_to_go == 0)
        stall();
    return r;
}

static inline void gate_set(struct gate *gate, bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate->open = open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

static inline void gate_pass(struct gate *gate)
{
    gate->waiting++;
    pthread_mutex_lock(&gate_lock);
    while (!gate->open)
        pthread_cond_wait(&gate_changed, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
    gate->waiting--;
}

/* Let all through, wait until they are, and close it again. */
static inline void gate_release(struct gate *gate)
{
    gate_set(gate, true);
    await(gate->waiting == 0);
    gate_set(gate, false);
}

/* To block, in a pool that says that one may: then it must not be the last thread that does. */
static inline void block_a_moment(void)
{
    unsigned now = ++inside;

    if (now >= threads_to_be_had)
        violations++;
    for (int i = 0; i < 5; i++)
        sched_yield();
    inside--;
}

static inline void serve(void *context, int fd, uint32_t events)
{
    struct job *job = job_of[fd];
    char command = '?';

    if (context != &jobs || !(events & EPOLLIN) || atomic_exchange(&job->owned, true) ||
        read(fd, &command, 1) != 1)
        violations++;
    job->plain++;
    switch ((enum command)command) {
    case QUICK:
        break;
    case ASK:
        job->answer = pool_may_block(&pool);
        break;
    case BLOCK:
        job->answer = pool_may_block(&pool);
        if (job->answer)
            gate_pass(&blocked);
        break;
    case BLOCK_A_MOMENT:
        job->answer = pool_may_block(&pool);
        if (job->answer)
            block_a_moment();
        break;
    case DISCARD:
        for (unsigned i = 0; i < job->discard; i++)
            pool_close(&pool, fcntl(job->victim, F_DUPFD_CLOEXEC, 0));
        break;
    case STAND_BY:
        gate_pass(&busy);
        break;
    case CLOSE:
        gate_pass(&closing);
        pool_close(&pool, fcntl(job->victim, F_DUPFD_CLOEXEC, 0));
        break;
    case CLOSE_LATE:
        locks_to_go = 3; /* pool_may_block looks for a parked thread, then for room, in vain */
        pool_close(&pool, fcntl(job->victim, F_DUPFD_CLOEXEC, 0));
        break;
    case COME_BACK_LATE:
        gate_pass(&busy);
        unlocks_to_go = 1; /* of the first look at the list */
        break;
    case LINGER:
        job->answer = pool_linger_begin(&pool);
        if (job->answer) {
            gate_pass(&blocked);
            pool_linger_end(&pool);
        }
        break;
    }
    job->served++;
    served++;
    atomic_store(&job->owned, false);
    if (pool_arm(&pool, fd, EPOLLIN) != 0)
        violations++;
}

static inline void tell(unsigned job, enum command command)
{
    char byte = (char)command;

    assert_int_equal(write(jobs[job].write_end, &byte, 1), 1);
}

/* Tell, and wait until it has been done. */
static inline void do_now(unsigned job, enum command command)
{
    unsigned before = jobs[job].served;

    tell(job, command);
    await(jobs[job].served > before);
}

/* Let threads block, from job `first` on. */
static inline void block(unsigned first, unsigned count)
{
    unsigned before = blocked.waiting;

    for (unsigned i = 0; i < count; i++)
        tell(first + i, BLOCK);
    await(blocked.waiting == before + count);
}

static inline unsigned locked(const unsigned *field)
{
    unsigned value;

    pthread_mutex_lock(&pool.lock);
    value = *field;
    pthread_mutex_unlock(&pool.lock);
    return value;
}

static inline unsigned parked(void)
{
    unsigned count = 0;

    pthread_mutex_lock(&pool.lock);
    for (const struct pool_thread *one = pool.parked; one; one = one->below)
        count++;
    pthread_mutex_unlock(&pool.lock);
    return count;
}

#define threads() atomic_load(&pool.threads)
#define held_up() locked(&pool.held_up)

static bool started;

static inline void start(unsigned max_threads)
{
    started = true;
    threads_to_be_had = max_threads;
    assert_int_equal(pool_init(&pool, max_threads, serve, &jobs), 0);
    blocked.open = busy.open = closing.open = false;
    served = violations = inside = creations = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        int pair[2];

        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        memset(&jobs[i], 0, sizeof(jobs[i]));
        jobs[i].read_end = pair[0];
        jobs[i].write_end = pair[1];
        job_of[pair[0]] = &jobs[i];
        assert_int_equal(pool_add(&pool, pair[0], EPOLLIN), 0);
    }
}

/* Start, with all threads that there may be, and all of them waiting for events. */
static inline void start_all(unsigned max_threads)
{
    start(max_threads);
    pool.max_waiting = max_threads;
    assert_true(pool_ensure(&pool));
    block(0, max_threads - 1);
    gate_release(&blocked);
    await(pool.idle == max_threads);
}

static inline void end(void)
{
    gate_set(&blocked, true);
    gate_set(&busy, true);
    gate_set(&closing, true);
    assert_true(pool_stop(&pool, clock_now_ms() + await_limit_ms()));
    pool_deinit(&pool);
    for (unsigned i = 0; i < JOBS; i++) {
        close(jobs[i].read_end);
        close(jobs[i].write_end);
    }
    assert_uint_equal(violations, 0);
    started = false;
}

/* A test that has failed leaves its threads behind, and with them nothing works. */
static inline int set_up(void **state)
{
    return started ? -1 : logged_set_up(state);
}

/* A test of the pool. */
#define pool_test(function) cmocka_unit_test_setup(function, set_up)

#endif
