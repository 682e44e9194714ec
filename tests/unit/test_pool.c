// SPDX-License-Identifier: LGPL-2.1-or-later
/* The pool's rules, one test each, but for those of closing: test_pool_close.c. */
#include "cmocka_compat.h"

#include "pool_events.h"

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

/*
 * What cannot block is done by one thread; who may block takes care that there are two. A third one
 * comes if the next event is faster than the thread that served the last one is back; not a fourth.
 */
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
        assert_true(creations <= 3);
    }
    assert_true(creations >= 2);
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
        /* The last one is there for all, as long as it does not block itself. */
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
    assert_non_null(
        strstr(logged(), "cannot start another thread: Resource temporarily unavailable\n"));
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
        assert_uint_equal(parked(), 0);
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
    /* Beside a thread that is still on its way there another one would be made. */
    await(parked() == 19);
    for (int round = 0; round < 10; round++) {
        block(0, 20);
        assert_uint_equal(threads(), 21);
        gate_release(&blocked);
        await(parked() == 19);
    }
    assert_uint_equal(pool.idle, 2);
    assert_uint_equal(creations, 21);
    end();
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

/* At the maximum, a thread that waits for its client would be missing for another one. */
static void test_no_linger_at_the_maximum(void **state)
{
    (void)state;
    start_all(3);
    do_now(0, LINGER);
    assert_false(jobs[0].answer);
    pool.max_threads = 4;
    tell(0, LINGER);
    await(blocked.waiting == 1);
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
    await(parked() > 0);
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

/* A caller from outside of the pool must not talk its last thread into blocking. */
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
        pool_test(test_linger),
        pool_test(test_no_linger_at_the_maximum),
        pool_test(test_stop_before_start),
        pool_test(test_stop_while_waiting_and_parked),
        pool_test(test_stop_while_serving),
        pool_test(test_load),
        pool_test(test_asked_from_outside_at_the_maximum),
        pool_test(test_asked_from_outside_while_creation_fails),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
