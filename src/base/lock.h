// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A lock between threads of one process that costs two atomic operations while no thread waits: for
 * what is done under it in less time than a pthread_mutex_lock(3) takes. The word is 0: free; 1:
 * held; 2: held, and perhaps waited for (Drepper, "Futexes are tricky", mutex2).
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/futex.h"

#define LOCK_WAIT_MS 1000 /* then it is looked at again */

struct lock {
    _Atomic uint32_t word;
};

__attribute__((noinline)) static void lock_wait(struct lock *lock)
{
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        (void)futex_wait(&lock->word, 2, LOCK_WAIT_MS);
}

static inline void lock_take(struct lock *lock)
{
    uint32_t expected = 0;

    if (!atomic_compare_exchange_strong_explicit(&lock->word, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
        futex_wake(&lock->word);
}

#endif
