// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * As many clients may be identified as there are threads that wait for events. To identify one
 * takes the lock of its memory, which another program may hold for long. Those that have not ended
 * by the tick are late, and do not count any more: as many others may begin.
 *
 * One that is about to wait joins the queue, and looks afterwards whether it is its turn; one that
 * is done ends, and looks at the queue afterwards: one of the two sees the other.
 */
#include "serve/identify.h"

#include <sys/epoll.h>

#include "serve/peer.h"
#include "serve/pool.h"

struct peer *identify_client(struct conns *conns, int sock)
{
    struct peer *peer = peers_identify(conns->peers, sock, conns->sides[sock].number);

    atomic_store(&conns->slots[sock].peer, peer);
    return peer;
}

static bool identify_has_room(const struct conns *conns)
{
    return conns->identifying.running - conns->identifying.late < conns->pool->max_waiting;
}

static bool identify_begin(struct conns *conns, unsigned *ret_round)
{
    bool may;

    pthread_mutex_lock(&conns->queues_lock);
    may = identify_has_room(conns);
    conns->identifying.running += may;
    *ret_round = conns->identifying.round;
    pthread_mutex_unlock(&conns->queues_lock);
    return may;
}

static void identify_end(struct conns *conns, unsigned round)
{
    pthread_mutex_lock(&conns->queues_lock);
    conns->identifying.running--;
    conns->identifying.late -= round != conns->identifying.round;
    pthread_mutex_unlock(&conns->queues_lock);
    identify_resume(conns);
}

bool identify_in_turn(struct conns *conns, int sock)
{
    unsigned round;

    if (!identify_begin(conns, &round))
        return false;
    if (pool_may_block(conns->pool))
        identify_client(conns, sock);
    identify_end(conns, round);
    return true;
}

void identify_wait(struct conns *conns, int sock)
{
    conns_set_timed(conns);
    conns_join_queue(conns, &conns->unidentified, sock);
    identify_resume(conns);
}

void identify_resume(struct conns *conns)
{
    bool may;
    int sock;

    if (atomic_load(&conns->unidentified.n) == 0)
        return;
    pthread_mutex_lock(&conns->queues_lock);
    may = identify_has_room(conns);
    pthread_mutex_unlock(&conns->queues_lock);
    sock = may ? conns_leave_queue(conns, &conns->unidentified) : -1;
    if (sock < 0)
        return;
    /* At once: it may have sent nothing since its handshake. */
    if (pool_arm(conns->pool, sock, EPOLLOUT) < 0)
        conns_join_queue(conns, &conns->unidentified, sock); /* ENOMEM, if anything */
    else
        atomic_fetch_sub(&conns->n_timed, 1);
}

void identify_tick(struct conns *conns)
{
    if (atomic_load(&conns->unidentified.n) == 0)
        return;
    pthread_mutex_lock(&conns->queues_lock);
    conns->identifying.late = conns->identifying.running;
    conns->identifying.round++;
    pthread_mutex_unlock(&conns->queues_lock);
    for (unsigned i = 0; i < conns->pool->max_waiting; i++)
        identify_resume(conns);
}
