// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "base/bytes.h"
#include "exactly.h"
#include "proto/wire.h"

static void test_features(void **state)
{
    uint8_t bytes[WIRE_FEATURES_SIZE];

    (void)state;
    wire_encode_features(bytes, WIRE_FEATURES);
    assert_memory_equal(bytes, "\0\0\0\1", 4);
    wire_encode_features(bytes, 0x12345678);
    assert_memory_equal(bytes, "\x12\x34\x56\x78", 4);
}

static void test_accept_features(void **state)
{
    uint8_t bytes[WIRE_FEATURES_SIZE];

    (void)state;
    assert_true(wire_accept_features((const uint8_t *)"\0\0\0\0"));
    assert_true(wire_accept_features((const uint8_t *)"\0\0\0\1"));
    /* The bit as a client sends it that forgets to swap: one that was not offered. */
    assert_false(wire_accept_features((const uint8_t *)"\1\0\0\0"));
    for (unsigned bit = 1; bit < 32; bit++) {
        store_be32(bytes, 1u << bit);
        assert_false(wire_accept_features(bytes));
        store_be32(bytes, 1u << bit | 1);
        assert_false(wire_accept_features(bytes));
    }
}

/* Decode, with all of the CDB there and not a byte behind it. */
static bool decode(const uint8_t cdb[WIRE_CDB_SIZE], struct request *ret)
{
    uint8_t *copy = exactly(cdb, WIRE_CDB_SIZE);
    bool decoded;

    memset(ret, 0xee, sizeof(*ret));
    decoded = wire_decode_request(copy, ret);
    if (decoded) {
        assert_ptr_equal(ret->cdb, copy);
        assert_uint_equal(ret->opcode, copy[0]);
        assert_null(ret->data);
        assert_int_equal(ret->fd, -1);
    }
    free(copy);
    return decoded;
}

static void test_opcodes(void **state)
{
    struct request request;
    uint8_t cdb[WIRE_CDB_SIZE];

    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        bool served = opcode == 0x5e || opcode == 0x5f || opcode == 0xff;

        for (unsigned rest = 0; rest < 3; rest++) {
            memset(cdb, 0, sizeof(cdb));
            cdb[0] = (uint8_t)opcode;
            cdb[1] = rest == 1 ? 0xff : 0; /* every service action is the device's to judge */
            cdb[8] = rest == 2 ? 24 : 0;
            assert_int_equal(decode(cdb, &request), served);
            if (!served)
                continue;
            assert_uint_equal(request.length, rest == 2 && opcode != 0xff ? 24 : 0);
            assert_int_equal(wire_has_parameters(&request), rest == 2 && opcode == 0x5f);
        }
    }
}

static void test_every_length(void **state)
{
    static const uint8_t opcodes[] = {0x5e, 0x5f, 0xff};
    struct request request;
    uint8_t cdb[WIRE_CDB_SIZE] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        cdb[0] = opcodes[i];
        for (uint32_t length = 0; length <= UINT16_MAX; length++) {
            bool served = opcodes[i] == 0xff || length <= 8192;

            store_be16(cdb + 7, (uint16_t)length);
            assert_int_equal(wire_decode_request(cdb, &request), served);
            if (!served)
                continue;
            assert_uint_equal(request.length, opcodes[i] == 0xff ? 0 : length);
            assert_int_equal(wire_has_parameters(&request), opcodes[i] == 0x5f && length > 0);
        }
    }
}

/* Bytes 5 and 6 are the upper half of the length of 5Fh, and nothing in the other commands. */
static void test_upper_length(void **state)
{
    static const uint8_t values[][2] = {{0, 1}, {1, 0}, {0xff, 0xff}, {0x80, 0}, {0, 0x20}};
    struct request request;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t cdb[WIRE_CDB_SIZE] = {0x5f, 0, 0, 0, 0, values[i][0], values[i][1], 0, 24};

        assert_false(decode(cdb, &request));
        cdb[0] = 0x5e;
        assert_true(decode(cdb, &request));
        assert_uint_equal(request.length, 24);
        cdb[0] = 0xff;
        assert_true(decode(cdb, &request));
        assert_uint_equal(request.length, 0);
    }
}

/* All that surrounds the fields says nothing about the request. */
static void test_other_bytes(void **state)
{
    struct request request;

    (void)state;
    for (unsigned at = 1; at < WIRE_CDB_SIZE; at++) {
        uint8_t cdb[WIRE_CDB_SIZE] = {0x5f, 0, 0, 0, 0, 0, 0, 0, 24};

        if (at >= 5 && at <= 8)
            continue;
        cdb[at] = 0xff;
        assert_true(decode(cdb, &request));
        assert_uint_equal(request.length, 24);
    }
}

/*
 * QEMU's client asserts that only 5Eh with status GOOD has data, and never more than it asked for.
 * Every opcode and status, with sizes around the allocation length; the sizes that a backend could
 * name by mistake as well.
 */
static void test_reply_invariants(void **state)
{
    static const uint32_t lengths[] = {0, 1, 8, 24, 8191, 8192};
    unsigned with_data = 0;

    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned status = 0; status < 256; status++) {
            for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                const uint32_t sizes[] = {0,
                                          1,
                                          lengths[i] - 1,
                                          lengths[i],
                                          lengths[i] + 1,
                                          WIRE_DATA_MAX + 1,
                                          0x80000000,
                                          UINT32_MAX};

                for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
                    struct request request = {.opcode = (uint8_t)opcode, .length = lengths[i]};
                    struct reply reply = {.status = (uint8_t)status, .size = sizes[j]};
                    uint8_t bytes[WIRE_REPLY_SIZE];
                    uint32_t expected = 0;

                    if (opcode == 0x5e && status == 0)
                        expected = sizes[j] < lengths[i] ? sizes[j] : lengths[i];
                    assert_uint_equal(wire_encode_reply(&request, &reply, bytes), expected);
                    assert_uint_equal(load_be32(bytes), status);
                    assert_uint_equal(load_be32(bytes + 4), expected);
                    with_data += expected > 0;
                }
            }
        }
    }
    assert_true(with_data > 0); /* the loops did meet a reply with data */
}

static void test_reply_bytes(void **state)
{
    uint8_t expected[WIRE_REPLY_SIZE] = {0, 0, 0, 0x02, 0, 0, 0, 0, 0x70, 0, 0x05};
    uint8_t data[8], *bytes = exactly(expected, WIRE_REPLY_SIZE);
    struct request request = {.opcode = 0x5e, .length = 8, .data = data};
    struct reply reply;

    (void)state;
    expected[8 + 7] = 0x0a;
    expected[8 + 12] = 0x20;
    memset(&reply, 0xee, sizeof(reply));
    reply_sense(&reply, SPC_INVALID_OPERATION_CODE);
    memset(bytes, 0xee, WIRE_REPLY_SIZE);
    assert_uint_equal(wire_encode_reply(&request, &reply, bytes), 0);
    assert_memory_equal(bytes, expected, WIRE_REPLY_SIZE);

    memset(expected, 0, WIRE_REPLY_SIZE);
    expected[7] = 8;
    memset(&reply, 0xee, sizeof(reply));
    reply_status(&reply, SPC_STATUS_GOOD, 8);
    assert_uint_equal(wire_encode_reply(&request, &reply, bytes), 8);
    assert_memory_equal(bytes, expected, WIRE_REPLY_SIZE);

    expected[3] = 0x18;
    expected[7] = 0;
    memset(&reply, 0xee, sizeof(reply));
    reply_status(&reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
    assert_uint_equal(wire_encode_reply(&request, &reply, bytes), 0);
    assert_memory_equal(bytes, expected, WIRE_REPLY_SIZE);
    free(bytes);
}

/* A device's sense goes out to its last byte. */
static void test_reply_sense_verbatim(void **state)
{
    struct request request = {.opcode = 0x5f};
    struct reply reply = {.status = SPC_STATUS_CHECK_CONDITION};
    uint8_t bytes[WIRE_REPLY_SIZE];

    (void)state;
    for (unsigned i = 0; i < SENSE_SIZE; i++)
        reply.sense[i] = (uint8_t)(i ^ 0x5a);
    wire_encode_reply(&request, &reply, bytes);
    assert_memory_equal(bytes + 8, reply.sense, SENSE_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_accept_features),
        cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_upper_length),
        cmocka_unit_test(test_other_bytes),
        cmocka_unit_test(test_reply_invariants),
        cmocka_unit_test(test_reply_bytes),
        cmocka_unit_test(test_reply_sense_verbatim),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
