// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of connections: a mapped array of 64-byte slots, indexed by socket number. An untouched
 * slot costs nothing, an idle connection its slot and nothing else.
 *
 * A slot has an owner, or its socket is armed in the pool and nobody has. Only the owner frees it.
 * The main thread may at any time want to shut a socket down, and must not hit one that has been
 * closed and given to somebody else meanwhile: hence `open`, which changes under the lock, and
 * sockets are shut down under it. The socket itself is closed last, when the slot is free and has
 * no owner, since its number, and so the slot, may be taken again at once.
 */
#include "serve/conns.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "serve/peer.h"
#include "serve/tracepoints.h"

#define CONNS_TICK_S 1

int conns_init(struct conns *conns, struct pool *pool, unsigned n_slots, int64_t client_timeout_ms)
{
    size_t size = (size_t)n_slots * sizeof(struct conn);
    void *slots;

    memset(conns, 0, sizeof(*conns));
    conns->pool = pool;
    conns->client_timeout_ms = client_timeout_ms;
    conns->tick_fd = -1;
    conns->drained_fd = -1;
    pthread_mutex_init(&conns->lock, NULL);

    slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (slots == MAP_FAILED)
        return -errno;
    /* A huge page would make the first connection cost 2 MB. Kernels without them say EINVAL. */
    madvise(slots, size, MADV_NOHUGEPAGE);
    conns->slots = slots;
    conns->n_slots = n_slots;

    conns->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (conns->tick_fd < 0)
        return -errno;
    conns->drained_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (conns->drained_fd < 0)
        return -errno;
    return 0;
}

void conns_set_peers(struct conns *conns, struct peers *peers)
{
    conns->peers = peers;
    conns->peers_wanted = peers->early ? CONNS_PEERS_ALL : CONNS_PEERS_OUT;
}

void conns_deinit(struct conns *conns)
{
    for (unsigned sock = 0; sock < atomic_load(&conns->n_used); sock++) {
        struct conn *conn = &conns->slots[sock];

        if (!conn->open)
            continue;
        free(conn->buffer);
        if (conn->peer)
            peers_disconnect(conns->peers, conn->peer);
        if (conn->passed_fd >= 0)
            close(conn->passed_fd);
        close((int)sock);
    }
    if (conns->slots)
        munmap(conns->slots, (size_t)conns->n_slots * sizeof(struct conn));
    if (conns->tick_fd >= 0)
        close(conns->tick_fd);
    if (conns->drained_fd >= 0)
        close(conns->drained_fd);
    pthread_mutex_destroy(&conns->lock);
}

static void conns_set_tick(struct conns *conns, time_t seconds)
{
    struct itimerspec tick = {.it_interval.tv_sec = seconds, .it_value.tv_sec = seconds};

    timerfd_settime(conns->tick_fd, 0, &tick, NULL);
}

void conns_set_deadline(struct conns *conns, struct conn *conn)
{
    if (atomic_load(&conn->deadline_ms))
        return;
    atomic_store(&conn->deadline_ms, clock_coarse_ms() + conns->client_timeout_ms);
    if (atomic_fetch_add(&conns->n_timed, 1) == 0)
        conns_set_tick(conns, CONNS_TICK_S);
}

void conns_take(struct conn *conn)
{
    bool owned = atomic_exchange_explicit(&conn->owned, true, memory_order_acquire);

    assert(!owned);
    (void)owned;
}

void conns_release(struct conn *conn)
{
    atomic_store_explicit(&conn->owned, false, memory_order_release);
}

/* Others may only shut down the socket of a slot that is open, so both sides hold the lock. */
static void conns_set_open(struct conns *conns, struct conn *conn, bool open)
{
    pthread_mutex_lock(&conns->lock);
    atomic_store(&conn->open, open);
    pthread_mutex_unlock(&conns->lock);
}

int conns_open(struct conns *conns, int sock, const struct backend *backend)
{
    uint8_t features[WIRE_FEATURES_SIZE];
    struct conn *conn;
    unsigned used;
    int r;

    if ((unsigned)sock >= conns->n_slots) {
        close(sock);
        return -EMFILE;
    }
    wire_encode_features(features, WIRE_FEATURES);
    /* Room for four bytes in an empty socket: if they do not fit, the client has gone already. */
    if (backend && send(sock, features, sizeof(features), MSG_DONTWAIT | MSG_NOSIGNAL) !=
                       (ssize_t)sizeof(features))
        backend = NULL;

    conn = &conns->slots[sock];
    conns_take(conn);
    assert(!conn->open);
    conn->passed_fd = -1;
    conn->buffer = NULL;
    conn->linger_ready = false;
    atomic_store(&conn->peer, NULL);
    conn->backend = backend;
    conn_await(conn, backend ? CONN_HANDSHAKE : CONN_REFUSED, WIRE_FEATURES_SIZE);
    conns_set_deadline(conns, conn);
    conns_set_open(conns, conn, true);
    conns_release(conn);
    used = atomic_load(&conns->n_used);
    if ((unsigned)sock >= used)
        atomic_store(&conns->n_used, (unsigned)sock + 1);
    atomic_fetch_add(&conns->n_open, 1);

    /* Told before: when pool_add returns, another thread may have served and closed it. */
    trace_connect(sock);
    log_debug("connection %d: open", sock);
    r = pool_add(conns->pool, sock, backend ? EPOLLIN : EPOLLOUT);
    if (r < 0) {
        trace_disconnect(sock);
        conns_clear_deadline(conns, conn);
        conns_set_open(conns, conn, false);
        atomic_fetch_sub(&conns->n_open, 1);
        close(sock);
        return r;
    }
    return 0;
}

void conns_close(struct conns *conns, struct conn *conn, int sock)
{
    struct peer *peer;
    uint64_t one = 1;

    trace_disconnect(sock);
    log_debug("connection %d: closed", sock);
    conns_clear_deadline(conns, conn);
    free(conn->buffer);
    conn->buffer = NULL;
    if (conn->passed_fd >= 0)
        pool_close(conns->pool, conn->passed_fd);
    conns_set_open(conns, conn, false);
    peer = atomic_exchange(&conn->peer, NULL);
    if (peer) {
        atomic_fetch_add(&conns->n_served, atomic_load(&peer->requests));
        peers_disconnect(conns->peers, peer);
    }
    conns_release(conn);
    pool_close(conns->pool, sock); /* last: its number, and so the slot, is used again at once */
    if (atomic_fetch_sub(&conns->n_open, 1) == 1 && atomic_load(&conns->stopping))
        fdio_write_full(conns->drained_fd, &one, sizeof(one));
}

bool conns_look(struct conns *conns, unsigned sock, struct conns_look *ret)
{
    struct conn *conn = &conns->slots[sock];
    struct peer *peer;
    bool open;

    pthread_mutex_lock(&conns->lock);
    open = atomic_load(&conn->open) && atomic_load(&conn->state) != CONN_REFUSED;
    peer = open ? atomic_load(&conn->peer) : NULL;
    ret->peer = peer ? peer_ref(peer) : NULL;
    switch ((enum conn_state)atomic_load(&conn->state)) {
    case CONN_REFUSED:
    case CONN_HANDSHAKE:
        ret->state = CONNS_HANDSHAKE;
        break;
    case CONN_EXECUTING:
        ret->state = CONNS_EXECUTING;
        break;
    case CONN_REPLY:
        ret->state = CONNS_REPLYING;
        break;
    case CONN_CDB:
    case CONN_PARAMETERS:
        ret->state = atomic_load(&conn->deadline_ms) ? CONNS_RECEIVING : CONNS_IDLE;
        break;
    }
    pthread_mutex_unlock(&conns->lock);
    return open;
}

void conns_tick(struct conns *conns)
{
    int64_t now = clock_coarse_ms();
    uint64_t ticks;

    (void)fdio_read_full(conns->tick_fd, &ticks, sizeof(ticks));
    for (unsigned sock = 0; sock < atomic_load(&conns->n_used); sock++) {
        struct conn *conn = &conns->slots[sock];
        int64_t deadline = atomic_load(&conn->deadline_ms);

        if (!deadline || now < deadline)
            continue;
        trace_limit((int)sock, "client-timeout");
        log_client("connection %u: closed, the client took longer than the client time-out", sock);
        pthread_mutex_lock(&conns->lock);
        if (atomic_load(&conn->open))
            shutdown((int)sock, SHUT_RDWR);
        pthread_mutex_unlock(&conns->lock);
    }
    if (atomic_load(&conns->n_timed) == 0) {
        conns_set_tick(conns, 0);
        /* A deadline that was set just before found the tick still running. */
        if (atomic_load(&conns->n_timed) > 0)
            conns_set_tick(conns, CONNS_TICK_S);
    }
}

void conns_stop(struct conns *conns)
{
    uint64_t one = 1;

    atomic_store(&conns->stopping, true);
    if (atomic_load(&conns->n_open) == 0)
        fdio_write_full(conns->drained_fd, &one, sizeof(one));
}

static void conns_shutdown(struct conns *conns, int how, bool only_idle)
{
    pthread_mutex_lock(&conns->lock);
    for (unsigned sock = 0; sock < atomic_load(&conns->n_used); sock++) {
        struct conn *conn = &conns->slots[sock];

        if (atomic_load(&conn->open) && (!only_idle || !atomic_load(&conn->deadline_ms)))
            shutdown((int)sock, how);
    }
    pthread_mutex_unlock(&conns->lock);
}

void conns_shutdown_idle(struct conns *conns)
{
    conns_shutdown(conns, SHUT_RD, true);
}

void conns_shutdown_all(struct conns *conns)
{
    conns_shutdown(conns, SHUT_RDWR, false);
}
