// SPDX-License-Identifier: LGPL-2.1-or-later
/* The lock of a map's journal: who has it, and what is no answer to that. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "mpath/host.h"
#include "mpath/journal.h"
#include "scratch.h"

const char host_journal[] = "journal";

/* So many calls fail with that. */
static unsigned n_faults;
static int fault;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
    if (n_faults == 0)
        return __real_flock(fd, operation);
    n_faults--;
    errno = fault;
    return -1;
}

/* Want of memory is waited for, not taken for a file system without locks. */
static void test_lock(void **state)
{
    static const int errors[] = {ENOLCK, EINTR, EWOULDBLOCK};
    struct journal ours = {.fd = -1};
    int other;

    (void)state;
    scratch_write("journal", "");
    ours.fd = open(scratch_path("journal"), O_RDWR | O_CLOEXEC);
    other = open(scratch_path("journal"), O_RDWR | O_CLOEXEC);
    assert_true(ours.fd >= 0 && other >= 0);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        fault = errors[i];
        n_faults = 3;
        assert_true(journal_lock(&ours, clock_now_ms() + 60000));
        assert_int_equal(n_faults, 0);
        assert_int_equal(__real_flock(other, LOCK_EX | LOCK_NB), -1); /* it is locked */
        journal_unlock(&ours);

        n_faults = UINT_MAX;
        assert_false(journal_lock(&ours, clock_now_ms() + 1));
        n_faults = 0;
    }
    fault = EOPNOTSUPP;
    n_faults = 1;
    assert_true(journal_lock(&ours, clock_now_ms() + 60000));
    close(other);
    journal_close(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lock, scratch_set_up, scratch_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
