// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "exactly.h"
#include "scsi/prin.h"

static const uint8_t two_keys[24] = {
    0x00, 0x00, 0x01, 0x02,                         /* PRGENERATION */
    0x00, 0x00, 0x00, 0x10,                         /* ADDITIONAL LENGTH */
    0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, /* first key */
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* second key */
};

static void test_keys(void **state)
{
    struct prin_list list;
    uint64_t key = 0;

    (void)state;
    assert_int_equal(prin_list_decode(two_keys, sizeof(two_keys), &list), PRIN_OK);
    assert_uint_equal(list.generation, 0x0102);
    assert_uint_equal(list.needed, 24);
    assert_int_equal(prin_key_next(&list, &key), PRIN_OK);
    assert_uint_equal(key, 0x123456789abcdef0);
    assert_int_equal(prin_key_next(&list, &key), PRIN_OK);
    assert_uint_equal(key, UINT64_MAX);
    key = 5;
    assert_int_equal(prin_key_next(&list, &key), PRIN_END);
    assert_int_equal(prin_key_next(&list, &key), PRIN_END);
    assert_uint_equal(key, 5);
}

static void test_keys_cut_everywhere(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof(two_keys); length++) {
        uint8_t *data = exactly(two_keys, length);
        struct prin_list list = {.needed = 99};
        unsigned count = 0;
        uint64_t key;

        if (length < PRIN_HEADER_SIZE) {
            assert_int_equal(prin_list_decode(data, length, &list), PRIN_TRUNCATED);
            assert_uint_equal(list.needed, 99);
        } else {
            enum prin_result result;

            assert_int_equal(prin_list_decode(data, length, &list), PRIN_OK);
            assert_uint_equal(list.needed, sizeof(two_keys));
            while ((result = prin_key_next(&list, &key)) == PRIN_OK)
                count++;
            assert_int_equal(result, PRIN_TRUNCATED);
            assert_uint_equal(count, (length - PRIN_HEADER_SIZE) / 8);
            assert_int_equal(prin_key_next(&list, &key), PRIN_TRUNCATED);
        }
        free(data);
    }
}

static void test_keys_lengths(void **state)
{
    static const struct {
        const char *name;
        uint32_t additional;
        unsigned count;
        enum prin_result end;
    } rows[] = {
        {"no key, more bytes than the answer has", 0, 0, PRIN_END},
        {"one key, more bytes than the answer has", 8, 1, PRIN_END},
        {"a piece of a key", 7, 0, PRIN_MALFORMED},
        {"a key and a piece", 15, 1, PRIN_MALFORMED},
        {"all", 16, 2, PRIN_END},
        {"one byte more than came", 17, 2, PRIN_TRUNCATED},
        {"greatest", UINT32_MAX, 2, PRIN_TRUNCATED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t data[sizeof(two_keys)];
        struct prin_list list;
        enum prin_result result;
        unsigned count = 0;
        uint64_t key;

        table_row = rows[i].name;
        memcpy(data, two_keys, sizeof(data));
        store_be32(data + 4, rows[i].additional);
        assert_int_equal(prin_list_decode(data, sizeof(data), &list), PRIN_OK);
        assert_uint_equal(list.needed, UINT64_C(8) + rows[i].additional);
        while ((result = prin_key_next(&list, &key)) == PRIN_OK)
            count++;
        assert_int_equal(result, rows[i].end);
        assert_uint_equal(count, rows[i].count);
    }
    table_row = NULL;
}

static const uint8_t full_status[8 + 24 + 24 + 24 + 32] =
    {
        0x00, 0x00, 0x00, 0x07,                                  /* PRGENERATION */
        0x00, 0x00, 0x00, 0x68,                                  /* ADDITIONAL LENGTH */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0xbc,          /* key */
        0,    0,    0,    0,    0x01, 0x05, 0,    0,    0,    0, /* R_HOLDER; scope 0, type 5 */
        0x00, 0x02,                                              /* relative target port 2 */
        0x00, 0x00, 0x00, 0x18,                                  /* ADDITIONAL DESCRIPTOR LENGTH */
        0x06, 0,    0,    0,    0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd4,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, /* SAS */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0d, 0xef,                      /* key */
        0,    0,    0,    0,    0x02, 0x00, 0,    0,    0,    0,             /* ALL_TG_PT */
        0x00, 0x00,             /* relative target port */
        0x00, 0x00, 0x00, 0x20, /* ADDITIONAL DESCRIPTOR LENGTH */
        0x45, 0,    0,    28,   'i',  'q',  'n',  '.',  '2',  '0',  '2',  '6',
        ':',  'n',  ',',  'i',  ',',  '0',  'x',  '0',  '0',  '0',  '2',  '3',
        'd',  '0',  '0',  '0',  '0',  '0',  '1',  0, /* iSCSI port */
};

static void test_full_status(void **state)
{
    struct prin_registrant registrant;
    char text[TRANSPORTID_TEXT_SIZE];
    struct prin_list list;

    (void)state;
    assert_int_equal(prin_list_decode(full_status, sizeof(full_status), &list), PRIN_OK);
    assert_uint_equal(list.generation, 7);
    assert_uint_equal(list.needed, sizeof(full_status));

    assert_int_equal(prin_registrant_next(&list, &registrant), PRIN_OK);
    assert_uint_equal(registrant.key, 0xabc);
    assert_true(registrant.holder);
    assert_false(registrant.all_tg_pt);
    assert_uint_equal(registrant.scope, 0);
    assert_uint_equal(registrant.type, 5);
    assert_uint_equal(registrant.relative_target_port, 2);
    transportid_format(text, sizeof(text), &registrant.transportid);
    assert_string_equal(text, "sas:5000c500a1b2c3d4");

    assert_int_equal(prin_registrant_next(&list, &registrant), PRIN_OK);
    assert_uint_equal(registrant.key, 0xdef);
    assert_false(registrant.holder);
    assert_true(registrant.all_tg_pt);
    transportid_format(text, sizeof(text), &registrant.transportid);
    assert_string_equal(text, "iscsi:iqn.2026:n,i,0x00023d000001");

    assert_int_equal(prin_registrant_next(&list, &registrant), PRIN_END);
}

static void test_full_status_cut_everywhere(void **state)
{
    (void)state;
    for (size_t length = PRIN_HEADER_SIZE; length < sizeof(full_status); length++) {
        uint8_t *data = exactly(full_status, length);
        struct prin_registrant registrant;
        enum prin_result result;
        struct prin_list list;
        unsigned count = 0;

        assert_int_equal(prin_list_decode(data, length, &list), PRIN_OK);
        while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK)
            count++;
        assert_int_equal(result, PRIN_TRUNCATED);
        assert_uint_equal(count, length >= 8 + 48 ? 1 : 0);
        assert_int_equal(prin_registrant_next(&list, &registrant), PRIN_TRUNCATED);
        free(data);
    }
}

static void test_full_status_own_lengths_too_short(void **state)
{
    (void)state;
    /* All bytes are there, but the list says that it ends earlier. */
    for (size_t end = PRIN_HEADER_SIZE; end < sizeof(full_status); end++) {
        uint8_t data[sizeof(full_status)];
        struct prin_registrant registrant;
        enum prin_result result;
        struct prin_list list;
        unsigned count = 0;

        memcpy(data, full_status, sizeof(data));
        store_be32(data + 4, (uint32_t)(end - PRIN_HEADER_SIZE));
        assert_int_equal(prin_list_decode(data, sizeof(data), &list), PRIN_OK);
        while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK)
            count++;
        assert_int_equal(result, end == 8 || end == 56 ? PRIN_END : PRIN_MALFORMED);
        assert_uint_equal(count, end >= 56 ? 1 : 0);
    }
}

static void test_full_status_descriptor_lengths(void **state)
{
    static const struct {
        const char *name;
        uint32_t length;
        enum prin_result result;
        uint16_t size; /* of the TransportID */
    } rows[] = {
        {"none", 0, PRIN_OK, 0},
        {"shorter than any TransportID", 3, PRIN_OK, 3},
        {"not that of its kind", 28, PRIN_OK, 28},
        {"as long as any may be", 256, PRIN_OK, 256},
        {"longer than any may be", 257, PRIN_MALFORMED, 0},
        {"beyond the list", 273, PRIN_MALFORMED, 0},
        {"greatest", UINT32_MAX, PRIN_MALFORMED, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t data[8 + 24 + 272] = {0};
        struct prin_registrant registrant = {.key = 5};
        struct prin_list list;

        table_row = rows[i].name;
        store_be32(data + 4, sizeof(data) - PRIN_HEADER_SIZE);
        store_be32(data + 28, rows[i].length);
        data[32] = 0x06;
        assert_int_equal(prin_list_decode(data, sizeof(data), &list), PRIN_OK);
        assert_int_equal(prin_registrant_next(&list, &registrant), rows[i].result);
        if (rows[i].result == PRIN_OK) {
            assert_int_equal(registrant.transportid.kind, TRANSPORTID_RAW);
            assert_uint_equal(registrant.transportid.size, rows[i].size);
            assert_memory_equal(registrant.transportid.bytes, data + 32, rows[i].size);
        } else {
            assert_uint_equal(registrant.key, 5);
            assert_int_equal(prin_registrant_next(&list, &registrant), rows[i].result);
        }
    }
    table_row = NULL;
}

/* After an impossible length nothing is found any more, and it is not for want of bytes. */
static void test_full_status_stays_malformed(void **state)
{
    uint8_t data[8 + 24 + 257 + 48] = {0};
    struct prin_registrant registrant;
    struct prin_list list;

    (void)state;
    store_be32(data + 28, 257);
    store_be32(data + 8 + 24 + 257 + 20, 24);
    for (uint32_t more = 0; more < 2; more++) {
        store_be32(data + 4, sizeof(data) - PRIN_HEADER_SIZE + more);
        assert_int_equal(prin_list_decode(data, sizeof(data), &list), PRIN_OK);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(prin_registrant_next(&list, &registrant), PRIN_MALFORMED);
    }
}

static void test_list_encode(void **state)
{
    struct prin_registrant first = {
        .key = 0xabc,
        .holder = true,
        .type = SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
        .relative_target_port = 2,
        .transportid = transportid_sas(0x5000c500a1b2c3d4),
    };
    struct prin_registrant second = {.key = 0xdef, .all_tg_pt = true};

    (void)state;
    assert_true(transportid_iscsi("iqn.2026:n,i,0x00023D000001", &second.transportid));
    for (size_t size = 0; size <= sizeof(full_status) + 1; size++) {
        size_t stored = size < sizeof(full_status) ? size : sizeof(full_status);
        uint8_t data[sizeof(full_status) + 1];
        struct writer writer;

        memset(data, 0xa5, sizeof(data));
        writer = prin_list_begin(data, size, 7);
        prin_registrant_add(&writer, &first);
        prin_registrant_add(&writer, &second);
        assert_uint_equal(prin_list_end(&writer), stored);
        assert_memory_equal(data, full_status, stored);
        if (stored < sizeof(data))
            assert_uint_equal(data[stored], 0xa5);
    }
    for (size_t size = 0; size <= sizeof(two_keys) + 1; size++) {
        size_t stored = size < sizeof(two_keys) ? size : sizeof(two_keys);
        uint8_t data[sizeof(two_keys) + 1];
        struct writer writer;

        memset(data, 0xa5, sizeof(data));
        writer = prin_list_begin(data, size, 0x0102);
        prin_key_add(&writer, 0x123456789abcdef0);
        prin_key_add(&writer, UINT64_MAX);
        assert_uint_equal(prin_list_end(&writer), stored);
        assert_memory_equal(data, two_keys, stored);
        if (stored < sizeof(data))
            assert_uint_equal(data[stored], 0xa5);
    }
}

static void test_empty_list(void **state)
{
    static const uint8_t expected[8] = {0xff, 0xff, 0xff, 0xff};
    uint8_t data[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct writer writer = prin_list_begin(data, sizeof(data), UINT32_MAX);

    (void)state;
    assert_uint_equal(prin_list_end(&writer), 8);
    assert_memory_equal(data, expected, 8);
}

static const uint8_t reserved[24] = {
    0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x10, 0x12, 0x34, 0x56, 0x78,
    0x9a, 0xbc, 0xde, 0xf0, 0,    0,    0,    0,    0,    0x08, 0,    0,
};

static void test_reservation(void **state)
{
    static const struct {
        const char *name;
        size_t length;
        uint8_t data[32];
        enum prin_result result;
        struct prin_reservation expected;
    } rows[] = {
        {"none", 8, {0, 0, 0, 9}, PRIN_OK, {9, false, 0, 0, 0}},
        {"none, more bytes than the answer has",
         24,
         {0, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 5},
         PRIN_OK,
         {9, false, 0, 0, 0}},
        {"scope is the upper half",
         24,
         {0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x23},
         PRIN_OK,
         {1, true, 1, 2, 3}},
        {"reserved and obsolete bytes play no part",
         24,
         {0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 0x03, 9, 9},
         PRIN_OK,
         {1, true, 1, 0, 3}},
        {"longer than we know",
         32,
         {0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x03},
         PRIN_OK,
         {1, true, 1, 0, 3}},
        {"too short for a reservation", 24, {0, 0, 0, 1, 0, 0, 0, 15}, PRIN_MALFORMED, {0}},
        {"one byte", 24, {0, 0, 0, 1, 0, 0, 0, 1}, PRIN_MALFORMED, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct prin_reservation *expected = &rows[i].expected;
        struct prin_reservation reservation = {.generation = 0x5a5a};

        table_row = rows[i].name;
        assert_int_equal(prin_reservation_decode(rows[i].data, rows[i].length, &reservation),
                         rows[i].result);
        if (rows[i].result != PRIN_OK) {
            assert_uint_equal(reservation.generation, 0x5a5a);
            continue;
        }
        assert_uint_equal(reservation.generation, expected->generation);
        assert_int_equal(reservation.held, expected->held);
        assert_uint_equal(reservation.key, expected->key);
        assert_uint_equal(reservation.scope, expected->scope);
        assert_uint_equal(reservation.type, expected->type);
    }
    table_row = NULL;
}

static void test_reservation_cut_everywhere(void **state)
{
    (void)state;
    for (size_t length = 0; length <= sizeof(reserved); length++) {
        uint8_t *data = exactly(reserved, length);
        struct prin_reservation reservation = {.generation = 0x5a5a};
        bool whole = length == sizeof(reserved);

        assert_int_equal(prin_reservation_decode(data, length, &reservation),
                         whole ? PRIN_OK : PRIN_TRUNCATED);
        assert_uint_equal(reservation.generation, whole ? 9 : 0x5a5a);
        free(data);
    }
}

static void test_reservation_encode(void **state)
{
    const struct prin_reservation held = {9, true, 0x123456789abcdef0, 0, 8};
    const struct prin_reservation none = {.generation = 9};

    (void)state;
    for (size_t size = 0; size <= sizeof(reserved) + 1; size++) {
        size_t stored = size < sizeof(reserved) ? size : sizeof(reserved);
        uint8_t data[sizeof(reserved) + 1];

        memset(data, 0xa5, sizeof(data));
        assert_uint_equal(prin_reservation_encode(data, size, &held), stored);
        assert_memory_equal(data, reserved, stored);
        if (stored < sizeof(data))
            assert_uint_equal(data[stored], 0xa5);

        stored = size < 8 ? size : 8;
        memset(data, 0xa5, sizeof(data));
        assert_uint_equal(prin_reservation_encode(data, size, &none), stored);
        assert_memory_equal(data, "\0\0\0\x09\0\0\0\0", stored);
        assert_uint_equal(data[stored], 0xa5);
    }
}

static void test_capabilities(void **state)
{
    /* Every bit alone, so that none can stand for another. */
    static const struct {
        const char *name;
        uint8_t data[8];
        struct prin_capabilities expected;
    } rows[] = {
        {"none", {0, 8}, {0}},
        {"RLR_C", {0, 8, 0x80}, {.replace_lost = true}},
        {"CRH", {0, 8, 0x10}, {.compatible = true}},
        {"SIP_C", {0, 8, 0x08}, {.spec_i_pt = true}},
        {"ATP_C", {0, 8, 0x04}, {.all_tg_pt = true}},
        {"PTPL_C", {0, 8, 0x01}, {.persistent = true}},
        {"TMV", {0, 8, 0, 0x80}, {.types_valid = true}},
        {"ALLOW COMMANDS", {0, 8, 0, 0x50}, {.allow_commands = 5}},
        {"PTPL_A", {0, 8, 0, 0x01}, {.persistent_active = true}},
        {"WR_EX", {0, 8, 0, 0, 0x02}, {.types = 1 << SPC_TYPE_WRITE_EXCLUSIVE}},
        {"EX_AC", {0, 8, 0, 0, 0x08}, {.types = 1 << SPC_TYPE_EXCLUSIVE_ACCESS}},
        {"WR_EX_RO", {0, 8, 0, 0, 0x20}, {.types = 1 << SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY}},
        {"EX_AC_RO",
         {0, 8, 0, 0, 0x40},
         {.types = 1 << SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY}},
        {"WR_EX_AR", {0, 8, 0, 0, 0x80}, {.types = 1 << SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS}},
        {"EX_AC_AR",
         {0, 8, 0, 0, 0, 0x01},
         {.types = 1 << SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct prin_capabilities *expected = &rows[i].expected;
        struct prin_capabilities capabilities;
        uint8_t data[9];

        table_row = rows[i].name;
        assert_int_equal(prin_capabilities_decode(rows[i].data, 8, &capabilities), PRIN_OK);
        assert_int_equal(capabilities.replace_lost, expected->replace_lost);
        assert_int_equal(capabilities.compatible, expected->compatible);
        assert_int_equal(capabilities.spec_i_pt, expected->spec_i_pt);
        assert_int_equal(capabilities.all_tg_pt, expected->all_tg_pt);
        assert_int_equal(capabilities.persistent, expected->persistent);
        assert_int_equal(capabilities.types_valid, expected->types_valid);
        assert_uint_equal(capabilities.allow_commands, expected->allow_commands);
        assert_int_equal(capabilities.persistent_active, expected->persistent_active);
        assert_uint_equal(capabilities.types, expected->types);

        for (size_t size = 0; size <= sizeof(data); size++) {
            size_t stored = size < 8 ? size : 8;

            memset(data, 0xa5, sizeof(data));
            assert_uint_equal(prin_capabilities_encode(data, size, expected), stored);
            assert_memory_equal(data, rows[i].data, stored);
            assert_uint_equal(data[stored], 0xa5);
        }
    }
    table_row = NULL;
}

static void test_capabilities_lengths(void **state)
{
    static const uint8_t whole[9] = {0, 9, 0x80};
    static const uint8_t short_length[8] = {0, 7, 0x80};
    struct prin_capabilities capabilities = {.allow_commands = 7};

    (void)state;
    for (size_t length = 0; length < 8; length++) {
        uint8_t *data = exactly(whole, length);

        assert_int_equal(prin_capabilities_decode(data, length, &capabilities), PRIN_TRUNCATED);
        free(data);
    }
    assert_int_equal(prin_capabilities_decode(short_length, 8, &capabilities), PRIN_MALFORMED);
    assert_uint_equal(capabilities.allow_commands, 7);
    assert_int_equal(prin_capabilities_decode(whole, 9, &capabilities), PRIN_OK);
    assert_true(capabilities.replace_lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_cut_everywhere),
        table_test(test_keys_lengths),
        cmocka_unit_test(test_full_status),
        cmocka_unit_test(test_full_status_cut_everywhere),
        cmocka_unit_test(test_full_status_own_lengths_too_short),
        table_test(test_full_status_descriptor_lengths),
        cmocka_unit_test(test_full_status_stays_malformed),
        cmocka_unit_test(test_list_encode),
        cmocka_unit_test(test_empty_list),
        table_test(test_reservation),
        cmocka_unit_test(test_reservation_cut_everywhere),
        cmocka_unit_test(test_reservation_encode),
        table_test(test_capabilities),
        cmocka_unit_test(test_capabilities_lengths),
    };

    return cmocka_run_group_tests_name("prin", tests, NULL, NULL);
}
