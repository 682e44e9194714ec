// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "scsi/spc.h"

static void test_service_action_names(void **state)
{
    (void)state;
    assert_string_equal(spc_prin_name(0), "READ KEYS");
    assert_string_equal(spc_prin_name(1), "READ RESERVATION");
    assert_string_equal(spc_prin_name(2), "REPORT CAPABILITIES");
    assert_string_equal(spc_prin_name(3), "READ FULL STATUS");
    for (unsigned number = 4; number < 256; number++)
        assert_null(spc_prin_name((uint8_t)number));

    assert_string_equal(spc_prout_name(0), "REGISTER");
    assert_string_equal(spc_prout_name(1), "RESERVE");
    assert_string_equal(spc_prout_name(2), "RELEASE");
    assert_string_equal(spc_prout_name(3), "CLEAR");
    assert_string_equal(spc_prout_name(4), "PREEMPT");
    assert_string_equal(spc_prout_name(5), "PREEMPT AND ABORT");
    assert_string_equal(spc_prout_name(6), "REGISTER AND IGNORE EXISTING KEY");
    assert_string_equal(spc_prout_name(7), "REGISTER AND MOVE");
    assert_string_equal(spc_prout_name(8), "REPLACE LOST RESERVATION");
    for (unsigned number = 9; number < 256; number++)
        assert_null(spc_prout_name((uint8_t)number));
}

static void test_status_names(void **state)
{
    unsigned named = 0;

    (void)state;
    assert_string_equal(spc_status_name(0x00), "GOOD");
    assert_string_equal(spc_status_name(0x02), "CHECK CONDITION");
    assert_string_equal(spc_status_name(0x04), "CONDITION MET");
    assert_string_equal(spc_status_name(0x08), "BUSY");
    assert_string_equal(spc_status_name(0x18), "RESERVATION CONFLICT");
    assert_string_equal(spc_status_name(0x28), "TASK SET FULL");
    assert_string_equal(spc_status_name(0x30), "ACA ACTIVE");
    assert_string_equal(spc_status_name(0x40), "TASK ABORTED");
    for (unsigned number = 0; number < 256; number++)
        named += spc_status_name((uint8_t)number) != NULL;
    assert_uint_equal(named, 8);
}

static void test_types(void **state)
{
    static const struct {
        uint8_t type;
        const char *name;
        bool exclusive_access, registrants_only, all_registrants;
    } rows[] = {
        {1, "write-exclusive", false, false, false},
        {3, "exclusive-access", true, false, false},
        {5, "write-exclusive-registrants-only", false, true, false},
        {6, "exclusive-access-registrants-only", true, true, false},
        {7, "write-exclusive-all-registrants", false, false, true},
        {8, "exclusive-access-all-registrants", true, false, true},
    };
    unsigned valid = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t type = 0xff;
        char number[8];

        table_row = rows[i].name;
        assert_string_equal(spc_type_name(rows[i].type), rows[i].name);
        assert_true(spc_type_is_valid(rows[i].type));
        assert_int_equal(spc_type_is_exclusive_access(rows[i].type), rows[i].exclusive_access);
        assert_int_equal(spc_type_is_registrants_only(rows[i].type), rows[i].registrants_only);
        assert_int_equal(spc_type_is_all_registrants(rows[i].type), rows[i].all_registrants);

        assert_true(spc_type_parse(rows[i].name, &type));
        assert_uint_equal(type, rows[i].type);
        type = 0xff;
        snprintf(number, sizeof(number), "%u", rows[i].type);
        assert_true(spc_type_parse(number, &type));
        assert_uint_equal(type, rows[i].type);
        type = 0xff;
        snprintf(number, sizeof(number), "0x%x", rows[i].type);
        assert_true(spc_type_parse(number, &type));
        assert_uint_equal(type, rows[i].type);
    }
    table_row = NULL;

    for (unsigned type = 0; type < 256; type++) {
        if (spc_type_is_valid((uint8_t)type)) {
            valid++;
            continue;
        }
        assert_null(spc_type_name((uint8_t)type));
        assert_false(spc_type_is_exclusive_access((uint8_t)type));
        assert_false(spc_type_is_registrants_only((uint8_t)type));
        assert_false(spc_type_is_all_registrants((uint8_t)type));
    }
    assert_uint_equal(valid, 6);
}

static void test_type_parse_refuses(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "0",
        "2",
        "4",
        "9",
        "10",
        "05",
        "5 ",
        " 5",
        "+5",
        "-1",
        "0x",
        "0X5",
        "0x2",
        "0x05",
        "5x",
        "a",
        "write-exclusive ",
        "Write-Exclusive",
        "write",
        "exclusive-access-registrants",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t type = 0xff;

        table_row = rows[i];
        assert_false(spc_type_parse(rows[i], &type));
        assert_uint_equal(type, 0xff);
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_action_names),
        cmocka_unit_test(test_status_names),
        table_test(test_types),
        table_test(test_type_parse_refuses),
    };

    return cmocka_run_group_tests_name("spc", tests, NULL, NULL);
}
