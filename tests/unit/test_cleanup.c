// SPDX-License-Identifier: LGPL-2.1-or-later
/* Scope-bound ownership, and the futex: small things that much relies on. */
#include "cmocka_compat.h"

#include <fcntl.h>
#include <pthread.h>

#include "await.h"
#include "base/cleanup.h"
#include "base/futex.h"
#include "passing.h"

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int leave_early(int *ret_seen)
{
    CLEANUP_CLOSE int fd = open_null();
    CLEANUP_CLOSE int none = -1;

    (void)none;
    *ret_seen = fd;
    return 1;
}

static int leave_with_steal(void)
{
    CLEANUP_CLOSE int fd = open_null();

    return steal_fd(&fd);
}

static void test_close(void **state)
{
    unsigned before = count_fds();
    int fd;

    (void)state;
    leave_early(&fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    fd = leave_with_steal();
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_uint_equal(count_fds(), before + 1);
    close(fd);
}

static void test_steal(void **state)
{
    int fd = open_null(), stolen = steal_fd(&fd);
    char *text = malloc(1), *stolen_text = steal_pointer(&text);

    (void)state;
    assert_int_equal(fd, -1);
    assert_true(fcntl(stolen, F_GETFD) >= 0);
    assert_null(text);
    assert_non_null(stolen_text);
    close(stolen);
    free(stolen_text);
}

/* A leak or a double free is for the sanitizers to see. */
static void test_free_pointer(void **state)
{
    CLEANUP_FREE char *kept = malloc(10);
    CLEANUP_FREE char *none = NULL;
    CLEANUP_FREE char *given = malloc(10);
    char *taken = steal_pointer(&given);

    (void)state;
    (void)none;
    assert_non_null(kept);
    assert_non_null(taken);
    free(taken);
}

static _Atomic uint32_t word;

static void *wake_after_change(void *argument)
{
    (void)argument;
    atomic_store(&word, 1);
    futex_wake(&word);
    return NULL;
}

static void test_futex(void **state)
{
    int64_t start = clock_now_ms();
    pthread_t thread;

    (void)state;
    assert_false(futex_wait(&word, 0, 30)); /* the time is over */
    assert_int_in_range(clock_now_ms() - start, 29, await_limit_ms());
    assert_true(futex_wait(&word, 1, await_limit_ms())); /* not that value: no wait */
    futex_wake(&word);                                   /* no waiter: no harm */

    assert_int_equal(pthread_create(&thread, NULL, wake_after_change, NULL), 0);
    while (!atomic_load(&word))
        assert_true(futex_wait(&word, 0, await_limit_ms()));
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_steal),
        cmocka_unit_test(test_free_pointer),
        cmocka_unit_test(test_futex),
    };

    return cmocka_run_group_tests_name("cleanup", tests, NULL, NULL);
}
