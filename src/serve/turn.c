// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All that a thread does for a client may block: a command, a receive (fds that cannot be kept are
 * dropped in there, and dropping the last reference to a file closes it), a close. So the whole of
 * it counts, from the event to the arming of the socket, against the client's process.
 *
 * Within its share of threads (BUDGET_THREADS) a turn is paid for. A few more turns are not: in
 * them clients are told BUSY. Who wants more than these waits in the queue of its process, which
 * has a turn then, and each of its turns that ends lets one go on. A turn is given back before the
 * queue is looked at, and a thread that joins the queue looks afterwards whether a turn is to be
 * had: one of the two sees the other.
 *
 * The crowd is for when no thread stands by, and none can be had: the pool has all that there may
 * be. A thread is never known to be free at the moment when one joins, hence the tick.
 */
#include "serve/turn.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "serve/conns.h"
#include "serve/identify.h"

/* Let one go on: its event comes again. False: no thread waits. */
static bool turn_resume(struct conns *conns, struct budget_queue *queue)
{
    int sock = conns_leave_queue(conns, queue);
    bool writes = sock >= 0 && atomic_load(&conns->slots[sock].state) == CONN_REPLY;

    if (sock < 0)
        return false;
    if (pool_arm(conns->pool, sock, writes ? EPOLLOUT : EPOLLIN) == 0)
        return true;
    conns_join_queue(conns, queue, sock); /* ENOMEM, if anything */
    return false;
}

/* Called by a thread that may block, or that only arms sockets. */
static void turn_resume_crowd(struct conns *conns)
{
    if (turn_resume(conns, &conns->crowd))
        atomic_fetch_sub(&conns->n_timed, 1);
}

bool turn_begin(struct conns *conns, int sock, bool *ret_paid)
{
    struct budget_account *account = conns->sides[sock].account;

    atomic_fetch_add(&account->turns, 1);
    *ret_paid = budget_take(account, BUDGET_THREADS, 1);
    if (*ret_paid || budget_take_unpaid(account))
        return true;
    conns_join_queue(conns, &account->waiting, sock);
    if (budget_take_unpaid(account))
        turn_end(conns, account, false); /* those that would have seen it there have ended */
    else
        atomic_fetch_sub(&account->turns, 1);
    identify_resume(conns);
    return false;
}

bool turn_pay(struct budget_account *account)
{
    if (!budget_take(account, BUDGET_THREADS, 1))
        return false;
    budget_give_unpaid(account);
    return true;
}

void turn_end(struct conns *conns, struct budget_account *account, bool paid)
{
    if (paid)
        budget_give(account, BUDGET_THREADS, 1);
    else
        budget_give_unpaid(account);
    if (atomic_load(&account->waiting.n))
        turn_resume(conns, &account->waiting);
    atomic_fetch_sub(&account->turns, 1);
    identify_resume(conns);
    if (atomic_load(&conns->crowd.n) && pool_may_block(conns->pool))
        turn_resume_crowd(conns);
    if (atomic_load(&conns->doomed.n) && pool_may_block(conns->pool)) {
        int fd = conns_leave_queue(conns, &conns->doomed);

        if (fd >= 0)
            pool_close(conns->pool, fd);
    }
}

void turn_wait(struct conns *conns, int sock)
{
    log_client("clients are waiting: no thread is idle and none can be started");
    conns_set_timed(conns);
    conns_join_queue(conns, &conns->crowd, sock);
}

void turn_tick(struct conns *conns)
{
    if (atomic_load(&conns->crowd.n))
        turn_resume_crowd(conns);
}
