// SPDX-License-Identifier: LGPL-2.1-or-later
/* futex(2) within one process: sleep on a word until another thread has changed and woken it. */
#ifndef BASE_FUTEX_H
#define BASE_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's time stamp for the call that is used, which may differ from the C library's. */
#ifdef SYS_futex
#define FUTEX_CALL SYS_futex
typedef long futex_time;
#else
#define FUTEX_CALL SYS_futex_time64
typedef int64_t futex_time;
#endif

/* Sleep while *word is `value`, at most timeout_ms. False: the time is over. */
static inline bool futex_wait(_Atomic uint32_t *word, uint32_t value, int timeout_ms)
{
    struct {
        futex_time seconds, nanoseconds;
    } timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};

    return syscall(FUTEX_CALL, word, FUTEX_WAIT_PRIVATE, value, &timeout, NULL, 0) == 0 ||
           errno != ETIMEDOUT;
}

static inline void futex_wake(_Atomic uint32_t *word)
{
    syscall(FUTEX_CALL, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
