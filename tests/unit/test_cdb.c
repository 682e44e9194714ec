// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "scsi/cdb.h"
#include "scsi/spc.h"

static void test_decode(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[CDB_FIELD_SIZE];
        struct cdb expected;
    } rows[] = {
        {"read keys, 8192 bytes", {0x5e, 0x00, 0, 0, 0, 0, 0, 0x20, 0x00}, {0x5e, 0, 0, 0, 8192}},
        {"read full status, no data", {0x5e, 0x03}, {0x5e, 3, 0, 0, 0}},
        {"in: greatest allocation length",
         {0x5e, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff},
         {0x5e, 1, 0, 0, 65535}},
        {"in: bytes 5 and 6 are reserved, not length",
         {0x5e, 0x02, 0, 0, 0, 0xff, 0xff, 0x00, 0x08},
         {0x5e, 2, 0, 0, 8}},
        {"in: byte 2 is reserved, not scope and type",
         {0x5e, 0x00, 0x35, 0, 0, 0, 0, 0, 8},
         {0x5e, 0, 0, 0, 8}},
        {"in: bits 7-5 of byte 1 are reserved", {0x5e, 0xe1}, {0x5e, 1, 0, 0, 0}},
        {"in: greatest service action", {0x5e, 0x1f}, {0x5e, 0x1f, 0, 0, 0}},
        {"reserve, write exclusive registrants only",
         {0x5f, 0x01, 0x05, 0, 0, 0, 0, 0, 0x18},
         {0x5f, 1, 0, 5, 24}},
        {"out: scope and type are the two halves of byte 2",
         {0x5f, 0x04, 0xc8, 0, 0, 0, 0, 0, 0x18},
         {0x5f, 4, 0xc, 8, 24}},
        {"out: length takes bytes 5 to 8",
         {0x5f, 0x00, 0, 0xff, 0xff, 0x12, 0x34, 0x56, 0x78, 0xff},
         {0x5f, 0, 0, 0, 0x12345678}},
        {"out: greatest length",
         {0x5f, 0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
         {0x5f, 6, 0, 0, UINT32_MAX}},
        {"out: without parameters", {0x5f, 0x07}, {0x5f, 7, 0, 0, 0}},
        {"bytes 9 to 15 play no part",
         {0x5e, 0, 0, 0, 0, 0, 0, 0, 4, 0xff, 1, 2, 3, 4, 5, 6},
         {0x5e, 0, 0, 0, 4}},
        {"another command keeps its opcode only",
         {0xff, 0x01, 0x15, 0, 0, 1, 2, 3, 4},
         {0xff, 0, 0, 0, 0}},
        {"test unit ready", {0x00}, {0x00, 0, 0, 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct cdb *expected = &rows[i].expected;
        struct cdb cdb;

        table_row = rows[i].name;
        cdb_decode(rows[i].bytes, &cdb);
        assert_uint_equal(cdb.opcode, expected->opcode);
        assert_uint_equal(cdb.service_action, expected->service_action);
        assert_uint_equal(cdb.scope, expected->scope);
        assert_uint_equal(cdb.type, expected->type);
        assert_uint_equal(cdb.length, expected->length);
    }
    table_row = NULL;
}

static void test_encode_prin(void **state)
{
    static const uint8_t expected[CDB_SIZE] = {0x5e, 0x03, 0, 0, 0, 0, 0, 0x12, 0x34, 0};
    uint8_t cdb[CDB_SIZE];

    (void)state;
    memset(cdb, 0xff, sizeof(cdb));
    cdb_encode_prin(cdb, SPC_PRIN_READ_FULL_STATUS, 0x1234);
    assert_memory_equal(cdb, expected, sizeof(cdb));
}

static void test_encode_prout(void **state)
{
    static const uint8_t expected[CDB_SIZE] = {0x5f, 0x05, 0x08, 0, 0, 0x01, 0x02, 0x03, 0x04, 0};
    uint8_t cdb[CDB_SIZE];

    (void)state;
    memset(cdb, 0xff, sizeof(cdb));
    cdb_encode_prout(cdb, SPC_PROUT_PREEMPT_AND_ABORT, SPC_SCOPE_LOGICAL_UNIT,
                     SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS, 0x01020304);
    assert_memory_equal(cdb, expected, sizeof(cdb));
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned service_action = 0; service_action < 32; service_action++) {
        for (unsigned byte2 = 0; byte2 < 256; byte2++) {
            uint8_t bytes[CDB_FIELD_SIZE] = {0};
            struct cdb cdb;

            cdb_encode_prout(bytes, (uint8_t)service_action, (uint8_t)(byte2 >> 4),
                             (uint8_t)(byte2 & 15), 1u << (byte2 % 32));
            cdb_decode(bytes, &cdb);
            assert_uint_equal(cdb.opcode, SPC_PERSISTENT_RESERVE_OUT);
            assert_uint_equal(cdb.service_action, service_action);
            assert_uint_equal(cdb.scope, byte2 >> 4);
            assert_uint_equal(cdb.type, byte2 & 15);
            assert_uint_equal(cdb.length, 1u << (byte2 % 32));

            cdb_encode_prin(bytes, (uint8_t)service_action, (uint16_t)(byte2 * 257));
            cdb_decode(bytes, &cdb);
            assert_uint_equal(cdb.opcode, SPC_PERSISTENT_RESERVE_IN);
            assert_uint_equal(cdb.service_action, service_action);
            assert_uint_equal(cdb.length, byte2 * 257);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_decode),
        cmocka_unit_test(test_encode_prin),
        cmocka_unit_test(test_encode_prout),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests_name("cdb", tests, NULL, NULL);
}
