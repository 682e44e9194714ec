// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_CONNECTION_H
#define SOAK_CONNECTION_H

/*
 * A client's end of a connection, by plain system calls: a forked child of a process with many
 * threads may use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_HANDSHAKE 4

enum connection_result {
    CONNECTION_OK,
    CONNECTION_ENDED,   /* by the helper, or there is none */
    CONNECTION_TIMEOUT, /* nothing came in time */
};

/* Returns an fd, or -1 while there is no listener. */
int connection_open(const char *path, unsigned patience_s);

/* Send size bytes, with n fds. */
enum connection_result connection_send(int fd, const void *bytes, size_t size, const int *fds,
                                       unsigned n);

/* Receive exactly size bytes; ret_received counts them also if they are fewer. */
enum connection_result connection_receive(int fd, void *bytes, size_t size, size_t *ret_received);

#endif
