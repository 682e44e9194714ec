// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What clients may have of what the server has: connections, threads, memory, lines of log.
 *
 * Each process that is connected has an account, and each user (uid) the sum of those of its
 * processes. A single process may have much, but not what others need. See budget.c.
 *
 * Thread rule: init, deinit and open belong to the main thread, the rest to any.
 */
#ifndef SERVE_BUDGET_H
#define SERVE_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"

enum budget_kind {
    BUDGET_CONNECTIONS,
    BUDGET_THREADS, /* that serve clients: not those that stand by */
    BUDGET_BYTES,   /* of memory for half a request, or for a reply that a client does not take */
    BUDGET_KINDS,
};

enum budget_lines {
    BUDGET_MESSAGES, /* what went wrong with a client */
    BUDGET_TAKINGS,  /* audit: what may have taken a key or a reservation from others */
    BUDGET_CHANGES,  /* audit: other commands that were executed */
    BUDGET_OTHERS,   /* audit: commands that were refused, or had nothing to do */
    BUDGET_LINES,
};

struct budget_limits {
    unsigned connections, threads, bytes;
};

/* A limit below this is too small to be shared out: first come, first served. */
#define BUDGET_SHARED_MIN 16

/* Turns that a process may have beyond its share of threads: in them its clients are told BUSY, and
 * its sockets are closed (turn.h). Only one, once a user's processes have so many. */
#define BUDGET_UNPAID_MAX      4
#define BUDGET_UNPAID_USER_MAX 16

/* Sockets that wait for a thread, linked by number through the table of connections. */
struct budget_queue {
    int first, last; /* under the table's lock of queues; -1: none */
    atomic_uint n;
};

struct budget_user {
    struct budget *budget;
    struct budget_user *next;
    uid_t uid;
    unsigned n_accounts;
    atomic_uint used[BUDGET_KINDS];
    atomic_uint unpaid;
    struct log_limit lines[BUDGET_LINES];
};

struct budget_account {
    struct budget_user *user;
    struct budget_account *next;            /* of the same bucket */
    struct budget_account *older, *younger; /* among those without a connection */
    uint64_t process;                       /* of a process whose pid is hidden, or 0 */
    pid_t pid;
    unsigned references;
    int64_t idle_since_ms;
    atomic_uint used[BUDGET_KINDS];
    atomic_uint unpaid;
    atomic_uint turns;           /* that have not ended: it is not freed before (turn.c) */
    struct budget_queue waiting; /* for a turn */
    struct log_limit lines[BUDGET_LINES];
};

#define BUDGET_BUCKETS 16

struct budget {
    unsigned limit[BUDGET_KINDS];
    atomic_uint used[BUDGET_KINDS];
    struct log_limit lines[BUDGET_LINES];
    pthread_mutex_t lock; /* of what follows, of references and links */
    struct budget_user *users;
    struct budget_account *buckets[BUDGET_BUCKETS];
    struct budget_account *oldest, *youngest; /* without a connection, for as long as lines count */
    unsigned n_idle;
};

void budget_init(struct budget *budget, const struct budget_limits *limits);
void budget_deinit(struct budget *budget);

/*
 * The account of a process: of this user and pid, or, where a PID namespace hides that (0), of the
 * kernel's number for it (0: unknown, then all of the user's that are hidden share one). A
 * reference, for budget_close; or NULL (ENOMEM).
 */
struct budget_account *budget_open(struct budget *budget, uid_t uid, pid_t pid, uint64_t process);
void budget_close(struct budget_account *account);

/* Take so much, if it is within the process's share. What was taken is to be given back. */
bool budget_take(struct budget_account *account, enum budget_kind kind, unsigned amount);
void budget_give(struct budget_account *account, enum budget_kind kind, unsigned amount);

/* Is there nothing left for any client? */
bool budget_is_exhausted(const struct budget *budget, enum budget_kind kind);

/* Is more than half of it taken? */
static inline bool budget_is_scarce(const struct budget *budget, enum budget_kind kind)
{
    return atomic_load_explicit(&budget->used[kind], memory_order_relaxed) >
           budget->limit[kind] / 2;
}

/* Take a turn that is not paid for by BUDGET_THREADS. A process that has none gets one. */
bool budget_take_unpaid(struct budget_account *account);
void budget_give_unpaid(struct budget_account *account);

/*
 * May a line of this kind be written about this process? ret_suppressed: how many were left out
 * since the last one that was let by.
 */
bool budget_take_line(struct budget_account *account, enum budget_lines kind,
                      unsigned *ret_suppressed);

#endif
