// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A thread on a small stack of our own. glibc keeps the stacks of threads that ended (up to 40 MB);
 * after a burst of hung commands that memory would never come back. Ours is unmapped.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* The head of a larger struct of the caller's. */
struct thread {
    pthread_t id; /* set by the thread itself */
    void (*main)(struct thread *thread);
    void *mapping;
    size_t mapping_size;
};

/*
 * Map a stack with `size` bytes for the caller's struct, zeroed, at its top, where they share a
 * page that the thread touches anyway. Returns the struct's head, or NULL (ENOMEM).
 */
struct thread *thread_new(size_t size);

/*
 * Start it. ret_id: for a caller that joins it (pthread_join) and frees it by itself, or NULL.
 * Returns 0 or a negative errno; then the thread is to be given to thread_free.
 */
int thread_start(struct thread *thread, void (*main)(struct thread *thread), pthread_t *ret_id);

/* Unmap the stack of a thread that was never started, or has been joined. */
void thread_free(struct thread *thread);

/* Join and free a thread that has said that it is about to end. Not for the thread itself. */
void thread_reap(struct thread *thread);

#endif
