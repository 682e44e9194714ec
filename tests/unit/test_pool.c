// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pool's rules, one test each. Its events are bytes in pipes: which byte it is says what the
 * thread that takes the event does with the pool. What threads see is kept in the jobs and looked
 * at by the test itself, since an assertion must not fail in a thread.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "await.h"
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

static void gate_set(struct gate *gate, bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate->open = open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

static void gate_pass(struct gate *gate)
{
    gate->waiting++;
    pthread_mutex_lock(&gate_lock);
    while (!gate->open)
        pthread_cond_wait(&gate_changed, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
    gate->waiting--;
}

/* Let all through, wait until they are, and close it again. */
static void gate_release(struct gate *gate)
{
    gate_set(gate, true);
    await(gate->waiting == 0);
    gate_set(gate, false);
}

/* To block, in a pool that says that one may: then it must not be the last thread that does. */
static void block_a_moment(void)
{
    unsigned now = ++inside;

    if (now >= threads_to_be_had)
        violations++;
    for (int i = 0; i < 5; i++)
        sched_yield();
    inside--;
}

static void serve(void *context, int fd, uint32_t events)
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

static void tell(unsigned job, enum command command)
{
    char byte = (char)command;

    assert_int_equal(write(jobs[job].write_end, &byte, 1), 1);
}

/* Tell, and wait until it has been done. */
static void do_now(unsigned job, enum command command)
{
    unsigned before = jobs[job].served;

    tell(job, command);
    await(jobs[job].served > before);
}

/* Let threads block, from job `first` on. */
static void block(unsigned first, unsigned count)
{
    unsigned before = blocked.waiting;

    for (unsigned i = 0; i < count; i++)
        tell(first + i, BLOCK);
    await(blocked.waiting == before + count);
}

static unsigned locked(const unsigned *field)
{
    unsigned value;

    pthread_mutex_lock(&pool.lock);
    value = *field;
    pthread_mutex_unlock(&pool.lock);
    return value;
}

static bool some_parked(void)
{
    bool some;

    pthread_mutex_lock(&pool.lock);
    some = pool.parked != NULL;
    pthread_mutex_unlock(&pool.lock);
    return some;
}

#define threads() locked(&pool.threads)
#define held_up() locked(&pool.held_up)

static bool started;

static void start(unsigned max_threads)
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
static void start_all(unsigned max_threads)
{
    start(max_threads);
    pool.max_waiting = max_threads;
    assert_true(pool_ensure(&pool));
    block(0, max_threads - 1);
    gate_release(&blocked);
    await(pool.idle == max_threads);
}

static void end(void)
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
static int set_up(void **state)
{
    return started ? -1 : logged_set_up(state);
}

static void test_starts_no_thread_by_itself(void **state)
{
    unsigned before = count_fds();

    (void)state;
    start(10);
    assert_uint_equal(threads(), 0);
    assert_true(pool_ensure(&pool));
    assert_uint_equal(threads(), 1);
    assert_true(pool_ensure(&pool)); /* it is counted before it waits */
    assert_uint_equal(threads(), 1);
    end();
    assert_uint_equal(count_fds(), before);
}

/* What cannot block is done by one thread; who may block takes care that there are two. */
static void test_one_client(void **state)
{
    (void)state;
    start(100);
    assert_true(pool_ensure(&pool));
    for (int i = 0; i < 100; i++)
        do_now(0, QUICK);
    assert_uint_equal(creations, 1);
    for (int i = 0; i < 500; i++) {
        do_now(0, ASK);
        assert_true(jobs[0].answer);
        assert_true(creations <= 2);
    }
    assert_uint_equal(creations, 2);
    end();
}

static void test_blocked(void **state)
{
    (void)state;
    start(100);
    assert_true(pool_ensure(&pool));
    for (unsigned n = 0; n < 20; n++) {
        block(n, 1);
        assert_uint_equal(threads(), n + 2);
        do_now(JOBS - 1, QUICK);
        assert_uint_equal(threads(), n + 2);
    }
    block(20, 20); /* all at once */
    assert_uint_equal(threads(), 41);
    do_now(JOBS - 1, QUICK);
    assert_uint_equal(threads(), 41);
    end();
}

static void test_maximum(void **state)
{
    (void)state;
    start(4);
    assert_true(pool_ensure(&pool));
    for (int round = 0; round < 3; round++) {
        block(0, 3);
        /* The last one is there for everybody, as long as it does not block itself. */
        for (unsigned i = 3; i < JOBS; i++) {
            do_now(i, BLOCK);
            assert_false(jobs[i].answer);
            do_now(i, QUICK);
        }
        assert_uint_equal(threads(), 4);
        gate_release(&blocked);
        do_now(4, ASK);
        assert_true(jobs[4].answer);
    }
    assert_uint_equal(creations, 4);
    end();
}

/* A thread that cannot be had is the maximum, for as long as that lasts. */
static void test_creation_fails(void **state)
{
    (void)state;
    start(100);
    create_error = EAGAIN;
    assert_false(pool_ensure(&pool));
    assert_uint_equal(threads(), 0);
    create_error = 0;
    assert_true(pool_ensure(&pool));
    block(0, 1);
    logged();
    create_error = EAGAIN;
    do_now(1, ASK);
    assert_false(jobs[1].answer);
    assert_non_null(strstr(logged(), "no further thread: Resource temporarily unavailable\n"));
    assert_uint_equal(threads(), 2);
    do_now(2, QUICK);
    create_error = 0;
    do_now(1, ASK);
    assert_true(jobs[1].answer);
    assert_uint_equal(threads(), 3);
    end();
}

/* After a burst the threads that are not needed leave, parked ones as well as waiting ones. */
static void test_surplus_leaves(void **state)
{
    (void)state;
    start(100);
    pool.surplus_ms = 50;
    pool.max_waiting = 3;
    assert_true(pool_ensure(&pool));
    for (int round = 0; round < 2; round++) {
        block(0, 20);
        assert_true(threads() >= 21);
        gate_release(&blocked);
        await(threads() == 1);
        assert_false(some_parked());
        assert_uint_equal(pool.idle, 1);
        /* The last one stays, and is all that is needed. */
        do_now(0, QUICK);
        assert_uint_equal(threads(), 1);
    }
    end();
}

/* Those that stay are taken up again before new ones are made. */
static void test_parked_are_used(void **state)
{
    (void)state;
    start(100);
    pool.max_waiting = 2;
    assert_true(pool_ensure(&pool));
    block(0, 20);
    gate_release(&blocked);
    await(pool.idle == 2);
    await(some_parked());
    for (int round = 0; round < 10; round++) {
        block(0, 20);
        assert_uint_equal(threads(), 21);
        gate_release(&blocked);
        await(pool.idle == 2);
    }
    /* One more only if a thread was on its way to park when another one looked for one. */
    assert_in_range(creations, 21, 21);
    end();
}

static void test_close(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start(3);
    assert_true(pool_ensure(&pool));
    jobs[0].victim = traced.fd;
    jobs[0].discard = 10;
    do_now(0, DISCARD); /* at once, since another thread may be had */
    assert_uint_equal(pool.n_discard, 0);
    close(traced.fd);
    await_events(traced.read_end, POLLIN);
    close(traced.read_end);
    end();
}

/* At the maximum, closing is left to the next thread that returns. */
static void test_close_is_left_to_others(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start(3);
    assert_true(pool_ensure(&pool));
    block(0, 2);
    jobs[2].victim = traced.fd;
    jobs[2].discard = 200;
    do_now(2, DISCARD);
    assert_uint_equal(pool.n_discard, 200);
    close(traced.fd);
    assert_false(is_readable(traced.read_end));
    gate_set(&blocked, true);
    await_events(traced.read_end, POLLIN);
    await(pool.n_discard == 0);
    close(traced.read_end);
    end();
}

/* A full list holds up whoever has more, until a thread returns. Then all are closed. */
static void test_full_list(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start(3);
    assert_true(pool_ensure(&pool));
    block(0, 2);
    jobs[2].victim = traced.fd;
    jobs[2].discard = POOL_DISCARD_MAX + 10;
    tell(2, DISCARD);
    await(held_up() == 1);
    assert_uint_equal(pool.n_discard, POOL_DISCARD_MAX);
    assert_uint_equal(jobs[2].served, 0);
    gate_set(&blocked, true);
    await(jobs[2].served == 1);
    close(traced.fd);
    await_events(traced.read_end, POLLIN);
    await(pool.n_discard == 0);
    close(traced.read_end);
    end();
}

/* Two have more than the list takes, and all others are blocked: neither waits for the other. */
static void test_two_before_a_full_list(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start_all(4);
    block(0, 2);
    tell(2, STAND_BY);
    await(busy.waiting == 1);
    jobs[3].victim = jobs[4].victim = traced.fd;
    jobs[3].discard = POOL_DISCARD_MAX;
    do_now(3, DISCARD);
    jobs[4].discard = 10;
    tell(4, DISCARD);
    await(held_up() == 1);
    jobs[5].victim = traced.fd;
    tell(5, CLOSE);
    gate_set(&closing, true);
    gate_set(&busy, true); /* whose thread takes that event */
    await(jobs[4].served == 1 && jobs[5].served == 1);
    close(traced.fd);
    gate_set(&blocked, true);
    await_events(traced.read_end, POLLIN);
    close(traced.read_end);
    end();
}

static void let_the_other_one_come_back(void)
{
    gate_set(&busy, true);
    while (atomic_load(&pool.idle) == 0)
        sched_yield();
}

static void let_the_other_one_be_held_up(void)
{
    gate_set(&closing, true);
    while (held_up() == 0)
        sched_yield();
}

/*
 * The list is full. One thread is about to wait for room there while another one comes back and is
 * about to wait for events: whichever is first, the second one has to see it.
 */
static void held_up_while_another_comes_back(enum command comes_back, enum command closes)
{
    struct traced_fd traced = traced_fd_open();

    start_all(3);
    block(0, 1);
    tell(1, comes_back);
    await(busy.waiting == 1);
    jobs[2].victim = jobs[3].victim = traced.fd;
    jobs[2].discard = POOL_DISCARD_MAX;
    do_now(2, DISCARD);
    assert_uint_equal(pool.n_discard, POOL_DISCARD_MAX);
    tell(3, closes);
    if (closes == CLOSE) {
        await(closing.waiting == 1);
        gate_set(&busy, true);
    }
    await(jobs[3].served == 1);
    close(traced.fd);
    end();
    await_events(traced.read_end, POLLIN);
    close(traced.read_end);
}

static void test_comes_back_before_the_other_is_held_up(void **state)
{
    (void)state;
    stall = let_the_other_one_come_back;
    held_up_while_another_comes_back(STAND_BY, CLOSE_LATE);
}

static void test_held_up_before_the_other_comes_back(void **state)
{
    (void)state;
    stall = let_the_other_one_be_held_up;
    held_up_while_another_comes_back(COME_BACK_LATE, CLOSE);
}

/* No other thread could return, so there is no point in waiting for one. */
static void test_full_list_and_nobody_else(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start(2);
    assert_true(pool_ensure(&pool));
    create_error = EAGAIN;
    jobs[0].victim = traced.fd;
    jobs[0].discard = POOL_DISCARD_MAX + 10;
    do_now(0, DISCARD);
    assert_uint_equal(pool.n_discard, POOL_DISCARD_MAX);
    create_error = 0;
    close(traced.fd);
    end();
    await_events(traced.read_end, POLLIN);
    close(traced.read_end);
}

static void test_linger(void **state)
{
    (void)state;
    start(100);
    pool.max_lingering = 2;
    assert_true(pool_ensure(&pool));
    do_now(0, LINGER); /* no other thread waits */
    assert_false(jobs[0].answer);
    block(10, 5);
    gate_release(&blocked);
    for (int round = 0; round < 3; round++) {
        await(pool.idle >= 3);
        tell(0, LINGER);
        tell(1, LINGER);
        await(blocked.waiting == 2);
        do_now(2, LINGER); /* enough do */
        assert_false(jobs[2].answer);
        gate_release(&blocked);
        assert_true(jobs[0].answer && jobs[1].answer);
        await(pool.lingering == 0);
    }
    end();
}

static void test_stop_before_start(void **state)
{
    (void)state;
    start(4);
    assert_true(pool_stop(&pool, 0));
    assert_false(pool_ensure(&pool)); /* no thread comes afterwards */
    assert_uint_equal(creations, 0);
    end();
}

static void test_stop_while_waiting_and_parked(void **state)
{
    (void)state;
    start(100);
    pool.max_waiting = 2;
    assert_true(pool_ensure(&pool));
    block(0, 10);
    gate_release(&blocked);
    await(pool.idle == 2);
    await(some_parked());
    assert_true(pool_stop(&pool, clock_now_ms() + await_limit_ms()));
    assert_uint_equal(threads(), 0);
    end();
}

static void test_stop_while_serving(void **state)
{
    (void)state;
    start(100);
    assert_true(pool_ensure(&pool));
    block(0, 5);
    assert_false(pool_stop(&pool, clock_now_ms() + 20));
    assert_uint_equal(threads(), 5); /* the idle one has gone */
    gate_set(&blocked, true);
    assert_true(pool_stop(&pool, clock_now_ms() + await_limit_ms()));
    assert_uint_equal(threads(), 0);
    end();
}

/* Held up before the list: the stop ends that wait as well, and nothing stays open. */
static void test_stop_while_held_up(void **state)
{
    struct traced_fd traced = traced_fd_open();

    (void)state;
    start(3);
    assert_true(pool_ensure(&pool));
    block(0, 2);
    jobs[2].victim = traced.fd;
    jobs[2].discard = POOL_DISCARD_MAX + 10;
    tell(2, DISCARD);
    await(held_up() == 1);
    assert_false(pool_stop(&pool, clock_now_ms()));
    await(jobs[2].served == 1);
    close(traced.fd);
    end();
    await_events(traced.read_end, POLLIN);
    close(traced.read_end);
}

/* Events come faster than they are served: one owner each, none lost, and stop in the middle. */
static void test_load(void **state)
{
    static const char commands[] = {QUICK, ASK, BLOCK_A_MOMENT};
    const unsigned rounds = 400;
    unsigned total = 0;

    (void)state;
    start(8);
    pool.max_waiting = 2;
    pool.surplus_ms = 1; /* threads come and go all the time */
    assert_true(pool_ensure(&pool));
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < JOBS; i++)
            tell(i, (enum command)commands[(round * 7 + i) % sizeof(commands)]);
        if (round % 16 == 0)
            await(served == (round + 1) * JOBS);
    }
    await(served == rounds * JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        await(!jobs[i].owned);
        total += jobs[i].plain;
    }
    assert_uint_equal(total, rounds * JOBS);
    for (unsigned i = 0; i < JOBS; i++)
        tell(i, BLOCK_A_MOMENT);
    end();
}

/* Whoever asks from outside of the pool must not talk its last thread into blocking. */
static void ask_from_outside(void)
{
    for (unsigned round = 0; round < 60; round++) {
        unsigned before = served;

        for (unsigned i = 0; i < JOBS; i++)
            tell(i, BLOCK_A_MOMENT);
        while (served < before + JOBS)
            pool_ensure(&pool);
    }
}

static void test_asked_from_outside_at_the_maximum(void **state)
{
    (void)state;
    start_all(3);
    ask_from_outside();
    end();
}

static void test_asked_from_outside_while_creation_fails(void **state)
{
    (void)state;
    start_all(3);
    pool.max_threads = 100;
    create_error = EAGAIN;
    ask_from_outside();
    create_error = 0;
    end();
}

/* The list takes more fds than a process may have by default. */
static int raise_fd_limit(void **state)
{
    struct rlimit limit;

    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < 4096)
        return -1;
    if (limit.rlim_cur < 4096) {
        limit.rlim_cur = 4096;
        return setrlimit(RLIMIT_NOFILE, &limit);
    }
    return 0;
}

#define pool_test(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pool_test(test_starts_no_thread_by_itself),
        pool_test(test_one_client),
        pool_test(test_blocked),
        pool_test(test_maximum),
        pool_test(test_creation_fails),
        pool_test(test_surplus_leaves),
        pool_test(test_parked_are_used),
        pool_test(test_close),
        pool_test(test_close_is_left_to_others),
        pool_test(test_full_list),
        pool_test(test_two_before_a_full_list),
        pool_test(test_comes_back_before_the_other_is_held_up),
        pool_test(test_held_up_before_the_other_comes_back),
        pool_test(test_full_list_and_nobody_else),
        pool_test(test_linger),
        pool_test(test_stop_before_start),
        pool_test(test_stop_while_waiting_and_parked),
        pool_test(test_stop_while_serving),
        pool_test(test_stop_while_held_up),
        pool_test(test_load),
        pool_test(test_asked_from_outside_at_the_maximum),
        pool_test(test_asked_from_outside_while_creation_fails),
    };

    return cmocka_run_group_tests_name("pool", tests, raise_fd_limit, NULL);
}
