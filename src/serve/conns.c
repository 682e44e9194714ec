// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of connections: a mapped array of 64-byte slots, indexed by socket number. An untouched
 * slot costs nothing, an idle connection its slot and nothing else.
 *
 * A slot has an owner, or its socket is armed in the pool and it has none. Only the owner frees it.
 * The main thread may at any time want to shut a socket down, and must not hit one that has been
 * closed and given to another client meanwhile: hence `open`, which changes under the lock, and
 * sockets are shut down under it. The socket itself is closed last, when the slot is free and has
 * no owner, since its number, and so the slot, may be taken again at once.
 */
#include "serve/conns.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
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

static size_t conns_size(unsigned n_slots)
{
    return n_slots * (sizeof(struct conn) + sizeof(struct conn_side));
}

int conns_init(struct conns *conns, struct pool *pool, unsigned n_slots, int64_t client_timeout_ms,
               const struct budget_limits *limits)
{
    size_t size = conns_size(n_slots);
    void *slots;

    memset(conns, 0, sizeof(*conns));
    conns->pool = pool;
    conns->client_timeout_ms = client_timeout_ms;
    conns->tick_fd = -1;
    conns->drained_fd = -1;
    conns->crowd.first = conns->crowd.last = conns->doomed.first = conns->doomed.last = -1;
    conns->unidentified.first = conns->unidentified.last = -1;
    budget_init(&conns->budget, limits);
    pthread_mutex_init(&conns->lock, NULL);
    pthread_mutex_init(&conns->queues_lock, NULL);

    slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (slots == MAP_FAILED)
        return -errno;
    /* A huge page would make the first connection cost 2 MB. Kernels without them say EINVAL. */
    madvise(slots, size, MADV_NOHUGEPAGE);
    conns->slots = slots;
    conns->sides = (struct conn_side *)(conns->slots + n_slots);
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
    conns->peers_wanted = peers->early ? CONNS_PEERS_HANDSHAKE
                          : peers->all ? CONNS_PEERS_COMMAND
                                       : CONNS_PEERS_OUT;
}

void conns_deinit(struct conns *conns)
{
    for (unsigned sock = 0; sock < atomic_load(&conns->n_used); sock++) {
        struct conn *conn = &conns->slots[sock];

        if (!conn->open)
            continue;
        conns_free_buffer(conns, (int)sock);
        if (conn->peer)
            peers_disconnect(conns->peers, conn->peer);
        if (conn->passed_fd >= 0)
            close(conn->passed_fd);
        close((int)sock);
        conns_leave(conns->sides[sock].account, conns->sides[sock].is_counted);
    }
    if (conns->slots)
        munmap(conns->slots, conns_size(conns->n_slots));
    if (conns->tick_fd >= 0)
        close(conns->tick_fd);
    if (conns->drained_fd >= 0)
        close(conns->drained_fd);
    pthread_mutex_destroy(&conns->lock);
    pthread_mutex_destroy(&conns->queues_lock);
    budget_deinit(&conns->budget);
}

static void conns_set_tick(struct conns *conns, time_t seconds)
{
    struct itimerspec tick = {.it_interval.tv_sec = seconds, .it_value.tv_sec = seconds};

    timerfd_settime(conns->tick_fd, 0, &tick, NULL);
}

void conns_set_timed(struct conns *conns)
{
    if (atomic_fetch_add(&conns->n_timed, 1) == 0)
        conns_set_tick(conns, CONNS_TICK_S);
}

void conns_set_deadline(struct conns *conns, struct conn *conn)
{
    if (atomic_load(&conn->deadline_ms))
        return;
    atomic_store(&conn->deadline_ms, clock_coarse_ms() + conns->client_timeout_ms);
    conns_set_timed(conns);
}

void conns_join_queue(struct conns *conns, struct budget_queue *queue, int sock)
{
    pthread_mutex_lock(&conns->queues_lock);
    conns->sides[sock].next_waiting = -1;
    if (queue->last >= 0)
        conns->sides[queue->last].next_waiting = sock;
    else
        queue->first = sock;
    queue->last = sock;
    atomic_fetch_add(&queue->n, 1);
    pthread_mutex_unlock(&conns->queues_lock);
}

int conns_leave_queue(struct conns *conns, struct budget_queue *queue)
{
    int sock;

    pthread_mutex_lock(&conns->queues_lock);
    sock = queue->first;
    if (sock >= 0) {
        queue->first = conns->sides[sock].next_waiting;
        if (queue->first < 0)
            queue->last = -1;
        atomic_fetch_sub(&queue->n, 1);
    }
    pthread_mutex_unlock(&conns->queues_lock);
    return sock;
}

uint8_t *conns_new_buffer(struct conns *conns, int sock, uint16_t size)
{
    struct budget_account *account = conns->sides[sock].account;
    uint8_t *buffer = NULL;

    if (!budget_take(account, BUDGET_BYTES, size))
        return NULL;
    buffer = malloc(size);
    if (!buffer) {
        budget_give(account, BUDGET_BYTES, size);
        return NULL;
    }
    conns->slots[sock].buffer = buffer;
    conns->slots[sock].buffer_size = size;
    return buffer;
}

void conns_free_buffer(struct conns *conns, int sock)
{
    struct conn *conn = &conns->slots[sock];

    if (!conn->buffer)
        return;
    free(conn->buffer);
    conn->buffer = NULL;
    budget_give(conns->sides[sock].account, BUDGET_BYTES, conn->buffer_size);
}

void conns_leave(struct budget_account *account, bool is_counted)
{
    if (is_counted)
        budget_give(account, BUDGET_CONNECTIONS, 1);
    budget_close(account);
}

void conns_say(struct conns *conns, int sock, const char *format, ...)
{
    unsigned suppressed;
    char text[256];
    va_list arguments;

    if (log_get_level() < LOG_LEVEL_CLIENTS ||
        !budget_take_line(conns->sides[sock].account, BUDGET_MESSAGES, &suppressed))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_left_out_before(LOG_WARNING, suppressed);
    log_warning("connection %llu: %s", (unsigned long long)conns->sides[sock].number, text);
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

/* Who is it? A process whose pid is hidden has a number of the kernel's. */
static struct budget_account *conns_open_account(struct conns *conns, int sock)
{
    struct ucred credentials = {.pid = 0, .uid = (uid_t)-1};
    socklen_t size = sizeof(credentials);
    uint64_t process = 0;

    (void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    if (credentials.pid <= 0 && conns->peers)
        process = peers_process(conns->peers, sock);
    return budget_open(&conns->budget, credentials.uid, credentials.pid, process);
}

/*
 * Options of a socket before anything is received from it. Out-of-band bytes are bytes like others:
 * else the kernel drops them, and what was passed with them, inside of a receive. What waits for a
 * client that does not take its replies is the kernel's memory on our account: room for a few.
 */
static void conns_prepare(int sock)
{
    const int one = 1, room = 2 * WIRE_DATA_MAX;

    (void)setsockopt(sock, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    (void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

/*
 * Close the socket of a client that is refused, if that cannot block: nothing can be sent to it any
 * more, and what has been sent is no fd. False: that is for a thread of the pool.
 */
static bool conns_close_empty(int sock)
{
    uint8_t bytes[512];
    ssize_t n = 1;

    shutdown(sock, SHUT_RD);
    for (unsigned i = 0; i < 32 && n > 0; i++)
        n = fdio_receive_plain(sock, bytes, sizeof(bytes));
    if (n == 0)
        close(sock);
    else
        shutdown(sock, SHUT_RDWR); /* the client need not wait for that thread */
    return n == 0;
}

/* Over its budget? Says so. */
static bool conns_refuse(struct conns *conns, int sock)
{
    struct budget_account *account = conns->sides[sock].account;

    if (budget_take(account, BUDGET_CONNECTIONS, 1))
        return false;
    trace_limit(conns->sides[sock].number, "max-clients");
    atomic_fetch_add(&conns->n_refused, 1);
    if (budget_is_exhausted(&conns->budget, BUDGET_CONNECTIONS))
        conns_say(conns, sock, "refused, there are %u clients already (--max-clients)",
                  conns->budget.limit[BUDGET_CONNECTIONS]);
    else
        conns_say(conns, sock, "refused, process %d of user %u has %u connections already",
                  (int)account->pid, account->user->uid,
                  atomic_load(&account->used[BUDGET_CONNECTIONS]));
    return true;
}

static void conns_fill(struct conns *conns, int sock, const struct backend *backend)
{
    struct conn *conn = &conns->slots[sock];
    unsigned used;

    conns_take(conn);
    assert(!conn->open);
    conn->passed_fd = -1;
    conn->buffer = NULL;
    conn->linger_ready = false;
    conn->over_budget = false;
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
}

int conns_open(struct conns *conns, int sock, const struct backend *backend)
{
    uint8_t features[WIRE_FEATURES_SIZE];
    struct conn_side *side;
    int r;

    if ((unsigned)sock >= conns->n_slots) {
        close(sock); /* never: accept(2) gives no such number */
        return -EMFILE;
    }
    conns_prepare(sock);
    side = &conns->sides[sock];
    side->is_counted = false;
    side->number = ++conns->n_numbers;
    side->since_ms = clock_coarse_ms();
    side->account = conns_open_account(conns, sock);
    if (!side->account) {
        if (!conns_close_empty(sock))
            conns_join_queue(conns, &conns->doomed, sock);
        return -ENOMEM;
    }
    if (backend && conns_refuse(conns, sock))
        backend = NULL;
    side->is_counted = backend;
    wire_encode_features(features, WIRE_FEATURES);
    /* Room for four bytes in an empty socket: if they do not fit, the client has gone already. */
    if (backend && send(sock, features, sizeof(features), MSG_DONTWAIT | MSG_NOSIGNAL) !=
                       (ssize_t)sizeof(features))
        backend = NULL;
    if (!backend && conns_close_empty(sock)) {
        conns_leave(side->account, side->is_counted);
        return 0;
    }
    conns_fill(conns, sock, backend);

    /* Told before: when pool_add returns, another thread may have served and closed it. */
    trace_connect(side->number);
    log_debug("connection %llu: open", (unsigned long long)side->number);
    r = pool_add(conns->pool, sock, backend ? EPOLLIN : EPOLLOUT);
    if (r < 0) {
        trace_disconnect(side->number);
        conns_clear_deadline(conns, &conns->slots[sock]);
        conns_set_open(conns, &conns->slots[sock], false);
        atomic_fetch_sub(&conns->n_open, 1);
        conns_leave(side->account, side->is_counted);
        if (!conns_close_empty(sock))
            conns_join_queue(conns, &conns->doomed, sock);
        return r;
    }
    return 0;
}

void conns_close(struct conns *conns, struct conn *conn, int sock)
{
    struct peer *peer;

    trace_disconnect(conns->sides[sock].number);
    log_debug("connection %llu: closed", (unsigned long long)conns->sides[sock].number);
    conns_clear_deadline(conns, conn);
    conns_free_buffer(conns, sock);
    if (conn->passed_fd >= 0)
        pool_close(conns->pool, conn->passed_fd);
    conns_set_open(conns, conn, false);
    peer = atomic_exchange(&conn->peer, NULL);
    if (peer) {
        atomic_fetch_add(&conns->n_served, atomic_load(&peer->requests));
        peers_disconnect(conns->peers, peer);
    }
    if (conn->backend && conn->backend->forget)
        conn->backend->forget(conn->backend->context, sock);
    conns_release(conn);
    pool_close(conns->pool, sock); /* last: its number, and so the slot, is used again at once */
}

void conns_gone(struct conns *conns)
{
    uint64_t one = 1;

    if (atomic_fetch_sub(&conns->n_open, 1) == 1 && atomic_load(&conns->stopping))
        fdio_write_full(conns->drained_fd, &one, sizeof(one));
}

bool conns_look(struct conns *conns, unsigned sock, struct conns_look *ret)
{
    struct ucred credentials = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    struct conn *conn = &conns->slots[sock];
    socklen_t size = sizeof(credentials);
    struct peer *peer;
    bool open;

    pthread_mutex_lock(&conns->lock);
    open = atomic_load(&conn->open) && atomic_load(&conn->state) != CONN_REFUSED;
    peer = open ? atomic_load(&conn->peer) : NULL;
    ret->peer = peer ? peer_ref(peer) : NULL;
    if (open) /* so the number is still that of the socket */
        (void)getsockopt((int)sock, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    ret->pid = credentials.pid;
    ret->uid = credentials.uid;
    ret->gid = credentials.gid;
    ret->number = conns->sides[sock].number;
    ret->since_ms = conns->sides[sock].since_ms;
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
        trace_limit(conns->sides[sock].number, "client-timeout");
        pthread_mutex_lock(&conns->lock);
        if (atomic_load(&conn->open)) {
            conns_say(conns, (int)sock, "closed, the client took longer than the client time-out");
            shutdown((int)sock, SHUT_RDWR);
        }
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
