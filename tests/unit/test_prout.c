// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "exactly.h"
#include "scsi/prout.h"

#define LIST_MAX 128

static unsigned count_ids(struct prout prout)
{
    struct transportid id;
    unsigned count = 0;

    while (prout_transportid_next(&prout, &id))
        count++;
    return count;
}

/* Two keys, then byte 16 on as given. */
#define KEYS                                                                                       \
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8

#define SAS_ID 0x06, 0, 0, 0, 0x50, 0, 0xc5, 0, 0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0

#define ISCSI_DEVICE_ID                                                                            \
    0x05, 0, 0, 20, 'i', 'q', 'n', '.', 'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0

#define ISCSI_PORT_ID                                                                              \
    0x45, 0, 0, 20, 'i', 'q', 'n', '.', 'a', ',', 'i', ',', '0', 'x', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0

static const struct row {
    const char *name;
    uint8_t service_action;
    size_t length;
    uint8_t list[LIST_MAX];
    enum prout_result result;
    struct prout expected; /* keys are those of KEYS */
    unsigned ids;
} rows[] = {
    {"register", 0, 24, {KEYS}, PROUT_OK, {0}, 0},
    {"register, APTPL", 0, 24, {KEYS, 0, 0, 0, 0, 0x01}, PROUT_OK, {.aptpl = true}, 0},
    {"register, ALL_TG_PT", 0, 24, {KEYS, 0, 0, 0, 0, 0x04}, PROUT_OK, {.all_tg_pt = true}, 0},
    {"reserved and obsolete bits", 0, 24, {KEYS, 9, 9, 9, 9, 0xf2, 9, 9, 9}, PROUT_OK, {0}, 0},
    {"register, too short", 0, 23, {KEYS}, PROUT_BAD_LENGTH, {0}, 0},
    {"register, nothing", 0, 0, {0}, PROUT_BAD_LENGTH, {0}, 0},
    {"register, too long", 0, 25, {KEYS}, PROUT_BAD_LENGTH, {0}, 0},
    {"reserve", 1, 24, {KEYS}, PROUT_OK, {0}, 0},
    {"reserve, too long", 1, 28, {KEYS}, PROUT_BAD_LENGTH, {0}, 0},
    {"unknown service action", 31, 24, {KEYS}, PROUT_OK, {0}, 0},
    {"spec_i_pt, no TransportID",
     0,
     28,
     {KEYS, 0, 0, 0, 0, 0x08},
     PROUT_OK,
     {.spec_i_pt = true},
     0},
    {"spec_i_pt, one",
     0,
     52,
     {KEYS, 0, 0, 0, 0, 0x0d, 0, 0, 0, 0, 0, 0, 24, SAS_ID},
     PROUT_OK,
     {.spec_i_pt = true, .all_tg_pt = true, .aptpl = true},
     1},
    {"spec_i_pt, three",
     0,
     100,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 72, SAS_ID, ISCSI_DEVICE_ID, ISCSI_PORT_ID},
     PROUT_OK,
     {.spec_i_pt = true},
     3},
    {"spec_i_pt, bytes behind the TransportIDs",
     0,
     56,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 24, SAS_ID, 0x45},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"spec_i_pt, unknown protocol is handed out",
     0,
     52,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 24, 0x0f},
     PROUT_OK,
     {.spec_i_pt = true},
     1},
    {"spec_i_pt without its length", 0, 24, {KEYS, 0, 0, 0, 0, 0x08}, PROUT_BAD_FIELD, {0}, 0},
    {"spec_i_pt, length cut", 0, 27, {KEYS, 0, 0, 0, 0, 0x08}, PROUT_BAD_FIELD, {0}, 0},
    {"spec_i_pt, one byte less than said",
     0,
     51,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 24, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"spec_i_pt, length that wraps around",
     0,
     52,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"spec_i_pt, second TransportID cut",
     0,
     100,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 47, SAS_ID, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"spec_i_pt, second TransportID malformed",
     0,
     76,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 48, SAS_ID, 0x05, 0, 0, 20},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"spec_i_pt with reserve", 1, 24, {KEYS, 0, 0, 0, 0, 0x08}, PROUT_BAD_FIELD, {0}, 0},
    {"spec_i_pt with register and ignore existing key",
     6,
     52,
     {KEYS, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 24, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move",
     7,
     48,
     {KEYS, 0, 0, 0x12, 0x34, 0, 0, 0, 24, SAS_ID},
     PROUT_OK,
     {.relative_target_port = 0x1234},
     1},
    {"move, UNREG",
     7,
     48,
     {KEYS, 0, 2, 0, 1, 0, 0, 0, 24, SAS_ID},
     PROUT_OK,
     {.relative_target_port = 1, .unreg = true},
     1},
    {"move, APTPL",
     7,
     48,
     {KEYS, 0, 1, 0, 1, 0, 0, 0, 24, ISCSI_PORT_ID},
     PROUT_OK,
     {.relative_target_port = 1, .aptpl = true},
     1},
    {"move, reserved bits",
     7,
     48,
     {KEYS, 0xff, 0xfc, 0, 1, 0, 0, 0, 24, SAS_ID},
     PROUT_OK,
     {.relative_target_port = 1},
     1},
    {"move, bytes behind the TransportID",
     7,
     52,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 24, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, too short", 7, 23, {KEYS}, PROUT_BAD_LENGTH, {0}, 0},
    {"move, no TransportID", 7, 24, {KEYS, 0, 0, 0, 1}, PROUT_BAD_FIELD, {0}, 0},
    {"move, length below the least",
     7,
     48,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 20, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, length no multiple of four",
     7,
     52,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 26, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, TransportID below the least",
     7,
     44,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 20, 0x45, 0, 0, 16, 'a', ',', 'i', ',', '0', 'x', '1'},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, one byte less than said",
     7,
     47,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 24, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, length that wraps around",
     7,
     48,
     {KEYS, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xe8, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, two TransportIDs",
     7,
     72,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 48, SAS_ID, SAS_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move, TransportID longer than said",
     7,
     52,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 24, 0x45, 0, 0, 24, 'a', ',', 'i', ',', '0', 'x', '1'},
     PROUT_BAD_FIELD,
     {0},
     0},
    {"move to an iSCSI device",
     7,
     48,
     {KEYS, 0, 0, 0, 1, 0, 0, 0, 24, ISCSI_DEVICE_ID},
     PROUT_BAD_FIELD,
     {0},
     0},
};

static void test_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        uint8_t *list = exactly(row->list, row->length);
        struct prout prout = {.key = 0x5a5a};

        table_row = row->name;
        assert_int_equal(prout_decode(row->service_action, list, row->length, &prout), row->result);
        if (row->result == PROUT_OK) {
            assert_uint_equal(prout.key, 0x0102030405060708);
            assert_uint_equal(prout.sa_key, 0xf1f2f3f4f5f6f7f8);
            assert_int_equal(prout.aptpl, row->expected.aptpl);
            assert_int_equal(prout.all_tg_pt, row->expected.all_tg_pt);
            assert_int_equal(prout.spec_i_pt, row->expected.spec_i_pt);
            assert_int_equal(prout.unreg, row->expected.unreg);
            assert_uint_equal(prout.relative_target_port, row->expected.relative_target_port);
            assert_uint_equal(count_ids(prout), row->ids);
        } else {
            assert_uint_equal(prout.key, 0x5a5a);
        }
        free(list);
    }
    table_row = NULL;
}

static void test_decode_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        bool move = row->service_action == SPC_PROUT_REGISTER_AND_MOVE;
        size_t whole = PROUT_SIZE;

        if (row->result != PROUT_OK)
            continue;
        if (row->expected.spec_i_pt)
            whole = 28 + row->list[27];
        if (move)
            whole = 24 + row->list[23];

        table_row = row->name;
        for (size_t length = 0; length < whole; length++) {
            uint8_t *list = exactly(row->list, length);
            struct prout prout = {.key = 0x5a5a};

            assert_int_equal(prout_decode(row->service_action, list, length, &prout),
                             length < PROUT_SIZE ? PROUT_BAD_LENGTH : PROUT_BAD_FIELD);
            assert_uint_equal(prout.key, 0x5a5a);
            free(list);
        }
    }
    table_row = NULL;
}

static void test_sense(void **state)
{
    struct spc_sense length = prout_sense(PROUT_BAD_LENGTH);
    struct spc_sense field = prout_sense(PROUT_BAD_FIELD);

    (void)state;
    assert_uint_equal(length.key << 16 | length.asc << 8 | length.ascq, 0x051a00);
    assert_uint_equal(field.key << 16 | field.asc << 8 | field.ascq, 0x052600);
}

static void test_transportids(void **state)
{
    static const char *const expected[] = {"sas:5000c50000000001", "iscsi:iqn.a",
                                           "iscsi:iqn.a,i,0x1"};
    struct prout prout;
    struct transportid id;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].ids != 3)
            continue;
        assert_int_equal(prout_decode(0, rows[i].list, rows[i].length, &prout), PROUT_OK);
        for (size_t k = 0; k < 3; k++) {
            char text[TRANSPORTID_TEXT_SIZE];

            assert_true(prout_transportid_next(&prout, &id));
            transportid_format(text, sizeof(text), &id);
            assert_string_equal(text, expected[k]);
        }
        assert_false(prout_transportid_next(&prout, &id));
        return;
    }
    fail_msg("the table has no row with three TransportIDs");
}

static void test_encode(void **state)
{
    static const struct {
        const char *name;
        uint8_t service_action;
        struct prout prout;
        size_t count; /* TransportIDs given */
        size_t length;
        uint8_t expected[LIST_MAX];
    } lists[] = {
        {"reserve", 1, {0}, 0, 24, {KEYS}},
        {"ids without spec_i_pt are left out", 1, {0}, 2, 24, {KEYS}},
        {"aptpl", 0, {.aptpl = true}, 0, 24, {KEYS, 0, 0, 0, 0, 1}},
        {"all_tg_pt", 6, {.all_tg_pt = true}, 0, 24, {KEYS, 0, 0, 0, 0, 4}},
        {"unreg and port only in move",
         6,
         {.unreg = true, .relative_target_port = 0xffff},
         0,
         24,
         {KEYS}},
        {"spec_i_pt, none", 0, {.spec_i_pt = true}, 0, 28, {KEYS, 0, 0, 0, 0, 8}},
        {"spec_i_pt, two",
         0,
         {.spec_i_pt = true},
         2,
         76,
         {KEYS, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 48, SAS_ID, ISCSI_PORT_ID}},
        {"move",
         7,
         {.unreg = true, .aptpl = true, .relative_target_port = 0x1234},
         2,
         48,
         {KEYS, 0, 3, 0x12, 0x34, 0, 0, 0, 24, SAS_ID}},
        {"move without TransportID", 7, {0}, 0, 24, {KEYS}},
    };
    struct transportid ids[2] = {transportid_sas(0x5000c50000000001)};

    (void)state;
    assert_true(transportid_iscsi("iqn.a,i,0x1", &ids[1]));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct prout prout = lists[i].prout;

        table_row = lists[i].name;
        prout.key = 0x0102030405060708;
        prout.sa_key = 0xf1f2f3f4f5f6f7f8;
        for (size_t size = 0; size < LIST_MAX; size++) {
            size_t stored = size < lists[i].length ? size : lists[i].length;
            uint8_t list[LIST_MAX];

            memset(list, 0xa5, sizeof(list));
            assert_uint_equal(
                prout_encode(lists[i].service_action, &prout, ids, lists[i].count, list, size),
                lists[i].length);
            assert_memory_equal(list, lists[i].expected, stored);
            assert_uint_equal(list[stored], 0xa5);
        }
    }
    table_row = NULL;
}

/* What decodes is encoded to a list that decodes to the same, with the same TransportIDs. */
static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct prout prout, again, walk;
        struct transportid ids[4], id;
        uint8_t list[LIST_MAX];
        unsigned count = 0;
        size_t length;

        if (row->result != PROUT_OK)
            continue;
        table_row = row->name;
        assert_int_equal(prout_decode(row->service_action, row->list, row->length, &prout),
                         PROUT_OK);
        walk = prout;
        while (prout_transportid_next(&walk, &ids[count]))
            count++;
        length = prout_encode(row->service_action, &prout, ids, count, list, sizeof(list));
        assert_true(length <= row->length);

        assert_int_equal(prout_decode(row->service_action, list, length, &again), PROUT_OK);
        assert_uint_equal(again.key, prout.key);
        assert_uint_equal(again.sa_key, prout.sa_key);
        assert_int_equal(again.aptpl, prout.aptpl);
        assert_int_equal(again.all_tg_pt, prout.all_tg_pt);
        assert_int_equal(again.spec_i_pt, prout.spec_i_pt);
        assert_int_equal(again.unreg, prout.unreg);
        assert_uint_equal(again.relative_target_port, prout.relative_target_port);
        for (unsigned k = 0; k < count; k++) {
            assert_true(prout_transportid_next(&again, &id));
            assert_true(transportid_equal(&id, &ids[k]));
        }
        assert_false(prout_transportid_next(&again, &id));
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_decode),      table_test(test_decode_cut_everywhere),
        cmocka_unit_test(test_sense), cmocka_unit_test(test_transportids),
        table_test(test_encode),      table_test(test_round_trip),
    };

    return cmocka_run_group_tests_name("prout", tests, NULL, NULL);
}
