// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which command of the multipath worker runs when, and which is turned away. */
#include "cmocka_compat.h"

#include <limits.h>
#include <string.h>

#include "mpath/jobs.h"

static struct jobs jobs;
static struct job pool[JOBS_MAX + 1];
static unsigned pooled;

static int jobs_set_up(void **state)
{
    (void)state;
    memset(&jobs, 0, sizeof(jobs));
    memset(pool, 0, sizeof(pool));
    pooled = 0;
    return 0;
}

static struct job *make(dev_t map, bool changes, int64_t deadline_ms)
{
    struct job *job = &pool[pooled++];

    *job = (struct job){.map = map, .changes = changes, .deadline_ms = deadline_ms};
    return job;
}

/* One that is taken in. */
static struct job *add(dev_t map, bool changes)
{
    struct job *job = make(map, changes, 1000);

    assert_true(jobs_add(&jobs, job));
    assert_int_equal(job->state, JOB_QUEUED);
    return job;
}

static struct job *run(struct job *job, pid_t pid)
{
    assert_ptr_equal(jobs_next(&jobs), job);
    job->state = JOB_RUNNING;
    job->pid = pid;
    return job;
}

static void test_order(void **state)
{
    struct job *first = add(1, true), *second = add(1, true), *other = add(2, true);

    (void)state;
    run(first, 11);
    run(other, 12);
    assert_null(jobs_next(&jobs));
    jobs_remove(&jobs, first);
    run(second, 13);
    assert_null(jobs_next(&jobs));
    assert_uint_equal(jobs.n, 2);
}

static void test_reading_waits_for_nobody(void **state)
{
    struct job *changing = add(1, true), *reading = add(1, false), *next = add(1, true);

    (void)state;
    run(changing, 11);
    run(reading, 12);
    changing->state = JOB_KILLED;
    run(add(1, false), 13);
    assert_null(jobs_next(&jobs));
    /* Nor does anybody wait for reading. */
    jobs_remove(&jobs, changing);
    run(next, 14);
}

static void test_locked(void **state)
{
    static const enum job_state locking[] = {JOB_KILLED, JOB_MENDING};
    struct job *job = run(add(1, true), 11);

    (void)state;
    for (size_t i = 0; i < sizeof(locking) / sizeof(locking[0]); i++) {
        job->state = locking[i];
        assert_false(jobs_add(&jobs, make(1, true, 1000)));
        add(1, false);
        add(2, true);
    }
    job->state = JOB_RUNNING;
    add(1, true);
}

static void test_room(void **state)
{
    (void)state;
    for (unsigned i = 0; i < JOBS_MAP_MAX; i++)
        add(1, i % 2);
    assert_false(jobs_add(&jobs, make(1, true, 1000)));
    assert_false(jobs_add(&jobs, make(1, false, 1000)));
    pooled -= 2;
    for (unsigned i = JOBS_MAP_MAX; i < JOBS_MAX; i++)
        add(2 + i / JOBS_MAP_MAX, true);
    assert_uint_equal(jobs.n, JOBS_MAX);
    assert_false(jobs_add(&jobs, make(1000, true, 1000)));
    assert_uint_equal(jobs.n, JOBS_MAX);
    jobs_remove(&jobs, &pool[7]);
    pooled--;
    add(1000, true);
}

static void test_running_at_most(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= JOBS_RUNNING_MAX; i++)
        add(i, true);
    for (unsigned i = 0; i < JOBS_RUNNING_MAX; i++)
        run(&pool[i], (pid_t)i + 1);
    assert_null(jobs_next(&jobs));
    pool[3].state = JOB_KILLED; /* its child is still there */
    assert_null(jobs_next(&jobs));
    jobs_remove(&jobs, &pool[3]);
    assert_ptr_equal(jobs_next(&jobs), &pool[JOBS_RUNNING_MAX]);
}

static void test_deadlines(void **state)
{
    struct job *late = make(1, true, 5000), *early = make(2, true, 3000);

    (void)state;
    assert_int_equal(jobs_timeout_ms(&jobs, 0), -1);
    assert_true(jobs_add(&jobs, late));
    assert_true(jobs_add(&jobs, early));
    assert_int_equal(jobs_timeout_ms(&jobs, 1000), 2000);
    assert_null(jobs_expired(&jobs, 2999));
    assert_ptr_equal(jobs_expired(&jobs, 3000), early);
    assert_int_equal(jobs_timeout_ms(&jobs, 9000), 0);
    early->state = JOB_KILLED; /* its time is over, once and for all */
    assert_null(jobs_expired(&jobs, 4999));
    assert_int_equal(jobs_timeout_ms(&jobs, 4000), 1000);
    late->state = JOB_RUNNING;
    assert_ptr_equal(jobs_expired(&jobs, INT64_MAX), late);
    late->state = JOB_MENDING;
    assert_ptr_equal(jobs_expired(&jobs, INT64_MAX), late);
    late->deadline_ms = INT64_MAX - 1;
    assert_int_equal(jobs_timeout_ms(&jobs, 0), INT_MAX);
    late->state = JOB_KILLED;
    assert_int_equal(jobs_timeout_ms(&jobs, 0), -1);
}

static void test_find(void **state)
{
    struct job *running = run(add(1, true), 11);
    struct job *queued = add(1, true);

    (void)state;
    queued->pid = 12;
    assert_ptr_equal(jobs_find(&jobs, 11), running);
    assert_null(jobs_find(&jobs, 12)); /* not yet */
    running->state = JOB_KILLED;
    assert_ptr_equal(jobs_find(&jobs, 11), running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order, jobs_set_up),
        cmocka_unit_test_setup(test_reading_waits_for_nobody, jobs_set_up),
        cmocka_unit_test_setup(test_locked, jobs_set_up),
        cmocka_unit_test_setup(test_room, jobs_set_up),
        cmocka_unit_test_setup(test_running_at_most, jobs_set_up),
        cmocka_unit_test_setup(test_deadlines, jobs_set_up),
        cmocka_unit_test_setup(test_find, jobs_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
