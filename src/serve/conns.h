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
#include "serve/budget.h"
#include "serve/pool.h"
#include "serve/slot.h"

struct conns {
    struct pool *pool;
    struct peers *peers; /* borrowed; NULL for CONNS_PEERS_NONE */
    enum conns_peers {   /* when they are identified */
                       CONNS_PEERS_NONE,
                       CONNS_PEERS_OUT,     /* before a command that changes something */
                       CONNS_PEERS_COMMAND, /* before any command */
                       CONNS_PEERS_HANDSHAKE,
    } peers_wanted;
    int64_t client_timeout_ms;
    struct conn *slots;      /* mapped; untouched slots cost nothing */
    struct conn_side *sides; /* mapped behind them */
    unsigned n_slots;
    pthread_mutex_t lock; /* a slot becomes free, or its socket is shut down by others, under it */
    atomic_uint n_used;   /* slots below this number have been in use */
    atomic_uint n_open;   /* connections that have not been closed yet */
    atomic_uint n_timed;  /* connections with a deadline, or that wait for a thread or a turn */
    atomic_uint n_busy;   /* requests answered BUSY for lack of a thread or an fd */
    atomic_ullong n_served; /* requests of connections that are closed, as far as identified */
    atomic_bool stopping;
    uint64_t n_numbers;    /* connections so far: the main thread's */
    atomic_uint n_refused; /* connections over the budget */
    struct budget budget;
    struct budget_queue crowd;  /* connections that wait for any thread (turn.c) */
    struct budget_queue doomed; /* sockets that epoll does not take, for the next thread to close */
    struct budget_queue
        unidentified;     /* connections whose client waits to be identified (identify.c) */
    struct {              /* clients that are being identified */
        unsigned running; /* in all */
        unsigned late;    /* of these, since before the last round began */
        unsigned round;
    } identifying; /* under queues_lock */
    pthread_mutex_t queues_lock;
    int tick_fd;    /* timerfd: readable once a second while there are deadlines */
    int drained_fd; /* eventfd: readable once the last connection has gone, after conns_stop */
};

/*
 * n_slots: sockets have numbers below this. client_timeout_ms: for the handshake, for the rest of a
 * request that has begun, and for a client to take a reply. pool is borrowed; it has more threads
 * than the limits say, by TURN_SPARE_THREADS. Returns 0 or a negative errno; a half-made table may
 * be given to conns_deinit.
 */
int conns_init(struct conns *conns, struct pool *pool, unsigned n_slots, int64_t client_timeout_ms,
               const struct budget_limits *limits);

/*
 * Before connections are opened: find out who clients are (peers is borrowed), each of them when
 * peers->early and peers->all say.
 */
void conns_set_peers(struct conns *conns, struct peers *peers);

/* Only after the pool has stopped. Closes what is still open. */
void conns_deinit(struct conns *conns);

/*
 * Take over a socket that was just accepted: send the helper's part of the handshake and let the
 * pool go on. Requests go to backend (borrowed); NULL: only close it. A client that is over its
 * budget is refused: that is no error. Returns 0 or a negative errno; then the socket is closed, or
 * will be.
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
    uint64_t number;
    int64_t since_ms;  /* when it was opened (base/clock.h) */
    struct peer *peer; /* a reference, or NULL if it has not been identified */
    pid_t pid;         /* as of the peer; what the socket says where there is none */
    uid_t uid;
    gid_t gid;
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

/* Cut all connections, in any state. */
void conns_shutdown_all(struct conns *conns);

/*
 * For the thread that serves a connection. Become the owner of the slot: that no other thread is,
 * is what EPOLLONESHOT promises. Release: let the next owner see what this one did.
 */
void conns_take(struct conn *conn);
void conns_release(struct conn *conn);

/* Queues of sockets, first come, first out. Leave: the first one, or -1 if there is none. */
void conns_join_queue(struct conns *conns, struct budget_queue *queue, int sock);
int conns_leave_queue(struct conns *conns, struct budget_queue *queue);

/* Keep the tick going for one more; to be taken back by decrementing n_timed. */
void conns_set_timed(struct conns *conns);

/* The client owes us something from now on. One item, one deadline: not a new one for each byte. */
void conns_set_deadline(struct conns *conns, struct conn *conn);

static inline void conns_clear_deadline(struct conns *conns, struct conn *conn)
{
    if (!atomic_load_explicit(&conn->deadline_ms, memory_order_relaxed))
        return;
    atomic_store(&conn->deadline_ms, 0);
    atomic_fetch_sub(&conns->n_timed, 1);
}

/* The buffer of a request or reply: within the client's budget (else NULL), and free of it. */
uint8_t *conns_new_buffer(struct conns *conns, int sock, uint16_t size);
void conns_free_buffer(struct conns *conns, int sock);

/*
 * Give up the slot and close the socket. The caller owned the connection; now it is free. The
 * account stays the caller's, for conns_leave, since this may block for long.
 */
void conns_close(struct conns *conns, struct conn *conn, int sock);

/* The account of a connection that is closed; is_counted: as it was in its slot. */
void conns_leave(struct budget_account *account, bool is_counted);

/* After all that: the last thing to be done for a connection. */
void conns_gone(struct conns *conns);

/*
 * Something about one client, at LOG_LEVEL_CLIENTS: as many lines as its process may have. The
 * connection is named by its number.
 */
void conns_say(struct conns *conns, int sock, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
