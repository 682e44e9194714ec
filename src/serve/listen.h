// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The listening socket: made so that a client that sees its name can connect, or inherited from
 * systemd.
 *
 * Thread rule: all of it belongs to the main thread, before the sandbox.
 */
#ifndef SERVE_LISTEN_H
#define SERVE_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/inode.h"

#define LISTEN_BACKLOG 128

struct listen_options {
    const char *path; /* absolute, at most 107 bytes */
    mode_t mode;      /* (mode_t)-1: 0777 less the umask */
    uid_t user;       /* (uid_t)-1: ours */
    gid_t group;      /* (gid_t)-1: ours */
};

/*
 * Bind, set mode and owner, listen, and only then appear under the path. A socket there that no
 * process listens on is replaced; a live one, and any other kind of file, is left alone and is an
 * error. Works in the socket's directory meanwhile. On failure `ret_error` (of `error_size` bytes)
 * has a line that says what was wrong. Returns the fd, the caller's, or a negative errno.
 */
int listen_open(const struct listen_options *options, struct inode_id *ret_inode, char *ret_error,
                size_t error_size);

/*
 * Remove the sockets of a directory that no process listens on any more: those of helpers that were
 * killed together with their keepers. What cannot be looked at or removed stays.
 */
void listen_sweep(const char *directory);

/*
 * How many sockets systemd passes to this very process (sd_listen_fds(3)): 0 if none. Unsets the
 * LISTEN_ variables. Returns a negative errno, with ret_error, for values that make no sense.
 */
int listen_inherited(char *ret_error, size_t error_size);

/* Check that inherited fd 3 is a listening AF_UNIX stream socket. Returns it or a negative errno.
 */
int listen_adopt(char *ret_error, size_t error_size);

#endif
