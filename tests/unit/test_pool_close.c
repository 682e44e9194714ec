// SPDX-License-Identifier: LGPL-2.1-or-later
/* How the pool closes fds, of which any may block its closer. */
#include "cmocka_compat.h"

#include <sys/resource.h>

#include "pool_events.h"

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

/* A full list holds up a thread that has more, until a thread returns. Then all are closed. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        pool_test(test_close),
        pool_test(test_close_is_left_to_others),
        pool_test(test_full_list),
        pool_test(test_two_before_a_full_list),
        pool_test(test_comes_back_before_the_other_is_held_up),
        pool_test(test_held_up_before_the_other_comes_back),
        pool_test(test_full_list_and_nobody_else),
        pool_test(test_stop_while_held_up),
    };

    return cmocka_run_group_tests_name("pool_close", tests, raise_fd_limit, NULL);
}
