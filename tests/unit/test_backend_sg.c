// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From the result of an ioctl to the reply: each row of the protocol's tables, and that nothing
 * outside of them is taken for success. And what sg_execute hands to the kernel, with an ioctl(2)
 * of the test's own.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "exactly.h"
#include "helper/backend_sg.h"
#include "logged.h"

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

static const uint8_t no_sense[SENSE_SIZE];
static uint8_t device_sense[SENSE_SIZE]; /* 6/2A/05, and something in every byte behind */

static int sense_set_up(void **state)
{
    for (unsigned i = 0; i < SENSE_SIZE; i++)
        device_sense[i] = (uint8_t)(0x80 + i);
    device_sense[0] = 0x70;
    device_sense[2] = 0x06;
    device_sense[12] = 0x2a;
    device_sense[13] = 0x05;
    return logged_set_up(state);
}

/* What a PERSISTENT RESERVE IN of 64 bytes is answered. The sense lies where it ends. */
static struct reply answer(struct sg_result result)
{
    const struct request request = {.opcode = SPC_PERSISTENT_RESERVE_IN, .length = 64};
    uint8_t *sense = exactly(result.sense ? result.sense : no_sense, SENSE_SIZE);
    struct reply reply;

    result.sense = sense;
    memset(&reply, 0xee, sizeof(reply));
    sg_reply_result(&result, &request, &reply);
    free(sense);
    return reply;
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
                result.sense = device_sense;
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
            struct reply reply = answer((struct sg_result){.status = (uint8_t)status,
                                                           .driver_status = (uint16_t)driver,
                                                           .sense_size = 18,
                                                           .sense = device_sense});

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

/* Which sense data are sense data: the rest is replaced, for "no sense" would mean "no error". */
static void test_what_is_sense(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        uint8_t sense[SENSE_SIZE] = {(uint8_t)first, 0, 5};
        struct reply reply;

        reply = answer((struct sg_result){.status = CHECK, .sense_size = 18, .sense = sense});
        if ((first & 0x7f) >= 0x70)
            assert_memory_equal(reply.sense, sense, SENSE_SIZE);
        else
            assert_reply(&reply, outcome_unknown);

        reply = answer((struct sg_result){.status = CHECK, .sense_size = 0, .sense = sense});
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
        const struct sg_result result = {.residual = rows[i].residual, .sense = no_sense};
        struct reply reply;

        memset(&reply, 0xee, sizeof(reply));
        sg_reply_result(&result, &request, &reply);
        assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
        assert_uint_equal(reply.size, rows[i].size);
    }
}

/* The kernel's side of sg_execute: what it is asked, and what it answers to each call in turn. */
#define IOCTL_CALLS 64

static struct {
    unsigned calls;
    struct sg_io_hdr last;
    uint8_t cdb[16];
    uint8_t data[64]; /* what a command to the device brought */
    int errors[IOCTL_CALLS];
    int error_after; /* for all further calls */
    uint8_t fill;    /* what a command from the device brings */
    struct sg_io_hdr result;
} kernel;

static int64_t slept_ms;

int __wrap_ioctl(int fd, unsigned long command, ...);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_ioctl(int fd, unsigned long command, ...)
{
    struct sg_io_hdr *io;
    va_list arguments;
    int error;

    assert_int_equal(fd, 4711);
    assert_true(command == SG_IO);
    va_start(arguments, command);
    io = va_arg(arguments, struct sg_io_hdr *);
    va_end(arguments);
    error = kernel.calls < IOCTL_CALLS && !kernel.error_after ? kernel.errors[kernel.calls]
                                                              : kernel.error_after;
    kernel.calls++;
    kernel.last = *io;
    assert_int_equal(io->cmd_len, 10);
    memcpy(kernel.cdb, io->cmdp, io->cmd_len);
    if (io->dxfer_direction == SG_DXFER_TO_DEV)
        memcpy(kernel.data, io->dxferp, io->dxfer_len);
    if (error) {
        errno = error;
        return -1;
    }
    if (io->dxfer_direction == SG_DXFER_FROM_DEV)
        memset(io->dxferp, kernel.fill, io->dxfer_len);
    io->status = kernel.result.status;
    io->resid = kernel.result.resid;
    return 0;
}

/* Time passes only where somebody sleeps. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)left;
    slept_ms += time->tv_sec * 1000 + time->tv_nsec / 1000000;
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    (void)clock;
    ret->tv_sec = 1000 + slept_ms / 1000;
    ret->tv_nsec = slept_ms % 1000 * 1000000;
    return 0;
}

static const uint8_t prin_cdb[16] = {0x5e, 0x01, 0x11, 0x22, 0x33, 0x44, 0x55, 0x00,
                                     0x20, 0x66, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5};
static const uint8_t prout_cdb[16] = {0x5f, 0x00, 0, 0, 0, 0, 0, 0, 24};

static int kernel_set_up(void **state)
{
    memset(&kernel, 0, sizeof(kernel));
    slept_ms = 0;
    return sense_set_up(state);
}

static struct reply execute(const uint8_t *cdb, uint32_t length, uint8_t *data, dev_t device)
{
    const struct request request = {
        .cdb = cdb, .opcode = cdb[0], .length = length, .data = data, .fd = 4711};
    struct reply reply;

    memset(&reply, 0xee, sizeof(reply));
    sg_execute(&request, device, 7000, &reply);
    return reply;
}

static void test_execute_in(void **state)
{
    uint8_t data[32] = {0};
    struct reply reply;

    (void)state;
    kernel.fill = 0xab;
    kernel.result.resid = 24;
    reply = execute(prin_cdb, sizeof(data), data, makedev(8, 0));
    assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
    assert_uint_equal(reply.size, 8);
    assert_int_equal(data[0], 0xab);
    assert_uint_equal(kernel.calls, 1);
    assert_int_equal(kernel.last.interface_id, 'S');
    assert_int_equal(kernel.last.cmd_len, 10);
    assert_memory_equal(kernel.cdb, prin_cdb, 10);
    assert_int_equal(kernel.last.dxfer_direction, SG_DXFER_FROM_DEV);
    assert_uint_equal(kernel.last.dxfer_len, sizeof(data));
    assert_ptr_equal(kernel.last.dxferp, data);
    assert_int_equal(kernel.last.mx_sb_len, 96);
    assert_uint_equal(kernel.last.timeout, 7000);
    assert_uint_equal(kernel.last.flags, 0);
    assert_int_equal(kernel.last.iovec_count, 0);
}

static void test_execute_out(void **state)
{
    uint8_t data[24];
    struct reply reply;

    (void)state;
    memset(data, 0xcd, sizeof(data));
    reply = execute(prout_cdb, sizeof(data), data, makedev(8, 0));
    assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
    assert_int_equal(kernel.last.dxfer_direction, SG_DXFER_TO_DEV);
    assert_uint_equal(kernel.last.dxfer_len, 24);
    assert_memory_equal(kernel.data, data, 24);
}

static void test_execute_without_data(void **state)
{
    const uint8_t *const cdbs[] = {prin_cdb, prout_cdb};
    uint8_t data[1];

    (void)state;
    for (int i = 0; i < 2; i++) {
        execute(cdbs[i], 0, data, makedev(8, 0));
        assert_int_equal(kernel.last.dxfer_direction, SG_DXFER_NONE);
        assert_uint_equal(kernel.last.dxfer_len, 0);
        assert_null(kernel.last.dxferp);
    }
}

static void test_interrupted_in_is_repeated(void **state)
{
    uint8_t data[32];
    struct reply reply;

    (void)state;
    kernel.errors[0] = EINTR;
    kernel.errors[1] = EINTR;
    reply = execute(prin_cdb, sizeof(data), data, makedev(8, 0));
    assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
    assert_uint_equal(kernel.calls, 3);

    kernel.calls = 0;
    kernel.error_after = EINTR;
    reply = execute(prin_cdb, sizeof(data), data, makedev(8, 0));
    assert_reply(&reply, outcome_unknown);
    assert_in_range(kernel.calls, 2, 10);
}

static void test_interrupted_out_is_not_repeated(void **state)
{
    uint8_t data[24] = {0};
    struct reply reply;

    (void)state;
    kernel.error_after = EINTR;
    reply = execute(prout_cdb, sizeof(data), data, makedev(8, 16));
    assert_reply(&reply, outcome_unknown);
    assert_uint_equal(kernel.calls, 1);
    assert_string_equal(logged(), "test: device 8:16: PERSISTENT RESERVE OUT was interrupted: "
                                  "outcome unknown\n");
}

static void test_suspended_map(void **state)
{
    uint8_t data[24] = {0};
    struct reply reply;

    (void)state;
    for (int i = 0; i < 5; i++)
        kernel.errors[i] = EAGAIN;
    reply = execute(prout_cdb, sizeof(data), data, makedev(253, 0));
    assert_reply(&reply, (struct expected){GOOD, 0, 0, 0});
    assert_uint_equal(kernel.calls, 6);
    assert_true(slept_ms > 0);

    /* Until the time that the device is granted is over, and not much longer. */
    slept_ms = 0;
    kernel.calls = 0;
    kernel.error_after = EAGAIN;
    reply = execute(prout_cdb, sizeof(data), data, makedev(253, 0));
    assert_reply(&reply, outcome_unknown);
    assert_in_range(slept_ms, 7000, 7100);
    assert_in_range(kernel.calls, 2, 7000); /* not a busy loop */
}

/* What may come as often as a client likes is said once for each device. */
static void test_errno_lines(void **state)
{
    uint8_t data[32];

    (void)state;
    kernel.error_after = EPERM;
    execute(prin_cdb, sizeof(data), data, makedev(8, 32));
    assert_string_equal(logged(), "test: device 8:32: the kernel did not permit the command; the "
                                  "helper needs CAP_SYS_RAWIO\n");
    execute(prin_cdb, sizeof(data), data, makedev(8, 32));
    assert_string_equal(logged(), "");
    kernel.error_after = ENOTTY;
    execute(prin_cdb, sizeof(data), data, makedev(8, 32));
    assert_string_equal(logged(), "test: device 8:32 is not a SCSI device\n");
    execute(prin_cdb, sizeof(data), data, makedev(8, 32));
    assert_string_equal(logged(), "");
    execute(prin_cdb, sizeof(data), data, makedev(8, 48));
    assert_string_equal(logged(), "test: device 8:48 is not a SCSI device\n");
    kernel.error_after = EIO;
    execute(prin_cdb, sizeof(data), data, makedev(8, 32));
    assert_string_equal(logged(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_errno),
        cmocka_unit_test_setup(test_every_host_status, sense_set_up),
        cmocka_unit_test(test_every_driver_status),
        cmocka_unit_test_setup(test_every_driver_status_with_sense, sense_set_up),
        cmocka_unit_test(test_what_is_sense),
        cmocka_unit_test(test_residual),
        cmocka_unit_test_setup(test_execute_in, kernel_set_up),
        cmocka_unit_test_setup(test_execute_out, kernel_set_up),
        cmocka_unit_test_setup(test_execute_without_data, kernel_set_up),
        cmocka_unit_test_setup(test_interrupted_in_is_repeated, kernel_set_up),
        cmocka_unit_test_setup(test_interrupted_out_is_not_repeated, kernel_set_up),
        cmocka_unit_test_setup(test_suspended_map, kernel_set_up),
        cmocka_unit_test_setup(test_errno_lines, kernel_set_up),
    };

    return cmocka_run_group_tests_name("backend_sg", tests, NULL, NULL);
}
