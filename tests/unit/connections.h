// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_CONNECTIONS_H
#define TESTS_UNIT_CONNECTIONS_H

/*
 * A table of connections over a pool, with the clients' ends in the test's hands, and a backend
 * that does what byte 2 of the CDB says.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "await.h"
#include "base/bytes.h"
#include "cmocka_compat.h"
#include "logged.h"
#include "passing.h"
#include "proto/wire.h"
#include "serve/conn.h"
#include "serve/conns.h"
#include "serve/identify.h"
#include "serve/turn.h"

#define PR_IN   0x5e
#define PR_OUT  0x5f
#define CLEANUP 0xff

/* What the backend does. */
enum act {
    ACT_GOOD = 0,     /* GOOD, with a byte for each of the answer that differs from request to
                         request (byte 9) */
    ACT_LEAVE = 1,    /* GOOD, with the room for the answer left as it was */
    ACT_CONFLICT = 2, /* RESERVATION CONFLICT */
    ACT_SENSE = 3,    /* CHECK CONDITION 5/24/00 */
    ACT_TOO_MUCH = 4, /* GOOD, and claim more than there is room for */
    ACT_WAIT = 5,     /* as ACT_GOOD, once backend_release() is called */
};

static struct pool pool;
static struct conns conns;

/* What the backend saw. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned waiting;
    atomic_uint executed;
    uint8_t opcode; /* of the last request, and so on */
    uint32_t length;
    ino_t inode;
    uint8_t data[WIRE_DATA_MAX];
    const void *context;
} backend_seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static inline void backend_wait(void)
{
    pthread_mutex_lock(&backend_seen.lock);
    backend_seen.waiting++;
    while (!backend_seen.open)
        pthread_cond_wait(&backend_seen.changed, &backend_seen.lock);
    backend_seen.waiting--;
    pthread_mutex_unlock(&backend_seen.lock);
}

static inline void backend_execute(void *context, const struct request *request,
                                   struct reply *reply)
{
    struct stat status = {0};

    pthread_mutex_lock(&backend_seen.lock);
    backend_seen.context = context;
    backend_seen.opcode = request->opcode;
    backend_seen.length = request->length;
    backend_seen.inode = fstat(request->fd, &status) == 0 ? status.st_ino : 0;
    memcpy(backend_seen.data, request->data, request->length);
    pthread_mutex_unlock(&backend_seen.lock);
    switch ((enum act)request->cdb[2]) {
    case ACT_WAIT:
        backend_wait();
        /* fall through */
    case ACT_GOOD:
        if (request->opcode == PR_IN)
            memset(request->data, request->cdb[9], request->length);
        /* fall through */
    case ACT_LEAVE:
        reply_status(reply, SPC_STATUS_GOOD, request->length);
        break;
    case ACT_CONFLICT:
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
        break;
    case ACT_SENSE:
        reply_sense(reply, SPC_INVALID_FIELD_IN_CDB);
        break;
    case ACT_TOO_MUCH:
        reply_status(reply, SPC_STATUS_GOOD, UINT32_MAX);
        break;
    }
    backend_seen.executed++;
}

static const struct backend backend = {"test", &backend_seen, backend_execute};

static inline unsigned backend_waiting(void)
{
    unsigned waiting;

    pthread_mutex_lock(&backend_seen.lock);
    waiting = backend_seen.waiting;
    pthread_mutex_unlock(&backend_seen.lock);
    return waiting;
}

static inline void backend_release(void)
{
    pthread_mutex_lock(&backend_seen.lock);
    backend_seen.open = true;
    pthread_cond_broadcast(&backend_seen.changed);
    pthread_mutex_unlock(&backend_seen.lock);
}

/* What clients pass. (Their own socket would keep the connection open after their end.) */
static int device = -1;

static int last_served; /* the table's end of the latest connection */

/* A client's socket; the other end is given to the table. */
static inline int client_open_with(const struct backend *with)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    last_served = pair[1];
    assert_true(pool_ensure(&pool));
    assert_int_equal(conns_open(&conns, pair[1], with), 0);
    return pair[0];
}

static inline void client_read(int sock, void *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n;

        await_events(sock, POLLIN);
        n = read(sock, (char *)bytes + done, size - done);
        if (n <= 0)
            fail_msg("%zu bytes of %zu came before the end", done, size);
        done += (size_t)n;
    }
}

/* The helper has closed, and nothing has come before that. */
static inline void client_expect_end(int sock)
{
    char byte;
    ssize_t n;

    await_events(sock, POLLIN);
    n = read(sock, &byte, 1);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* Wait until the helper has taken all that was sent, so that what follows comes by itself. */
static inline void client_await_taken(int sock)
{
    int unread = 1;

    await(ioctl(sock, TIOCOUTQ, &unread) == 0 && unread == 0);
}

/* A connection; the client's part of the handshake has been sent. */
static inline int client_open(void)
{
    int sock = client_open_with(&backend);
    uint8_t features[WIRE_FEATURES_SIZE];

    client_read(sock, features, sizeof(features));
    assert_memory_equal(features, "\0\0\0\1", 4);
    assert_int_equal(send(sock, "\0\0\0\0", 4, MSG_NOSIGNAL), 4);
    return sock;
}

/* A CDB of this protocol; fill: byte 9, of which the answer of ACT_GOOD consists. */
static inline void make_cdb(uint8_t cdb[WIRE_CDB_SIZE], uint8_t opcode, enum act act,
                            uint32_t length, uint8_t fill)
{
    memset(cdb, 0, WIRE_CDB_SIZE);
    cdb[0] = opcode;
    cdb[2] = (uint8_t)act;
    store_be32(cdb + 5, opcode == PR_OUT ? length : 0);
    store_be16(cdb + 7, (uint16_t)length);
    cdb[9] = fill;
}

/* Send a whole request without a parameter list, with one fd. */
static inline void client_request(int sock, uint8_t opcode, enum act act, uint32_t length,
                                  uint8_t fill)
{
    uint8_t cdb[WIRE_CDB_SIZE];

    make_cdb(cdb, opcode, act, length, fill);
    assert_int_equal(send_fds(sock, cdb, sizeof(cdb), device, 1), sizeof(cdb));
}

static inline void client_expect_reply(int sock, uint32_t status, uint32_t size, uint8_t fill)
{
    uint8_t head[WIRE_REPLY_SIZE], data[WIRE_DATA_MAX];

    client_read(sock, head, sizeof(head));
    assert_uint_equal(load_be32(head), status);
    assert_uint_equal(load_be32(head + 4), size);
    client_read(sock, data, size);
    for (uint32_t i = 0; i < size; i++)
        assert_int_equal(data[i], fill);
}

/* The connection serves, no matter what went before. */
static inline void client_expect_serving(int sock)
{
    client_request(sock, PR_IN, ACT_GOOD, 24, 0xa5);
    client_expect_reply(sock, SPC_STATUS_GOOD, 24, 0xa5);
}

/* A connection that has served a request, and owes nothing. */
static inline int client_open_served(void)
{
    int sock = client_open();

    client_expect_serving(sock);
    return sock;
}

#define TABLE_SLOTS      1024
#define TABLE_TIMEOUT_MS 60000

static unsigned table_fds_before;
static bool table_is_up;

static inline void table_start(unsigned max_threads, int64_t client_timeout_ms)
{
    const struct budget_limits limits = {
        .connections = TABLE_SLOTS, .threads = max_threads - 1, .bytes = 1 << 20};

    table_is_up = true;
    if (device < 0)
        device = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(device >= 0);
    table_fds_before = count_fds();
    backend_seen.open = false;
    backend_seen.executed = 0;
    assert_int_equal(pool_init(&pool, max_threads + TURN_SPARE_THREADS, conn_serve, &conns), 0);
    assert_int_equal(conns_init(&conns, &pool, TABLE_SLOTS, client_timeout_ms, &limits), 0);
}

/* Everything is released; every client's socket must have been closed by the test. */
static inline void table_end(void)
{
    backend_release();
    await(conns.n_open == 0);
    assert_uint_equal(conns.n_timed, 0);
    assert_true(pool_stop(&pool, clock_now_ms() + await_limit_ms()));
    conns_deinit(&conns);
    pool_deinit(&pool);
    assert_uint_equal(count_fds(), table_fds_before);
    table_is_up = false;
}

/* A test that has failed leaves its threads behind, and with them nothing works. */
static inline int table_set_up(void **state)
{
    return table_is_up ? -1 : logged_set_up(state);
}

#define table_of_conns_test(function)                                                              \
    cmocka_unit_test_setup_teardown(function, table_set_up, table_report)

#endif
