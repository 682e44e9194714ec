// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <errno.h>
#include <string.h>

#include "helper/policy.h"

#define PR_IN   0x5e
#define PR_OUT  0x5f
#define CLEANUP 0xff

#define KINDS (DEVICE_UNKNOWN + 1)

/* The table of the protocol's description, by kind: 5Eh, 5Fh and FFh of an fd open for writing. */
static const struct {
    enum policy_verdict in, out, cleanup;
} writable_rows[KINDS] = {
    [DEVICE_OTHER] = {POLICY_REFUSE, POLICY_REFUSE, POLICY_DONE},
    [DEVICE_SG] = {POLICY_ISSUE, POLICY_ISSUE, POLICY_DONE},
    [DEVICE_BLOCK] = {POLICY_ISSUE, POLICY_REFUSE, POLICY_REFUSE}, /* not looked at */
    [DEVICE_DISK] = {POLICY_ISSUE, POLICY_ISSUE, POLICY_DONE},
    [DEVICE_NOT_SCSI] = {POLICY_ISSUE, POLICY_REFUSE, POLICY_DONE},
    [DEVICE_PARTITION] = {POLICY_ISSUE, POLICY_REFUSE, POLICY_DONE},
    [DEVICE_DM_MULTIPATH] = {POLICY_ISSUE, POLICY_MULTIPATH, POLICY_MULTIPATH},
    [DEVICE_DM_OTHER] = {POLICY_ISSUE, POLICY_REFUSE, POLICY_DONE},
    [DEVICE_UNKNOWN] = {POLICY_REFUSE, POLICY_REFUSE, POLICY_REFUSE},
};

static void judge(uint8_t opcode, enum device_kind kind, bool writable,
                  enum policy_verdict expected)
{
    const char *reason = NULL;

    assert_int_equal(policy_judge(opcode, kind, writable, &reason), expected);
    if (expected == POLICY_REFUSE) {
        assert_non_null(reason);
        assert_true(strlen(reason) > 10);
    } else {
        assert_null(reason);
    }
}

static void test_writable(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        table_row = device_kind_name((enum device_kind)kind);
        judge(PR_IN, (enum device_kind)kind, true, writable_rows[kind].in);
        judge(PR_OUT, (enum device_kind)kind, true, writable_rows[kind].out);
        judge(CLEANUP, (enum device_kind)kind, true, writable_rows[kind].cleanup);
    }
    table_row = NULL;
}

/* Reading is all the same; all that changes something is refused. */
static void test_read_only(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        table_row = device_kind_name((enum device_kind)kind);
        judge(PR_IN, (enum device_kind)kind, false, writable_rows[kind].in);
        judge(PR_OUT, (enum device_kind)kind, false, POLICY_REFUSE);
        judge(CLEANUP, (enum device_kind)kind, false, POLICY_REFUSE);
    }
    table_row = NULL;
}

/*
 * Where no details are asked for, the verdict must not depend on them: a block device is then a
 * block device, and writable or not is not known.
 */
static void test_details(void **state)
{
    const char *reason;

    (void)state;
    assert_false(policy_needs_details(PR_IN));
    assert_true(policy_needs_details(PR_OUT));
    assert_true(policy_needs_details(CLEANUP));
    for (unsigned kind = DEVICE_BLOCK; kind < DEVICE_UNKNOWN; kind++) {
        for (int writable = 0; writable <= 1; writable++)
            assert_int_equal(policy_judge(PR_IN, (enum device_kind)kind, writable, &reason),
                             policy_judge(PR_IN, DEVICE_BLOCK, false, &reason));
    }
}

/* Refused for good, unless it may be told later. */
static void test_unknown(void **state)
{
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EINTR, EAGAIN};

    (void)state;
    for (int error = 1; error <= 133; error++) {
        enum policy_verdict expected = POLICY_REFUSE;
        const char *reason = NULL;

        for (size_t i = 0; i < sizeof(shortages) / sizeof(shortages[0]); i++) {
            if (shortages[i] == error)
                expected = POLICY_BUSY;
        }
        assert_int_equal(policy_judge_unknown(error, &reason), expected);
        assert_non_null(reason);
    }
}

/* A log line says what was refused, so no two kinds may have the same name. */
static void test_names(void **state)
{
    (void)state;
    for (unsigned a = 0; a < KINDS; a++) {
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(device_kind_name((enum device_kind)a),
                                    device_kind_name((enum device_kind)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_writable),      table_test(test_read_only),
        cmocka_unit_test(test_details), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
