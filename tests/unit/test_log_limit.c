// SPDX-License-Identifier: LGPL-2.1-or-later
/* The log in the hands of many: how often a line is let by, and that lines of threads stay whole.
 */
#include "cmocka_compat.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "logged.h"

/* Time goes on as it does, plus what the test adds. */
static _Atomic int64_t added_ms;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = __real_clock_gettime(clock, ret);

    ret->tv_sec += (time_t)(added_ms / 1000);
    return r;
}

static void test_limit(void **state)
{
    struct log_limit limit = {0};
    unsigned suppressed = 99;

    (void)state;
    for (int i = 0; i < LOG_LIMIT_LINES; i++) {
        assert_true(log_limit_take(&limit, &suppressed));
        assert_uint_equal(suppressed, 0);
    }
    suppressed = 99;
    for (int i = 0; i < 25; i++)
        assert_false(log_limit_take(&limit, &suppressed));
    assert_uint_equal(suppressed, 99);

    added_ms += LOG_LIMIT_MS;
    assert_true(log_limit_take(&limit, &suppressed));
    assert_uint_equal(suppressed, 25);
    for (int i = 1; i < LOG_LIMIT_LINES; i++) {
        assert_true(log_limit_take(&limit, &suppressed));
        assert_uint_equal(suppressed, 0);
    }
    assert_false(log_limit_take(&limit, &suppressed));
}

static void client_line(int number)
{
    log_client("line %d", number);
}

static void test_limit_in_use(void **state)
{
    char expected[1024] = "";

    (void)state;
    for (int i = 0; i < LOG_LIMIT_LINES + 3; i++) {
        client_line(i);
        if (i < LOG_LIMIT_LINES)
            snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected),
                     "test: line %d\n", i);
    }
    assert_string_equal(logged(), expected);
    log_client("each place has a limit of its own");
    assert_string_equal(logged(), "test: each place has a limit of its own\n");
    added_ms += LOG_LIMIT_MS;
    client_line(20);
    assert_string_equal(logged(),
                        "test: 3 messages like the next one were suppressed\ntest: line 20\n");
}

#define THREADS      4
#define THREAD_LINES 200

static struct log_limit shared_limit;
static atomic_uint shared_taken, shared_told;

static void *take_many(void *argument)
{
    unsigned suppressed;

    (void)argument;
    for (int i = 0; i < 1000; i++) {
        if (log_limit_take(&shared_limit, &suppressed)) {
            shared_taken++;
            shared_told += suppressed;
        }
    }
    return NULL;
}

static void run_threads(void *(*function)(void *))
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, function, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void test_limit_by_threads(void **state)
{
    unsigned suppressed;

    (void)state;
    assert_true(log_limit_take(&shared_limit, &suppressed)); /* opens the window */
    run_threads(take_many);
    assert_uint_equal(shared_taken, LOG_LIMIT_LINES - 1);
    added_ms += LOG_LIMIT_MS;
    assert_true(log_limit_take(&shared_limit, &suppressed));
    assert_uint_equal(shared_told + suppressed, THREADS * 1000 - (LOG_LIMIT_LINES - 1));
}

static void *log_many(void *argument)
{
    for (int i = 0; i < THREAD_LINES; i++)
        log_error("thread %d line %03d ...", (int)(uintptr_t)argument, i);
    return NULL;
}

static void test_lines_of_threads(void **state)
{
    int next[THREADS] = {0};
    int thread, line, n;
    const char *text;

    (void)state;
    run_threads(log_many);
    for (text = logged(); *text; text += n) {
        n = 0;
        assert_int_equal(sscanf(text, "test: thread %d line %03d ...%n", &thread, &line, &n), 2);
        assert_true(n > 0 && text[n] == '\n');
        n++;
        assert_int_in_range(thread, 0, THREADS - 1);
        assert_int_equal(line, next[thread]++);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], THREAD_LINES);
}

#define limit_test(function) cmocka_unit_test_setup(function, logged_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        limit_test(test_limit_in_use),
        cmocka_unit_test(test_limit_by_threads),
        limit_test(test_lines_of_threads),
    };

    return cmocka_run_group_tests_name("log_limit", tests, NULL, NULL);
}
