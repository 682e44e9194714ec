// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Questions and orders to multipathd(8), by its socket. It accepts changes from user 0 only.
 *
 * multipathd may not answer for tens of seconds while one of its paths hangs, so every call has a
 * time-out of its own. Thread rule: any thread; a connection is one thread's at a time.
 */
#ifndef MULTIPATHD_MULTIPATHD_H
#define MULTIPATHD_MULTIPATHD_H

#include <stdbool.h>
#include <stddef.h>

/* Where it may listen: newer versions (0.12) at both. */
enum multipathd_socket { MULTIPATHD_ABSTRACT, MULTIPATHD_FILE, MULTIPATHD_SOCKETS };

/* Such as "@/org/kernel/linux/storage/multipathd". */
const char *multipathd_name(enum multipathd_socket where);

/*
 * Connect to a socket by its path, or by its abstract name with '@' in place of the first byte.
 * Returns an fd that does not block, the caller's, or a negative errno; -ETIMEDOUT: no process
 * accepted.
 */
int multipathd_connect(const char *name, int timeout_ms);

/*
 * Send one command on a connection and wait for the answer of up to `max` bytes, which the caller
 * frees; newlines at its end are cut off. Returns 0 or a negative errno: -ETIMEDOUT, -EPROTO
 * (something else listens there, or it hung up), -EPIPE, -ENOMEM. After an error the connection is
 * of no more use. multipathd's own refusals are answers.
 */
int multipathd_exchange(int fd, const char *command, int timeout_ms, size_t max, char **ret_answer);

/*
 * Whether a connection on which nothing is outstanding can be used again: neither data nor its end
 * has arrived.
 */
bool multipathd_is_quiet(int fd);

/*
 * Connect and exchange, for one command at the socket's usual name, in ten seconds at most. With a
 * NULL command: only see whether it can be connected to.
 */
int multipathd_ask(enum multipathd_socket where, const char *command, char **ret_answer);

#endif
