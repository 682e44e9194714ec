// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Scope-bound ownership. A resource enters a function through a variable marked with one of these
 * attributes and leaves it by an explicit steal; all that is not stolen is released on every path.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEANUP_FREE  __attribute__((cleanup(cleanup_free)))

/* Hand the fd over: the variable no longer owns it. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

static inline void *steal_pointer(void *pointer)
{
    void *stolen = *(void **)pointer;

    *(void **)pointer = NULL;
    return stolen;
}

#endif
