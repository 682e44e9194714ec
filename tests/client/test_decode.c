// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The decoders by way of the public header. The bytes are judged by src/scsi, which has tests of
 * its own; here it is about every member arriving, and about what is left alone.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exactly.h"
#include "prhelper.h"

static const uint8_t two_keys[] = {0, 0, 0, 7,    0,    0,    0,    16,   0,    0, 0, 0,
                                   0, 0, 0, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 1};

static void test_keys(void **state)
{
    uint8_t *data = exactly(two_keys, sizeof(two_keys));
    struct prhelper_list list;
    uint64_t key = 1;

    assert_int_equal(prhelper_list_decode(data, sizeof(two_keys), &list), 0);
    assert_uint_equal(list.generation, 7);
    assert_uint_equal(list.needed, 24);
    assert_int_equal(prhelper_key_next(&list, &key), 0);
    assert_uint_equal(key, 0x0a);
    assert_int_equal(prhelper_key_next(&list, &key), 0);
    assert_uint_equal(key, 0xffffffffff000001);
    assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_END);
    assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_END);
    assert_uint_equal(key, 0xffffffffff000001);
    free(data);
}

static void test_keys_cut(void **state)
{
    struct prhelper_list list, untouched;
    uint64_t key;

    for (size_t size = 0; size < sizeof(two_keys); size++) {
        uint8_t *data = exactly(two_keys, size);

        memset(&list, 0xee, sizeof(list));
        untouched = list;
        if (size < 8) {
            assert_int_equal(prhelper_list_decode(data, size, &list), PRHELPER_TRUNCATED);
            assert_memory_equal(&list, &untouched, sizeof(list));
        } else {
            assert_int_equal(prhelper_list_decode(data, size, &list), 0);
            assert_uint_equal(list.needed, 24);
            if (size >= 16)
                assert_int_equal(prhelper_key_next(&list, &key), 0);
            assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_TRUNCATED);
            assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_TRUNCATED);
        }
        free(data);
    }
}

static void test_keys_malformed(void **state)
{
    uint8_t bytes[sizeof(two_keys)];
    struct prhelper_list list;
    uint64_t key;

    memcpy(bytes, two_keys, sizeof(bytes));
    bytes[7] = 12;
    assert_int_equal(prhelper_list_decode(bytes, sizeof(bytes), &list), 0);
    assert_int_equal(prhelper_key_next(&list, &key), 0);
    assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_MALFORMED);
    assert_int_equal(prhelper_key_next(&list, &key), PRHELPER_MALFORMED);
}

/* One that holds a reservation, through one port; one that does not, through all. */
static const uint8_t full_status[] = {
    0,    0, 0, 9, 0,    0, 0, 72,                           /* header */
    1,    2, 3, 4, 5,    6, 7, 8,    0,    0,    0,    0,    /* key */
    0x01, 5, 0, 0, 0,    0, 1, 2,    0,    0,    0,    24,   /* holder, port 102h */
    0x06, 0, 0, 0, 0x50, 0, 0, 0xc5, 0xa1, 0xb2, 0xc3, 0xd4, /* SAS */
    0,    0, 0, 0, 0,    0, 0, 0,    0,    0,    0,    0,    /* reserved */
    0,    0, 0, 0, 0,    0, 0, 2,    0,    0,    0,    0,    /* key */
    0x02, 0, 0, 0, 0,    0, 0, 0,    0,    0,    0,    0,    /* all ports */
};

static void test_registrants(void **state)
{
    uint8_t *data = exactly(full_status, sizeof(full_status));
    struct prhelper_registrant one;
    char text[PRHELPER_TRANSPORTID_TEXT_MAX];
    struct prhelper_list list;

    assert_int_equal(prhelper_list_decode(data, sizeof(full_status), &list), 0);
    assert_uint_equal(list.generation, 9);
    memset(&one, 0xee, sizeof(one));
    assert_int_equal(prhelper_registrant_next(&list, &one), 0);
    assert_uint_equal(one.key, 0x0102030405060708);
    assert_true(one.holder);
    assert_false(one.all_tg_pt);
    assert_uint_equal(one.scope, 0);
    assert_uint_equal(one.type, 5);
    assert_uint_equal(one.target_port, 0x102);
    assert_uint_equal(one.port.size, 24);
    prhelper_transportid_format(text, sizeof(text), &one.port);
    assert_string_equal(text, "sas:500000c5a1b2c3d4");

    assert_int_equal(prhelper_registrant_next(&list, &one), 0);
    assert_uint_equal(one.key, 2);
    assert_false(one.holder);
    assert_true(one.all_tg_pt);
    assert_uint_equal(one.port.size, 0);
    prhelper_transportid_format(text, sizeof(text), &one.port);
    assert_string_equal(text, "raw:");
    assert_int_equal(prhelper_registrant_next(&list, &one), PRHELPER_END);
    assert_uint_equal(one.key, 2);
    free(data);

    data = exactly(full_status, 8 + 47);
    assert_int_equal(prhelper_list_decode(data, 8 + 47, &list), 0);
    assert_int_equal(prhelper_registrant_next(&list, &one), PRHELPER_TRUNCATED);
    free(data);
}

static void test_reservation(void **state)
{
    static const uint8_t none[8] = {0, 0, 0, 3};
    static const uint8_t held[24] = {0, 0, 0, 4, 0, 0, 0, 16, 1, 2, 3,
                                     4, 5, 6, 7, 8, 0, 0, 0,  0, 0, 0x16};
    struct prhelper_reservation reservation;

    memset(&reservation, 0xee, sizeof(reservation));
    assert_int_equal(prhelper_reservation_decode(none, sizeof(none), &reservation), 0);
    assert_uint_equal(reservation.generation, 3);
    assert_false(reservation.held);
    assert_uint_equal(reservation.key, 0);
    assert_int_equal(prhelper_reservation_decode(held, sizeof(held), &reservation), 0);
    assert_uint_equal(reservation.generation, 4);
    assert_true(reservation.held);
    assert_uint_equal(reservation.key, 0x0102030405060708);
    assert_uint_equal(reservation.scope, 1);
    assert_uint_equal(reservation.type, 6);
    assert_int_equal(prhelper_reservation_decode(held, 21, &reservation), PRHELPER_TRUNCATED);
    assert_int_equal(prhelper_reservation_decode("\0\0\0\4\0\0\0\1\0", 9, &reservation),
                     PRHELPER_MALFORMED);
    assert_uint_equal(reservation.type, 6);
}

/* Each bit on its own, so that no two can be mixed up. */
static void test_capabilities(void **state)
{
    static const struct {
        uint8_t data[8];
        struct prhelper_capabilities wanted;
    } rows[] = {
        {{0, 8}, {0}},
        {{0, 8, 0x80}, {.replace_lost = true}},
        {{0, 8, 0x10}, {.compatible = true}},
        {{0, 8, 0x08}, {.spec_i_pt = true}},
        {{0, 8, 0x04}, {.all_tg_pt = true}},
        {{0, 8, 0x01}, {.persistent = true}},
        {{0, 8, 0, 0x80}, {.types_valid = true}},
        {{0, 8, 0, 0x50}, {.allow_commands = 5}},
        {{0, 8, 0, 0x01}, {.persistent_active = true}},
        {{0, 8, 0, 0x80, 0xea, 0x01}, {.types_valid = true, .types = 0x1ea}},
    };
    struct prhelper_capabilities capabilities;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(&capabilities, 0, sizeof(capabilities));
        assert_int_equal(prhelper_capabilities_decode(rows[i].data, 8, &capabilities), 0);
        assert_memory_equal(&capabilities, &rows[i].wanted, sizeof(capabilities));
    }
    assert_int_equal(prhelper_capabilities_decode(rows[0].data, 7, &capabilities),
                     PRHELPER_TRUNCATED);
    assert_int_equal(prhelper_capabilities_decode("\0\7\0\0\0\0\0\0", 8, &capabilities),
                     PRHELPER_MALFORMED);
}

static void test_sense(void **state)
{
    static const uint8_t fixed[18] = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x26, 4};
    static const uint8_t descriptor[8] = {0x72, 6, 0x2a, 3};
    struct prhelper_sense sense = {0};
    char text[PRHELPER_TEXT_MAX];

    assert_int_equal(prhelper_sense_decode(fixed, sizeof(fixed), &sense), 0);
    assert_uint_equal(sense.key << 16 | sense.asc << 8 | sense.ascq, 0x052604);
    assert_int_equal(prhelper_sense_decode(descriptor, sizeof(descriptor), &sense), 0);
    assert_uint_equal(sense.key << 16 | sense.asc << 8 | sense.ascq, 0x062a03);
    prhelper_sense_describe(text, sizeof(text), &sense);
    assert_string_equal(text, "UNIT ATTENTION, RESERVATIONS PREEMPTED (6/2A/03)");
    assert_int_equal(prhelper_sense_decode("\0\0\0", 3, &sense), PRHELPER_MALFORMED);
    assert_uint_equal(sense.asc, 0x2a);
}

static void test_names(void **state)
{
    unsigned type = 99;

    assert_string_equal(prhelper_status_name(0x18), "RESERVATION CONFLICT");
    assert_null(prhelper_status_name(0x99));
    assert_string_equal(prhelper_type_name(5), "write-exclusive-registrants-only");
    assert_null(prhelper_type_name(2));
    assert_null(prhelper_type_name(256 + 5));
    assert_int_equal(prhelper_type_parse("exclusive-access-all-registrants", &type), 0);
    assert_uint_equal(type, PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS);
    assert_int_equal(prhelper_type_parse("7", &type), 0);
    assert_uint_equal(type, 7);
    assert_int_equal(prhelper_type_parse("2", &type), PRHELPER_BAD_ARGUMENT);
    assert_uint_equal(type, 7);
    assert_true(strlen(prhelper_version()) > 0);
}

static void test_transportids(void **state)
{
    static const char *const good[] = {
        "sas:5000c500a1b2c3d4",
        "fc:21000024ff3a5b6c",
        "srp:000102030405060708090a0b0c0d0e0f",
        "iscsi:iqn.2026-01.example:node",
        "iscsi:iqn.2026-01.example:node,i,0x00023d000001",
        "raw:090000000000000000000000000000000000000000000000",
    };
    struct prhelper_transportid port, again;
    char text[PRHELPER_TRANSPORTID_TEXT_MAX];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(prhelper_transportid_parse(good[i], &port), 0);
        assert_uint_equal(prhelper_transportid_format(text, sizeof(text), &port), strlen(good[i]));
        assert_string_equal(text, good[i]);
    }
    again = port;
    assert_int_equal(prhelper_transportid_parse("sas:12", &port), PRHELPER_BAD_ARGUMENT);
    assert_memory_equal(&port, &again, sizeof(port));
    port.size = PRHELPER_TRANSPORTID_MAX + 1;
    prhelper_transportid_format(text, sizeof(text), &port);
    assert_string_equal(text, "raw:");
}

static void test_describe(void **state)
{
    static struct prhelper_result result = {.status = PRHELPER_GOOD};
    char text[PRHELPER_TEXT_MAX], small[8];

    prhelper_describe(text, sizeof(text), 0, &result);
    assert_string_equal(text, "GOOD");
    result.status = PRHELPER_CHECK_CONDITION;
    prhelper_describe(text, sizeof(text), 0, &result);
    assert_string_equal(text, "CHECK CONDITION: no usable sense data");
    memcpy(result.sense, "\x72\x05\x24\x00", 4);
    prhelper_describe(text, sizeof(text), 0, &result);
    assert_string_equal(text, "CHECK CONDITION: ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)");
    assert_uint_equal(prhelper_describe(small, sizeof(small), 0, &result), strlen(text));
    assert_string_equal(small, "CHECK C");
    assert_uint_equal(prhelper_describe(NULL, 0, 0, &result), strlen(text));
    result.status = 0x77;
    prhelper_describe(text, sizeof(text), 0, &result);
    assert_string_equal(text, "SCSI status 77h");

    prhelper_describe(text, sizeof(text), 0, NULL);
    assert_string_equal(text, "success");
    prhelper_describe(text, sizeof(text), -ENOENT, &result);
    assert_string_equal(text, strerror(ENOENT));
    /* Every error has words of its own. */
    for (int a = 0; a <= PRHELPER_MALFORMED; a++) {
        char other[PRHELPER_TEXT_MAX];

        if (a > PRHELPER_PENDING && a < PRHELPER_END)
            continue;
        prhelper_describe(text, sizeof(text), a, NULL);
        assert_string_not_equal(text, "unknown error");
        for (int b = 0; b < a; b++) {
            prhelper_describe(other, sizeof(other), b, NULL);
            assert_string_not_equal(text, other);
        }
    }
    prhelper_describe(text, sizeof(text), 99, NULL);
    assert_string_equal(text, "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),           cmocka_unit_test(test_keys_cut),
        cmocka_unit_test(test_keys_malformed), cmocka_unit_test(test_registrants),
        cmocka_unit_test(test_reservation),    cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_sense),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_transportids),   cmocka_unit_test(test_describe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
