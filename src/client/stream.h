// SPDX-License-Identifier: LGPL-2.1-or-later
/* Bytes to and from a socket, without ever waiting for them, and the time that is left. */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Deadlines are in ms of clock_now_ms(). STREAM_NEVER is later than any of them. */
#define STREAM_NEVER INT64_MAX

/* The deadline of something that begins now. timeout_ms: negative for none. */
int64_t stream_deadline(int timeout_ms);

/* Milliseconds that are left, for poll(2): 0 when the time is over, -1 for STREAM_NEVER. */
int stream_time_left(int64_t deadline);

/*
 * Send some of `bytes`; fd, unless negative, goes with the first of them. Returns how many have
 * left, -EAGAIN if the socket has no room, -EPIPE if the other side has closed, or another errno.
 */
ssize_t stream_send(int sock, const void *bytes, size_t size, int fd);

/*
 * Receive what there is into `iov`. Returns the number of bytes, 0 if the other side has closed,
 * -EAGAIN if there is nothing, or another errno. fds that come with them are closed by the kernel.
 */
ssize_t stream_receive(int sock, struct iovec *iov, size_t n_iov);

/* The same for a single byte, which stays there. */
ssize_t stream_peek(int sock);

#endif
