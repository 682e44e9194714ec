// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The channel to the helper: one end of a pair that the keeper has made, or a connection to a
 * socket that the service manager listens on (qemu-pr-mpath.socket), for each of which it starts a
 * worker.
 */
#ifndef MPATH_CHANNEL_H
#define MPATH_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

/* Is it a socket of the right kind at all? */
bool channel_is_one(int fd);

/* Was it accepted from a socket that has a name? Else the keeper has started us. */
bool channel_is_service(int fd);

/*
 * Who is at the other end of a connection may have it served: user 0, or the owner of the socket's
 * file, though its mode may let others connect. Returns 0 or a negative errno with ret_error saying
 * why.
 */
int channel_check_peer(int fd, char *ret_error, size_t error_size);

#endif
