// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Theory of operation
 *
 * A connection is a small state machine: handshake, then CDB, parameter list, reply, over and over.
 * The thread that took its event drives it as far as it goes without waiting for the client, then
 * arms the socket and is done with it. Nothing waits for a client, but for the linger: after a
 * reply the thread may stay in recvmsg for CONN_LINGER_MS, since cluster software sends commands
 * back to back, and this saves the trip through epoll.
 *
 * What has to outlive the thread's visit is kept in a slot of 64 bytes: an incomplete CDB in the
 * slot itself, an incomplete parameter list or an unsent reply in a heap buffer that exists only
 * meanwhile. Data of a request lives on the thread's stack and is zeroed first.
 *
 * Blocking: sending never blocks here. Everything else might: the backend, closing an fd, and even
 * receiving, inside of which fds are dropped that cannot be kept. It is done only if the pool says
 * that another thread stands by; else the connection waits for a thread (turn.c), the request is
 * answered BUSY, or the fd is left to others.
 */
#include "serve/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/log.h"
#include "scsi/cdb.h"
#include "serve/conns.h"
#include "serve/identify.h"
#include "serve/peer.h"
#include "serve/tracepoints.h"
#include "serve/turn.h"

#define CONN_LINGER_MS 5

/* Where the state machine stands when a step is over. */
enum conn_next {
    CONN_GO_ON,
    CONN_WAIT_READABLE,
    CONN_WAIT_WRITABLE,
    CONN_WAIT_THREAD,   /* receiving may block, and no other thread stands by */
    CONN_WAIT_IDENTIFY, /* enough other clients are being identified */
    CONN_CLOSE,
};

/* A request's data and its reply, on the stack of the thread that serves it: one piece, so that a
 * reply leaves in one plain send. */
struct conn_scratch {
    uint8_t head[WIRE_REPLY_SIZE];
    uint8_t data[WIRE_DATA_MAX];
};

_Static_assert(sizeof(struct conn_scratch) == WIRE_REPLY_SIZE + WIRE_DATA_MAX, "without a gap");
_Static_assert(sizeof(struct conn_scratch) <= UINT16_MAX, "a connection's counts hold any item");

/* A thread's turn at a connection. */
struct visit {
    struct conns *conns;
    struct conn *conn; /* owned */
    const struct conn_side *side;
    int sock;
    bool linger; /* the next request may come at once */
    bool gone;   /* the client has closed its end; there may be a last request */
    bool paid;   /* turn.h: commands may be executed */
    struct conn_scratch scratch;
};

static uint64_t conn_number(const struct visit *visit)
{
    return visit->side->number;
}

static void conn_await_request(struct conn *conn)
{
    conn->fd_lost = false;
    conn->over_budget = false;
    conn_await(conn, CONN_CDB, WIRE_CDB_SIZE);
}

/* Take the fds that came with bytes of the current item. False: they break the protocol. */
static bool conn_take_fds(struct visit *visit, const struct fdio_message *message)
{
    struct conn *conn = visit->conn;
    bool first = conn->passed_fd < 0 && !conn->fd_lost;

    if (conn->state == CONN_CDB) {
        if (first && message->n_fds == 1 && !message->fds_lost) {
            conn->passed_fd = message->fds[0];
            return true;
        }
        if (first && message->n_fds == 0) {
            conn->fd_lost = true;
            return true;
        }
        conns_say(visit->conns, visit->sock,
                  "closed, more than one file descriptor with a request");
    }
    /* Attached to a handshake or to parameters they belong to nothing. */
    for (unsigned i = 0; i < message->n_fds; i++)
        pool_close(visit->conns->pool, message->fds[i]);
    return conn->state != CONN_CDB;
}

/*
 * What is received may bring fds, and of those that cannot be kept the last reference may be
 * dropped inside of the call. So another thread stands by, or only bytes without fds are taken.
 */
static ssize_t conn_receive_some(struct visit *visit, uint8_t *bytes, size_t size, int flags,
                                 struct fdio_message *message)
{
    if (__builtin_expect(flags == 0 || pool_may_block(visit->conns->pool), true))
        return fdio_receive(visit->sock, bytes, size, flags, message);
    message->n_fds = 0;
    message->fds_lost = false;
    return fdio_receive_plain(visit->sock, bytes, size);
}

/* Receive what is left of the current item into `bytes`, where it begins. flags: 0 only for a
 * linger, which has made sure that another thread stands by. */
static enum conn_next conn_receive(struct visit *visit, uint8_t *bytes, int flags)
{
    struct conn *conn = visit->conn;
    struct fdio_message message;
    ssize_t n = conn_receive_some(visit, bytes + conn->done, (size_t)(conn->size - conn->done),
                                  flags, &message);

    if (n == -EAGAIN)
        return CONN_WAIT_READABLE;
    if (n == -EBUSY)
        return CONN_WAIT_THREAD;
    if (n <= 0) {
        if (n < 0 && n != -ECONNRESET)
            conns_say(visit->conns, visit->sock, "%s", strerror((int)-n));
        else if (conn->state != CONN_CDB || conn->done)
            conns_say(visit->conns, visit->sock, "closed by the client in the middle of a %s",
                      conn->state == CONN_HANDSHAKE ? "handshake" : "request");
        return CONN_CLOSE;
    }
    if ((message.n_fds || message.fds_lost) && !conn_take_fds(visit, &message))
        return CONN_CLOSE;
    conn->done += (uint16_t)n;
    return conn->done == conn->size ? CONN_GO_ON : CONN_WAIT_READABLE;
}

static enum conn_next conn_handshake(struct visit *visit)
{
    struct conn *conn = visit->conn;
    enum conn_next next = conn_receive(visit, conn->cdb, MSG_DONTWAIT);

    if (next != CONN_GO_ON)
        return next;
    if (!wire_accept_features(conn->cdb)) {
        conns_say(visit->conns, visit->sock, "closed, requested unsupported features");
        return CONN_CLOSE;
    }
    trace_handshake(conn_number(visit), load_be32(conn->cdb));
    conns_clear_deadline(visit->conns, conn);
    conn_await_request(conn);
    if (atomic_load(&visit->conns->stopping))
        shutdown(visit->sock, SHUT_RD);
    /* A client that sends no command is not to cost the memory of a peer, if that can wait. */
    return visit->conns->peers_wanted == CONNS_PEERS_COMMAND ? CONN_WAIT_READABLE : CONN_GO_ON;
}

/* Keep `size` bytes until the client takes them. They are not in the buffer of the request. */
static enum conn_next conn_keep_reply(struct visit *visit, const uint8_t *bytes, size_t size)
{
    struct conn *conn = visit->conn;

    conns_free_buffer(visit->conns, visit->sock);
    if (!conns_new_buffer(visit->conns, visit->sock, (uint16_t)size)) {
        conns_say(visit->conns, visit->sock,
                  "closed, the client does not read its replies, and its process has used up its "
                  "buffer memory");
        return CONN_CLOSE;
    }
    memcpy(conn->buffer, bytes, size);
    conn_await(conn, CONN_REPLY, (unsigned)size);
    return CONN_WAIT_WRITABLE;
}

/* Data of an answer, if there is any, stands in the scratch already. */
static enum conn_next conn_reply(struct visit *visit, const struct request *request,
                                 const struct reply *reply)
{
    struct conn *conn = visit->conn;
    size_t size = WIRE_REPLY_SIZE + wire_encode_reply(request, reply, visit->scratch.head);
    ssize_t n;

    do
        n = FDIO_SEND(visit->sock, &visit->scratch, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return CONN_CLOSE;
    if (n < 0)
        n = 0;
    if ((size_t)n < size)
        return conn_keep_reply(visit, (const uint8_t *)&visit->scratch + n, size - (size_t)n);
    conn_await_request(conn);
    return CONN_GO_ON;
}

static enum conn_next conn_send_rest(struct visit *visit)
{
    struct conn *conn = visit->conn;
    ssize_t n;

    do
        n = send(visit->sock, conn->buffer + conn->done, (size_t)(conn->size - conn->done),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? CONN_WAIT_WRITABLE : CONN_CLOSE;
    conn->done += (uint16_t)n;
    if (conn->done < conn->size)
        return CONN_WAIT_WRITABLE;
    conns_clear_deadline(visit->conns, conn);
    conns_free_buffer(visit->conns, visit->sock);
    conn_await_request(conn);
    if (atomic_load(&visit->conns->stopping))
        shutdown(visit->sock, SHUT_RD); /* the reply may be older than the stop */
    return CONN_GO_ON;
}

static bool conn_wants_peer(const struct conns *conns, const struct request *request)
{
    return conns->peers_wanted >= CONNS_PEERS_COMMAND ||
           (conns->peers_wanted && request->opcode != SPC_PERSISTENT_RESERVE_IN);
}

/*
 * Let the backend know who asks. False: that cannot be found out now, and the request shall not be
 * executed without.
 */
static inline bool conn_set_peer(struct visit *visit, struct request *request)
{
    struct peer *peer = atomic_load_explicit(&visit->conn->peer, memory_order_relaxed);

    if (!peer)
        peer = identify_client(visit->conns, visit->sock);
    request->peer = peer;
    if (peer) /* only clients with a process count */
        atomic_store_explicit(&peer->requests,
                              atomic_load_explicit(&peer->requests, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    return peer || request->opcode == SPC_PERSISTENT_RESERVE_IN;
}

/* May the request be executed? Else it is answered BUSY without a look at it. */
static bool conn_may_execute(struct visit *visit)
{
    const struct conn *conn = visit->conn;

    if (!visit->paid)
        visit->paid = turn_pay(visit->side->account);
    return !conn->fd_lost && !conn->over_budget && visit->paid &&
           pool_may_block(visit->conns->pool);
}

/* Answer BUSY, and say why. unknown_peer: since it is not known whose request it is. */
static __attribute__((noinline)) void conn_refuse(struct visit *visit, bool unknown_peer,
                                                  struct reply *reply)
{
    const struct conn *conn = visit->conn;
    const char *limit = "max-threads", *why = "all threads are busy";

    if (conn->fd_lost) {
        limit = "open-files";
        why = "its file descriptor could not be received (too many are open, or a security module "
              "forbids it)";
    } else if (conn->over_budget) {
        limit = "max-buffers";
        why = "its process has used up its buffer memory";
    } else if (unknown_peer) {
        limit = "open-files";
        why = "its process cannot be identified: out of file descriptors or memory";
    } else if (!visit->paid && !budget_is_exhausted(&visit->conns->budget, BUDGET_THREADS)) {
        why = "its process has used up its share of threads";
    }
    trace_limit(conn_number(visit), limit);
    conns_say(visit->conns, visit->sock, "%s, answered BUSY", why);
    atomic_fetch_add(&visit->conns->n_busy, 1);
    reply_status(reply, SPC_STATUS_BUSY, 0);
}

/* A whole request is there: execute it, reply, and only then close the fd. */
static enum conn_next conn_execute(struct visit *visit, struct request *request)
{
    struct conn *conn = visit->conn;
    struct reply reply;
    enum conn_next next;

    conns_clear_deadline(visit->conns, conn);
    trace_request(conn_number(visit), request->opcode, request->cdb[1] & CDB_SERVICE_ACTION_MASK,
                  request->length);
    if (!conn_may_execute(visit)) {
        conn_refuse(visit, false, &reply);
    } else if (conn_wants_peer(visit->conns, request) && !conn_set_peer(visit, request)) {
        conn_refuse(visit, true, &reply);
    } else {
        atomic_store_explicit(&conn->state, CONN_EXECUTING, memory_order_relaxed);
        conn->backend->execute(conn->backend->context, request, &reply);
    }
    if (atomic_load(&visit->conns->stopping))
        shutdown(visit->sock, SHUT_RD);
    trace_reply(conn_number(visit), reply.status, reply.size);
    next = conn_reply(visit, request, &reply);
    if (conn->passed_fd >= 0) {
        pool_close(visit->conns->pool, conn->passed_fd);
        conn->passed_fd = -1;
    }
    return next;
}

/* Over its budget, what comes of a parameter list is taken and thrown away: the answer is BUSY. */
static enum conn_next conn_parameters(struct visit *visit, struct request *request)
{
    struct conn *conn = visit->conn;
    enum conn_next next;

    request->data = conn->buffer ? conn->buffer : visit->scratch.data;
    next = conn_receive(visit, request->data, MSG_DONTWAIT);
    if (next != CONN_GO_ON && next != CONN_CLOSE && !conn->buffer && !conn->over_budget) {
        if (conns_new_buffer(visit->conns, visit->sock, conn->size))
            memcpy(conn->buffer, visit->scratch.data, conn->done);
        else
            conn->over_budget = true;
    }
    if (next != CONN_GO_ON)
        return next;

    next = conn_execute(visit, request);
    if (conn->state != CONN_REPLY)
        conns_free_buffer(visit->conns, visit->sock);
    return next;
}

/* Wait a moment for the next CDB where that is worth it, else take what is there. */
static enum conn_next conn_receive_cdb(struct visit *visit)
{
    struct conn *conn = visit->conn;
    enum conn_next next;

    if (!visit->linger) {
        if (__builtin_expect(identify_is_due(visit->conns, conn), false) && !visit->gone &&
            !identify_in_turn(visit->conns, visit->sock))
            return CONN_WAIT_IDENTIFY;
        return conn_receive(visit, conn->cdb, MSG_DONTWAIT);
    }
    visit->linger = false;
    /* A turn without a share of threads ends with its BUSY: the next one may have it. */
    if (!visit->paid || budget_is_scarce(&visit->conns->budget, BUDGET_THREADS) ||
        !pool_linger_begin(visit->conns->pool))
        return CONN_WAIT_READABLE;
    if (!conn->linger_ready) {
        const struct timeval limit = {.tv_usec = CONN_LINGER_MS * 1000};

        if (setsockopt(visit->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
            pool_linger_end(visit->conns->pool);
            return CONN_WAIT_READABLE;
        }
        conn->linger_ready = true;
    }
    next = conn_receive(visit, conn->cdb, 0);
    pool_linger_end(visit->conns->pool);
    return next;
}

static enum conn_next conn_request(struct visit *visit)
{
    struct conn *conn = visit->conn;
    struct request request;
    enum conn_next next;

    if (conn->state == CONN_CDB) {
        next = conn_receive_cdb(visit);
        if (next != CONN_GO_ON)
            return next;
        if (conn->passed_fd < 0 && !conn->fd_lost) {
            conns_say(visit->conns, visit->sock, "closed, a request without a file descriptor");
            return CONN_CLOSE;
        }
    }
    if (!wire_decode_request(conn->cdb, &request)) {
        conns_say(visit->conns, visit->sock, "closed, unsupported operation code %02Xh or length",
                  conn->cdb[0]);
        return CONN_CLOSE;
    }
    request.fd = conn->passed_fd;
    request.connection = conn_number(visit);
    request.slot = visit->sock;
    request.account = visit->side->account;
    if (conn->state == CONN_CDB && wire_has_parameters(&request))
        conn_await(conn, CONN_PARAMETERS, request.length);

    if (conn->state == CONN_PARAMETERS) {
        next = conn_parameters(visit, &request);
    } else {
        request.data = visit->scratch.data;
        memset(visit->scratch.data, 0, request.length);
        next = conn_execute(visit, &request);
    }
    visit->linger = next == CONN_GO_ON;
    return next;
}

/* Drive it as far as it goes. */
static enum conn_next conn_visit(struct visit *visit)
{
    enum conn_next next = CONN_GO_ON;

    while (next == CONN_GO_ON) {
        switch ((enum conn_state)visit->conn->state) {
        case CONN_HANDSHAKE:
            next = conn_handshake(visit);
            break;
        case CONN_CDB:
        case CONN_PARAMETERS:
            next = conn_request(visit);
            break;
        case CONN_REPLY:
            next = conn_send_rest(visit);
            break;
        case CONN_EXECUTING: /* never between two steps */
        case CONN_REFUSED:
            next = CONN_CLOSE;
            break;
        }
    }
    return next;
}

/* Leave it to the next event, or to a free thread. False: it cannot be. */
static bool conn_leave(struct visit *visit, enum conn_next next)
{
    struct conns *conns = visit->conns;
    int r;

    if (visit->conn->state != CONN_CDB || visit->conn->done)
        conns_set_deadline(conns, visit->conn);
    conns_release(visit->conn);
    if (next == CONN_WAIT_THREAD) {
        turn_wait(conns, visit->sock);
        return true;
    }
    if (next == CONN_WAIT_IDENTIFY) {
        identify_wait(conns, visit->sock);
        return true;
    }
    r = pool_arm(conns->pool, visit->sock, next == CONN_WAIT_READABLE ? EPOLLIN : EPOLLOUT);
    if (r == 0)
        return true;
    conns_take(visit->conn);
    conns_say(conns, visit->sock, "closed, %s", strerror(-r));
    return false;
}

void conn_serve(void *context, int sock, uint32_t events)
{
    struct conns *conns = context;
    struct budget_account *account = conns->sides[sock].account;
    bool is_counted = conns->sides[sock].is_counted;
    enum conn_next next;
    struct visit visit; /* the scratch is zeroed only where it is used */

    if (!turn_begin(conns, sock, &visit.paid))
        return;
    visit.conns = conns;
    visit.conn = &conns->slots[sock];
    visit.side = &conns->sides[sock];
    visit.sock = sock;
    visit.linger = false;
    visit.gone = events & EPOLLHUP;
    conns_take(visit.conn);
    next = conn_visit(&visit);
    if (next != CONN_CLOSE && conn_leave(&visit, next)) {
        turn_end(conns, account, visit.paid);
        return;
    }
    conns_close(conns, visit.conn, sock);
    turn_end(conns, account, visit.paid);
    conns_leave(account, is_counted);
    conns_gone(conns);
}
