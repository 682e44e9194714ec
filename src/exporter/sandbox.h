// SPDX-License-Identifier: LGPL-2.1-or-later
/* The walls around the exporter, which needs little: to read sockets and to answer by HTTP. */
#ifndef EXPORTER_SANDBOX_H
#define EXPORTER_SANDBOX_H

#include <stddef.h>

/*
 * Give up every capability and all ways to any; open nothing but /proc and what is below the places
 * of status sockets, for reading; call what is on a list only. The process has one thread. Returns
 * 0 or a negative errno with a message in ret_error.
 */
int sandbox_enter(const char *const *places, unsigned n_places, char *ret_error, size_t error_size);

#endif
