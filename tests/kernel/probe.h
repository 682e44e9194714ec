// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_KERNEL_PROBE_H
#define TESTS_KERNEL_PROBE_H

/*
 * Facts of the kernel that our code relies on, asked of the kernel that runs. Each names the code
 * that would be wrong without it. TAP, with nothing but the C library: these are what to run first
 * where everything else behaves strangely.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned probe_number, probe_failures;

/* One fact: does it hold, and who relies on it. */
static inline void probe(bool holds, const char *relied_on_by, const char *fact)
{
    printf("%sok %u - %s (%s)\n", holds ? "" : "not ", ++probe_number, fact, relied_on_by);
    probe_failures += !holds;
}

static inline void probe_skip(const char *relied_on_by, const char *fact, const char *reason)
{
    printf("ok %u - %s (%s) # SKIP %s\n", ++probe_number, fact, relied_on_by, reason);
}

/* What a probe needs to ask its question: without it there is no answer at all. */
#define need(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("Bail out! %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The exit code of a child, or -1 if a signal has ended it. */
static inline int probe_await(pid_t child)
{
    int status;

    need(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int probe_end(void)
{
    printf("1..%u\n", probe_number);
    return probe_failures ? 1 : 0;
}

#endif
