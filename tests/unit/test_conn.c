// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The state machine of a connection, as a client sees it: no matter how bytes and fds
 * come, either the right reply or an end, and no fd left behind. table_end() counts them.
 */
#include "cmocka_compat.h"

#include "connections.h"
#include "serve/peer.h"

static void start(void)
{
    table_start(100, TABLE_TIMEOUT_MS);
}

static void test_handshake(void **state)
{
    static const struct {
        const char *bytes;
        bool accepted;
    } rows[] = {
        {"\0\0\0\0", true},  {"\0\0\0\1", true},  {"\0\0\0\2", false},
        {"\1\0\0\0", false}, {"\0\0\0\3", false}, {"\377\377\377\377", false},
    };

    (void)state;
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int sock = client_open_with(&backend);
        uint8_t features[4];

        client_read(sock, features, 4);
        assert_memory_equal(features, "\0\0\0\1", 4);
        assert_int_equal(write(sock, rows[i].bytes, 4), 4);
        if (rows[i].accepted)
            client_expect_serving(sock);
        else
            client_expect_end(sock);
        close(sock);
    }
    table_end();
}

static void test_handshake_in_pieces(void **state)
{
    static const uint8_t zeros[4];
    uint8_t features[4];
    int sock;

    (void)state;
    start();
    /* A byte at a time, each once the one before has been taken. */
    sock = client_open_with(&backend);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(write(sock, zeros, 1), 1);
        client_await_taken(sock);
    }
    client_read(sock, features, 4);
    client_expect_serving(sock);
    close(sock);

    /* Handshake and request in one, before anything is read. */
    sock = client_open_with(&backend);
    assert_int_equal(write(sock, zeros, 4), 4);
    client_request(sock, PR_IN, ACT_GOOD, 8, 1);
    client_read(sock, features, 4);
    client_expect_reply(sock, SPC_STATUS_GOOD, 8, 1);
    close(sock);

    /* Cut off in the middle. */
    sock = client_open_with(&backend);
    client_read(sock, features, 4);
    assert_int_equal(write(sock, zeros, 3), 3);
    shutdown(sock, SHUT_WR);
    client_expect_end(sock);
    close(sock);
    table_end();
}

/* An fd that comes with the handshake belongs to nothing, not even to the request that follows. */
static void test_fd_with_handshake(void **state)
{
    struct traced_fd traced;
    uint8_t features[4], cdb[WIRE_CDB_SIZE];
    int sock;

    (void)state;
    start();
    traced = traced_fd_open();
    sock = client_open_with(&backend);
    client_read(sock, features, 4);
    assert_int_equal(send_fds(sock, "\0\0", 2, traced.fd, 3), 2);
    assert_int_equal(send_fds(sock, "\0\0", 2, traced.fd, 1), 2);
    close(traced.fd);
    await_events(traced.read_end, POLLIN);
    client_expect_serving(sock);
    make_cdb(cdb, PR_IN, ACT_GOOD, 8, 1);
    assert_int_equal(send_fds(sock, cdb, sizeof(cdb), -1, 0), sizeof(cdb));
    client_expect_end(sock);
    close(sock);
    close(traced.read_end);
    table_end();
}

static void test_request(void **state)
{
    struct stat status;
    int sock;

    (void)state;
    start();
    sock = client_open();
    assert_int_equal(fstat(device, &status), 0);
    client_request(sock, PR_IN, ACT_GOOD, 100, 7);
    client_expect_reply(sock, SPC_STATUS_GOOD, 100, 7);
    assert_ptr_equal(backend_seen.context, &backend_seen);
    assert_int_equal(backend_seen.opcode, PR_IN);
    assert_uint_equal(backend_seen.length, 100);
    assert_true(backend_seen.inode == status.st_ino);
    client_request(sock, PR_IN, ACT_GOOD, 0, 7);
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    client_request(sock, PR_OUT, ACT_GOOD, 0, 7);
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    client_request(sock, CLEANUP, ACT_GOOD, 0, 7);
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    assert_int_equal(backend_seen.opcode, CLEANUP);
    client_request(sock, PR_IN, ACT_CONFLICT, 8192, 7);
    client_expect_reply(sock, SPC_STATUS_RESERVATION_CONFLICT, 0, 0);
    client_request(sock, PR_IN, ACT_SENSE, 8192, 7);
    client_expect_reply(sock, SPC_STATUS_CHECK_CONDITION, 0, 0);
    client_request(sock, PR_IN, ACT_TOO_MUCH, 8, 7);
    client_expect_reply(sock, SPC_STATUS_GOOD, 8, 0);
    client_request(sock, PR_IN, ACT_GOOD, 8192, 9);
    client_expect_reply(sock, SPC_STATUS_GOOD, 8192, 9);
    close(sock);
    table_end();
}

/* The reply's sense is its own and no older one's; nor is a byte of the answer. */
static void test_nothing_stale(void **state)
{
    static const uint8_t zeros[SENSE_SIZE];
    uint8_t reply[WIRE_REPLY_SIZE + 64];
    int sock;

    (void)state;
    start();
    sock = client_open();
    for (int round = 0; round < 10; round++) {
        client_request(sock, PR_IN, ACT_GOOD, 8192, 0xff);
        client_expect_reply(sock, SPC_STATUS_GOOD, 8192, 0xff);
        client_request(sock, PR_IN, ACT_SENSE, 64, 0xff);
        client_expect_reply(sock, SPC_STATUS_CHECK_CONDITION, 0, 0);
        client_request(sock, PR_IN, ACT_LEAVE, 64, 0xff);
        client_read(sock, reply, sizeof(reply));
        assert_uint_equal(load_be32(reply + 4), 64);
        assert_memory_equal(reply + 8, zeros, SENSE_SIZE);
        assert_memory_equal(reply + WIRE_REPLY_SIZE, zeros, 64);
    }
    close(sock);
    table_end();
}

/* A CDB and its 24 bytes of parameters, cut at each place, with the fd on one part or the other. */
static void test_every_cut(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 24];
    int sock;

    (void)state;
    start();
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    sock = client_open();
    for (size_t cut = 1; cut <= sizeof(bytes); cut++) {
        for (int fd_on = 0; fd_on <= (cut < WIRE_CDB_SIZE); fd_on++) {
            for (size_t i = WIRE_CDB_SIZE; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * cut);
            assert_int_equal(send_fds(sock, bytes, cut, device, fd_on == 0), cut);
            client_await_taken(sock);
            if (cut < sizeof(bytes))
                assert_int_equal(
                    send_fds(sock, bytes + cut, sizeof(bytes) - cut, device, fd_on == 1),
                    sizeof(bytes) - cut);
            client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
            assert_uint_equal(backend_seen.length, 24);
            assert_memory_equal(backend_seen.data, bytes + WIRE_CDB_SIZE, 24);
        }
    }
    close(sock);
    table_end();
}

static void test_byte_by_byte(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 40];
    int sock;

    (void)state;
    start();
    make_cdb(bytes, PR_OUT, ACT_CONFLICT, 40, 0);
    for (size_t i = WIRE_CDB_SIZE; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)~i;
    sock = client_open();
    for (size_t fd_at = 0; fd_at < WIRE_CDB_SIZE; fd_at += 5) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            assert_int_equal(send_fds(sock, bytes + i, 1, device, i == fd_at), 1);
            client_await_taken(sock);
        }
        client_expect_reply(sock, SPC_STATUS_RESERVATION_CONFLICT, 0, 0);
        assert_memory_equal(backend_seen.data, bytes + WIRE_CDB_SIZE, 40);
    }
    close(sock);
    table_end();
}

static void test_long_parameter_list(void **state)
{
    static uint8_t bytes[WIRE_CDB_SIZE + WIRE_DATA_MAX];
    int sock;

    (void)state;
    start();
    make_cdb(bytes, PR_OUT, ACT_GOOD, WIRE_DATA_MAX, 0);
    for (size_t i = WIRE_CDB_SIZE; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i / 3);
    sock = client_open();
    for (size_t cut = 17; cut < sizeof(bytes); cut += 1999) {
        assert_int_equal(send_fds(sock, bytes, cut, device, 1), cut);
        client_await_taken(sock);
        assert_int_equal(send(sock, bytes + cut, sizeof(bytes) - cut, 0), sizeof(bytes) - cut);
        client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
        assert_memory_equal(backend_seen.data, bytes + WIRE_CDB_SIZE, WIRE_DATA_MAX);
    }
    close(sock);
    table_end();
}

static void test_pipelined(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    int sock;

    (void)state;
    start();
    sock = client_open();
    for (int round = 0; round < 20; round++) {
        client_request(sock, PR_IN, ACT_GOOD, 40, 1);
        make_cdb(bytes, PR_OUT, ACT_CONFLICT, 24, 0);
        assert_int_equal(send_fds(sock, bytes, sizeof(bytes), device, 1), sizeof(bytes));
        client_request(sock, PR_IN, ACT_GOOD, 50, 2);
        client_expect_reply(sock, SPC_STATUS_GOOD, 40, 1);
        client_expect_reply(sock, SPC_STATUS_RESERVATION_CONFLICT, 0, 0);
        client_expect_reply(sock, SPC_STATUS_GOOD, 50, 2);
    }
    close(sock);
    table_end();
}

static void test_half_closed(void **state)
{
    int sock;

    (void)state;
    start();
    sock = client_open();
    client_request(sock, PR_IN, ACT_GOOD, 40, 1);
    client_request(sock, PR_IN, ACT_GOOD, 50, 2);
    shutdown(sock, SHUT_WR);
    client_expect_reply(sock, SPC_STATUS_GOOD, 40, 1);
    client_expect_reply(sock, SPC_STATUS_GOOD, 50, 2);
    client_expect_end(sock);
    close(sock);
    table_end();
}

/* Each way to break the protocol ends the connection without a byte, and all fds are closed. */
struct message {
    unsigned size; /* bytes of the request that this message has, 0: no further message */
    unsigned n_fds;
};

static void test_broken(void **state)
{
    static const struct {
        const char *name;
        uint8_t opcode;
        uint32_t length;
        struct message messages[4];
        bool half_close;
    } rows[] = {
        {"no fd", PR_IN, 8, {{16, 0}}, false},
        {"no fd for a list", PR_OUT, 24, {{16, 0}}, false},
        {"fd on the parameters only", PR_OUT, 24, {{16, 0}, {24, 1}}, false},
        {"two fds in a message", PR_IN, 8, {{16, 2}}, false},
        {"253 fds in a message", PR_IN, 8, {{16, 253}}, false},
        {"two fds on the first byte", PR_IN, 8, {{1, 2}, {15, 0}}, false},
        {"fds in two messages", PR_IN, 8, {{8, 1}, {8, 1}}, false},
        {"many fds in many messages", PR_IN, 8, {{1, 1}, {1, 200}, {14, 253}}, false},
        {"two fds on the last byte", PR_IN, 8, {{15, 0}, {1, 2}}, false},
        {"another opcode", 0x12, 8, {{16, 1}}, false},
        {"opcode 0", 0x00, 0, {{16, 1}}, false},
        {"too long an answer", PR_IN, 8193, {{16, 1}}, false},
        {"too long a list", PR_OUT, 8193, {{16, 1}}, false},
        {"a list of 64 kB and 24", PR_OUT, 0x10018, {{16, 1}}, false},
        {"a list of 16 MB", PR_OUT, 0x1000000, {{16, 1}}, false},
        {"ends in the CDB", PR_IN, 8, {{15, 1}}, true},
        {"ends after a byte", PR_IN, 8, {{1, 1}}, true},
        {"ends before the list", PR_OUT, 24, {{16, 1}}, true},
        {"ends in the list", PR_OUT, 24, {{16, 1}, {23, 0}}, true},
        {"ends in the list, with another fd", PR_OUT, 24, {{16, 1}, {23, 2}}, true},
    };

    (void)state;
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct traced_fd traced = traced_fd_open();
        uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
        int sock = client_open();
        size_t sent = 0;

        table_row = rows[i].name;
        make_cdb(bytes, rows[i].opcode, ACT_GOOD, rows[i].length, 0);
        if (rows[i].opcode == PR_OUT)
            store_be32(bytes + 5, rows[i].length);
        for (const struct message *m = rows[i].messages; m->size; m++) {
            if (send_fds(sock, bytes + sent, m->size, traced.fd, m->n_fds) < 0)
                break; /* closed already, which is what we are after */
            sent += m->size;
        }
        if (rows[i].half_close)
            shutdown(sock, SHUT_WR);
        client_expect_end(sock);
        close(sock);
        close(traced.fd);
        await_events(traced.read_end, POLLIN);
        close(traced.read_end);
    }
    table_row = NULL;
    assert_uint_equal(backend_seen.executed, 0);
    table_end();
}

/* Extra fds on the parameters are closed, and the request goes on. */
static void test_fds_with_parameters(void **state)
{
    struct traced_fd traced;
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    int sock;

    (void)state;
    start();
    traced = traced_fd_open();
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    sock = client_open();
    assert_int_equal(send_fds(sock, bytes, 16, device, 1), 16);
    assert_int_equal(send_fds(sock, bytes + 16, 12, traced.fd, 1), 12);
    assert_int_equal(send_fds(sock, bytes + 28, 12, traced.fd, 253), 12);
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    close(traced.fd);
    await_events(traced.read_end, POLLIN);
    client_expect_serving(sock);
    close(traced.read_end);
    close(sock);
    table_end();
}

/* Each passed fd is closed once its reply is out, by a connection that goes on. */
static void test_passed_fd_is_closed(void **state)
{
    struct traced_fd traced;
    uint8_t cdb[WIRE_CDB_SIZE];
    int sock;

    (void)state;
    start();
    traced = traced_fd_open();
    sock = client_open();
    make_cdb(cdb, PR_IN, ACT_WAIT, 8, 1);
    assert_int_equal(send_fds(sock, cdb, sizeof(cdb), traced.fd, 1), sizeof(cdb));
    close(traced.fd);
    await(backend_waiting() == 1);
    assert_false(is_readable(traced.read_end)); /* it is in use */
    backend_release();
    client_expect_reply(sock, SPC_STATUS_GOOD, 8, 1);
    await_events(traced.read_end, POLLIN);
    client_expect_serving(sock);
    close(traced.read_end);
    close(sock);
    table_end();
}

/* That our table of fds is full is not the client's fault: BUSY, and the connection stays. */
static void test_no_room_for_the_fd(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    unsigned n_fds;
    int sock;

    (void)state;
    start();
    sock = client_open();
    n_fds = count_fds();
    client_expect_serving(sock);
    await(count_fds() == n_fds); /* the fd of that request is closed after its reply */
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    fd_room_limit(0);
    client_request(sock, PR_IN, ACT_GOOD, 8, 1);
    client_expect_reply(sock, SPC_STATUS_BUSY, 0, 0);
    assert_int_equal(send_fds(sock, bytes, sizeof(bytes), device, 1), sizeof(bytes));
    client_expect_reply(sock, SPC_STATUS_BUSY, 0, 0);
    /* One byte with the lost fd, the rest without: still one request. */
    assert_int_equal(send_fds(sock, bytes, 1, device, 1), 1);
    client_await_taken(sock);
    assert_int_equal(send_fds(sock, bytes + 1, sizeof(bytes) - 1, sock, 0), sizeof(bytes) - 1);
    client_expect_reply(sock, SPC_STATUS_BUSY, 0, 0);
    fd_room_restore();
    client_expect_serving(sock);
    assert_uint_equal(backend_seen.executed, 2);
    await(count_fds() == n_fds);

    /* Two fds, of which one could be taken, break the protocol all the same. */
    fd_room_limit(1);
    make_cdb(bytes, PR_IN, ACT_GOOD, 8, 0);
    assert_int_equal(send_fds(sock, bytes, 16, device, 2), 16);
    client_expect_end(sock);
    fd_room_restore();
    close(sock);
    table_end();
}

/* Whose request it is cannot be found out: nothing that changes something is executed without. */
static void test_no_room_for_the_peer(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    struct peers peers;
    unsigned n_fds;
    int sock;

    (void)state;
    peers_init(&peers, false);
    start();
    conns.peers = &peers;
    conns.peers_wanted = CONNS_PEERS_OUT;
    sock = client_open();
    n_fds = count_fds();
    client_expect_serving(sock);
    await(count_fds() == n_fds);
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    fd_room_limit(1); /* which the request's takes */
    assert_int_equal(send_fds(sock, bytes, sizeof(bytes), device, 1), sizeof(bytes));
    client_expect_reply(sock, SPC_STATUS_BUSY, 0, 0);
    client_request(sock, PR_IN, ACT_GOOD, 8, 1);
    client_expect_reply(sock, SPC_STATUS_GOOD, 8, 1);
    fd_room_restore();
    assert_uint_equal(backend_seen.executed, 2);
    assert_int_equal(send_fds(sock, bytes, sizeof(bytes), device, 1), sizeof(bytes));
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    assert_uint_equal(backend_seen.executed, 3);
    pthread_mutex_lock(&peers.lock);
    assert_non_null(peers.first);
    pthread_mutex_unlock(&peers.lock);
    close(sock);
    table_end();
    assert_null(peers.first);
    peers_deinit(&peers);
}

/* A client that sends and does not read: replies are kept, and nothing more is read meanwhile. */
static void test_slow_reader(void **state)
{
    unsigned sent = 0;
    int sock, size = 1;

    (void)state;
    start();
    sock = client_open();
    /* As small as it gets, so that few replies fill it. */
    assert_int_equal(setsockopt(last_served, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (sent = 0; sent < 40; sent++)
        client_request(sock, PR_IN, ACT_GOOD, 8192, (uint8_t)sent);
    await(conns.n_timed == 1); /* for a reply that is not taken */
    assert_true(backend_seen.executed < sent);
    for (unsigned i = 0; i < sent; i++)
        client_expect_reply(sock, SPC_STATUS_GOOD, 8192, (uint8_t)i);
    client_expect_serving(sock);
    assert_uint_equal(conns.n_timed, 0);
    close(sock);
    table_end();
}

/* The client is gone when its command has been executed. */
static void test_client_gone(void **state)
{
    int sock;

    (void)state;
    start();
    sock = client_open();
    client_request(sock, PR_IN, ACT_WAIT, 8192, 1);
    await(backend_waiting() == 1);
    close(sock);
    backend_release();
    table_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_of_conns_test(test_handshake),
        table_of_conns_test(test_handshake_in_pieces),
        table_of_conns_test(test_fd_with_handshake),
        table_of_conns_test(test_request),
        table_of_conns_test(test_nothing_stale),
        table_of_conns_test(test_every_cut),
        table_of_conns_test(test_byte_by_byte),
        table_of_conns_test(test_long_parameter_list),
        table_of_conns_test(test_pipelined),
        table_of_conns_test(test_half_closed),
        table_of_conns_test(test_broken),
        table_of_conns_test(test_fds_with_parameters),
        table_of_conns_test(test_passed_fd_is_closed),
        table_of_conns_test(test_no_room_for_the_fd),
        table_of_conns_test(test_no_room_for_the_peer),
        table_of_conns_test(test_slow_reader),
        table_of_conns_test(test_client_gone),
    };

    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
