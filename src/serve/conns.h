// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The connections of a server: from the helper's first bytes to the close, in a table indexed by
 * socket number.
 *
 * Thread rule: a connection belongs to the pool thread that took its event, until that thread arms
 * it again. The main thread opens connections and may shut them down, under the table's lock.
 */
#ifndef SERVE_CONNS_H
#define SERVE_CONNS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "serve/backend.h"
#include "serve/pool.h"
#include "serve/slot.h"

struct conns {
    struct pool *pool;
    struct peers *peers; /* borrowed; NULL for CONNS_PEERS_NONE */
    enum { CONNS_PEERS_NONE, CONNS_PEERS_OUT, CONNS_PEERS_ALL } peers_wanted;
    int64_t client_timeout_ms;
    struct conn *slots; /* mapped; untouched slots cost nothing */
    unsigned n_slots;
    pthread_mutex_t lock; /* a slot becomes free, or its socket is shut down by others, under it */
    atomic_uint n_used;   /* slots below this number have been in use */
    atomic_uint n_open;   /* connections that have not been closed yet */
    atomic_uint n_timed;  /* connections with a deadline */
    atomic_uint n_busy;   /* requests answered BUSY for want of a thread or an fd */
    atomic_ullong n_served; /* requests of connections that are closed, as far as identified */
    atomic_bool stopping;
    int tick_fd;    /* timerfd: readable once a second while there are deadlines */
    int drained_fd; /* eventfd: readable once the last connection has gone, after conns_stop */
};

/*
 * n_slots: sockets have numbers below this. client_timeout_ms: for the handshake, for the rest of a
 * request that has begun, and for a client to take a reply. pool is borrowed. Returns 0 or a
 * negative errno; a half-made table may be given to conns_deinit.
 */
int conns_init(struct conns *conns, struct pool *pool, unsigned n_slots, int64_t client_timeout_ms);

/*
 * Before connections are opened: find out who clients are (peers is borrowed), each of them at once
 * or before its first command that changes something, as peers->early says.
 */
void conns_set_peers(struct conns *conns, struct peers *peers);

/* Only after the pool has stopped. Closes what is still open. */
void conns_deinit(struct conns *conns);

/*
 * Take over an accepted socket: send the helper's part of the handshake and let the pool go on.
 * Requests go to backend (borrowed); NULL: only let the pool close it. Returns 0 or a negative
 * errno; then the socket is closed.
 */
int conns_open(struct conns *conns, int sock, const struct backend *backend);

enum conns_state { /* of a connection, to look at from outside */
                   CONNS_HANDSHAKE,
                   CONNS_IDLE,
                   CONNS_RECEIVING,
                   CONNS_EXECUTING,
                   CONNS_REPLYING,
};

struct conns_look {
    enum conns_state state;
    struct peer *peer; /* a reference, or NULL if it has not been identified */
};

/*
 * Look at the connection of this number, from any thread; it may be another one the next moment.
 * False: there is none.
 */
bool conns_look(struct conns *conns, unsigned sock, struct conns_look *ret);

/* tick_fd is readable: shut down connections whose deadline is over. */
void conns_tick(struct conns *conns);

/*
 * From now on each connection ends after the request that it is serving or about to serve: its
 * receiving side is shut down before the reply leaves, while a client that sends one request at a
 * time is sending nothing. So no request is cut in two, and the client's next one fails at once
 * with EPIPE, which tells it to connect again.
 */
void conns_stop(struct conns *conns);

/* After conns_stop and a moment's grace: shut down the receiving side of those without a request.
 */
void conns_shutdown_idle(struct conns *conns);

/* Cut all connections, whatever they are doing. */
void conns_shutdown_all(struct conns *conns);

/*
 * For the thread that serves a connection. Become the owner of the slot: that no other thread is,
 * is what EPOLLONESHOT promises. Release: let the next owner see what this one did.
 */
void conns_take(struct conn *conn);
void conns_release(struct conn *conn);

/* The client owes us something from now on. One item, one deadline: not a new one for each byte. */
void conns_set_deadline(struct conns *conns, struct conn *conn);

static inline void conns_clear_deadline(struct conns *conns, struct conn *conn)
{
    if (!atomic_load_explicit(&conn->deadline_ms, memory_order_relaxed))
        return;
    atomic_store(&conn->deadline_ms, 0);
    atomic_fetch_sub(&conns->n_timed, 1);
}

/* Give up the slot and close the socket. The caller owned the connection; now it is free. */
void conns_close(struct conns *conns, struct conn *conn, int sock);

#endif
