// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What each typed call sends, byte for byte, as SPC-4 6.15 and 6.16 have it: caught by an executor
 * in place of a helper.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "prhelper.h"

#define DEVICE  42
#define KEY     0x0102030405060708
#define NEW_KEY 0xf1f2f3f4f5f6f7f8

/* The two keys as they are found in a parameter list, and no key. */
#define BYTES_KEY     1, 2, 3, 4, 5, 6, 7, 8
#define BYTES_NEW_KEY 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8
#define BYTES_NONE    0, 0, 0, 0, 0, 0, 0, 0

/* What the executor saw, and what it shall say. */
static struct {
    unsigned calls;
    uint8_t cdb[PRHELPER_CDB_MAX];
    uint8_t out[PRHELPER_DATA_MAX];
    size_t out_size, in_size;
    int r;
    struct prhelper_result result;
} seen;

static int catch (void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
                  size_t out_size, size_t in_size, struct prhelper_result *result)
{
    assert_ptr_equal(context, &seen);
    assert_int_equal(device, DEVICE);
    assert_uint_equal(result->status, PRHELPER_STATUS_NONE);
    assert_uint_equal(result->size, 0);
    seen.calls++;
    memcpy(seen.cdb, cdb, sizeof(seen.cdb));
    assert_true(out_size <= sizeof(seen.out));
    if (out_size > 0)
        memcpy(seen.out, out, out_size);
    seen.out_size = out_size;
    seen.in_size = in_size;
    *result = seen.result;
    return seen.r;
}

static struct prhelper *helper;
static struct prhelper_result result;

static int open_custom(void **state)
{
    return prhelper_custom(catch, &seen, &helper);
}

static int close_custom(void **state)
{
    prhelper_close(helper);
    return 0;
}

static int forget(void **state)
{
    memset(&seen, 0, sizeof(seen));
    memset(&result, 0xee, sizeof(result));
    return 0;
}

static void assert_prin(int r, uint8_t service_action, size_t allocation)
{
    const uint8_t cdb[PRHELPER_CDB_MAX] = {
        0x5e, service_action, 0, 0, 0, 0, 0, (uint8_t)(allocation >> 8), (uint8_t)allocation};

    assert_int_equal(r, 0);
    assert_uint_equal(result.status, PRHELPER_GOOD);
    assert_memory_equal(seen.cdb, cdb, sizeof(cdb));
    assert_uint_equal(seen.in_size, allocation);
    assert_uint_equal(seen.out_size, 0);
}

static void test_prin(void **state)
{
    assert_prin(prhelper_read_keys(helper, DEVICE, &result), 0, 8192);
    assert_prin(prhelper_read_reservation(helper, DEVICE, &result), 1, 24);
    assert_prin(prhelper_report_capabilities(helper, DEVICE, &result), 2, 8);
    assert_prin(prhelper_read_full_status(helper, DEVICE, &result), 3, 8192);
    assert_uint_equal(seen.calls, 4);
}

static void assert_prout(int r, uint8_t service_action, uint8_t type, const uint8_t *list,
                         size_t size)
{
    const uint8_t cdb[PRHELPER_CDB_MAX] = {0x5f, service_action,       type,         0, 0, 0,
                                           0,    (uint8_t)(size >> 8), (uint8_t)size};

    assert_int_equal(r, 0);
    assert_uint_equal(result.status, PRHELPER_GOOD);
    assert_memory_equal(seen.cdb, cdb, sizeof(cdb));
    assert_uint_equal(seen.out_size, size);
    assert_memory_equal(seen.out, list, size);
    assert_uint_equal(seen.in_size, 0);
}

#define LIST(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void test_register(void **state)
{
    assert_prout(prhelper_register(helper, DEVICE, KEY, NEW_KEY, 0, &result), 0, 0,
                 LIST(BYTES_KEY, BYTES_NEW_KEY, BYTES_NONE));
    assert_prout(prhelper_register(helper, DEVICE, 0, NEW_KEY, PRHELPER_APTPL, &result), 0, 0,
                 LIST(BYTES_NONE, BYTES_NEW_KEY, 0, 0, 0, 0, 0x01, 0, 0, 0));
    assert_prout(prhelper_register(helper, DEVICE, KEY, 0, PRHELPER_ALL_TG_PT, &result), 0, 0,
                 LIST(BYTES_KEY, BYTES_NONE, 0, 0, 0, 0, 0x04, 0, 0, 0));
    assert_prout(prhelper_register_ignore(helper, DEVICE, NEW_KEY,
                                          PRHELPER_APTPL | PRHELPER_ALL_TG_PT, &result),
                 6, 0, LIST(BYTES_NONE, BYTES_NEW_KEY, 0, 0, 0, 0, 0x05, 0, 0, 0));
}

#define BYTES_SAS                                                                                  \
    0x06, 0, 0, 0, 0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define BYTES_ISCSI                                                                                \
    0x45, 0, 0, 20, 'i', 'q', 'n', '.', 'a', ',', 'i', ',', '0', 'x', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0

static void test_register_ports(void **state)
{
    struct prhelper_transportid ports[2];

    assert_int_equal(prhelper_transportid_parse("sas:5000c500a1b2c3d4", &ports[0]), 0);
    assert_int_equal(prhelper_transportid_parse("iqn.a,i,0x1", &ports[1]), 0);
    assert_prout(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, ports, 2, &result), 0, 0,
                 LIST(BYTES_KEY, BYTES_NEW_KEY, 0, 0, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 48, BYTES_SAS,
                      BYTES_ISCSI));
    assert_prout(
        prhelper_register_ports(helper, DEVICE, 0, NEW_KEY, PRHELPER_APTPL, NULL, 0, &result), 0, 0,
        LIST(BYTES_NONE, BYTES_NEW_KEY, 0, 0, 0, 0, 0x09, 0, 0, 0, 0, 0, 0, 0));
}

static void test_register_move(void **state)
{
    struct prhelper_transportid port;

    assert_int_equal(prhelper_transportid_parse("iqn.a,i,0x1", &port), 0);
    assert_prout(prhelper_register_move(helper, DEVICE, KEY, NEW_KEY, 0, 0, 0x1234, &port, &result),
                 7, 0, LIST(BYTES_KEY, BYTES_NEW_KEY, 0, 0, 0x12, 0x34, 0, 0, 0, 24, BYTES_ISCSI));
    assert_prout(prhelper_register_move(helper, DEVICE, KEY, NEW_KEY, 5,
                                        PRHELPER_APTPL | PRHELPER_UNREG, 1, &port, &result),
                 7, 5, LIST(BYTES_KEY, BYTES_NEW_KEY, 0, 3, 0, 1, 0, 0, 0, 24, BYTES_ISCSI));
}

static void test_others(void **state)
{
    assert_prout(prhelper_reserve(helper, DEVICE, KEY, 5, &result), 1, 5,
                 LIST(BYTES_KEY, BYTES_NONE, BYTES_NONE));
    assert_prout(prhelper_release(helper, DEVICE, KEY, 8, &result), 2, 8,
                 LIST(BYTES_KEY, BYTES_NONE, BYTES_NONE));
    assert_prout(prhelper_clear(helper, DEVICE, KEY, &result), 3, 0,
                 LIST(BYTES_KEY, BYTES_NONE, BYTES_NONE));
    assert_prout(prhelper_preempt(helper, DEVICE, KEY, NEW_KEY, 1, &result), 4, 1,
                 LIST(BYTES_KEY, BYTES_NEW_KEY, BYTES_NONE));
    assert_prout(prhelper_preempt_abort(helper, DEVICE, KEY, NEW_KEY, 3, &result), 5, 3,
                 LIST(BYTES_KEY, BYTES_NEW_KEY, BYTES_NONE));
    assert_prout(prhelper_replace_lost(helper, DEVICE, NEW_KEY, 6, &result), 8, 6,
                 LIST(BYTES_NONE, BYTES_NEW_KEY, BYTES_NONE));
}

static void test_cleanup(void **state)
{
    static const uint8_t cdb[PRHELPER_CDB_MAX] = {0xff};

    assert_int_equal(prhelper_cleanup(helper, DEVICE, &result), 0);
    assert_memory_equal(seen.cdb, cdb, sizeof(cdb));
    assert_uint_equal(seen.out_size, 0);
    assert_uint_equal(seen.in_size, 0);
}

/* Nothing of these can be put into bytes, so nothing reaches the executor. */
static void test_bad_arguments(void **state)
{
    struct prhelper_transportid none = {0}, cut, longer, many[40];
    struct prhelper_result *r = &result;

    assert_int_equal(prhelper_transportid_parse("iqn.a,i,0x1", &cut), 0);
    longer = cut;
    cut.size -= 4;
    longer.size += 4;
    for (unsigned i = 0; i < 40; i++) {
        many[i] = (struct prhelper_transportid){.size = 256};
        memcpy(many[i].bytes, "\x05\x00\x00\xfc", 4);
        memset(many[i].bytes + 4, 'a', 251);
    }
    assert_int_equal(prhelper_register(helper, DEVICE, KEY, NEW_KEY, PRHELPER_UNREG, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_register_ignore(helper, DEVICE, NEW_KEY, 8, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(
        prhelper_register_move(helper, DEVICE, KEY, NEW_KEY, 0, PRHELPER_ALL_TG_PT, 1, many, r),
        PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_register_move(helper, DEVICE, KEY, NEW_KEY, 0, 0, 1, &none, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, &cut, 1, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, &longer, 1, r),
                     PRHELPER_BAD_ARGUMENT);
    /* 31 of the longest fit, 32 do not; nor would the sum of too many be computed. */
    assert_int_equal(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, many, 32, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, many, SIZE_MAX, r),
                     PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_reserve(helper, DEVICE, KEY, 16, r), PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_clear(helper, -1, KEY, r), PRHELPER_BAD_ARGUMENT);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    assert_uint_equal(seen.calls, 0);
    assert_int_equal(prhelper_register_ports(helper, DEVICE, KEY, NEW_KEY, 0, many, 31, r), 0);
    assert_uint_equal(seen.calls, 1);
}

/* Who stands in for a helper is held to the same rules. */
static void test_executor_is_judged(void **state)
{
    seen.result.status = PRHELPER_GOOD;
    seen.result.size = 25;
    assert_int_equal(prhelper_read_reservation(helper, DEVICE, &result), PRHELPER_BAD_SIZE);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    seen.result.size = 1;
    assert_int_equal(prhelper_clear(helper, DEVICE, KEY, &result), PRHELPER_BAD_SIZE);
    seen.result.status = PRHELPER_RESERVATION_CONFLICT;
    assert_int_equal(prhelper_read_keys(helper, DEVICE, &result), PRHELPER_BAD_SIZE);

    seen.result.size = 0;
    memset(seen.result.sense, 0x70, sizeof(seen.result.sense));
    assert_int_equal(prhelper_read_keys(helper, DEVICE, &result), 0);
    assert_uint_equal(result.status, PRHELPER_RESERVATION_CONFLICT);
    assert_uint_equal(result.sense[0], 0);

    /* What lies behind the size that it gives is none of the caller's business. */
    seen.result.status = PRHELPER_GOOD;
    seen.result.size = 2;
    memset(seen.result.data, 0xee, sizeof(seen.result.data));
    assert_int_equal(prhelper_read_keys(helper, DEVICE, &result), 0);
    assert_uint_equal(result.data[1], 0xee);
    assert_uint_equal(result.data[2], 0);
    assert_uint_equal(result.data[PRHELPER_DATA_MAX - 1], 0);

    /* Its errors come through, with nothing of an answer, but what it knows of the outcome. */
    seen.r = -EIO;
    seen.result.status = PRHELPER_GOOD;
    seen.result.outcome_unknown = true;
    assert_int_equal(prhelper_clear(helper, DEVICE, KEY, &result), -EIO);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    assert_true(result.outcome_unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_prin, forget),
        cmocka_unit_test_setup(test_register, forget),
        cmocka_unit_test_setup(test_register_ports, forget),
        cmocka_unit_test_setup(test_register_move, forget),
        cmocka_unit_test_setup(test_others, forget),
        cmocka_unit_test_setup(test_cleanup, forget),
        cmocka_unit_test_setup(test_bad_arguments, forget),
        cmocka_unit_test_setup(test_executor_is_judged, forget),
    };

    return cmocka_run_group_tests(tests, open_custom, close_custom);
}
