// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the C library's allocator has to be told. Other libraries than glibc's need none of it. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* At the start: an arena for each thread would cost more than all we ever allocate. */
static inline void memory_init(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1);
#endif
}

/*
 * Return what has been freed to the kernel, after a use of memory that does not come back soon. The
 * caller's own cache of small pieces stays; that of a thread is emptied when the thread ends.
 */
static inline void memory_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#endif
