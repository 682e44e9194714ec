// SPDX-License-Identifier: LGPL-2.1-or-later
/* What sg_execute hands to the kernel, and how often: with an ioctl(2) and a time of the test's
 * own. */
#include "cmocka_compat.h"

#include <errno.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "helper/backend_sg.h"
#include "logged.h"

static void assert_good(const struct reply *reply)
{
    static const uint8_t no_sense[SENSE_SIZE];

    assert_uint_equal(reply->status, SPC_STATUS_GOOD);
    assert_memory_equal(reply->sense, no_sense, SENSE_SIZE);
}

/* B/00/06 */
static void assert_outcome_unknown(const struct reply *reply)
{
    uint8_t sense[SENSE_SIZE] = {0x70, 0, 0x0b, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x00, 0x06};

    assert_uint_equal(reply->status, SPC_STATUS_CHECK_CONDITION);
    assert_uint_equal(reply->size, 0);
    assert_memory_equal(reply->sense, sense, SENSE_SIZE);
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

/* Time passes only where a thread sleeps. */
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
    return logged_set_up(state);
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
    assert_good(&reply);
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
    assert_good(&reply);
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
    assert_good(&reply);
    assert_uint_equal(kernel.calls, 3);

    kernel.calls = 0;
    kernel.error_after = EINTR;
    reply = execute(prin_cdb, sizeof(data), data, makedev(8, 0));
    assert_outcome_unknown(&reply);
    assert_int_in_range(kernel.calls, 2, 10);
}

static void test_interrupted_out_is_not_repeated(void **state)
{
    uint8_t data[24] = {0};
    struct reply reply;

    (void)state;
    kernel.error_after = EINTR;
    reply = execute(prout_cdb, sizeof(data), data, makedev(8, 16));
    assert_outcome_unknown(&reply);
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
    assert_good(&reply);
    assert_uint_equal(kernel.calls, 6);
    assert_true(slept_ms > 0);

    /* Until the time that the device is granted is over, and not much longer. */
    slept_ms = 0;
    kernel.calls = 0;
    kernel.error_after = EAGAIN;
    reply = execute(prout_cdb, sizeof(data), data, makedev(253, 0));
    assert_outcome_unknown(&reply);
    assert_int_in_range(slept_ms, 7000, 7100);
    assert_int_in_range(kernel.calls, 2, 7000); /* not a busy loop */
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
        cmocka_unit_test_setup(test_execute_in, kernel_set_up),
        cmocka_unit_test_setup(test_execute_out, kernel_set_up),
        cmocka_unit_test_setup(test_execute_without_data, kernel_set_up),
        cmocka_unit_test_setup(test_interrupted_in_is_repeated, kernel_set_up),
        cmocka_unit_test_setup(test_interrupted_out_is_not_repeated, kernel_set_up),
        cmocka_unit_test_setup(test_suspended_map, kernel_set_up),
        cmocka_unit_test_setup(test_errno_lines, kernel_set_up),
    };

    return cmocka_run_group_tests_name("sg_execute", tests, NULL, NULL);
}
