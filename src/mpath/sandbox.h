// SPDX-License-Identifier: LGPL-2.1-or-later
/* System calls that the worker and its opener may use. */
#ifndef MPATH_SANDBOX_H
#define MPATH_SANDBOX_H

#include <stddef.h>

enum sandbox_role {
    SANDBOX_WORKER, /* no way to /dev; writes in its journal's directory alone */
    SANDBOX_OPENER, /* opens for reading alone, and has no capability */
};

/*
 * For this process and its threads from now on: before there are any. journal: the directory's fd,
 * or -1. Returns 0, or a negative errno with ret_error for people. A kernel without Landlock has
 * the system call filter alone.
 */
int sandbox_enter(enum sandbox_role role, int journal, char *ret_error, size_t error_size);

#endif
