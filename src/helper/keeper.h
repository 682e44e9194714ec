// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The keeper: a tiny process that stays behind with the starter's user, to remove socket and PID
 * file when the helper cannot: because it has changed its user, because of its sandbox, or because
 * it was killed.
 *
 * Thread rule: the main thread's alone.
 */
#ifndef HELPER_KEEPER_H
#define HELPER_KEEPER_H

#include <sys/types.h>

#include "serve/listen.h"

struct keeper {
    int channel; /* -1: there is none */
    pid_t pid;
};

/*
 * Fork it. socket_path with socket, and pidfile_path with pidfile_fd, are what it may remove; NULL
 * and -1 for nothing. The inodes are those of now; pidfile_fd holds the lock. Its copies of all
 * other fds, a listening socket among them, are closed before it does anything else. Returns 0 or a
 * negative errno.
 */
int keeper_start(struct keeper *keeper, const char *socket_path, const struct listen_inode *socket,
                 const char *pidfile_path, int pidfile_fd);

/*
 * Remove the socket, or the PID file (whose lock we still hold), if it is still ours. Returns 0, or
 * a negative errno; that somebody else has replaced or removed it is no error.
 */
int keeper_remove_socket(const struct keeper *keeper);
int keeper_remove_pidfile(const struct keeper *keeper);

/* Let it go: it removes what is left and ends. */
void keeper_deinit(struct keeper *keeper);

#endif
