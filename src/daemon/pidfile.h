// SPDX-License-Identifier: LGPL-2.1-or-later
/* The PID file, locked for as long as the process lives. */
#ifndef DAEMON_PIDFILE_H
#define DAEMON_PIDFILE_H

#include <stddef.h>

/*
 * Create or take over the file, lock it without waiting and write our pid. To be called by the
 * process that stays, whose pid it is. Returns the fd, which holds the lock as any copy of it does
 * (base/fdio.h: fdio_lock), or a negative errno with a message in ret_error; then the file is as it
 * was.
 */
int pidfile_lock(const char *path, char *ret_error, size_t error_size);

/* Give the lock up at once, even if threads still hang in the kernel, and close the fd. */
void pidfile_unlock(int fd);

#endif
