// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lines of the simulator's faults file. */
#include <string.h>

#include "cmocka_compat.h"
#include "simulator/fault.h"

static struct fault fault;
static const char *path;

static bool parse(const char *text)
{
    static char line[256];

    snprintf(line, sizeof(line), "%s", text);
    path = "untouched";
    return fault_parse_line(line, &path, &fault);
}

static void test_nothing(void **state)
{
    static const char *const lines[] = {"", " \t\r", "#", "# /lun hang", " # x"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(parse(lines[i]));
        assert_null(path);
    }
}

static void test_hang(void **state)
{
    (void)state;
    assert_true(parse("/lun hang"));
    assert_string_equal(path, "/lun");
    assert_int_equal(fault.kind, FAULT_HANG);
    assert_true(parse("\t/lun \t hang\r# why"));
    assert_string_equal(path, "/lun");
}

static void test_latency(void **state)
{
    (void)state;
    assert_true(parse("/lun latency 3600000"));
    assert_int_equal(fault.kind, FAULT_LATENCY);
    assert_int_equal(fault.latency_ms, 3600000);
    assert_true(parse("/lun latency 0"));
    assert_int_equal(fault.latency_ms, 0);
}

static void test_status(void **state)
{
    (void)state;
    assert_true(parse("/lun status 28"));
    assert_int_equal(fault.kind, FAULT_STATUS);
    assert_int_equal(fault.status, 0x28);
    assert_true(parse("/lun status 0xfF"));
    assert_int_equal(fault.status, 0xff);
    assert_true(parse("/lun status 8"));
    assert_int_equal(fault.status, 8);
}

static void test_sense(void **state)
{
    (void)state;
    assert_true(parse("/lun sense F/0x2a/05"));
    assert_int_equal(fault.kind, FAULT_SENSE);
    assert_int_equal(fault.sense.key, 0xf);
    assert_int_equal(fault.sense.asc, 0x2a);
    assert_int_equal(fault.sense.ascq, 5);
}

static void test_bad(void **state)
{
    static const char *const lines[] = {
        "/lun",
        "hang",
        "/lun Hang",
        "/lun hang 1",
        "/lun frob 1",
        "/lun latency",
        "/lun latency 1 2",
        "/lun latency 1x",
        "/lun latency 3600001",
        "/lun status",
        "/lun status 1 2",
        "/lun status 0x",
        "/lun status x8",
        "/lun status 100",
        "/lun status 008",
        "/lun status 8/",
        "/lun status g",
        "/lun status -8",
        "/lun status 100000008",
        "/lun sense 4/44",
        "/lun sense 4/44/",
        "/lun sense /44/00",
        "/lun sense 4//00",
        "/lun sense 4/44/00/",
        "/lun sense 4/44/00/00",
        "/lun sense 4 44 00",
        "/lun sense 10/44/00",
        "/lun sense 4/100/00",
        "/lun sense 4/44/100",
        "/lun sense 4/+4/00",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (parse(lines[i]))
            fail_msg("taken: %s", lines[i]);
        assert_null(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_hang),
        cmocka_unit_test(test_latency), cmocka_unit_test(test_status),
        cmocka_unit_test(test_sense),   cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
