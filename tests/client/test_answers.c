// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a helper may answer to a command, from the right thing to utter nonsense. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "session.h"

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
    assert_int_equal(result->outcome_unknown, row->status == 0xff);
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
    struct session session;
    unsigned fds;
    int r;

    table_row = row->name;
    session_begin(&session, steps);
    memset(&result, 0xee, sizeof(result));
    if (row->command == IN)
        r = prin(session.helper, &result);
    else if (row->command == OUT)
        r = prout(session.helper, &result);
    else
        r = prhelper_cleanup(session.helper, STDIN_FILENO, &result);
    /* A byte too many that comes on its own is seen when the next command begins. */
    if (drip && row->r == PRHELPER_UNEXPECTED && r == 0) {
        assert_int_equal(poll(&(struct pollfd){.fd = session.sock, .events = POLLIN}, 1, LONG_MS),
                         1);
        r = prin(session.helper, &result);
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
        assert_dead(session.helper);

    assert_uint_equal(session_end(&session, notes, &fds), SHAKEN + request);
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
    struct session session;
    unsigned fds;

    session_begin(&session, steps);
    assert_int_equal(prout(session.helper, &result), 0);
    assert_int_equal(
        prhelper_execute(session.helper, STDIN_FILENO, sixteen, sizeof(sixteen), NULL, 0, &result),
        0);
    assert_uint_equal(session_end(&session, notes, &fds), SHAKEN + CDB_BYTES + 24 + CDB_BYTES);
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
    struct session session;

    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = reply[HEAD_BYTES + i] = (uint8_t)(i * 7 + i / 256);
    store_be32(reply + 4, PRHELPER_DATA_MAX);
    session_begin(&session, steps);
    assert_int_equal(prhelper_execute(session.helper, STDIN_FILENO, out, sizeof(out), list,
                                      sizeof(list), &result),
                     0);
    assert_int_equal(
        prhelper_execute(session.helper, STDIN_FILENO, in, sizeof(in), NULL, 0, &result), 0);
    assert_uint_equal(result.size, PRHELPER_DATA_MAX);
    assert_memory_equal(result.data, reply + HEAD_BYTES, PRHELPER_DATA_MAX);
    assert_uint_equal(session_end(&session, notes, NULL), SHAKEN + 2 * CDB_BYTES + sizeof(list));
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
    struct session session;

    session_begin(&session, steps);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        table_row = bad[i].name;
        memset(&result, 0xee, sizeof(result));
        assert_int_equal(prhelper_execute(session.helper, bad[i].device, bad[i].cdb,
                                          bad[i].cdb_size, parameters, bad[i].out_size, &result),
                         PRHELPER_BAD_ARGUMENT);
        assert_no_answer(&result, false);
    }
    table_row = NULL;
    assert_int_equal(prin(session.helper, &result), 0);
    assert_uint_equal(session_end(&session, NULL, NULL), SHAKEN + CDB_BYTES);
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
    struct session session;

    session_begin(&session, steps);
    assert_int_equal(
        prhelper_execute(session.helper, 1 << 20, prin_cdb, sizeof(prin_cdb), NULL, 0, &result),
        -EBADF);
    assert_no_answer(&result, false);
    assert_int_equal(prin(session.helper, &result), 0);
    session_end(&session, NULL, NULL);
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
    struct session session;
    unsigned before;

    session.fake = fake_start(steps, &session.sock);
    before = count_fds();
    session.helper = adopt(session.sock);
    assert_int_equal(prin(session.helper, &result), 0);
    assert_uint_equal(count_fds(), before);
    prhelper_close(session.helper);
    assert_uint_equal(count_fds(), before - 1);
    fake_end(session.fake, NULL, NULL);
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
        cmocka_unit_test(test_fds_from_the_helper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
