// SPDX-License-Identifier: LGPL-2.1-or-later
/* A few clients are identified at a time, and none waits for one that hangs. */
#include "cmocka_compat.h"

#include "connections.h"
#include "serve/conns.h"
#include "serve/peer.h"

#define MORE 5 /* clients than may be identified at a time */

/* /proc as a client's memory lets it be read: not before the test says so. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answers;
    atomic_uint asking;
    unsigned asked;
} proc = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct peers peers;

static int proc_open(void *context, pid_t pid, const char *file)
{
    (void)context;
    (void)pid;
    (void)file;
    pthread_mutex_lock(&proc.lock);
    proc.asking++;
    proc.asked++;
    while (!proc.answers)
        pthread_cond_wait(&proc.changed, &proc.lock);
    proc.asking--;
    pthread_mutex_unlock(&proc.lock);
    return -ENOENT;
}

static void proc_set(bool answers)
{
    pthread_mutex_lock(&proc.lock);
    proc.answers = answers;
    pthread_cond_broadcast(&proc.changed);
    pthread_mutex_unlock(&proc.lock);
}

static void start(enum conns_peers wanted)
{
    peers_init(&peers, true);
    table_start(TABLE_SLOTS, TABLE_TIMEOUT_MS);
    peers_open_by(&peers, proc_open, NULL);
    conns.peers = &peers;
    conns.peers_wanted = wanted;
    proc_set(false);
}

static void end(void)
{
    table_end();
    assert_uint_equal(conns.identifying.running, 0);
    assert_uint_equal(conns.identifying.late, 0);
    assert_null(peers.first);
    peers_deinit(&peers);
}

static unsigned crowd_size(void)
{
    return pool.max_waiting + MORE;
}

/* So many clients, each with a request. */
static void crowd_open(int *socks)
{
    for (unsigned i = 0; i < crowd_size(); i++) {
        socks[i] = client_open();
        client_request(socks[i], PR_IN, ACT_GOOD, 8, 1);
    }
    await(proc.asking == pool.max_waiting && conns.unidentified.n == MORE);
}

static void crowd_close(const int *socks)
{
    for (unsigned i = 0; i < crowd_size(); i++) {
        client_expect_reply(socks[i], SPC_STATUS_GOOD, 8, 1);
        close(socks[i]);
    }
}

static void crowd_waits(enum conns_peers wanted)
{
    int socks[TABLE_SLOTS];

    start(wanted);
    crowd_open(socks);
    proc_set(true);
    crowd_close(socks);
    end();
}

static void test_few_at_a_time(void **state)
{
    (void)state;
    crowd_waits(CONNS_PEERS_COMMAND);
}

static void test_few_at_a_time_at_the_handshake(void **state)
{
    (void)state;
    crowd_waits(CONNS_PEERS_HANDSHAKE);
}

/* A client without a command costs no peer, unless that could not be had later. */
static void test_without_a_command(void **state)
{
    int sock;

    (void)state;
    start(CONNS_PEERS_COMMAND);
    sock = client_open();
    client_await_taken(sock);
    assert_uint_equal(proc.asking, 0);
    close(sock);
    await(conns.n_open == 0);
    assert_uint_equal(proc.asking, 0);
    end();
}

/* One that has sent nothing yet has its turn, and the others behind it have theirs. */
static void test_turn_of_a_silent_client(void **state)
{
    int socks[TABLE_SLOTS];
    unsigned n = crowd_size();

    (void)state;
    start(CONNS_PEERS_HANDSHAKE);
    for (unsigned i = 0; i < n; i++)
        socks[i] = client_open();
    await(conns.unidentified.n == MORE);
    proc_set(true);
    await(conns.unidentified.n == 0 && conns.identifying.running == 0);
    for (unsigned i = 0; i < n; i++) {
        client_request(socks[i], PR_IN, ACT_GOOD, 8, 1);
        client_expect_reply(socks[i], SPC_STATUS_GOOD, 8, 1);
        close(socks[i]);
    }
    end();
}

/* Those that take longer than to the tick do not keep others from their turn. */
static void test_late_ones(void **state)
{
    int socks[TABLE_SLOTS];

    (void)state;
    start(CONNS_PEERS_COMMAND);
    crowd_open(socks);
    identify_tick(&conns);
    await(proc.asking == crowd_size() || proc.asking == 2 * pool.max_waiting);
    identify_tick(&conns);
    await(proc.asking == crowd_size() || proc.asking == 3 * pool.max_waiting);
    proc_set(true);
    crowd_close(socks);
    end();
}

/* One that has gone meanwhile is closed, and is not in the others' way. */
static void test_gone_while_it_waits(void **state)
{
    int socks[TABLE_SLOTS];

    (void)state;
    start(CONNS_PEERS_COMMAND);
    crowd_open(socks);
    for (unsigned i = 0; i < crowd_size(); i++)
        close(socks[i]);
    proc_set(true);
    await(conns.n_open == 0);
    assert_uint_equal(conns.unidentified.n, 0);
    end();
}

/* A process that has been identified is not asked for again, as long as it is connected. */
static void test_same_process(void **state)
{
    int first, second;
    unsigned asked;

    (void)state;
    start(CONNS_PEERS_COMMAND);
    proc_set(true);
    first = client_open();
    client_request(first, PR_IN, ACT_GOOD, 8, 1);
    client_expect_reply(first, SPC_STATUS_GOOD, 8, 1);
    asked = proc.asked;
    assert_true(asked > 0);
    second = client_open();
    client_request(second, PR_IN, ACT_GOOD, 8, 1);
    client_expect_reply(second, SPC_STATUS_GOOD, 8, 1);
    assert_uint_equal(proc.asked, peers.pidfs ? asked : 2 * asked);
    close(first);
    close(second);
    end();
}

/* A stop serves what has been sent, also by those that wait. */
static void test_stop(void **state)
{
    int socks[TABLE_SLOTS];

    (void)state;
    start(CONNS_PEERS_COMMAND);
    crowd_open(socks);
    conns_stop(&conns);
    conns_shutdown_idle(&conns);
    proc_set(true);
    crowd_close(socks);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_of_conns_test(test_few_at_a_time),
        table_of_conns_test(test_few_at_a_time_at_the_handshake),
        table_of_conns_test(test_without_a_command),
        table_of_conns_test(test_turn_of_a_silent_client),
        table_of_conns_test(test_late_ones),
        table_of_conns_test(test_gone_while_it_waits),
        table_of_conns_test(test_same_process),
        table_of_conns_test(test_stop),
    };

    return cmocka_run_group_tests_name("identify", tests, NULL, NULL);
}
