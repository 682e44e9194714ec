// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whether a command was carried out, for every reply that there can be. */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "session.h"

#define DONE     PRHELPER_OUTCOME_DONE
#define NOT_DONE PRHELPER_OUTCOME_NOT_DONE
#define UNKNOWN  PRHELPER_OUTCOME_UNKNOWN

enum format { FIXED = 0x70, DEFERRED = 0x71, DESCRIPTOR = 0x72, DESCRIPTOR_DEFERRED = 0x73 };

static struct prhelper_result check_condition(enum format format, uint8_t key, uint8_t asc,
                                              uint8_t ascq)
{
    struct prhelper_result result = {.status = PRHELPER_CHECK_CONDITION};

    result.sense[0] = (uint8_t)format;
    if (format == FIXED || format == DEFERRED) {
        result.sense[2] = key;
        result.sense[7] = 10;
        result.sense[12] = asc;
        result.sense[13] = ascq;
    } else {
        result.sense[1] = key;
        result.sense[2] = asc;
        result.sense[3] = ascq;
    }
    return result;
}

static void test_statuses(void **state)
{
    for (unsigned status = 0; status <= UINT8_MAX; status++) {
        struct prhelper_result result = {.status = (uint8_t)status};
        enum prhelper_outcome wanted = UNKNOWN;

        if (status == 0x00)
            wanted = DONE;
        else if (status == 0x08 || status == 0x18 || status == 0x28 || status == 0x30)
            wanted = NOT_DONE;
        assert_int_equal(prhelper_outcome(0, &result), wanted);
        /* What the result says of itself is for errors. */
        result.outcome_unknown = true;
        assert_int_equal(prhelper_outcome(0, &result), wanted);
    }
    assert_int_equal(prhelper_outcome(0, NULL), UNKNOWN);
}

/* Every reply that qemu-pr-helper makes of what happens to a command, and those of devices. */
static void test_sense(void **state)
{
    static const struct {
        const char *name;
        uint8_t key, asc, ascq;
        enum prhelper_outcome outcome;
    } rows[] = {
        {"no sense", 0x0, 0x00, 0x00, UNKNOWN},
        {"recovered error", 0x1, 0x00, 0x00, DONE},
        {"not ready", 0x2, 0x04, 0x01, NOT_DONE},
        {"LIO: not registered, or not saved", 0x2, 0x08, 0x00, UNKNOWN},
        {"no medium: ENOMEDIUM", 0x2, 0x3a, 0x00, NOT_DONE},
        {"medium error: ENODATA", 0x3, 0x11, 0x00, UNKNOWN},
        {"target failure: EREMOTEIO", 0x4, 0x44, 0x00, UNKNOWN},
        {"refused by the helper", 0x5, 0x20, 0x00, NOT_DONE},
        {"field in CDB: EINVAL", 0x5, 0x24, 0x00, NOT_DONE},
        {"field in list", 0x5, 0x26, 0x00, NOT_DONE},
        {"invalid release", 0x5, 0x26, 0x04, NOT_DONE},
        {"no room for a registration", 0x5, 0x55, 0x04, NOT_DONE},
        {"reset: DID_RESET", 0x6, 0x29, 0x00, UNKNOWN},
        {"nexus loss", 0x6, 0x29, 0x07, UNKNOWN},
        {"reservations preempted", 0x6, 0x2a, 0x03, NOT_DONE},
        {"registrations preempted", 0x6, 0x2a, 0x05, NOT_DONE},
        {"commands cleared", 0x6, 0x2f, 0x00, NOT_DONE},
        {"no space: ENOSPC", 0x7, 0x27, 0x07, NOT_DONE},
        {"blank check", 0x8, 0x00, 0x00, UNKNOWN},
        {"vendor specific", 0x9, 0x80, 0x00, UNKNOWN},
        {"copy aborted", 0xa, 0x00, 0x00, UNKNOWN},
        {"terminated: EINTR and the rest", 0xb, 0x00, 0x06, UNKNOWN},
        {"DID_NO_CONNECT", 0xb, 0x05, 0x00, UNKNOWN},
        {"DID_BAD_TARGET", 0xb, 0x08, 0x00, UNKNOWN},
        {"the worker's deadline", 0xb, 0x08, 0x01, UNKNOWN},
        {"DID_TRANSPORT_DISRUPTED", 0xb, 0x29, 0x07, UNKNOWN},
        {"DID_TIME_OUT", 0xb, 0x2e, 0x02, UNKNOWN},
        {"DID_ABORT", 0xb, 0x2f, 0x02, UNKNOWN},
        {"DID_PARITY", 0xb, 0x47, 0x00, UNKNOWN},
        {"reserved key", 0xc, 0x00, 0x00, UNKNOWN},
        {"volume overflow", 0xd, 0x00, 0x00, UNKNOWN},
        {"miscompare", 0xe, 0x1d, 0x00, UNKNOWN},
        {"completed", 0xf, 0x00, 0x00, DONE},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const enum format current[] = {FIXED, DESCRIPTOR};
        static const enum format deferred[] = {DEFERRED, DESCRIPTOR_DEFERRED};

        table_row = rows[i].name;
        for (unsigned n = 0; n < 2; n++) {
            struct prhelper_result result = check_condition(current[n], rows[i].key, rows[i].asc,
                                                            rows[i].ascq);

            assert_int_equal(prhelper_outcome(0, &result), rows[i].outcome);
            /* With the VALID bit, which says nothing about it. */
            result.sense[0] |= 0x80;
            assert_int_equal(prhelper_outcome(0, &result), rows[i].outcome);
            result = check_condition(deferred[n], rows[i].key, rows[i].asc, rows[i].ascq);
            assert_int_equal(prhelper_outcome(0, &result), NOT_DONE);
        }
    }
    table_row = NULL;
}

static void test_no_usable_sense(void **state)
{
    for (unsigned code = 0; code <= UINT8_MAX; code++) {
        struct prhelper_result result = check_condition(FIXED, 5, 0x24, 0);

        result.sense[0] = (uint8_t)code;
        if ((code & 0x7f) >= 0x70 && (code & 0x7f) <= 0x73)
            continue;
        assert_int_equal(prhelper_outcome(0, &result), UNKNOWN);
    }
}

static void test_errors(void **state)
{
    static const int never_sent[] = {PRHELPER_BAD_ARGUMENT, PRHELPER_NO_FEATURE, PRHELPER_DEAD};
    static const int others[] = {PRHELPER_CLOSED,     PRHELPER_CUT, PRHELPER_BAD_STATUS,
                                 PRHELPER_BAD_SIZE,   -ETIMEDOUT,   -EIO,
                                 PRHELPER_UNEXPECTED, -EBADF};
    struct prhelper_result sent = {.status = PRHELPER_STATUS_NONE, .outcome_unknown = true};
    struct prhelper_result kept = {.status = PRHELPER_STATUS_NONE};

    for (size_t i = 0; i < sizeof(never_sent) / sizeof(never_sent[0]); i++) {
        assert_int_equal(prhelper_outcome(never_sent[i], &sent), NOT_DONE);
        assert_int_equal(prhelper_outcome(never_sent[i], NULL), NOT_DONE);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(prhelper_outcome(others[i], &sent), UNKNOWN);
        assert_int_equal(prhelper_outcome(others[i], &kept), NOT_DONE);
        assert_int_equal(prhelper_outcome(others[i], NULL), UNKNOWN);
    }
}

/* A command that is answered says the same in its result. */
static void test_result_of_a_command(void **state)
{
    static const struct {
        uint8_t key, asc, ascq;
        bool unknown;
    } rows[] = {{0xb, 0x08, 0x01, true},
                {0xb, 0x2e, 0x02, true},
                {0xb, 0x00, 0x06, true},
                {0x6, 0x29, 0x00, true},
                {0x5, 0x20, 0x00, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prhelper_result sent = check_condition(FIXED, rows[i].key, rows[i].asc,
                                                      rows[i].ascq);
        uint8_t reply[HEAD_BYTES] = {0, 0, 0, PRHELPER_CHECK_CONDITION};
        const struct fake_step steps[] = {
            GREETING,
            {FAKE_TAKE, NULL, CDB_BYTES + sizeof(parameters)},
            {FAKE_SEND, reply, sizeof(reply)},
            {FAKE_END, NULL, 0},
        };
        struct prhelper_result result;
        struct session session;

        memcpy(reply + 8, sent.sense, sizeof(sent.sense));
        session_begin(&session, steps);
        assert_int_equal(prout(session.helper, &result), 0);
        assert_int_equal(result.outcome_unknown, rows[i].unknown);
        assert_int_equal(prhelper_outcome(0, &result), rows[i].unknown ? UNKNOWN : NOT_DONE);
        session_end(&session, NULL, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        table_test(test_sense),
        cmocka_unit_test(test_no_usable_sense),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_result_of_a_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
