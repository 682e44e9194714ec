// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A turn: a pool thread serves a connection. How many of them may be for one process, and which
 * sockets have to wait for one.
 *
 * Thread rule: begin, end and wait belong to the thread that serves, tick to the main thread.
 */
#ifndef SERVE_TURN_H
#define SERVE_TURN_H

#include <stdbool.h>

#include "serve/budget.h"

struct conns;

/*
 * Threads of the pool beyond those for commands: so many more may receive, tell BUSY, or hang in a
 * close, and one stands by.
 */
#define TURN_SPARE_THREADS 64

/*
 * An event of this connection's socket has been taken. ret_paid: it is within its process's share
 * of threads, and commands may be executed; else clients are told BUSY. False: not now. The socket
 * is not armed, and will be once it is its turn.
 */
bool turn_begin(struct conns *conns, int sock, bool *ret_paid);

/* A turn that is not paid for: is there a thread in its process's share by now? */
bool turn_pay(struct budget_account *account);

/* The connection has been armed, or closed; the account is that of its process. */
void turn_end(struct conns *conns, struct budget_account *account, bool paid);

/* The next thing to do for this connection may block, and no other thread stands by: to be called
 * instead of arming it, before turn_end. It is armed once a thread is free. */
void turn_wait(struct conns *conns, int sock);

/* Once a second as long as a client waits for a thread: so that none is forgotten. */
void turn_tick(struct conns *conns);

#endif
