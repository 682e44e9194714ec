// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a connection is, for the files of the library; and bytes to and from its socket. */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/prhelper.h"

struct prhelper {
    int sock; /* -1: dead, or never had one */
    int timeout_ms;
    uint32_t features;
    prhelper_execute_function *execute; /* instead of a socket, if not NULL */
    void *context;
};

/* Nothing has come of the command, and nothing has been sent. */
void result_reset(struct prhelper_result *result);

/* Deadlines are in ms of clock_now_ms(). STREAM_NEVER is later than any of them. */
#define STREAM_NEVER INT64_MAX

/* The deadline of something that begins now. timeout_ms: negative for none. */
int64_t stream_deadline(int timeout_ms);

/* Milliseconds that are left, for poll(2): 0 when the time is over, -1 for STREAM_NEVER. */
int stream_time_left(int64_t deadline);

/*
 * Send all of `bytes`; fd, unless negative, goes with the first of them. 0, -ETIMEDOUT,
 * PRHELPER_CLOSED, or another errno. *ret_sent is how many bytes have left in any case.
 */
int stream_send(int sock, const void *bytes, size_t size, int fd, int64_t deadline,
                size_t *ret_sent);

/*
 * Receive at least one byte into `iov`. Returns the number of bytes, -ETIMEDOUT or another errno,
 * or 0 if the other side has closed. fds that come with them are closed by the kernel.
 */
ssize_t stream_receive(int sock, struct iovec *iov, size_t n_iov, int64_t deadline);

#endif
