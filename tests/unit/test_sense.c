// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "exactly.h"
#include "scsi/sense.h"

static void test_build(void **state)
{
    static const uint8_t expected[SENSE_SIZE] = {0x70, 0, 0x05, 0, 0, 0,    0,
                                                 0x0a, 0, 0,    0, 0, 0x26, 0x04};
    uint8_t sense[SENSE_SIZE];

    (void)state;
    memset(sense, 0xff, sizeof(sense));
    sense_build(sense, SPC_INVALID_RELEASE);
    assert_memory_equal(sense, expected, sizeof(sense));
}

static void test_constants(void **state)
{
    /* The number, and the text that a reader of the log sees. */
    static const struct {
        struct spc_sense code;
        const char *text;
    } rows[] = {
        {SPC_NO_ADDITIONAL_SENSE, "NO SENSE, NO ADDITIONAL SENSE INFORMATION (0/00/00)"},
        {SPC_LU_NOT_READY, "NOT READY, LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE (2/04/00)"},
        {SPC_LU_COMMUNICATION_FAILURE_NOT_READY,
         "NOT READY, LOGICAL UNIT COMMUNICATION FAILURE (2/08/00)"},
        {SPC_MEDIUM_NOT_PRESENT, "NOT READY, MEDIUM NOT PRESENT (2/3A/00)"},
        {SPC_UNRECOVERED_READ_ERROR, "MEDIUM ERROR, UNRECOVERED READ ERROR (3/11/00)"},
        {SPC_INTERNAL_TARGET_FAILURE, "HARDWARE ERROR, INTERNAL TARGET FAILURE (4/44/00)"},
        {SPC_PARAMETER_LIST_LENGTH_ERROR, "ILLEGAL REQUEST, PARAMETER LIST LENGTH ERROR (5/1A/00)"},
        {SPC_INVALID_OPERATION_CODE, "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE (5/20/00)"},
        {SPC_INVALID_FIELD_IN_CDB, "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)"},
        {SPC_INVALID_FIELD_IN_PARAMETER_LIST,
         "ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST (5/26/00)"},
        {SPC_INVALID_RELEASE,
         "ILLEGAL REQUEST, INVALID RELEASE OF PERSISTENT RESERVATION (5/26/04)"},
        {SPC_INSUFFICIENT_REGISTRATION_RESOURCES,
         "ILLEGAL REQUEST, INSUFFICIENT REGISTRATION RESOURCES (5/55/04)"},
        {SPC_RESET_OCCURRED,
         "UNIT ATTENTION, POWER ON, RESET, OR BUS DEVICE RESET OCCURRED (6/29/00)"},
        {SPC_RESERVATIONS_PREEMPTED, "UNIT ATTENTION, RESERVATIONS PREEMPTED (6/2A/03)"},
        {SPC_RESERVATIONS_RELEASED, "UNIT ATTENTION, RESERVATIONS RELEASED (6/2A/04)"},
        {SPC_REGISTRATIONS_PREEMPTED, "UNIT ATTENTION, REGISTRATIONS PREEMPTED (6/2A/05)"},
        {SPC_REPORTED_LUNS_CHANGED, "UNIT ATTENTION, REPORTED LUNS DATA HAS CHANGED (6/3F/0E)"},
        {SPC_SPACE_ALLOCATION_FAILED,
         "DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT (7/27/07)"},
        {SPC_IO_PROCESS_TERMINATED, "ABORTED COMMAND, I/O PROCESS TERMINATED (B/00/06)"},
        {SPC_LU_NO_RESPONSE,
         "ABORTED COMMAND, LOGICAL UNIT DOES NOT RESPOND TO SELECTION (B/05/00)"},
        {SPC_LU_COMMUNICATION_FAILURE,
         "ABORTED COMMAND, LOGICAL UNIT COMMUNICATION FAILURE (B/08/00)"},
        {SPC_LU_COMMUNICATION_TIMEOUT,
         "ABORTED COMMAND, LOGICAL UNIT COMMUNICATION TIME-OUT (B/08/01)"},
        {SPC_IT_NEXUS_LOSS, "ABORTED COMMAND, I_T NEXUS LOSS OCCURRED (B/29/07)"},
        {SPC_COMMAND_TIMEOUT, "ABORTED COMMAND, COMMAND TIMEOUT DURING PROCESSING (B/2E/02)"},
        {SPC_COMMANDS_CLEARED, "ABORTED COMMAND, COMMANDS CLEARED BY DEVICE SERVER (B/2F/02)"},
        {SPC_PARITY_ERROR, "ABORTED COMMAND, SCSI PARITY ERROR (B/47/00)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[SENSE_TEXT_SIZE];

        table_row = rows[i].text;
        assert_uint_equal(sense_describe(text, sizeof(text), rows[i].code), strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
    }
    table_row = NULL;
}

static void test_decode(void **state)
{
    /* expected.key above Fh: there is no usable sense. */
    static const struct {
        const char *name;
        size_t length;
        uint8_t sense[32];
        struct spc_sense expected;
    } rows[] = {
        {"fixed", 18, {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 1}, {5, 0x24, 1}},
        {"fixed, valid bit and flags of byte 2 set",
         18,
         {0xf0, 0, 0xe6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 3},
         {6, 0x2a, 3}},
        {"fixed, deferred", 18, {0x71, 0, 4, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44, 0}, {4, 0x44, 0}},
        {"fixed, NO SENSE is an answer", 18, {0x70, 0, 0, 0, 0, 0, 0, 10}, {0, 0, 0}},
        {"fixed, the data ends before the codes",
         18,
         {0x70, 0, 6, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x2a, 3},
         {6, 0, 0}},
        {"fixed, the data ends between the codes",
         18,
         {0x70, 0, 6, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0x2a, 3},
         {6, 0x2a, 0}},
        {"fixed, additional length beyond what came",
         14,
         {0x70, 0, 6, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0x2a, 3},
         {6, 0x2a, 3}},
        {"fixed, cut behind the key", 3, {0x70, 0, 2}, {2, 0, 0}},
        {"fixed, cut before the key", 2, {0x70, 0}, {0xff, 0, 0}},
        {"descriptor", 8, {0x72, 0xb, 0x08, 0x01}, {0xb, 8, 1}},
        {"descriptor, reserved bits of byte 1 set", 8, {0x72, 0xfb, 0x08, 0x01}, {0xb, 8, 1}},
        {"descriptor, deferred", 8, {0x73, 0x4, 0x44, 0x00}, {4, 0x44, 0}},
        {"descriptor, cut behind the key", 2, {0x72, 0x5}, {5, 0, 0}},
        {"descriptor, cut between the codes", 3, {0x72, 0x5, 0x24}, {5, 0x24, 0}},
        {"descriptor, cut before the key", 1, {0x72}, {0xff, 0, 0}},
        {"nothing", 0, {0}, {0xff, 0, 0}},
        {"zeros", 18, {0}, {0xff, 0, 0}},
        {"response code below 70h", 18, {0x6f, 0, 5, 0, 0, 0, 0, 10}, {0xff, 0, 0}},
        {"reserved response code", 18, {0x74, 5, 5, 0, 0, 0, 0, 10}, {0xff, 0, 0}},
        {"vendor specific response code", 18, {0x7f, 5, 5, 0, 0, 0, 0, 10}, {0xff, 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spc_sense code = {0x5a, 0x5a, 0x5a};
        bool usable = rows[i].expected.key != 0xff;
        uint8_t *sense = exactly(rows[i].sense, rows[i].length);

        table_row = rows[i].name;
        assert_int_equal(sense_decode(sense, rows[i].length, &code), usable);
        assert_int_equal(sense_is_deferred(sense, rows[i].length),
                         strstr(rows[i].name, "deferred") != NULL);
        assert_uint_equal(code.key, usable ? rows[i].expected.key : 0x5a);
        assert_uint_equal(code.asc, usable ? rows[i].expected.asc : 0x5a);
        assert_uint_equal(code.ascq, usable ? rows[i].expected.ascq : 0x5a);
        free(sense);
    }
    table_row = NULL;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 16 * 256; value++) {
        struct spc_sense built = SPC_SENSE(value >> 8, value & 0xff, ~value & 0xff);
        uint8_t sense[SENSE_SIZE];
        struct spc_sense code;

        sense_build(sense, built);
        assert_true(sense_decode(sense, sizeof(sense), &code));
        assert_uint_equal(code.key, built.key);
        assert_uint_equal(code.asc, built.asc);
        assert_uint_equal(code.ascq, built.ascq);
    }
}

static void test_describe(void **state)
{
    static const char known[] = "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)";
    char text[SENSE_TEXT_SIZE];

    (void)state;
    assert_null(sense_code_name(SPC_SENSE(0xb, 0x12, 0x34)));
    sense_describe(text, sizeof(text), SPC_SENSE(0xb, 0x12, 0x34));
    assert_string_equal(text, "ABORTED COMMAND (B/12/34)");

    for (size_t size = 1; size <= sizeof(known); size++) {
        memset(text, 'x', sizeof(text));
        assert_uint_equal(sense_describe(text, size, SPC_INVALID_FIELD_IN_CDB), strlen(known));
        assert_memory_equal(text, known, size - 1);
        assert_int_equal(text[size - 1], '\0');
        assert_int_equal(text[size], 'x');
    }
    assert_uint_equal(sense_describe(NULL, 0, SPC_INVALID_FIELD_IN_CDB), strlen(known));
}

static void test_describe_always_fits(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 16 * 65536; value++) {
        struct spc_sense code = SPC_SENSE(value >> 16, value >> 8 & 0xff, value & 0xff);
        char text[SENSE_TEXT_SIZE];

        if (sense_code_name(code))
            assert_true(sense_describe(text, sizeof(text), code) < sizeof(text));
    }
}

static void test_key_names(void **state)
{
    (void)state;
    assert_string_equal(sense_key_name(0x0), "NO SENSE");
    assert_string_equal(sense_key_name(0x6), "UNIT ATTENTION");
    assert_string_equal(sense_key_name(0xf6), "UNIT ATTENTION");
    for (unsigned key = 0; key < 256; key++)
        assert_non_null(sense_key_name((uint8_t)key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),     table_test(test_constants),
        table_test(test_decode),          cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_describe),  cmocka_unit_test(test_describe_always_fits),
        cmocka_unit_test(test_key_names),
    };

    return cmocka_run_group_tests_name("sense", tests, NULL, NULL);
}
