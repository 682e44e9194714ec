// SPDX-License-Identifier: LGPL-2.1-or-later
/* The messages between helper and multipath worker, both ways, and what is not taken for one. */
#include "cmocka_compat.h"

#include <string.h>

#include "exactly.h"
#include "proto/worker.h"

static uint8_t list[WIRE_DATA_MAX];

static int list_set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = (uint8_t)(i * 7 + 1);
    return 0;
}

static void test_hello(void **state)
{
    struct worker_hello hello = {.ready = true, .pid = 4711, .text = "all is well"};
    struct worker_hello back;
    uint8_t bytes[WORKER_HELLO_SIZE];

    (void)state;
    worker_encode_hello(bytes, &hello);
    assert_true(worker_decode_hello(bytes, sizeof(bytes), &back));
    assert_true(back.ready);
    assert_uint_equal(back.pid, 4711);
    assert_string_equal(back.text, "all is well");
    assert_false(back.later);
    hello.ready = false;
    hello.later = true;
    worker_encode_hello(bytes, &hello);
    assert_true(worker_decode_hello(bytes, sizeof(bytes), &back));
    assert_true(!back.ready && back.later);
}

/* Neither control characters nor a missing NUL get through. */
static void test_text(void **state)
{
    struct worker_hello hello = {0}, back;
    uint8_t bytes[WORKER_HELLO_SIZE];

    (void)state;
    memset(hello.text, 't', sizeof(hello.text));
    memcpy(hello.text, "a\n\x1b\x7f", 4);
    worker_encode_hello(bytes, &hello);
    memset(bytes + sizeof(bytes) - 1, 't', 1);
    assert_true(worker_decode_hello(bytes, sizeof(bytes), &back));
    assert_false(back.ready);
    assert_uint_equal(strlen(back.text), WORKER_TEXT_SIZE - 1);
    assert_memory_equal(back.text, "a???t", 5);
}

static void test_request(void **state)
{
    static const uint32_t lengths[] = {0, 1, 24, WIRE_DATA_MAX};
    uint8_t bytes[WORKER_REQUEST_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint8_t cdb[WIRE_CDB_SIZE] = {
            0x5f, 2,  5,  0,  0,  0,  0, (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i],
            9,    10, 11, 12, 13, 14, 15};
        struct worker_request request = {.deadline_ms = 60000, .io_timeout_ms = 30001}, back;

        assert_true(wire_decode_request(cdb, &request.request));
        request.request.slot = 4711;
        request.request.data = lengths[i] ? exactly(list, lengths[i]) : NULL;
        worker_encode_request(bytes, &request);
        free(request.request.data);

        assert_true(worker_decode_request(bytes, sizeof(bytes), &back));
        assert_uint_equal(back.deadline_ms, 60000);
        assert_uint_equal(back.io_timeout_ms, 30001);
        assert_int_equal(back.request.slot, 4711);
        assert_uint_equal(back.request.opcode, 0x5f);
        assert_uint_equal(back.request.length, lengths[i]);
        assert_int_equal(back.request.fd, -1);
        assert_memory_equal(back.request.cdb, cdb, sizeof(cdb));
        assert_memory_equal(back.request.data, list, lengths[i]);
    }
}

static void test_farewell(void **state)
{
    uint8_t bytes[WORKER_FAREWELL_SIZE];
    int connection = -1;

    (void)state;
    worker_encode_farewell(bytes, 4711);
    assert_true(worker_decode_farewell(bytes, sizeof(bytes), &connection));
    assert_int_equal(connection, 4711);
    assert_false(worker_decode_farewell(bytes, sizeof(bytes) - 1, &connection));
    bytes[4] = 0x80;
    assert_false(worker_decode_farewell(bytes, sizeof(bytes), &connection));
    bytes[4] = 0, bytes[3]++;
    assert_false(worker_decode_farewell(bytes, sizeof(bytes), &connection));
    assert_int_equal(connection, 4711);
}

/* Of a PERSISTENT RESERVE IN nothing travels but its CDB; there is room for its answer. */
static void test_request_in(void **state)
{
    const uint8_t cdb[WIRE_CDB_SIZE] = {0x5e, 3, 0, 0, 0, 0, 0, 0x20, 0x00};
    struct worker_request request = {.deadline_ms = 1}, back;
    uint8_t bytes[WORKER_REQUEST_SIZE];

    (void)state;
    assert_true(wire_decode_request(cdb, &request.request));
    worker_encode_request(bytes, &request);
    assert_true(worker_decode_request(bytes, sizeof(bytes), &back));
    assert_uint_equal(back.request.length, WIRE_DATA_MAX);
    assert_ptr_equal(back.request.data + back.request.length, bytes + sizeof(bytes));
}

static void test_reply(void **state)
{
    static const uint32_t sizes[] = {0, 8, WIRE_DATA_MAX};
    uint8_t bytes[WORKER_REPLY_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct worker_reply reply = {.text = "path sdc is down"}, back;
        const uint8_t *data;

        reply_sense(&reply.reply, SPC_LU_COMMUNICATION_FAILURE);
        reply.reply.size = sizes[i];
        worker_encode_reply(bytes, &reply, list);
        assert_true(worker_decode_reply(bytes, sizeof(bytes), &back, &data));
        assert_uint_equal(back.reply.status, SPC_STATUS_CHECK_CONDITION);
        assert_memory_equal(back.reply.sense, reply.reply.sense, SENSE_SIZE);
        assert_uint_equal(back.reply.size, sizes[i]);
        assert_string_equal(back.text, "path sdc is down");
        assert_memory_equal(data, list, sizes[i]);
    }
}

/* Too short, too long, of another kind or version, with values that cannot be. */
static void test_refused(void **state)
{
    const uint8_t cdb[WIRE_CDB_SIZE] = {0x5f, 0, 0, 0, 0, 0, 0, 0, 24};
    struct worker_request request = {.request = {.data = list}};
    uint8_t bytes[WORKER_REPLY_SIZE + 1];
    struct worker_reply reply = {{0}, ""};
    struct worker_hello hello = {0};
    const uint8_t *data;

    (void)state;
    worker_encode_hello(bytes, &hello);
    assert_true(worker_decode_hello(bytes, WORKER_HELLO_SIZE, &hello));
    assert_false(worker_decode_hello(bytes, WORKER_HELLO_SIZE - 1, &hello));
    assert_false(worker_decode_hello(bytes, WORKER_HELLO_SIZE + 1, &hello));
    assert_false(worker_decode_hello(bytes, 0, &hello));
    bytes[7] = 3;
    assert_false(worker_decode_hello(bytes, WORKER_HELLO_SIZE, &hello));
    bytes[7] = 1, bytes[3]++;
    assert_false(worker_decode_hello(bytes, WORKER_HELLO_SIZE, &hello));

    assert_true(wire_decode_request(cdb, &request.request));
    request.request.data = list;
    worker_encode_request(bytes, &request);
    assert_true(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE - 1, &request));
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE + 1, &request));
    bytes[16] = 0x12; /* INQUIRY */
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));
    bytes[16] = 0x5f, bytes[16 + 6] = 1; /* a parameter list of 64 KiB */
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));
    bytes[16 + 6] = 0, bytes[12] = 0x80; /* a negative number */
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));
    bytes[12] = 0;
    assert_true(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));
    bytes[2] = 'h';
    assert_false(worker_decode_request(bytes, WORKER_REQUEST_SIZE, &request));

    worker_encode_reply(bytes, &reply, list);
    assert_true(worker_decode_reply(bytes, WORKER_REPLY_SIZE, &reply, &data));
    assert_false(worker_decode_reply(bytes, WORKER_REPLY_SIZE - 1, &reply, &data));
    assert_false(worker_decode_reply(bytes, WORKER_REPLY_SIZE + 1, &reply, &data));
    bytes[6] = 1; /* a status of 16 bits */
    assert_false(worker_decode_reply(bytes, WORKER_REPLY_SIZE, &reply, &data));
    bytes[6] = 0, bytes[10] = 0x20, bytes[11] = 1; /* 8193 bytes of data */
    assert_false(worker_decode_reply(bytes, WORKER_REPLY_SIZE, &reply, &data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),      cmocka_unit_test(test_text),
        cmocka_unit_test(test_farewell),   cmocka_unit_test_setup(test_request, list_set_up),
        cmocka_unit_test(test_request_in), cmocka_unit_test_setup(test_reply, list_set_up),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
