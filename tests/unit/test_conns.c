// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of connections: deadlines, the maximum of threads, the steps of a stop, load. */
#include "cmocka_compat.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "connections.h"
#include "serve/conns.h"

/* Do what the main thread does with the tick, until the client's connection has been cut. */
static void tick_until_end(int client)
{
    int64_t end = clock_now_ms() + await_limit_ms();
    struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                           {.fd = conns.tick_fd, .events = POLLIN}};

    while (clock_now_ms() < end) {
        assert_true(poll(fds, 2, await_limit_ms()) > 0);
        if (fds[0].revents)
            break;
        conns_tick(&conns);
    }
    client_expect_end(client);
}

static bool tick_is_armed(void)
{
    struct itimerspec left;

    assert_int_equal(timerfd_gettime(conns.tick_fd, &left), 0);
    return left.it_value.tv_sec || left.it_value.tv_nsec;
}

static int64_t deadline_of(int served)
{
    return atomic_load(&conns.slots[served].deadline_ms);
}

/* Without a peer's record: what a connection does is known of all of them. */
static enum conns_state state_of(int served)
{
    struct conns_look look;

    assert_true(conns_look(&conns, (unsigned)served, &look));
    assert_null(look.peer);
    return look.state;
}

/* Who owes us something is cut off; who is waited for by us, or owes nothing, is not. */
static void test_deadlines(void **state)
{
    uint8_t features[4], cdb[WIRE_CDB_SIZE], drained[4096];
    int silent, half_handshake, half_cdb, half_list, deaf, idle, executing, size = 1;
    int served;

    (void)state;
    table_start(100, 100);
    idle = client_open_served();
    served = last_served;
    executing = client_open();
    client_request(executing, PR_IN, ACT_WAIT, 8, 1);
    await(backend_waiting() == 1);
    await(conns.n_timed == 0);
    /* A client may have its reply before its server has turned to the next request. */
    await(state_of(served) == CONNS_IDLE);
    assert_int_equal(state_of(last_served), CONNS_EXECUTING);

    silent = client_open_with(&backend);
    client_read(silent, features, 4);
    half_handshake = client_open_with(&backend);
    client_read(half_handshake, features, 4);
    assert_int_equal(write(half_handshake, "\0\0", 2), 2);
    half_cdb = client_open_served();
    make_cdb(cdb, PR_IN, ACT_GOOD, 8, 1);
    assert_int_equal(send_fds(half_cdb, cdb, 8, device, 1), 8);
    half_list = client_open_served();
    make_cdb(cdb, PR_OUT, ACT_GOOD, 24, 0);
    assert_int_equal(send_fds(half_list, cdb, 16, device, 1), 16);
    deaf = client_open_served();
    assert_int_equal(setsockopt(last_served, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 20; i++)
        client_request(deaf, PR_IN, ACT_GOOD, 8192, 1);
    await(conns.n_timed == 5);
    assert_true(tick_is_armed());

    tick_until_end(silent);
    tick_until_end(half_handshake);
    tick_until_end(half_cdb);
    tick_until_end(half_list);
    await(conns.n_timed == 0 && conns.n_open == 2);
    while (read(deaf, drained, sizeof(drained)) > 0)
        ; /* what had gone out before the end */

    /* The time that we take is not the client's. */
    conns_tick(&conns);
    assert_false(tick_is_armed());
    client_expect_serving(idle);
    backend_release();
    client_expect_reply(executing, SPC_STATUS_GOOD, 8, 1);
    client_expect_serving(executing);
    close(silent);
    close(half_handshake);
    close(half_cdb);
    close(half_list);
    close(deaf);
    close(idle);
    close(executing);
    table_end();
}

/* A client that sends a byte now and then is as late as one that sends none. */
static void test_one_deadline_for_a_request(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    int64_t deadline;
    int sock;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    sock = client_open_served();
    await(conns.n_timed == 0);
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    assert_int_equal(send_fds(sock, bytes, 1, device, 1), 1);
    await(deadline_of(last_served) != 0);
    deadline = deadline_of(last_served);
    assert_int_in_range(deadline - clock_now_ms(), 1, TABLE_TIMEOUT_MS);
    for (size_t i = 1; i < sizeof(bytes) - 1; i++) {
        await_pause(); /* or a new deadline might be the same */
        assert_int_equal(write(sock, bytes + i, 1), 1);
    }
    client_await_taken(sock);
    assert_true(deadline_of(last_served) == deadline);
    assert_int_equal(write(sock, bytes, 1), 1);
    client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
    await(deadline_of(last_served) == 0);
    close(sock);
    table_end();
}

/* All threads that there may be are blocked: the others are told so, and stay connected. */
static void test_busy(void **state)
{
    struct traced_fd traced;
    uint8_t bytes[WIRE_CDB_SIZE + 24] = {0};
    int blocked[3], other;

    (void)state;
    table_start(4, TABLE_TIMEOUT_MS);
    traced = traced_fd_open();
    for (unsigned i = 0; i < 3; i++) {
        blocked[i] = client_open();
        client_request(blocked[i], PR_IN, ACT_WAIT, 8, 1);
        await(backend_waiting() == i + 1);
    }
    other = client_open();
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(send_fds(other, bytes, sizeof(bytes), traced.fd, 1), sizeof(bytes));
        client_expect_reply(other, SPC_STATUS_BUSY, 0, 0);
        client_request(other, PR_IN, ACT_GOOD, 8, 1);
        client_expect_reply(other, SPC_STATUS_BUSY, 0, 0);
    }
    close(traced.fd);
    await_events(traced.read_end, POLLIN); /* there are threads for that still */
    assert_uint_equal(backend_seen.executed, 0);
    backend_release();
    for (unsigned i = 0; i < 3; i++)
        client_expect_reply(blocked[i], SPC_STATUS_GOOD, 8, 1);
    await(conns.budget.used[BUDGET_THREADS] == 0); /* their threads have come back */
    client_expect_serving(other);
    for (unsigned i = 0; i < 3; i++)
        close(blocked[i]);
    close(other);
    close(traced.read_end);
    table_end();
}

static void test_refused(void **state)
{
    int sock;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    sock = client_open_with(NULL);
    client_expect_end(sock);
    close(sock);
    table_end();
}

static void test_open_fails(void **state)
{
    int pair[2], file;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    assert_true(pool_ensure(&pool));
    /* Gone before it was greeted. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[0]);
    assert_int_equal(conns_open(&conns, pair[1], &backend), 0);
    await(conns.n_open == 0);
    /* Nothing that epoll takes. */
    file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(conns_open(&conns, file, &backend), -EPERM);
    close(client_open_served());
    await(fcntl(file, F_GETFD) == -1); /* the main thread closes nothing that may block */
    /* A number for which there is no slot. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fcntl(pair[1], F_DUPFD_CLOEXEC, TABLE_SLOTS), TABLE_SLOTS);
    close(pair[1]);
    assert_int_equal(conns_open(&conns, TABLE_SLOTS, &backend), -EMFILE);
    client_expect_end(pair[0]);
    close(pair[0]);
    table_end();
}

/* Without a client there is nothing to wait for. */
static void test_stop_without_clients(void **state)
{
    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    assert_false(is_readable(conns.drained_fd));
    conns_stop(&conns);
    assert_true(is_readable(conns.drained_fd));
    table_end();
}

/*
 * A command in progress is answered, and by the time that its client has the answer, it cannot send
 * the next one any more: no request can get lost between the two.
 */
static void test_stop_while_executing(void **state)
{
    int sock;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    for (int opcode = PR_IN; opcode <= PR_OUT; opcode++) {
        conns.stopping = false;
        sock = client_open();
        client_request(sock, (uint8_t)opcode, ACT_WAIT, 0, 1);
        await(backend_waiting() == 1);
        conns_stop(&conns);
        assert_false(is_readable(conns.drained_fd));
        backend_release();
        client_expect_reply(sock, SPC_STATUS_GOOD, 0, 0);
        assert_int_equal(send_fds(sock, "x", 1, device, 1), -EPIPE);
        client_expect_end(sock);
        await_events(conns.drained_fd, POLLIN);
        close(sock);
        backend_seen.open = false;
        assert_int_equal(read(conns.drained_fd, &(uint64_t){0}, 8), 8);
    }
    table_end();
}

/* What is queued when the helper stops is served; only then the connection ends. */
static void test_stop_with_queued_requests(void **state)
{
    int sock;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    sock = client_open();
    client_request(sock, PR_IN, ACT_WAIT, 8, 1);
    client_request(sock, PR_IN, ACT_GOOD, 16, 2);
    client_request(sock, PR_IN, ACT_GOOD, 24, 3);
    await(backend_waiting() == 1);
    conns_stop(&conns);
    conns_shutdown_idle(&conns);
    assert_int_equal(send_fds(sock, "x", 1, device, 1), -EPIPE);
    backend_release();
    client_expect_reply(sock, SPC_STATUS_GOOD, 8, 1);
    client_expect_reply(sock, SPC_STATUS_GOOD, 16, 2);
    client_expect_reply(sock, SPC_STATUS_GOOD, 24, 3);
    client_expect_end(sock);
    await_events(conns.drained_fd, POLLIN);
    close(sock);
    table_end();
}

/* Who is between requests goes on until it is told to go, and then goes at once. */
static void test_stop_while_idle(void **state)
{
    int served, idle;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    idle = client_open_served();
    served = client_open_served();
    await(conns.n_timed == 0);
    conns_stop(&conns);
    client_expect_serving(served); /* in the moment of grace */
    client_expect_end(served);
    assert_false(is_readable(idle));
    conns_shutdown_idle(&conns);
    client_expect_end(idle);
    assert_int_equal(send(idle, "x", 1, MSG_NOSIGNAL), -1);
    await_events(conns.drained_fd, POLLIN);
    close(served);
    close(idle);
    table_end();
}

/* Who is in the middle of a request, or of the handshake, or of a reply, is let finish it. */
static void test_stop_in_the_middle(void **state)
{
    uint8_t features[4], cdb[WIRE_CDB_SIZE], list[24] = {0};
    int half_cdb, half_list, half_handshake, deaf, size = 1;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    half_cdb = client_open_served();
    make_cdb(cdb, PR_IN, ACT_GOOD, 8, 1);
    assert_int_equal(send_fds(half_cdb, cdb, 8, device, 1), 8);
    half_list = client_open_served();
    make_cdb(cdb, PR_OUT, ACT_GOOD, 24, 0);
    assert_int_equal(send_fds(half_list, cdb, 16, device, 1), 16);
    half_handshake = client_open_with(&backend);
    client_read(half_handshake, features, 4);
    deaf = client_open_served();
    assert_int_equal(setsockopt(last_served, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 5; i++)
        client_request(deaf, PR_IN, ACT_GOOD, 8192, (uint8_t)i);
    await(conns.n_timed == 4);

    conns_stop(&conns);
    conns_shutdown_idle(&conns);
    make_cdb(cdb, PR_IN, ACT_GOOD, 8, 1);
    assert_int_equal(send(half_cdb, cdb + 8, 8, MSG_NOSIGNAL), 8);
    client_expect_reply(half_cdb, SPC_STATUS_GOOD, 8, 1);
    client_expect_end(half_cdb);
    assert_int_equal(send(half_list, list, 24, MSG_NOSIGNAL), 24);
    client_expect_reply(half_list, SPC_STATUS_GOOD, 0, 0);
    client_expect_end(half_list);
    for (int i = 0; i < 5; i++)
        client_expect_reply(deaf, SPC_STATUS_GOOD, 8192, (uint8_t)i);
    client_expect_end(deaf);
    /* It may complete its handshake, and then there is nothing more for it. */
    assert_false(is_readable(conns.drained_fd));
    assert_int_equal(send(half_handshake, "\0\0\0\0", 4, MSG_NOSIGNAL), 4);
    client_expect_end(half_handshake);
    await_events(conns.drained_fd, POLLIN);
    close(half_cdb);
    close(half_list);
    close(half_handshake);
    close(deaf);
    table_end();
}

static void test_shutdown_all(void **state)
{
    uint8_t cdb[WIRE_CDB_SIZE];
    int idle, half_cdb, executing;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    idle = client_open_served();
    half_cdb = client_open_served();
    make_cdb(cdb, PR_IN, ACT_GOOD, 8, 1);
    assert_int_equal(send_fds(half_cdb, cdb, 8, device, 1), 8);
    executing = client_open();
    client_request(executing, PR_IN, ACT_WAIT, 8, 1);
    await(backend_waiting() == 1);
    conns_stop(&conns);
    conns_shutdown_all(&conns);
    client_expect_end(idle);
    client_expect_end(half_cdb);
    client_expect_end(executing); /* at once, also while its command runs */
    assert_false(is_readable(conns.drained_fd));
    backend_release();
    await_events(conns.drained_fd, POLLIN);
    close(idle);
    close(half_cdb);
    close(executing);
    table_end();
}

/* The pool has stopped with connections in every state: all is released. */
static void test_deinit(void **state)
{
    uint8_t bytes[WIRE_CDB_SIZE + 12] = {0};
    int clients[4], size = 1;

    (void)state;
    table_start(100, TABLE_TIMEOUT_MS);
    clients[0] = client_open_with(&backend);
    clients[1] = client_open_served();
    make_cdb(bytes, PR_OUT, ACT_GOOD, 24, 0);
    assert_int_equal(send_fds(clients[1], bytes, 8, device, 1), 8);
    clients[2] = client_open_served();
    assert_int_equal(send_fds(clients[2], bytes, sizeof(bytes), device, 1), sizeof(bytes));
    clients[3] = client_open_served();
    assert_int_equal(setsockopt(last_served, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 5; i++)
        client_request(clients[3], PR_IN, ACT_GOOD, 8192, 0);
    await(conns.n_timed == 4);
    assert_true(pool_stop(&pool, clock_now_ms() + await_limit_ms()));
    assert_uint_equal(conns.n_open, 4);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    conns_deinit(&conns);
    pool_deinit(&pool);
    assert_uint_equal(count_fds(), table_fds_before);
    table_is_up = false;
}

/*
 * Many clients at once, with requests of all kinds in pieces of all sizes, and some that leave in
 * the middle and come again. A generator with a fixed seed: the same run each time, but for the
 * threads.
 */
static uint32_t random_next(uint32_t below)
{
    static uint32_t x = 2463534242u; /* xorshift32 */

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x % below;
}

struct load_client {
    int sock;
    uint8_t bytes[WIRE_CDB_SIZE + 300];
    size_t size, sent, fd_at;
    bool is_in;
    uint32_t length;
    uint8_t fill;
};

static void load_begin(struct load_client *client)
{
    client->is_in = random_next(2);
    client->length = random_next(300);
    client->fill = (uint8_t)random_next(256);
    make_cdb(client->bytes, client->is_in ? PR_IN : PR_OUT, ACT_GOOD, client->length, client->fill);
    client->size = WIRE_CDB_SIZE + (client->is_in ? 0 : client->length);
    client->sent = 0;
    client->fd_at = random_next(WIRE_CDB_SIZE);
}

/* Send one piece more; the fd goes with its byte. */
static void load_send(struct load_client *client)
{
    size_t piece = 1 + random_next((uint32_t)(client->size - client->sent));
    bool with_fd = client->sent <= client->fd_at && client->fd_at < client->sent + piece;

    assert_int_equal(send_fds(client->sock, client->bytes + client->sent, piece, device, with_fd),
                     piece);
    client->sent += piece;
    if (client->sent < client->size)
        return;
    client_expect_reply(client->sock, SPC_STATUS_GOOD, client->is_in ? client->length : 0,
                        client->fill);
    load_begin(client);
}

static void test_load(void **state)
{
    static struct load_client clients[24];
    const size_t n_clients = sizeof(clients) / sizeof(clients[0]);

    (void)state;
    table_start(64, TABLE_TIMEOUT_MS); /* more than clients, even in one process's share */
    pool.surplus_ms = 5;
    for (size_t i = 0; i < n_clients; i++) {
        clients[i].sock = client_open();
        load_begin(&clients[i]);
    }
    for (int step = 0; step < 10000; step++) {
        struct load_client *client = &clients[random_next((uint32_t)n_clients)];

        if (random_next(50) == 0) {
            close(client->sock);
            client->sock = client_open();
            load_begin(client);
        }
        load_send(client);
    }
    for (size_t i = 0; i < n_clients; i++)
        close(clients[i].sock);
    table_end();
}

static int raise_fd_limit(void **state)
{
    struct rlimit limit;

    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max <= TABLE_SLOTS)
        return -1;
    if (limit.rlim_cur <= TABLE_SLOTS) {
        limit.rlim_cur = TABLE_SLOTS + 1;
        return setrlimit(RLIMIT_NOFILE, &limit);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_of_conns_test(test_deadlines),
        table_of_conns_test(test_one_deadline_for_a_request),
        table_of_conns_test(test_busy),
        table_of_conns_test(test_refused),
        table_of_conns_test(test_open_fails),
        table_of_conns_test(test_stop_without_clients),
        table_of_conns_test(test_stop_while_executing),
        table_of_conns_test(test_stop_with_queued_requests),
        table_of_conns_test(test_stop_while_idle),
        table_of_conns_test(test_stop_in_the_middle),
        table_of_conns_test(test_shutdown_all),
        table_of_conns_test(test_deinit),
        table_of_conns_test(test_load),
    };

    return cmocka_run_group_tests_name("conns", tests, raise_fd_limit, NULL);
}
