// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a helper may answer to a command, from the right thing to utter nonsense. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "fake_helper.h"
#include "prhelper.h"

#define CDB_BYTES  16
#define HEAD_BYTES 104
#define GREETING                                                                                   \
    {FAKE_SEND, "\0\0\0\1", 4},                                                                    \
    {                                                                                              \
        FAKE_TAKE, NULL, 4                                                                         \
    }
#define SHAKEN     4u /* bytes that the client sends for a handshake */
#define ALLOCATION 16
#define SOON_MS    40
#define LONG_MS    20000

static const uint8_t prin_cdb[10] = {0x5e, 0, 0, 0, 0, 0, 0, 0, ALLOCATION, 0};
static const uint8_t prout_cdb[10] = {0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0};
static const uint8_t parameters[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct reply_bytes {
    uint8_t bytes[HEAD_BYTES + 2 * ALLOCATION];
};

static struct reply_bytes make_reply(uint32_t status, uint32_t size)
{
    struct reply_bytes reply;

    memset(&reply, 0, sizeof(reply));
    store_be32(reply.bytes, status);
    store_be32(reply.bytes + 4, size);
    reply.bytes[8] = 0x70;
    reply.bytes[8 + 2] = 0x06;
    reply.bytes[8 + 95] = 0x95;
    for (unsigned i = 0; i < 2 * ALLOCATION; i++)
        reply.bytes[HEAD_BYTES + i] = (uint8_t)(0xa0 + i);
    return reply;
}

static struct prhelper *adopt(int sock)
{
    struct prhelper *helper = NULL;

    assert_int_equal(prhelper_adopt(sock, PRHELPER_FEATURES, LONG_MS, &helper), 0);
    assert_non_null(helper);
    return helper;
}

static int prin(struct prhelper *helper, struct prhelper_result *result)
{
    return prhelper_execute(helper, STDIN_FILENO, prin_cdb, sizeof(prin_cdb), NULL, 0, result);
}

static int prout(struct prhelper *helper, struct prhelper_result *result)
{
    return prhelper_execute(helper, STDIN_FILENO, prout_cdb, sizeof(prout_cdb), parameters,
                            sizeof(parameters), result);
}

static void count_signal(int number)
{
    fake_count();
}

static void assert_zero(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_uint_equal(((const uint8_t *)bytes)[i], 0);
}

/* Dead means: every command says so, and not a byte more goes to the helper. */
static void assert_dead(struct prhelper *helper)
{
    struct prhelper_result result;

    memset(&result, 0xee, sizeof(result));
    assert_int_equal(prin(helper, &result), PRHELPER_DEAD);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    assert_false(result.outcome_unknown);
    assert_int_equal(prout(helper, &result), PRHELPER_DEAD);
    assert_int_equal(prhelper_cleanup(helper, STDIN_FILENO, &result), PRHELPER_DEAD);
}

/* A failure leaves nothing in the result that could be taken for an answer. */
static void assert_no_answer(const struct prhelper_result *result, bool outcome_unknown)
{
    assert_uint_equal(result->status, PRHELPER_STATUS_NONE);
    assert_int_equal(result->outcome_unknown, outcome_unknown);
    assert_uint_equal(result->size, 0);
    assert_zero(result->reserved, sizeof(result->reserved));
    assert_zero(result->sense, sizeof(result->sense));
    assert_zero(result->data, sizeof(result->data));
}

static const struct row {
    const char *name;
    enum { IN, OUT, CLEANUP } command;
    uint32_t status, size; /* of the reply */
    size_t sent;           /* bytes of it, and of the data behind it */
    bool closed;           /* by the helper, after that */
    int r;
} rows[] = {
    {"good, all data", IN, 0, 16, HEAD_BYTES + 16, false, 0},
    {"good, less data", IN, 0, 5, HEAD_BYTES + 5, false, 0},
    {"good, no data", IN, 0, 0, HEAD_BYTES, false, 0},
    {"reservation conflict", IN, 0x18, 0, HEAD_BYTES, false, 0},
    {"check condition", IN, 2, 0, HEAD_BYTES, false, 0},
    {"a status that has no name", IN, 0xff, 0, HEAD_BYTES, false, 0},
    {"good, and the end", IN, 0, 16, HEAD_BYTES + 16, true, 0},
    {"out: good", OUT, 0, 0, HEAD_BYTES, false, 0},
    {"out: check condition", OUT, 2, 0, HEAD_BYTES, false, 0},
    {"cleanup: good", CLEANUP, 0, 0, HEAD_BYTES, false, 0},

    {"nothing", IN, 0, 0, 0, true, PRHELPER_CLOSED},
    {"out: nothing", OUT, 0, 0, 0, true, PRHELPER_CLOSED},
    {"cut in the status", IN, 0, 0, 1, true, PRHELPER_CUT},
    {"cut behind the size", IN, 0, 16, 8, true, PRHELPER_CUT},
    {"cut in the sense", IN, 2, 0, HEAD_BYTES - 1, true, PRHELPER_CUT},
    {"cut before the data", IN, 0, 16, HEAD_BYTES, true, PRHELPER_CUT},
    {"cut in the data", IN, 0, 16, HEAD_BYTES + 15, true, PRHELPER_CUT},
    {"out: cut", OUT, 0, 0, HEAD_BYTES - 1, true, PRHELPER_CUT},

    {"status above a byte", IN, 0x100, 0, HEAD_BYTES, false, PRHELPER_BAD_STATUS},
    {"status -1", IN, 0xffffffff, 0, HEAD_BYTES, false, PRHELPER_BAD_STATUS},
    {"status INT_MIN", IN, 0x80000000, 0, HEAD_BYTES, false, PRHELPER_BAD_STATUS},
    {"status in the wrong order", IN, 0x18000000, 0, HEAD_BYTES, false, PRHELPER_BAD_STATUS},
    {"out: status -1", OUT, 0xffffffff, 0, HEAD_BYTES, false, PRHELPER_BAD_STATUS},

    {"size above allocation", IN, 0, 17, HEAD_BYTES + 17, false, PRHELPER_BAD_SIZE},
    {"size above everything", IN, 0, 0x7fffffff, HEAD_BYTES, false, PRHELPER_BAD_SIZE},
    {"size -1", IN, 0, 0xffffffff, HEAD_BYTES, false, PRHELPER_BAD_SIZE},
    {"size INT_MIN", IN, 0, 0x80000000, HEAD_BYTES, false, PRHELPER_BAD_SIZE},
    {"data with a conflict", IN, 0x18, 16, HEAD_BYTES + 16, false, PRHELPER_BAD_SIZE},
    {"data with a check condition", IN, 2, 1, HEAD_BYTES + 1, false, PRHELPER_BAD_SIZE},
    {"out: data", OUT, 0, 16, HEAD_BYTES + 16, false, PRHELPER_BAD_SIZE},
    {"cleanup: data", CLEANUP, 0, 1, HEAD_BYTES + 1, false, PRHELPER_BAD_SIZE},

    {"more than its size", IN, 0, 8, HEAD_BYTES + 9, false, PRHELPER_UNEXPECTED},
    {"more than nothing", IN, 0x18, 0, HEAD_BYTES + 1, false, PRHELPER_UNEXPECTED},
    {"out: more than nothing", OUT, 0, 0, HEAD_BYTES + 1, false, PRHELPER_UNEXPECTED},
};

static void assert_answer(const struct row *row, const struct reply_bytes *reply,
                          const struct prhelper_result *result)
{
    assert_uint_equal(result->status, row->status);
    assert_false(result->outcome_unknown);
    assert_uint_equal(result->size, row->size);
    assert_memory_equal(result->data, reply->bytes + HEAD_BYTES, row->size);
    assert_zero(result->data + row->size, sizeof(result->data) - row->size);
    if (row->status == PRHELPER_CHECK_CONDITION)
        assert_memory_equal(result->sense, reply->bytes + 8, sizeof(result->sense));
    else
        assert_zero(result->sense, sizeof(result->sense));
}

static void check_row(const struct row *row, bool drip)
{
    struct reply_bytes reply = make_reply(row->status, row->size);
    size_t request = row->command == OUT ? CDB_BYTES + 24 : CDB_BYTES;
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, request},
        {drip ? FAKE_DRIP : FAKE_SEND, reply.bytes, row->sent},
        {row->closed ? FAKE_CLOSE : FAKE_END, NULL, 0},
    };
    uint8_t notes[FAKE_NOTES_MAX];
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    unsigned fds;
    int sock, r;

    table_row = row->name;
    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    memset(&result, 0xee, sizeof(result));
    if (row->command == IN)
        r = prin(helper, &result);
    else if (row->command == OUT)
        r = prout(helper, &result);
    else
        r = prhelper_cleanup(helper, STDIN_FILENO, &result);
    /* A byte too many that comes on its own is seen when the next command begins. */
    if (drip && row->r == PRHELPER_UNEXPECTED && r == 0) {
        assert_int_equal(poll(&(struct pollfd){.fd = sock, .events = POLLIN}, 1, LONG_MS), 1);
        r = prin(helper, &result);
        assert_int_equal(r, PRHELPER_UNEXPECTED);
        assert_no_answer(&result, false);
        result.outcome_unknown = true;
    }
    assert_int_equal(r, row->r);
    if (r == 0)
        assert_answer(row, &reply, &result);
    else
        assert_no_answer(&result, true);
    if (r != 0)
        assert_dead(helper);

    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, notes, &fds), SHAKEN + request);
    assert_uint_equal(fds, 1);
    table_row = NULL;
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i], false);
}

static void test_rows_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i], true);
}

static void test_what_is_sent(void **state)
{
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES + sizeof(parameters)},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_END, NULL, 0},
    };
    static const uint8_t sixteen[16] = {0x5e, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0xff, 0xff, 0, 0, 0, 0xff};
    uint8_t notes[FAKE_NOTES_MAX];
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    unsigned fds;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(prout(helper, &result), 0);
    assert_int_equal(
        prhelper_execute(helper, STDIN_FILENO, sixteen, sizeof(sixteen), NULL, 0, &result), 0);
    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, notes, &fds), SHAKEN + CDB_BYTES + 24 + CDB_BYTES);
    assert_uint_equal(fds, 2);
    assert_memory_equal(notes, "\0\0\0\1", 4);
    assert_memory_equal(notes + 4, prout_cdb, sizeof(prout_cdb));
    assert_zero(notes + 4 + 10, 6);
    assert_memory_equal(notes + 20, parameters, sizeof(parameters));
    assert_memory_equal(notes + 44, sixteen, sizeof(sixteen));
}

static void test_longest_of_both(void **state)
{
    static const uint8_t in[10] = {0x5e, 3, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static uint8_t reply[HEAD_BYTES + PRHELPER_DATA_MAX], list[PRHELPER_DATA_MAX];
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES + sizeof(list)},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND, reply, sizeof(reply)},
        {FAKE_END, NULL, 0},
    };
    uint8_t notes[FAKE_NOTES_MAX];
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = reply[HEAD_BYTES + i] = (uint8_t)(i * 7 + i / 256);
    store_be32(reply + 4, PRHELPER_DATA_MAX);
    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(
        prhelper_execute(helper, STDIN_FILENO, out, sizeof(out), list, sizeof(list), &result), 0);
    assert_int_equal(prhelper_execute(helper, STDIN_FILENO, in, sizeof(in), NULL, 0, &result), 0);
    assert_uint_equal(result.size, PRHELPER_DATA_MAX);
    assert_memory_equal(result.data, reply + HEAD_BYTES, PRHELPER_DATA_MAX);
    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, notes, NULL), SHAKEN + 2 * CDB_BYTES + sizeof(list));
    assert_memory_equal(notes + SHAKEN + CDB_BYTES, list, sizeof(list));
}

/* Refused before anything is sent; the connection goes on. */
static void test_bad_arguments(void **state)
{
    static const struct {
        const char *name;
        int device;
        uint8_t cdb[17];
        size_t cdb_size, out_size;
    } bad[] = {
        {"no device", -1, {0x5e}, 10, 0},
        {"CDB too short", 0, {0x5e}, 9, 0},
        {"CDB too long", 0, {0x5e}, 17, 0},
        {"another command", 0, {0x28}, 10, 0},
        {"allocation length above the protocol's", 0, {0x5e, 0, 0, 0, 0, 0, 0, 0x20, 1}, 10, 0},
        {"parameter list above the protocol's", 0, {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 1}, 10, 24},
        {"parameter list of four bytes' length", 0, {0x5f, 0, 0, 0, 0, 1, 0, 0, 24}, 10, 24},
        {"in with parameters", 0, {0x5e, 0, 0, 0, 0, 0, 0, 0, 24}, 10, 24},
        {"cleanup with parameters", 0, {0xff}, 16, 24},
        {"parameters shorter than the CDB says", 0, {0x5f, 0, 0, 0, 0, 0, 0, 0, 24}, 10, 23},
        {"parameters longer than the CDB says", 0, {0x5f, 0, 0, 0, 0, 0, 0, 0, 23}, 10, 24},
    };
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        table_row = bad[i].name;
        memset(&result, 0xee, sizeof(result));
        assert_int_equal(prhelper_execute(helper, bad[i].device, bad[i].cdb, bad[i].cdb_size,
                                          parameters, bad[i].out_size, &result),
                         PRHELPER_BAD_ARGUMENT);
        assert_no_answer(&result, false);
    }
    table_row = NULL;
    assert_int_equal(prin(helper, &result), 0);
    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, NULL, NULL), SHAKEN + CDB_BYTES);
}

/* The kernel refuses to pass it on: that is the caller's mistake, not the connection's end. */
static void test_device_is_not_open(void **state)
{
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        GREETING,
        {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND, good.bytes, HEAD_BYTES},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(
        prhelper_execute(helper, 1 << 20, prin_cdb, sizeof(prin_cdb), NULL, 0, &result), -EBADF);
    assert_no_answer(&result, false);
    assert_int_equal(prin(helper, &result), 0);
    prhelper_close(helper);
    fake_end(fake, NULL, NULL);
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
        struct prhelper *helper;
        struct fake *fake;
        int64_t started;
        int sock;

        table_row = late[i].name;
        fake = fake_start(steps, &sock);
        helper = adopt(sock);
        prhelper_set_timeout(helper, late[i].timeout_ms);
        started = clock_now_ms();
        assert_int_equal(prin(helper, &result), -ETIMEDOUT);
        assert_true(clock_now_ms() - started >= late[i].timeout_ms);
        assert_no_answer(&result, true);
        assert_dead(helper);
        prhelper_close(helper);
        assert_uint_equal(fake_end(fake, NULL, NULL), SHAKEN + CDB_BYTES);
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
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    /* One byte with each tick of a timer: 104 ticks of 5 ms are far more than the time-out. */
    for (unsigned i = 0; i < HEAD_BYTES; i++) {
        steps[3 + 2 * i] = (struct fake_step){FAKE_WAIT, NULL, i + 1};
        steps[3 + 2 * i + 1] = (struct fake_step){FAKE_SEND, good.bytes + i, 1};
    }
    steps[3 + 2 * HEAD_BYTES] = (struct fake_step){FAKE_END, NULL, 0};
    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    prhelper_set_timeout(helper, SOON_MS);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    assert_int_equal(prin(helper, &result), -ETIMEDOUT);
    /* Let the fake go through the rest of its list. */
    while (fake_counted() < HEAD_BYTES)
        pause();
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    prhelper_close(helper);
    fake_end(fake, NULL, NULL);
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
        struct prhelper *helper;
        struct fake *fake;
        int sock;

        fake = fake_start(steps, &sock);
        helper = adopt(sock);
        prhelper_set_timeout(helper, timeouts[i]);
        assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
        assert_int_equal(prin(helper, &result), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
        assert_uint_equal(result.size, 16);
        prhelper_close(helper);
        fake_end(fake, NULL, NULL);
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
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(prin(helper, &result), 0);
    fake_count();
    assert_int_equal(poll(&(struct pollfd){.fd = sock, .events = POLLIN}, 1, LONG_MS), 1);
    assert_int_equal(prout(helper, &result), PRHELPER_UNEXPECTED);
    assert_no_answer(&result, false);
    assert_dead(helper);
    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, NULL, NULL), SHAKEN + CDB_BYTES);
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
        struct prhelper *helper;
        struct fake *fake;
        int sock;

        table_row = ways[i].name;
        fake = fake_start(steps, &sock);
        helper = adopt(sock);
        assert_int_equal(prin(helper, &result), 0);
        fake_await(1);
        assert_int_equal(prout(helper, &result), PRHELPER_CLOSED);
        assert_no_answer(&result, false);
        assert_dead(helper);
        prhelper_close(helper);
        fake_end(fake, NULL, NULL);
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
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(prout(helper, &result), PRHELPER_CLOSED);
    assert_no_answer(&result, true);
    assert_dead(helper);
    prhelper_close(helper);
    fake_end(fake, NULL, NULL);
}

static unsigned count_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* fds from a helper have no meaning; they must not stay open here either. */
static void test_fds_from_the_helper(void **state)
{
    struct reply_bytes good = make_reply(0, 0);
    const struct fake_step steps[] = {
        {FAKE_SEND_FD, "\0\0\0\1", 4},          {FAKE_TAKE, NULL, 4}, {FAKE_TAKE, NULL, CDB_BYTES},
        {FAKE_SEND_FD, good.bytes, HEAD_BYTES}, {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct prhelper *helper;
    struct fake *fake;
    unsigned before;
    int sock;

    fake = fake_start(steps, &sock);
    before = count_fds();
    helper = adopt(sock);
    assert_int_equal(prin(helper, &result), 0);
    assert_uint_equal(count_fds(), before);
    prhelper_close(helper);
    assert_uint_equal(count_fds(), before - 1);
    fake_end(fake, NULL, NULL);
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
        struct prhelper *helper;
        struct fake *fake;
        unsigned fds;
        int sock;

        fake = fake_start(steps, &sock);
        helper = adopt(sock);
        assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
        prhelper_set_timeout(helper, timeouts[i]);
        assert_int_equal(
            prhelper_execute(helper, STDIN_FILENO, out, sizeof(out), list, sizeof(list), &result),
            0);
        prhelper_close(helper);
        assert_uint_equal(fake_end(fake, NULL, &fds), SHAKEN + CDB_BYTES + sizeof(list));
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
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    prhelper_set_timeout(helper, SOON_MS);
    assert_int_equal(
        prhelper_execute(helper, STDIN_FILENO, out, sizeof(out), list, sizeof(list), &result),
        -ETIMEDOUT);
    assert_no_answer(&result, false);
    assert_dead(helper);
    prhelper_close(helper);
    fake_count();
    fake_end(fake, NULL, NULL);
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
    struct prhelper *helper;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    helper = adopt(sock);
    while (send(sock, parameters, sizeof(parameters), MSG_DONTWAIT) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
    prhelper_set_timeout(helper, SOON_MS);
    assert_int_equal(prin(helper, &result), -ETIMEDOUT);
    assert_no_answer(&result, false);
    assert_dead(helper);
    prhelper_close(helper);
    fake_count();
    fake_end(fake, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_rows),
        table_test(test_rows_byte_by_byte),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_longest_of_both),
        table_test(test_bad_arguments),
        cmocka_unit_test(test_device_is_not_open),
        table_test(test_timeout),
        cmocka_unit_test(test_timeout_of_a_steady_trickle),
        cmocka_unit_test(test_signals_do_not_interrupt),
        cmocka_unit_test(test_bytes_between_commands),
        table_test(test_gone_between_commands),
        cmocka_unit_test(test_closed_without_reading),
        cmocka_unit_test(test_fds_from_the_helper),
        cmocka_unit_test(test_small_socket_buffer),
        cmocka_unit_test(test_timeout_while_sending),
        cmocka_unit_test(test_timeout_before_sending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
