// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "exactly.h"
#include "scsi/transportid.h"

#define NODE "iqn.2026-01.example:node"

/* 28 bytes of text with its NUL: no padding, so that an off-by-one shows. */
#define NODE_PORT "iqn.2026:n,i,0x00023d000001"

struct row {
    const char *name;
    size_t size;
    uint8_t bytes[64];
    enum transportid_result result;
    enum transportid_kind kind;
    const char *text;
    size_t consumed; /* if not size */
};

static const struct row rows[] = {
    {"fc",
     24,
     {0x00, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x00, 0x00, 0x24, 0xff, 0x3a, 0x5b, 0x6c},
     TRANSPORTID_OK,
     TRANSPORTID_FC,
     "fc:21000024ff3a5b6c",
     0},
    {"sas",
     24,
     {0x06, 0, 0, 0, 0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd4},
     TRANSPORTID_OK,
     TRANSPORTID_SAS,
     "sas:5000c500a1b2c3d4",
     0},
    {"srp",
     24,
     {0x04, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
     TRANSPORTID_OK,
     TRANSPORTID_SRP,
     "srp:000102030405060708090a0b0c0d0e0f",
     0},
    {"iscsi device",
     32,
     {0x05, 0, 0, 28, NODE[0], NODE[1], NODE[2]},
     TRANSPORTID_OK,
     TRANSPORTID_ISCSI_DEVICE,
     "iscsi:iqn",
     0},
    {"reserved bits of byte 0",
     24,
     {0x36, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8},
     TRANSPORTID_OK,
     TRANSPORTID_SAS,
     "sas:0102030405060708",
     0},
    {"parallel scsi is not known",
     24,
     {0x01, 0, 0, 7},
     TRANSPORTID_OK,
     TRANSPORTID_RAW,
     "raw:010000070000000000000000000000000000000000000000",
     0},
    {"fc with another format is not known",
     24,
     {0x40},
     TRANSPORTID_OK,
     TRANSPORTID_RAW,
     "raw:400000000000000000000000000000000000000000000000",
     0},
    {"one byte short", 23, {0x06}, TRANSPORTID_TRUNCATED, 0, NULL, 0},
    {"unknown, one byte short", 23, {0x0f}, TRANSPORTID_TRUNCATED, 0, NULL, 0},
    {"nothing", 0, {0}, TRANSPORTID_TRUNCATED, 0, NULL, 0},
    {"longer than a TransportID",
     40,
     {0x06},
     TRANSPORTID_OK,
     TRANSPORTID_SAS,
     "sas:0000000000000000",
     24},
    {"iscsi, length cut", 3, {0x05, 0, 0}, TRANSPORTID_TRUNCATED, 0, NULL, 0},
    {"iscsi, text cut", 23, {0x05, 0, 0, 20, 'a'}, TRANSPORTID_TRUNCATED, 0, NULL, 0},
    {"iscsi, length 0", 24, {0x05, 0, 0, 0, 'a'}, TRANSPORTID_MALFORMED, 0, NULL, 0},
    {"iscsi, length no multiple of four",
     24,
     {0x05, 0, 0, 19, 'a'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi, length above the greatest",
     24,
     {0x05, 0, 1, 0, 'a'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi, no NUL", 8, {0x05, 0, 0, 4, 'a', 'b', 'c', 'd'}, TRANSPORTID_MALFORMED, 0, NULL, 0},
    {"iscsi, empty name", 24, {0x05, 0, 0, 20}, TRANSPORTID_MALFORMED, 0, NULL, 0},
    {"iscsi, shorter than the standard says",
     8,
     {0x05, 0, 0, 4, 'a', 'b', 'c', 0},
     TRANSPORTID_OK,
     TRANSPORTID_ISCSI_DEVICE,
     "iscsi:abc",
     0},
    {"iscsi, bytes behind the NUL",
     24,
     {0x05, 0, 0, 20, 'a', 0, 'x', 'y'},
     TRANSPORTID_OK,
     TRANSPORTID_ISCSI_DEVICE,
     "iscsi:a",
     0},
    {"iscsi, bytes that do not print",
     24,
     {0x05, 0, 0, 20, 'a', 0x1b, 0xc3, 0xa9, '%', ' ', 0x7f},
     TRANSPORTID_OK,
     TRANSPORTID_ISCSI_DEVICE,
     "iscsi:a%1b%c3%a9%25%20%7f",
     0},
    {"iscsi port",
     24,
     {0x45, 0, 0, 20, 'a', ',', 'i', ',', '0', 'x', '0', '2', '3', 'D'},
     TRANSPORTID_OK,
     TRANSPORTID_ISCSI_PORT,
     "iscsi:a,i,0x023d",
     0},
    {"iscsi port without ISID", 24, {0x45, 0, 0, 20, 'a'}, TRANSPORTID_MALFORMED, 0, NULL, 0},
    {"iscsi device with ISID",
     24,
     {0x05, 0, 0, 20, 'a', ',', 'i', ',', '0', 'x', '1'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi port, empty ISID",
     24,
     {0x45, 0, 0, 20, 'a', ',', 'i', ',', '0', 'x'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi port, ISID with a letter",
     24,
     {0x45, 0, 0, 20, 'a', ',', 'i', ',', '0', 'x', '1', 'g'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi port, ISID of thirteen digits",
     24,
     {0x45, 0,   0,   20,  'a', ',', 'i', ',', '0', 'x', '1', '2',
      '3',  '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 0},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi port, no name",
     24,
     {0x45, 0, 0, 20, ',', 'i', ',', '0', 'x', '1'},
     TRANSPORTID_MALFORMED,
     0,
     NULL,
     0},
    {"iscsi, unknown format",
     24,
     {0x85, 0, 0, 20, 'a'},
     TRANSPORTID_OK,
     TRANSPORTID_RAW,
     "raw:850000146100000000000000000000000000000000000000",
     0},
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        uint8_t *bytes = exactly(row->bytes, row->size);
        struct reader reader = reader_over(bytes, row->size);
        struct transportid id = {.size = 0x5a5a};
        char text[TRANSPORTID_TEXT_SIZE];

        table_row = row->name;
        assert_int_equal(transportid_read(&reader, &id), row->result);
        free(bytes);
        if (row->result != TRANSPORTID_OK) {
            assert_uint_equal(id.size, 0x5a5a);
            continue;
        }
        assert_int_equal(id.kind, row->kind);
        assert_uint_equal(reader.offset, row->consumed ? row->consumed : row->size);
        assert_uint_equal(transportid_protocol(&id), row->bytes[0] & 15);
        assert_uint_equal(transportid_format(text, sizeof(text), &id), strlen(row->text));
        assert_string_equal(text, row->text);
    }
    table_row = NULL;
}

static void test_decode_keeps_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        bool understood = row->result == TRANSPORTID_OK && row->kind != TRANSPORTID_RAW &&
                          row->consumed == 0;
        struct transportid id;

        table_row = row->name;
        assert_true(transportid_decode(row->bytes, row->size, &id));
        assert_int_equal(id.kind, understood ? row->kind : TRANSPORTID_RAW);
        if (!understood) {
            assert_uint_equal(id.size, row->size);
            assert_memory_equal(id.bytes, row->bytes, row->size);
        }
    }
    table_row = NULL;
}

static void test_decode_size(void **state)
{
    uint8_t bytes[TRANSPORTID_SIZE_MAX + 1] = {0x0f};
    struct transportid id = {.size = 0x5a5a};

    (void)state;
    assert_false(transportid_decode(bytes, sizeof(bytes), &id));
    assert_uint_equal(id.size, 0x5a5a);
    assert_true(transportid_decode(bytes, sizeof(bytes) - 1, &id));
    assert_uint_equal(id.size, TRANSPORTID_SIZE_MAX);
    assert_true(transportid_decode(NULL, 0, &id));
    assert_int_equal(id.kind, TRANSPORTID_RAW);
    assert_uint_equal(id.size, 0);
    assert_uint_equal(transportid_protocol(&id), 0);
}

static void test_reserved_bytes_play_no_part(void **state)
{
    static const struct {
        const char *name;
        uint8_t byte0, from, to; /* the name's bytes */
    } kinds[] = {{"fc", 0x00, 8, 16}, {"srp", 0x04, 8, 24}, {"sas", 0x06, 4, 12}};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        uint8_t clean[24] = {kinds[k].byte0}, dirty[24];
        struct transportid a, b;

        table_row = kinds[k].name;
        memset(dirty, 0xff, sizeof(dirty));
        dirty[0] = kinds[k].byte0 | 0x30;
        for (size_t i = kinds[k].from; i < kinds[k].to; i++)
            clean[i] = dirty[i] = (uint8_t)(0x80 + i);
        assert_true(transportid_decode(clean, 24, &a));
        assert_true(transportid_decode(dirty, 24, &b));
        assert_true(transportid_equal(&a, &b));
        assert_memory_equal(b.bytes, clean, 24);

        /* Each byte of the name does. */
        for (size_t i = kinds[k].from; i < kinds[k].to; i++) {
            clean[i] ^= 1;
            assert_true(transportid_decode(clean, 24, &a));
            assert_false(transportid_equal(&a, &b));
            clean[i] ^= 1;
        }
    }
    table_row = NULL;
}

static void test_iscsi_bytes(void **state)
{
    struct transportid id;

    (void)state;
    assert_true(transportid_iscsi(NODE_PORT, &id));
    assert_uint_equal(id.size, 32);
    assert_memory_equal(id.bytes, "\x45\x00\x00\x1c" NODE_PORT, 32);

    /* One more character, and the NUL needs four more bytes. */
    assert_true(transportid_iscsi("x" NODE_PORT, &id));
    assert_uint_equal(id.size, 36);
    assert_memory_equal(id.bytes, "\x45\x00\x00\x20x" NODE_PORT "\0\0\0", 36);

    /* The least that there is. */
    assert_true(transportid_iscsi("iqn.a", &id));
    assert_uint_equal(id.size, 24);
    assert_memory_equal(id.bytes, "\x05\x00\x00\x14iqn.a\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
}

static void test_iscsi_longest(void **state)
{
    char name[TRANSPORTID_ISCSI_MAX + 1];
    char text[TRANSPORTID_TEXT_SIZE];
    struct transportid id, back;

    (void)state;
    /* Every byte is escaped: the longest text that there can be. */
    memset(name, '\xff', sizeof(name));
    name[TRANSPORTID_ISCSI_MAX] = '\0';
    id.size = 0x5a5a;
    assert_false(transportid_iscsi(name, &id));
    assert_uint_equal(id.size, 0x5a5a);

    name[TRANSPORTID_ISCSI_MAX - 1] = '\0';
    assert_true(transportid_iscsi(name, &id));
    assert_uint_equal(id.size, TRANSPORTID_SIZE_MAX);
    assert_uint_equal(transportid_format(text, sizeof(text), &id), 6 + 3 * strlen(name));
    assert_true(transportid_parse(text, &back));
    assert_true(transportid_equal(&id, &back));

    assert_true(transportid_decode(id.bytes, id.size, &back));
    assert_true(transportid_equal(&id, &back));

    /* One character more, however it is written. */
    strcpy(text + strlen(text) - strlen("%ff"), "xx");
    assert_false(transportid_parse(text, &back));
    strcpy(text + strlen(text) - strlen("x"), "%ff");
    assert_false(transportid_parse(text, &back));
}

static void test_covers(void **state)
{
    struct transportid node, other, longer, port1, port2, fc = transportid_fc(1);

    (void)state;
    assert_true(transportid_iscsi(NODE, &node));
    assert_true(transportid_iscsi("iqn.2026-01.example:nod", &other));
    assert_true(transportid_iscsi(NODE "x", &longer));
    assert_true(transportid_iscsi(NODE ",i,0x00023d00000A", &port1));
    assert_true(transportid_iscsi(NODE ",i,0x00023d00000a", &port2));

    assert_true(transportid_equal(&port1, &port2));
    assert_true(transportid_covers(&port1, &port2));
    assert_true(transportid_covers(&node, &port1));
    assert_true(transportid_covers(&node, &node));
    assert_false(transportid_covers(&port1, &node));
    assert_false(transportid_covers(&other, &port1));
    assert_false(transportid_covers(&longer, &port1));
    assert_false(transportid_covers(&node, &fc));
    assert_true(transportid_covers(&fc, &fc));
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        const char *expected; /* as transportid_format() writes it; NULL: refused */
    } texts[] = {
        {"fc:21000024ff3a5b6c", "fc:21000024ff3a5b6c"},
        {"fc:21000024FF3A5B6C", "fc:21000024ff3a5b6c"},
        {"sas:5000c500a1b2c3d4", "sas:5000c500a1b2c3d4"},
        {"srp:000102030405060708090a0b0c0d0e0f", "srp:000102030405060708090a0b0c0d0e0f"},
        {"iscsi:" NODE, "iscsi:" NODE},
        {"iscsi:odd name", NULL},
        {"iscsi:odd%20name", "iscsi:odd%20name"},
        {"iscsi:a,i,0xABC", "iscsi:a,i,0xabc"},
        {NODE, "iscsi:" NODE},
        {NODE ",i,0x00023d000001", "iscsi:" NODE ",i,0x00023d000001"},
        {"eui.02004567a425678d", "iscsi:eui.02004567a425678d"},
        {"naa.52004567ba64678d", "iscsi:naa.52004567ba64678d"},
        {"raw:0f", "raw:0f"},
        {"raw:", "raw:"},
        {"raw:060000000102030405060708000000000000000000000000", "sas:0102030405060708"},
        {"", NULL},
        {"fc", NULL},
        {"fc:", NULL},
        {"fc:21000024ff3a5b6", NULL},
        {"fc:21000024ff3a5b6c0", NULL},
        {"fc:21000024ff3a5b6c00", NULL},
        {"fc:21000024ff3a5b6g", NULL},
        {"fc:0x000024ff3a5b6c", NULL},
        {" fc:21000024ff3a5b6c", NULL},
        {"sas:5000c500a1b2c3d4 ", NULL},
        {"srp:000102030405060708090a0b0c0d0e", NULL},
        {"raw:0", NULL},
        {"raw:0x", NULL},
        {"iscsi:", NULL},
        {"iscsi:a%", NULL},
        {"iscsi:a%2", NULL},
        {"iscsi:a%zz", NULL},
        {"iscsi:a%00b", NULL},
        {"iscsi:a\x7f", NULL},
        {"iscsi:a,i,0x", NULL},
        {"spi:0,1", NULL},
        {"IQN.2026-01.example:node", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct transportid id = {.size = 0x5a5a};
        char text[TRANSPORTID_TEXT_SIZE];

        table_row = texts[i].text;
        assert_int_equal(transportid_parse(texts[i].text, &id), texts[i].expected != NULL);
        if (texts[i].expected) {
            transportid_format(text, sizeof(text), &id);
            assert_string_equal(text, texts[i].expected);
        } else {
            assert_uint_equal(id.size, 0x5a5a);
        }
    }
    table_row = NULL;
}

static void test_format_every_size(void **state)
{
    static const char whole[] = "sas:5000c500a1b2c3d4";
    struct transportid id = transportid_sas(0x5000c500a1b2c3d4);

    (void)state;
    assert_uint_equal(transportid_format(NULL, 0, &id), strlen(whole));
    for (size_t size = 1; size <= sizeof(whole); size++) {
        char text[sizeof(whole) + 1];

        memset(text, 'x', sizeof(text));
        assert_uint_equal(transportid_format(text, size, &id), strlen(whole));
        assert_memory_equal(text, whole, size - 1);
        assert_int_equal(text[size - 1], '\0');
        assert_int_equal(text[size], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_read),
        table_test(test_decode_keeps_unknown),
        cmocka_unit_test(test_decode_size),
        table_test(test_reserved_bytes_play_no_part),
        cmocka_unit_test(test_iscsi_bytes),
        cmocka_unit_test(test_iscsi_longest),
        cmocka_unit_test(test_covers),
        table_test(test_parse),
        cmocka_unit_test(test_format_every_size),
    };

    return cmocka_run_group_tests_name("transportid", tests, NULL, NULL);
}
