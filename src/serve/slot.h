// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The slot of one connection: what the table (conns.c) and the state machine (conn.c) share, and no
 * other file sees.
 */
#ifndef SERVE_SLOT_H
#define SERVE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"
#include "serve/backend.h"

enum conn_state {
    CONN_REFUSED,    /* to be closed */
    CONN_HANDSHAKE,  /* the client's features are to come */
    CONN_CDB,        /* a CDB is to come: between requests while nothing of it is there */
    CONN_PARAMETERS, /* the parameter list of the CDB is to come */
    CONN_EXECUTING,  /* the request is with the backend */
    CONN_REPLY,      /* the rest of a reply is to be sent */
};

struct conn {
    _Alignas(64) atomic_bool owned; /* by a pool thread, which alone touches the rest meanwhile */
    atomic_bool open;               /* the slot is in use; changes under the table's lock */
    _Atomic uint8_t state;          /* enum conn_state; others may look */
    bool fd_lost;                   /* the fd of this request could not be received */
    bool linger_ready;              /* the socket's receive time-out is set */
    bool over_budget;               /* there was no memory for this request's parameter list */
    uint16_t buffer_size;           /* that were taken from the client's budget for the buffer */
    int passed_fd;                  /* of this request, or -1 */
    uint16_t done;                  /* bytes of the current state's item received or sent */
    uint16_t size;                  /* bytes that item has */
    uint8_t cdb[WIRE_CDB_SIZE];     /* also takes the handshake */
    const struct backend *backend;  /* borrowed */
    uint8_t *buffer;                /* owned: parameter list so far, or what is left of a reply */
    _Atomic int64_t deadline_ms;    /* for what the client owes us; 0: nothing */
    _Atomic(struct peer *) peer;    /* owned; NULL: not identified (yet) */
};

_Static_assert(sizeof(struct conn) <= 64, "a connection fits a cache line");

/* What is needed less often, in a table of its own. */
struct conn_side {
    uint64_t number;                /* of the connection: the first is 1, and none comes again */
    int64_t since_ms;               /* when it was opened (base/clock.h) */
    struct budget_account *account; /* of the client's process, a reference */
    int next_waiting;               /* turn.c */
    bool is_counted;                /* against BUDGET_CONNECTIONS */
};

/* From now on an item of so many bytes is to be received or sent. */
static inline void conn_await(struct conn *conn, enum conn_state state, unsigned size)
{
    atomic_store_explicit(&conn->state, (uint8_t)state, memory_order_relaxed);
    conn->done = 0;
    conn->size = (uint16_t)size;
}

#endif
