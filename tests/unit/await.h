// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_AWAIT_H
#define TESTS_UNIT_AWAIT_H

/*
 * Waiting for what other threads and processes bring about. Each wait ends with what it waits for;
 * the limit only turns a hang into a failure, and TEST_TIME_SCALE stretches it.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "cmocka_compat.h"

#define AWAIT_MS 10000

static inline int await_limit_ms(void)
{
    const char *scale = getenv("TEST_TIME_SCALE");

    return scale ? (int)(AWAIT_MS * atof(scale)) : AWAIT_MS;
}

static inline void await_pause(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 200 * 1000}, NULL);
}

/* For a condition that nothing announces: look again and again until it holds. */
#define await(condition)                                                                           \
    do {                                                                                           \
        int64_t await_end_ = clock_now_ms() + await_limit_ms();                                    \
        while (!(condition)) {                                                                     \
            if (clock_now_ms() > await_end_)                                                       \
                fail_msg("never came true: %s", #condition);                                       \
            await_pause();                                                                         \
        }                                                                                          \
    } while (0)

/* Wait until fd has one of `events` (or an error, or an end of file). */
static inline void await_events(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};

    assert_int_equal(poll(&poll_fd, 1, await_limit_ms()), 1);
}

/* Is fd readable right now? */
static inline bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

/* Wait until a child has ended; its exit code, or minus the signal that ended it. */
static inline int await_child(pid_t pid)
{
    int64_t end = clock_now_ms() + await_limit_ms();
    int status;
    pid_t ended;

    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        if (clock_now_ms() > end)
            fail_msg("process %ld does not end", (long)pid);
        await_pause();
    }
    assert_int_equal(ended, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
