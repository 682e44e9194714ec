// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands that something comes between: time-outs, signals, bytes that were not asked for, the
 * end.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "await.h"
#include "base/clock.h"
#include "session.h"

static void count_signal(int number)
{
    fake_count();
}

static void test_timeout(void **state)
{
    static const struct {
        const char *name;
        size_t sent; /* of the reply */
        int timeout_ms;
    } late[] = {
        {"nothing", 0, SOON_MS},
        {"half a reply", 50, SOON_MS},
        {"half the data", HEAD_BYTES + 8, SOON_MS},
        {"no time at all", 0, 0},
    };
    struct reply_bytes good = make_reply(0, 16);

    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        const struct fake_step steps[] = {
            GREETING,
            {FAKE_TAKE, NULL, CDB_BYTES},
            {FAKE_SEND, good.bytes, late[i].sent},
            {FAKE_END, NULL, 0},
        };
        struct prhelper_result result;
        struct session session;
        int64_t started;

        table_row = late[i].name;
        session_begin(&session, steps);
        prhelper_set_timeout(session.helper, late[i].timeout_ms);
        started = clock_now_ms();
        assert_int_equal(prin(session.helper, &result), -ETIMEDOUT);
        assert_true(clock_now_ms() - started >= late[i].timeout_ms);
        assert_no_answer(&result, true);
        assert_dead(session.helper);
        assert_uint_equal(session_end(&session, NULL, NULL), SHAKEN + CDB_BYTES);
    }
    table_row = NULL;
}

/* The time is for the whole command, however steadily bytes keep coming. */
static void test_timeout_of_a_steady_trickle(void **state)
{
    struct reply_bytes good = make_reply(0, 16);
    struct fake_step steps[3 + 2 * HEAD_BYTES + 1] = {GREETING, {FAKE_TAKE, NULL, CDB_BYTES}};
    struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = count_signal};
    struct prhelper_result result;
    struct session session;

    /* One byte with each tick of a timer: 104 ticks of 5 ms are far more than the time-out. */
    for (unsigned i = 0; i < HEAD_BYTES; i++) {
        steps[3 + 2 * i] = (struct fake_step){FAKE_WAIT, NULL, i + 1};
        steps[3 + 2 * i + 1] = (struct fake_step){FAKE_SEND, good.bytes + i, 1};
    }
    steps[3 + 2 * HEAD_BYTES] = (struct fake_step){FAKE_END, NULL, 0};
    session_begin(&session, steps);
    prhelper_set_timeout(session.helper, SOON_MS);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    assert_int_equal(prin(session.helper, &result), -ETIMEDOUT);
    /* Let the fake go through the rest of its list. */
    while (fake_counted() < HEAD_BYTES)
        pause();
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    session_end(&session, NULL, NULL);
}

/* A handler without SA_RESTART interrupts each wait, and the answer comes only after ten of them.
 */
static void test_signals_do_not_interrupt(void **state)
{
    struct reply_bytes good = make_reply(0, 16);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_WAIT, NULL, 10},
        {FAKE_SEND, good.bytes, 50},
        {FAKE_WAIT, NULL, 20},
        {FAKE_SEND, good.bytes + 50, HEAD_BYTES - 50 + 16},
        {FAKE_END, NULL, 0},
    };
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = count_signal};
    static const int timeouts[] = {PRHELPER_FOREVER, LONG_MS};

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct prhelper_result result;
        struct session session;

        session_begin(&session, steps);
        prhelper_set_timeout(session.helper, timeouts[i]);
        assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
        assert_int_equal(prin(session.helper, &result), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
        assert_uint_equal(result.size, 16);
        session_end(&session, NULL, NULL);
    }
}

/* What arrives between commands belongs to none of them, and the helper is not even asked. */
static void test_bytes_between_commands(void **state)
{
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_WAIT, NULL, 1},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct session session;

    session_begin(&session, steps);
    assert_int_equal(prin(session.helper, &result), 0);
    fake_count();
    assert_int_equal(poll(&(struct pollfd){.fd = session.sock, .events = POLLIN}, 1, LONG_MS), 1);
    assert_int_equal(prout(session.helper, &result), PRHELPER_UNEXPECTED);
    assert_no_answer(&result, false);
    assert_dead(session.helper);
    assert_uint_equal(session_end(&session, NULL, NULL), SHAKEN + CDB_BYTES);
}

static unsigned pipe_signals;

static void count_pipe_signal(int signal_number)
{
    pipe_signals++;
}

/* The helper went away while nothing was asked of it: known for sure not to have been carried out,
 * whether it closed, stopped listening, or closed with something unread. */
static void test_gone_between_commands(void **state)
{
    static const struct {
        const char *name;
        enum fake_step_kind kind;
    } ways[] = {{"closed", FAKE_CLOSE}, {"deaf", FAKE_DEAF}};
    struct sigaction action = {.sa_handler = count_pipe_signal};
    struct reply_bytes good = make_reply(0, 0);

    assert_int_equal(sigaction(SIGPIPE, &action, NULL), 0);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const struct fake_step steps[] = {
            GREETING,
            {FAKE_TAKE, NULL, CDB_BYTES},
            {FAKE_SEND, good.bytes, HEAD_BYTES},
            {ways[i].kind, NULL, 0},
            {FAKE_END, NULL, 0},
        };
        struct prhelper_result result;
        struct session session;

        table_row = ways[i].name;
        session_begin(&session, steps);
        assert_int_equal(prin(session.helper, &result), 0);
        fake_await(1);
        assert_int_equal(prout(session.helper, &result), PRHELPER_CLOSED);
        assert_no_answer(&result, false);
        assert_dead(session.helper);
        session_end(&session, NULL, NULL);
    }
    table_row = NULL;
    assert_uint_equal(pipe_signals, 0);
}

/* It closed with the command unread, which the kernel reports as a reset. */
static void test_closed_without_reading(void **state)
{
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE_CLOSE, NULL, 0},
    };
    struct prhelper_result result;
    struct session session;

    session_begin(&session, steps);
    assert_int_equal(prout(session.helper, &result), PRHELPER_CLOSED);
    assert_no_answer(&result, true);
    assert_dead(session.helper);
    session_end(&session, NULL, NULL);
}

/* With room for nothing, the command waits in parts; the fd goes with the first one only. */
static void test_small_socket_buffer(void **state)
{
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static uint8_t list[PRHELPER_DATA_MAX];
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, 1},
        {FAKE_TAKE, NULL, CDB_BYTES - 1 + sizeof(list)},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_END, NULL, 0},
    };
    static const int timeouts[] = {PRHELPER_FOREVER, LONG_MS};

    for (unsigned i = 0; i < 2; i++) {
        struct prhelper_result result;
        struct session session;
        unsigned fds;

        session_begin(&session, steps);
        assert_int_equal(setsockopt(session.sock, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)),
                         0);
        prhelper_set_timeout(session.helper, timeouts[i]);
        assert_int_equal(prhelper_execute(session.helper, STDIN_FILENO, out, sizeof(out), list,
                                          sizeof(list), &result),
                         0);
        assert_uint_equal(session_end(&session, NULL, &fds), SHAKEN + CDB_BYTES + sizeof(list));
        assert_uint_equal(fds, 1);
    }
}

/* It never reads: what could not leave cannot have been carried out. */
static void test_timeout_while_sending(void **state)
{
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static uint8_t list[PRHELPER_DATA_MAX];
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_WAIT, NULL, 1},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct session session;

    session_begin(&session, steps);
    assert_int_equal(setsockopt(session.sock, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    prhelper_set_timeout(session.helper, SOON_MS);
    assert_int_equal(prhelper_execute(session.helper, STDIN_FILENO, out, sizeof(out), list,
                                      sizeof(list), &result),
                     -ETIMEDOUT);
    assert_no_answer(&result, false);
    assert_dead(session.helper);
    fake_count();
    session_end(&session, NULL, NULL);
}

/* Of what was sent, those that the other side has not taken. */
static int unread_bytes(int sock)
{
    int n = -1;

    assert_int_equal(ioctl(sock, SIOCOUTQ, &n), 0);
    return n;
}

/* Not a byte could leave; still, the time-out is over, and with it the connection. */
static void test_timeout_before_sending(void **state)
{
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_WAIT, NULL, 1},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct session session;

    session_begin(&session, steps);
    /* What the fake has not taken of the handshake yet would make room later. */
    await(unread_bytes(session.sock) == 0);
    while (send(session.sock, parameters, sizeof(parameters), MSG_DONTWAIT) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
    prhelper_set_timeout(session.helper, SOON_MS);
    assert_int_equal(prin(session.helper, &result), -ETIMEDOUT);
    assert_no_answer(&result, false);
    assert_dead(session.helper);
    fake_count();
    session_end(&session, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_timeout),
        cmocka_unit_test(test_timeout_of_a_steady_trickle),
        cmocka_unit_test(test_signals_do_not_interrupt),
        cmocka_unit_test(test_bytes_between_commands),
        table_test(test_gone_between_commands),
        cmocka_unit_test(test_closed_without_reading),
        cmocka_unit_test(test_small_socket_buffer),
        cmocka_unit_test(test_timeout_while_sending),
        cmocka_unit_test(test_timeout_before_sending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
