// SPDX-License-Identifier: LGPL-2.1-or-later
/* The calls for event loops, step by step: what they wait for, and what comes of it. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "await.h"
#include "peer.h"
#include "scratch.h"

static char path[64];

static int set_up(void **state)
{
    if (scratch_set_up(state) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", scratch);
    return 0;
}

/* Until the time is over for which it waits. */
static void wait_for_timeout(const struct prhelper *helper)
{
    int timeout = prhelper_timeout(helper);

    assert_true(timeout >= 0);
    assert_int_equal(poll(NULL, 0, timeout), 0);
}

static void test_connect_step_by_step(void **state)
{
    int listener = peer_listen(path, 1), sock;
    struct prhelper *helper = NULL;
    uint8_t answer[4];

    assert_int_equal(prhelper_start_connect(path, PRHELPER_FEATURES, LONG_MS, &helper),
                     PRHELPER_PENDING);
    assert_waits(helper, POLLIN, true);
    assert_true(fcntl(prhelper_fd(helper), F_GETFD) & FD_CLOEXEC);
    sock = peer_accept(listener);
    assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
    for (unsigned i = 0; i < 3; i++) {
        peer_say(sock, "", 1);
        assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
        assert_waits(helper, POLLIN, true);
        peer_finds_nothing(sock);
    }
    peer_say(sock, "\1", 1);
    assert_int_equal(prhelper_continue(helper), 0);
    peer_take(sock, answer, sizeof(answer), NULL);
    assert_memory_equal(answer, "\0\0\0\1", 4);
    assert_uint_equal(prhelper_features(helper), 1);
    /* Idle: nothing but its end is news. */
    assert_waits(helper, POLLIN, false);
    assert_int_equal(prhelper_continue(helper), 0);
    assert_int_equal(prhelper_cancel(helper), 0);
    prhelper_close(helper);
    close(sock);
    close(listener);
    unlink(path);
}

static void test_connect_fails(void **state)
{
    static const struct {
        const char *name;
        size_t said;
        int r;
    } rows[] = {{"closed", 0, PRHELPER_CLOSED}, {"cut", 3, PRHELPER_CUT}};
    struct prhelper *untouched = (struct prhelper *)&untouched, *helper = untouched;
    struct prhelper_result result;
    int listener;

    /* At once: there is nothing to go on with. */
    assert_int_equal(prhelper_start_connect(path, 0, LONG_MS, &helper), -ENOENT);
    assert_int_equal(prhelper_start_connect("", 0, LONG_MS, &helper), PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_start_adopt(-1, 0, LONG_MS, &helper), PRHELPER_BAD_ARGUMENT);
    assert_ptr_equal(helper, untouched);

    listener = peer_listen(path, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int sock;

        table_row = rows[i].name;
        assert_int_equal(prhelper_start_connect(path, 0, LONG_MS, &helper), PRHELPER_PENDING);
        sock = peer_accept(listener);
        peer_say(sock, "\0\0\0", rows[i].said);
        close(sock);
        assert_int_equal(prhelper_continue(helper), rows[i].r);
        assert_waits(helper, 0, false);
        assert_int_equal(prhelper_continue(helper), PRHELPER_DEAD);
        assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_DEAD);
        prhelper_close(helper);
    }
    table_row = NULL;

    assert_int_equal(prhelper_start_connect(path, 0, SOON_MS, &helper), PRHELPER_PENDING);
    wait_for_timeout(helper);
    assert_int_equal(prhelper_continue(helper), -ETIMEDOUT);
    assert_waits(helper, 0, false);
    prhelper_close(helper);
    close(listener);
    unlink(path);
}

/* With no room in its queue there is nothing to watch, only time; it does not count as a failure.
 */
static void test_queue_is_full(void **state)
{
    int listener = peer_listen(path, 0), clients[8], sock = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct prhelper *helper = NULL;
    unsigned n = 0;

    strcpy(address.sun_path, path);
    do {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } while (connect(clients[n++], (struct sockaddr *)&address, sizeof(address)) == 0 && n < 8);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(prhelper_start_connect(path, 0, LONG_MS, &helper), PRHELPER_PENDING);
    for (unsigned i = 0; i < 5; i++) {
        assert_waits(helper, 0, true);
        wait_for_timeout(helper);
        assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
    }
    while ((sock = accept(listener, NULL, NULL)) >= 0)
        close(sock);
    do {
        wait_for_timeout(helper);
        assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
    } while (prhelper_fd(helper) < 0);
    sock = peer_accept(listener);
    peer_shake_hands(sock, helper);
    prhelper_close(helper);
    close(sock);
    while (n > 0)
        close(clients[--n]);
    close(listener);
    unlink(path);
}

/* Who adopts a socket has it if the call did not fail, and only then. */
static void test_adopt_owns_the_socket(void **state)
{
    struct prhelper *helper = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[0]);
    assert_int_equal(prhelper_start_adopt(pair[1], 0, LONG_MS, &helper), PRHELPER_CLOSED);
    assert_null(helper);
    assert_int_equal(close(pair[1]), 0);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(prhelper_start_adopt(pair[1], 0, LONG_MS, &helper), PRHELPER_PENDING);
    close(pair[0]);
    assert_int_equal(prhelper_continue(helper), PRHELPER_CLOSED);
    assert_int_equal(fcntl(pair[1], F_GETFD), -1);
    prhelper_close(helper);
}

static void test_command_step_by_step(void **state)
{
    struct reply_bytes reply = make_reply(0, ALLOCATION);
    struct prhelper_result result;
    uint8_t request[CDB_BYTES];
    struct prhelper *helper;
    int sock, fd;

    helper = peer_adopt(&sock);
    prhelper_set_timeout(helper, LONG_MS);
    for (unsigned round = 0; round < 3; round++) {
        memset(&result, 0xee, sizeof(result));
        assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
        assert_waits(helper, POLLIN, true);
        assert_int_equal(prhelper_outcome(PRHELPER_PENDING, &result), PRHELPER_OUTCOME_UNKNOWN);
        peer_take(sock, request, sizeof(request), &fd);
        assert_memory_equal(request, prin_cdb, sizeof(prin_cdb));
        assert_true(fd >= 0);
        close(fd);
        for (size_t i = 0; i < HEAD_BYTES + ALLOCATION; i++) {
            assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
            peer_say(sock, reply.bytes + i, 1);
        }
        assert_int_equal(prhelper_continue(helper), 0);
        assert_int_equal(prhelper_outcome(0, &result), PRHELPER_OUTCOME_DONE);
        assert_memory_equal(result.data, reply.bytes + HEAD_BYTES, ALLOCATION);
        assert_waits(helper, POLLIN, false);
    }
    prhelper_close(helper);
    close(sock);
}

/* It waits for room, and the device may be closed while it does. */
static void test_no_room_to_send(void **state)
{
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static uint8_t list[PRHELPER_DATA_MAX], got[CDB_BYTES + PRHELPER_DATA_MAX];
    int sock, fd, device = memfd_create("device", MFD_CLOEXEC);
    struct prhelper_result result;
    struct stat before, after;
    struct prhelper *helper;
    size_t blocked;

    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = (uint8_t)(i * 13 + i / 256);
    helper = peer_adopt(&sock);
    blocked = peer_block(prhelper_fd(helper));
    assert_int_equal(fstat(device, &before), 0);
    assert_int_equal(
        prhelper_start_execute(helper, device, out, sizeof(out), list, sizeof(list), &result),
        PRHELPER_PENDING);
    memset(list, 0, sizeof(list));
    close(device);
    assert_waits(helper, POLLOUT, false);
    assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
    peer_drain(sock, blocked);
    assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
    assert_waits(helper, POLLIN, false);
    peer_take(sock, got, sizeof(got), &fd);
    for (size_t i = 0; i < PRHELPER_DATA_MAX; i++)
        assert_uint_equal(got[CDB_BYTES + i], (uint8_t)(i * 13 + i / 256));
    assert_int_equal(fstat(fd, &after), 0);
    assert_uint_equal(after.st_ino, before.st_ino);
    close(fd);
    peer_reply(sock, 0, 0);
    assert_int_equal(prhelper_continue(helper), 0);
    assert_int_equal(fcntl(device, F_GETFD), -1);
    prhelper_close(helper);
    close(sock);
}

static void test_in_use(void **state)
{
    struct prhelper_result result, other;
    struct prhelper *helper;
    int sock;

    helper = peer_adopt(&sock);
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    memset(&other, 0xee, sizeof(other));
    assert_int_equal(start_prin(helper, STDIN_FILENO, &other), PRHELPER_IN_USE);
    assert_no_answer(&other, false);
    assert_int_equal(prhelper_outcome(PRHELPER_IN_USE, &other), PRHELPER_OUTCOME_NOT_DONE);
    assert_int_equal(prhelper_clear(helper, STDIN_FILENO, 1, &other), PRHELPER_IN_USE);
    assert_int_equal(prhelper_reserve(helper, STDIN_FILENO, 1, 99, &other), PRHELPER_IN_USE);
    assert_int_equal(prhelper_register(helper, STDIN_FILENO, 1, 2, 99, &other), PRHELPER_IN_USE);
    assert_int_equal(prhelper_cleanup(helper, STDIN_FILENO, &other), PRHELPER_IN_USE);
    /* Not even with the same result, which is then left to the one that is under way. */
    assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_IN_USE);
    peer_drain(sock, CDB_BYTES + sizeof(parameters));
    peer_finds_nothing(sock);
    peer_reply(sock, PRHELPER_RESERVATION_CONFLICT, 0);
    assert_int_equal(prhelper_continue(helper), 0);
    assert_uint_equal(result.status, PRHELPER_RESERVATION_CONFLICT);
    prhelper_close(helper);
    close(sock);
}

static void test_cancel(void **state)
{
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static const uint8_t list[PRHELPER_DATA_MAX];
    static const struct {
        const char *name;
        enum { BLOCKED, PARTLY_SENT, SENT, PARTLY_ANSWERED } when;
        bool alive;
        enum prhelper_outcome outcome;
    } rows[] = {
        {"before a byte has left", BLOCKED, true, PRHELPER_OUTCOME_NOT_DONE},
        {"when some have left", PARTLY_SENT, false, PRHELPER_OUTCOME_NOT_DONE},
        {"when all have left", SENT, false, PRHELPER_OUTCOME_UNKNOWN},
        {"in the middle of an answer", PARTLY_ANSWERED, false, PRHELPER_OUTCOME_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply_bytes good = make_reply(0, 0);
        struct prhelper_result result;
        struct prhelper *helper;
        size_t blocked = 0;
        int sock;

        table_row = rows[i].name;
        helper = peer_adopt(&sock);
        if (rows[i].when == BLOCKED)
            blocked = peer_block(prhelper_fd(helper));
        if (rows[i].when == PARTLY_SENT)
            assert_int_equal(
                setsockopt(prhelper_fd(helper), SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
        assert_int_equal(prhelper_start_execute(helper, STDIN_FILENO, out, sizeof(out), list,
                                                sizeof(list), &result),
                         PRHELPER_PENDING);
        if (rows[i].when == PARTLY_ANSWERED) {
            peer_say(sock, good.bytes, HEAD_BYTES - 1);
            assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
        }
        assert_int_equal(prhelper_cancel(helper), PRHELPER_CANCELLED);
        assert_no_answer(&result, rows[i].outcome == PRHELPER_OUTCOME_UNKNOWN);
        assert_int_equal(prhelper_outcome(PRHELPER_CANCELLED, &result), rows[i].outcome);
        assert_int_equal(prhelper_cancel(helper), 0);
        if (rows[i].alive) {
            peer_drain(sock, blocked);
            assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
            peer_drain(sock, CDB_BYTES + sizeof(parameters));
            peer_reply(sock, 0, 0);
            assert_int_equal(prhelper_continue(helper), 0);
        } else {
            assert_waits(helper, 0, false);
            assert_dead(helper);
        }
        prhelper_close(helper);
        close(sock);
    }
    table_row = NULL;
}

static void test_timeout(void **state)
{
    struct prhelper_result result;
    struct prhelper *helper;
    int sock;

    helper = peer_adopt(&sock);
    prhelper_set_timeout(helper, SOON_MS);
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    assert_int_in_range(prhelper_timeout(helper), 1, SOON_MS);
    wait_for_timeout(helper);
    assert_int_equal(prhelper_timeout(helper), 0);
    assert_int_equal(prhelper_continue(helper), -ETIMEDOUT);
    assert_no_answer(&result, true);
    assert_waits(helper, 0, false);
    assert_dead(helper);
    prhelper_close(helper);
    close(sock);

    /* An answer that is there counts, however late the caller looks. */
    helper = peer_adopt(&sock);
    prhelper_set_timeout(helper, SOON_MS);
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    wait_for_timeout(helper);
    peer_reply(sock, 0, 0);
    assert_int_equal(prhelper_continue(helper), 0);
    prhelper_close(helper);
    close(sock);
}

/* The end of an idle connection is told once. */
static void test_news_when_idle(void **state)
{
    static const struct {
        const char *name;
        bool closed;
        int r;
    } rows[] = {{"closed", true, PRHELPER_CLOSED}, {"bytes", false, PRHELPER_UNEXPECTED}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prhelper *helper;
        int sock;

        table_row = rows[i].name;
        helper = peer_adopt(&sock);
        if (rows[i].closed)
            close(sock);
        else
            peer_say(sock, "x", 1);
        assert_true(is_readable(prhelper_fd(helper)));
        assert_int_equal(prhelper_continue(helper), rows[i].r);
        assert_waits(helper, 0, false);
        assert_int_equal(prhelper_continue(helper), PRHELPER_DEAD);
        assert_dead(helper);
        prhelper_close(helper);
        if (!rows[i].closed)
            close(sock);
    }
    table_row = NULL;
}

/* Who closes it has no interest in the result, which may be gone already. */
static void test_close_under_way(void **state)
{
    struct prhelper_result result, before;
    struct prhelper *helper;
    int sock;

    helper = peer_adopt(&sock);
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    memset(&result, 0xee, sizeof(result));
    before = result;
    prhelper_close(helper);
    assert_memory_equal(&result, &before, sizeof(result));
    peer_drain(sock, CDB_BYTES + sizeof(parameters));
    assert_int_equal(recv(sock, &before, 1, MSG_DONTWAIT), 0);
    close(sock);

    /* With a device that it had kept. */
    helper = peer_adopt(&sock);
    peer_block(prhelper_fd(helper));
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    prhelper_close(helper);
    close(sock);
}

static int answer_busy(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX],
                       const void *out, size_t out_size, size_t in_size,
                       struct prhelper_result *result)
{
    result->status = PRHELPER_BUSY;
    return 0;
}

/* One that is no helper's is over at once. */
static void test_custom(void **state)
{
    struct prhelper *helper = NULL;
    struct prhelper_result result;

    assert_int_equal(prhelper_custom(answer_busy, NULL, &helper), 0);
    assert_int_equal(start_prout(helper, STDIN_FILENO, &result), 0);
    assert_uint_equal(result.status, PRHELPER_BUSY);
    assert_waits(helper, 0, false);
    assert_int_equal(prhelper_continue(helper), 0);
    assert_int_equal(prhelper_set_reconnect(helper, 5, 1000), PRHELPER_BAD_ARGUMENT);
    prhelper_close(helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect_step_by_step),
        table_test(test_connect_fails),
        cmocka_unit_test(test_queue_is_full),
        cmocka_unit_test(test_adopt_owns_the_socket),
        cmocka_unit_test(test_command_step_by_step),
        cmocka_unit_test(test_no_room_to_send),
        cmocka_unit_test(test_in_use),
        table_test(test_cancel),
        cmocka_unit_test(test_timeout),
        table_test(test_news_when_idle),
        cmocka_unit_test(test_close_under_way),
        cmocka_unit_test(test_custom),
    };

    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
