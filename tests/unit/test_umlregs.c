// SPDX-License-Identifier: LGPL-2.1-or-later
/* tests/preload/umlregs.c: what user-mode-linux sets of a process's extended state. */
#include "cmocka_compat.h"

#include "../preload/umlregs.c"

#define STATE_SIZE 11008 /* bytes, of a processor with AMX */

static unsigned char tracee[STATE_SIZE];
static unsigned n_sets;
static int set_errno; /* of a set that is refused */

/* A host that takes all of the state or nothing. */
static long host_ptrace(int request, pid_t pid, void *address, void *data)
{
    struct iovec *given = data;

    assert_int_equal(pid, 17);
    assert_int_equal((long)address, NT_X86_XSTATE);
    if (request == PTRACE_GETREGSET) {
        assert_true(given->iov_len >= sizeof(tracee));
        given->iov_len = sizeof(tracee);
        memcpy(given->iov_base, tracee, sizeof(tracee));
        return 0;
    }
    assert_int_equal(request, PTRACE_SETREGSET);
    n_sets++;
    if (given->iov_len != sizeof(tracee)) {
        errno = set_errno;
        return -1;
    }
    memcpy(tracee, given->iov_base, sizeof(tracee));
    return 0;
}

void *__wrap_dlsym(void *handle, const char *name);
void *__wrap_dlsym(void *handle, const char *name)
{
    void *found;

    (void)handle;
    assert_string_equal(name, "ptrace");
    *(ptrace_function **)&found = host_ptrace;
    return found;
}

static long set(size_t size, int value)
{
    static unsigned char state[STATE_SIZE];
    struct iovec given = {.iov_base = state, .iov_len = size};

    memset(state, value, sizeof(state));
    memset(tracee, 1, sizeof(tracee));
    n_sets = 0;
    return ptrace(PTRACE_SETREGSET, 17, (void *)(long)NT_X86_XSTATE, &given);
}

static void test_whole(void **state)
{
    (void)state;
    assert_int_equal(set(STATE_SIZE, 2), 0);
    assert_uint_equal(n_sets, 1);
    assert_int_equal(tracee[STATE_SIZE - 1], 2);
}

/* A handler that came between the call and its error has left its own. */
static void test_part(void **state)
{
    static const int errors[] = {EFAULT, EAGAIN, EINTR, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        set_errno = errors[i];
        assert_int_equal(set(2696, 2), 0);
        assert_int_equal(tracee[2695], 2);
        assert_int_equal(tracee[2696], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_part)};

    return cmocka_run_group_tests_name("umlregs", tests, NULL, NULL);
}
