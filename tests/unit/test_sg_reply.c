// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From the result of an ioctl to the reply: each row of the protocol's tables, and that nothing
 * outside of them is taken for success.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <string.h>

#include "sg/reply.h"

#define GOOD                 0x00
#define CHECK                0x02
#define BUSY                 0x08
#define RESERVATION_CONFLICT 0x18
#define TASK_SET_FULL        0x28

/* A reply, in short: status and, for CHECK CONDITION, sense key, ASC and ASCQ. */
struct expected {
    uint8_t status, key, asc, ascq;
};

static const struct expected outcome_unknown = {CHECK, 0xb, 0x00, 0x06};

static void assert_reply(const struct reply *reply, struct expected expected)
{
    uint8_t sense[SENSE_SIZE] = {0};

    if (expected.status == CHECK) {
        sense[0] = 0x70;
        sense[2] = expected.key;
        sense[7] = 0x0a;
        sense[12] = expected.asc;
        sense[13] = expected.ascq;
    }
    assert_uint_equal(reply->status, expected.status);
    assert_memory_equal(reply->sense, sense, SENSE_SIZE);
    if (reply->status != GOOD)
        assert_uint_equal(reply->size, 0);
}

/* Errnos of the kernel's block layer, as the table has them; every other one is unknown. */
static void test_every_errno(void **state)
{
    static const struct {
        int error;
        struct expected expected;
    } rows[] = {
        {EDOM, {TASK_SET_FULL, 0, 0, 0}},      {EBADE, {RESERVATION_CONFLICT, 0, 0, 0}},
        {ENODATA, {CHECK, 0x3, 0x11, 0x00}},   {EREMOTEIO, {CHECK, 0x4, 0x44, 0x00}},
        {ENOMEM, {CHECK, 0x4, 0x44, 0x00}},    {ENODEV, {CHECK, 0x4, 0x44, 0x00}},
        {ENOMEDIUM, {CHECK, 0x2, 0x3a, 0x00}}, {EINVAL, {CHECK, 0x5, 0x24, 0x00}},
        {ENOTTY, {CHECK, 0x5, 0x20, 0x00}},    {EPERM, {CHECK, 0x5, 0x20, 0x00}},
        {EBADF, {CHECK, 0x5, 0x20, 0x00}}, /* O_PATH */
        {ENOSPC, {CHECK, 0x7, 0x27, 0x07}},
    };
    const size_t n_rows = sizeof(rows) / sizeof(rows[0]);

    (void)state;
    for (int error = 0; error < 4096; error++) {
        struct expected expected = outcome_unknown;
        struct reply reply;

        for (size_t i = 0; i < n_rows; i++) {
            if (rows[i].error == error)
                expected = rows[i].expected;
        }
        memset(&reply, 0xee, sizeof(reply));
        sg_reply_errno(error, &reply);
        assert_reply(&reply, expected);
    }
}

static uint8_t device_sense[SENSE_SIZE]; /* 6/2A/05, and something in every byte behind */

static int sense_set_up(void **state)
{
    for (unsigned i = 0; i < SENSE_SIZE; i++)
        device_sense[i] = (uint8_t)(0x80 + i);
    device_sense[0] = 0x70;
    device_sense[2] = 0x06;
    device_sense[12] = 0x2a;
    device_sense[13] = 0x05;
    (void)state;
    return 0;
}

/* What a PERSISTENT RESERVE IN of 64 bytes is answered; sense: SENSE_SIZE bytes, or NULL for 0. */
static struct reply answer_sense(struct sg_result result, const uint8_t *sense)
{
    const struct request request = {.opcode = SPC_PERSISTENT_RESERVE_IN, .length = 64};
    struct reply reply;

    if (sense)
        memcpy(result.sense, sense, SENSE_SIZE);
    memset(&reply, 0xee, sizeof(reply));
    sg_reply_result(&result, &request, &reply);
    return reply;
}

static struct reply answer(struct sg_result result)
{
    return answer_sense(result, NULL);
}

static void assert_device_sense(const struct reply *reply)
{
    assert_uint_equal(reply->status, CHECK);
    assert_memory_equal(reply->sense, device_sense, SENSE_SIZE);
    assert_uint_equal(reply->size, 0);
}

/* The answer by host_status; all that are not here are not known to be success. */
static struct expected host_expected(unsigned host_status)
{
    static const struct {
        unsigned host_status;
        struct expected expected;
    } rows[] = {
        {0x01, {CHECK, 0xb, 0x05, 0x00}},
        {0x02, {BUSY, 0, 0, 0}},
        {0x03, {CHECK, 0xb, 0x2e, 0x02}},
        {0x04, {CHECK, 0xb, 0x08, 0x00}},
        {0x05, {CHECK, 0xb, 0x2f, 0x02}},
        {0x06, {CHECK, 0xb, 0x47, 0x00}},
        {0x08, {CHECK, 0x6, 0x29, 0x00}},
        {0x0c, {BUSY, 0, 0, 0}},
        {0x0d, {BUSY, 0, 0, 0}},
        {0x0e, {CHECK, 0xb, 0x29, 0x07}},
        {0x0f, {CHECK, 0xb, 0x08, 0x00}},
        {0x10, {CHECK, 0x4, 0x44, 0x00}},
        {0x11, {RESERVATION_CONFLICT, 0, 0, 0}},
        {0x12, {CHECK, 0x7, 0x27, 0x07}},
        {0x13, {CHECK, 0x3, 0x11, 0x00}},
        {0x14, {CHECK, 0xb, 0x08, 0x00}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].host_status == host_status)
            return rows[i].expected;
    }
    return outcome_unknown;
}

static bool host_yields_to_sense(unsigned host_status)
{
    return host_status == 0x10 || host_status == 0x12 || host_status == 0x13;
}

/* Each host_status, beside every driver_status and with and without something from the device. */
static void test_every_host_status(void **state)
{
    static const uint8_t statuses[] = {GOOD, CHECK, RESERVATION_CONFLICT, TASK_SET_FULL};

    (void)state;
    for (unsigned host = 1; host <= UINT8_MAX; host++) {
        for (unsigned driver = 0; driver < 16; driver++) {
            for (size_t i = 0; i < sizeof(statuses); i++) {
                struct sg_result result = {.status = statuses[i],
                                           .host_status = (uint16_t)host,
                                           .driver_status = (uint16_t)driver};
                struct reply reply = answer(result);

                assert_reply(&reply, host_expected(host));
                result.sense_size = 18;
                memcpy(result.sense, device_sense, SENSE_SIZE);
                reply = answer(result);
                if (statuses[i] == CHECK && host_yields_to_sense(host))
                    assert_device_sense(&reply);
                else
                    assert_reply(&reply, host_expected(host));
            }
        }
    }
    /* It has 16 bits: the upper ones are not cut off. */
    for (unsigned host = 0x100; host <= UINT16_MAX; host += 0x100) {
        struct reply reply = answer((struct sg_result){.host_status = (uint16_t)host});

        assert_reply(&reply, outcome_unknown);
    }
}

/* Each driver_status (the low nibble counts) beside each raw status, without sense. */
static void test_every_driver_status(void **state)
{
    unsigned good = 0;

    (void)state;
    for (unsigned driver = 0; driver < 256; driver++) {
        for (unsigned status = 0; status < 256; status++) {
            struct reply reply = answer(
                (struct sg_result){.status = (uint8_t)status, .driver_status = (uint16_t)driver});
            struct expected expected = {(uint8_t)status, 0, 0, 0};

            if ((driver & 0xf) == 0x6)
                expected = (struct expected){BUSY, 0, 0, 0};
            else if (status == CHECK || (status == GOOD && (driver & 0xf) != 0))
                expected = outcome_unknown;
            assert_reply(&reply, expected);
            good += reply.status == GOOD;
        }
    }
    assert_uint_equal(good, 16); /* driver_status x0h, raw status 00h */
}

static void test_every_driver_status_with_sense(void **state)
{
    (void)state;
    for (unsigned driver = 0; driver < 16; driver++) {
        for (unsigned status = 0; status < 256; status++) {
            struct reply reply = answer_sense((struct sg_result){.status = (uint8_t)status,
                                                                 .driver_status = (uint16_t)driver,
                                                                 .sense_size = 18},
                                              device_sense);

            if (driver == 0x6)
                assert_reply(&reply, (struct expected){BUSY, 0, 0, 0});
            else if (status == CHECK || (driver == 0x8 && status == GOOD))
                assert_device_sense(&reply);
            else if (status == GOOD && driver != 0)
                assert_reply(&reply, outcome_unknown);
            else
                assert_reply(&reply, (struct expected){(uint8_t)status, 0, 0, 0});
        }
    }
}

/*
 * GOOD with sense data, as Linux up to 5.13 reports it: the sense key says whether it is success,
 * which then has its data; of other drivers' words it changes nothing.
 */
static void test_good_with_sense(void **state)
{
    static const uint8_t responses[] = {0x70, 0xf0, 0x71, 0x72, 0x73, 0x7f};
    unsigned good = 0;

    (void)state;
    for (unsigned driver = 0; driver < 16; driver++) {
        for (unsigned row = 0; row < 16 * sizeof(responses); row++) {
            uint8_t response = responses[row / 16], key = row % 16;
            bool is_descriptor = (response & 0x7e) == 0x72;
            bool is_current = (response & 0x7f) == 0x70 || response == 0x72;
            uint8_t sense[SENSE_SIZE] = {response};
            struct reply reply;

            memset(sense + 1, 0xee, sizeof(sense) - 1);
            sense[is_descriptor ? 1 : 2] = 0xe0 | key; /* file mark and such are no part of it */
            reply = answer_sense((struct sg_result){.driver_status = (uint16_t)(0x10 | driver),
                                                    .sense_size = 18,
                                                    .residual = 24},
                                 sense);
            if (driver == 0 ||
                (driver == 8 && is_current && (key == 0x0 || key == 0x1 || key == 0xf))) {
                assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
                assert_uint_equal(reply.size, 40);
                good++;
            } else if (driver == 8) {
                assert_uint_equal(reply.status, CHECK);
                assert_memory_equal(reply.sense, sense, SENSE_SIZE);
            } else if (driver == 6) {
                assert_reply(&reply, (struct expected){BUSY, 0, 0, 0});
            } else {
                assert_reply(&reply, outcome_unknown);
            }
        }
    }
    assert_uint_equal(good, 16 * sizeof(responses) + 3 * 3);
}

/* Without a sense key there is nothing that calls it success. */
static void test_good_with_half_a_sense(void **state)
{
    static const uint8_t sizes[] = {0, 1, 2, 3};
    static const uint8_t fixed[SENSE_SIZE] = {0x70, 0, 0x01}, descriptor[SENSE_SIZE] = {0x72, 0x01};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes); i++) {
        const struct sg_result result = {.driver_status = 8, .sense_size = sizes[i]};
        struct reply reply = answer_sense(result, fixed);

        assert_uint_equal(reply.status, sizes[i] < 3 ? CHECK : GOOD);
        reply = answer_sense(result, descriptor);
        assert_uint_equal(reply.status, sizes[i] < 2 ? CHECK : GOOD);
    }
}

/* Which sense data are sense data: the rest is replaced, for "no sense" would mean "no error". */
static void test_what_is_sense(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        uint8_t sense[SENSE_SIZE] = {(uint8_t)first, 0, 5};
        struct reply reply;

        reply = answer_sense((struct sg_result){.status = CHECK, .sense_size = 18}, sense);
        if ((first & 0x7f) >= 0x70)
            assert_memory_equal(reply.sense, sense, SENSE_SIZE);
        else
            assert_reply(&reply, outcome_unknown);

        reply = answer_sense((struct sg_result){.status = CHECK, .sense_size = 0}, sense);
        assert_reply(&reply, outcome_unknown);
    }
}

static void test_residual(void **state)
{
    static const struct {
        uint32_t length;
        int32_t residual;
        uint32_t size;
    } rows[] = {
        {64, 0, 64},        {64, 1, 63},     {64, 63, 1},         {64, 64, 0},         {64, 65, 0},
        {64, INT32_MAX, 0}, {64, -1, 64},    {64, INT32_MIN, 64}, {0, 0, 0},           {0, 1, 0},
        {0, -1, 0},         {8192, 0, 8192}, {8192, 8184, 8},     {8192, -8192, 8192},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct request request = {.opcode = SPC_PERSISTENT_RESERVE_IN,
                                        .length = rows[i].length};
        const struct sg_result result = {.residual = rows[i].residual};
        struct reply reply;

        memset(&reply, 0xee, sizeof(reply));
        sg_reply_result(&result, &request, &reply);
        assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
        assert_uint_equal(reply.size, rows[i].size);
    }
}

/* The conditions of a path, which another path does not share; and none of the logical unit's. */
static void test_path_failures(void **state)
{
    static const uint8_t failures[] = {0x01, 0x02, 0x03, 0x04, 0x0c, 0x0d, 0x0e, 0x0f, 0x14};
    static const int errors[] = {EIO, ENODEV, ENXIO};

    (void)state;
    for (unsigned host = 0; host <= UINT8_MAX; host++) {
        const struct sg_result result = {.host_status = (uint16_t)host};
        bool expected = memchr(failures, (int)host, sizeof(failures)) != NULL;

        assert_int_equal(sg_path_failed(0, &result), expected);
    }
    for (int error = 1; error < 134; error++) {
        bool expected = false;

        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
            expected |= errors[i] == error;
        assert_int_equal(sg_path_failed(error, NULL), expected);
    }
}

/* What a device server says of one path alone, and the neighbours of each code. */
static void test_path_answers(void **state)
{
    static const struct {
        uint8_t status;
        struct spc_sense sense;
        bool expected;
    } rows[] = {
        {0x00, {0, 0, 0}, false},         {0x08, {0, 0, 0}, true},
        {0x28, {0, 0, 0}, true},          {0x18, {0, 0, 0}, false},
        {0x30, {0, 0, 0}, false},         {0x40, {0, 0, 0}, false},
        {0x02, {0x2, 0x04, 0x09}, false}, {0x02, {0x2, 0x04, 0x0a}, true},
        {0x02, {0x2, 0x04, 0x0b}, true},  {0x02, {0x2, 0x04, 0x0c}, true},
        {0x02, {0x2, 0x04, 0x0d}, false}, {0x02, {0x5, 0x04, 0x0b}, false},
        {0x02, {0x5, 0x25, 0x00}, true},  {0x02, {0x5, 0x25, 0x01}, false},
        {0x02, {0x2, 0x25, 0x00}, false}, {0x02, {0x5, 0x94, 0x01}, true},
        {0x02, {0x5, 0x94, 0x00}, false}, {0x02, {0x5, 0x24, 0x00}, false},
        {0x02, {0x6, 0x2a, 0x03}, false}, {0x02, {0x2, 0x08, 0x00}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sg_result result = {.status = rows[i].status};

        if (rows[i].status == 0x02) {
            sense_build(result.sense, rows[i].sense);
            result.sense_size = 18;
        }
        assert_int_equal(sg_path_failed(0, &result), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_answers),
        cmocka_unit_test(test_every_errno),
        cmocka_unit_test_setup(test_every_host_status, sense_set_up),
        cmocka_unit_test(test_every_driver_status),
        cmocka_unit_test_setup(test_every_driver_status_with_sense, sense_set_up),
        cmocka_unit_test(test_good_with_sense),
        cmocka_unit_test(test_good_with_half_a_sense),
        cmocka_unit_test(test_what_is_sense),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_path_failures),
    };

    return cmocka_run_group_tests_name("sg_reply", tests, NULL, NULL);
}
