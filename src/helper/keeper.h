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
 * Fork it. To be called before a listening socket exists, of which a fork would keep a copy alive.
 * The paths are what the keeper may remove, NULL for nothing; pidfile_fd is the locked PID file or
 * -1. Returns 0 or a negative errno.
 */
int keeper_start(struct keeper *keeper, const char *socket_path, const char *pidfile_path,
                 int pidfile_fd);

/* From now on the socket with this inode is ours. Does not wait. Returns 0 or a negative errno. */
int keeper_watch_socket(const struct keeper *keeper, const struct listen_inode *inode);

/*
 * Remove the socket, or the PID file (whose lock we still hold), if it is still ours. Returns 0, or
 * a negative errno; that somebody else has replaced or removed it is no error.
 */
int keeper_remove_socket(const struct keeper *keeper);
int keeper_remove_pidfile(const struct keeper *keeper);

/* Let it go: it removes what is left and ends. */
void keeper_deinit(struct keeper *keeper);

#endif
