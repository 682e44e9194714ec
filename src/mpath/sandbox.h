// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the worker and its children may ask of the kernel. */
#ifndef MPATH_SANDBOX_H
#define MPATH_SANDBOX_H

#include <stddef.h>

/*
 * For this process and all that it forks from now on. Before there are threads. Returns 0, or a
 * negative errno with ret_error for people.
 */
int sandbox_enter(char *ret_error, size_t error_size);

#endif
