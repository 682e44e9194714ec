// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A server: the main thread's loop over a pool of threads. The main thread accepts, keeps time and
 * hears signals; it executes nothing and closes nothing that may block, so that it is always there.
 *
 * Thread rule: all calls belong to the main thread.
 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/backend.h"
#include "serve/conns.h"
#include "serve/notify.h"
#include "serve/pool.h"
#include "serve/status.h"

#define SERVER_ENDPOINTS_MAX 16

/* A listening socket and who executes what its clients send. */
struct server_endpoint {
    int listener;                  /* owned by the server once it is given to server_init */
    const struct backend *backend; /* borrowed */
};

struct server_options {
    struct server_endpoint endpoints[SERVER_ENDPOINTS_MAX];
    unsigned n_endpoints;
    unsigned max_clients;
    unsigned max_threads; /* of which one stands by */
    unsigned max_buffer_bytes;
    unsigned n_slots; /* the limit on open fds */
    int64_t client_timeout_ms;
    int64_t stop_timeout_ms;
    struct notify *notify; /* borrowed */
    struct peers *peers;   /* borrowed; NULL: clients are not identified */
    struct status *status; /* borrowed; NULL: there is no such socket */

    /* The listeners' names are not ours and stay: a client in a queue is left for the next one
     * who is passed them. */
    bool passed;
    /* Called once when the server stops, before its sockets are closed: no client shall find those
     * of them any more that are ours. NULL: none is. */
    void (*remove_names)(void *context);
    void *context;
};

struct server {
    struct server_options options;
    struct pool pool;
    struct conns conns;
    int listener;                   /* owned */
    int signal_fd;                  /* owned */
    int64_t accept_paused_until_ms; /* 0: accepting */
    int64_t next_watchdog_ms;       /* 0: no watchdog */
    uint64_t n_accepted;            /* clients since the start */
    unsigned notified_clients;      /* the count that the service manager was told last */
    int64_t notify_at_ms;           /* when it may be told again */
};

/* How server_run ended. */
enum server_end {
    SERVER_DRAINED, /* every client has its answer, every thread has gone */
    SERVER_CUT,     /* commands are still hanging: threads are left in the kernel */
};

/*
 * Everything that has to exist before a sandbox. signal_fd reads the signals that stop the server,
 * which every thread has blocked. Takes over signal_fd and the listeners, also on failure. Returns
 * 0 or a negative errno; then everything has been released.
 */
int server_init(struct server *server, const struct server_options *options, int signal_fd);

/* Not after SERVER_CUT: threads are still using it. */
void server_deinit(struct server *server);

/* Serve until a signal comes, then stop. */
enum server_end server_run(struct server *server);

#endif
