// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Clients are identified (peer.h) a few at a time, since all of it asks one process, the keeper: a
 * thread for each of five hundred that come at once would do nothing but wait for the others.
 *
 * Thread rule: tick belongs to the main thread, all others to the thread that serves.
 */
#ifndef SERVE_IDENTIFY_H
#define SERVE_IDENTIFY_H

#include <stdbool.h>

#include "serve/conns.h"

/* Is the client of this connection to be identified before its first request is read? */
static inline bool identify_is_due(const struct conns *conns, const struct conn *conn)
{
    return !atomic_load_explicit(&conn->peer, memory_order_relaxed) &&
           conns->peers_wanted >= CONNS_PEERS_COMMAND;
}

/*
 * Identify the client of this connection now. Only by a thread that may block. NULL: file
 * descriptors or memory are short.
 */
struct peer *identify_client(struct conns *conns, int sock);

/*
 * The same if it is its turn. False: enough others are being identified, and wait is to be called
 * instead of arming the socket. True says nothing about the result: where no thread stands by, or
 * something is short, that is left to the command, which is answered BUSY if need be.
 */
bool identify_in_turn(struct conns *conns, int sock);

/* The connection has been released. It is armed once it is its turn. */
void identify_wait(struct conns *conns, int sock);

/* Let the next one go on that waits, if there is room for it. One that goes on may have closed, or
 * wait for a thread instead: so each turn that ends (turn.h) is to call this, too. */
void identify_resume(struct conns *conns);

/* Once a second as long as one waits: those that take longer to identify delay no others. */
void identify_tick(struct conns *conns);

#endif
