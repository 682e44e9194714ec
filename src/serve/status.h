// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The status socket: each client that connects is sent one document, then end of file. What a
 * client sends is not read.
 *
 * Thread rule: all of it belongs to the main thread, which never waits here.
 */
#ifndef SERVE_STATUS_H
#define SERVE_STATUS_H

#include <poll.h>
#include <stdint.h>

#include "base/json.h"
#include "serve/conns.h"

#define STATUS_READERS_MAX 8    /* at a time; others wait in the listener's queue */
#define STATUS_READER_MS   5000 /* then it is cut off */
#define STATUS_PAUSE_MS    250  /* out of fds: when to try again */
#define STATUS_POLL_MAX    (1 + STATUS_READERS_MAX)

/* Write the document. */
typedef void status_write_fn(void *context, struct json *json);

struct status_reader {
    int sock;         /* -1: none */
    struct json json; /* owned */
    size_t sent;
    int64_t deadline_ms;
};

struct status {
    int listener; /* owned; -1: none */
    status_write_fn *write;
    void *context;
    struct status_reader readers[STATUS_READERS_MAX];
    int64_t paused_until_ms; /* 0: accepting */
};

/* Takes over the listener. */
void status_init(struct status *status, int listener, status_write_fn *write, void *context);
void status_deinit(struct status *status);

/* The server stops: no reader is served any more. conns closes what may block, as below. */
void status_stop(struct status *status, struct conns *conns);

/* Fill in STATUS_POLL_MAX entries, some perhaps with an fd of -1. */
void status_poll(const struct status *status, struct pollfd fds[STATUS_POLL_MAX]);

/* When there is something to do without an event; INT64_MAX: never. */
int64_t status_deadline(const struct status *status);

/*
 * After poll(2): send what can be sent, take one more reader, cut off those past their deadline.
 * conns closes the sockets of finished readers, since what they have sent may include fds.
 */
void status_serve(struct status *status, const struct pollfd fds[STATUS_POLL_MAX],
                  struct conns *conns, int64_t now_ms);

#endif
