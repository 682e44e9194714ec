// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is sent to a device, and what not, no matter what the kernel says when it is asked what the
 * device is: each system call of that, with each errno, alone and with all that come after it. The
 * fd is a directory that fstat(2) calls a block device, /sys/dev/block a tree of the test's own,
 * and the device a count of the SG_IO that reach it.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "helper/route.h"
#include "passing.h"
#include "scratch.h"
#include "scsi/prin.h"

#define GOOD  0x00
#define CHECK 0x02
#define BUSY  0x08

#define ERRNO_MAX 133
#define CALLS_MAX 32
#define DEVICE    makedev(8, 16)

/* The calls that find out what a device is. */
enum call { CALL_FSTAT, CALL_FCNTL, CALL_OPENAT, CALL_READ, CALL_FSTATAT, CALL_READLINKAT };

/* Which call fails, by the count of all of them, and with what. */
static struct {
    bool is_on;
    bool all_after; /* and all that come after it */
    unsigned nth;
    int error;
    unsigned n;                /* calls so far */
    enum call call[CALLS_MAX]; /* which they were */
} fault;

static int device_fd;       /* what fstat says to be a block device */
static unsigned n_commands; /* that have reached the device */
static struct route route;
static struct mpath mpath;

/* Shall this one fail? */
static bool fault_hits(enum call call)
{
    unsigned n = fault.n;

    if (!fault.is_on)
        return false;
    if (n < CALLS_MAX)
        fault.call[n] = call;
    fault.n++;
    if (!fault.error || !(n == fault.nth || (fault.all_after && n > fault.nth)))
        return false;
    errno = fault.error;
    return true;
}

/* On most machines one of each pair of names is what the C library's headers lead to. */
#define WRAP(type, name, arguments, call, names)                                                   \
    type __real_##name arguments;                                                                  \
    type __wrap_##name arguments;                                                                  \
    type __wrap_##name arguments                                                                   \
    {                                                                                              \
        return fault_hits(call) ? -1 : __real_##name names;                                        \
    }

WRAP(int, fstatat, (int dir, const char *path, struct stat *ret, int flags), CALL_FSTATAT,
     (dir, path, ret, flags))
WRAP(int, fstatat64, (int dir, const char *path, struct stat *ret, int flags), CALL_FSTATAT,
     (dir, path, ret, flags))
WRAP(ssize_t, readlinkat, (int dir, const char *path, char *text, size_t size), CALL_READLINKAT,
     (dir, path, text, size))
WRAP(ssize_t, read, (int fd, void *bytes, size_t size), CALL_READ, (fd, bytes, size))

static int wrap_fstat(int fd, struct stat *ret, int (*real)(int fd, struct stat *ret))
{
    if (fault_hits(CALL_FSTAT))
        return -1;
    if (fd != device_fd || !fault.is_on)
        return real(fd, ret);
    *ret = (struct stat){.st_mode = S_IFBLK | 0600, .st_rdev = DEVICE};
    return 0;
}

int __real_fstat(int fd, struct stat *ret);
int __wrap_fstat(int fd, struct stat *ret);
int __wrap_fstat(int fd, struct stat *ret)
{
    return wrap_fstat(fd, ret, __real_fstat);
}

int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret)
{
    return wrap_fstat(fd, ret, __real_fstat64);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    return fault_hits(CALL_OPENAT) ? -1 : __real_openat(dir, path, flags);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    return fault_hits(CALL_OPENAT) ? -1 : __real_openat64(dir, path, flags);
}

/* The device is open for writing. */
static int wrap_fcntl(int fd, int command, void *argument, int (*real)(int fd, int command, ...))
{
    if (!fault.is_on || command != F_GETFL || fd != device_fd)
        return real(fd, command, argument);
    return fault_hits(CALL_FCNTL) ? -1 : O_RDWR;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return wrap_fcntl(fd, command, argument, __real_fcntl);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return wrap_fcntl(fd, command, argument, __real_fcntl64);
}

/* What the target can: SPEC_I_PT and the rest of byte 2, and types. */
static const uint8_t capabilities[8] = {0, 8, 0x9d, 0x80, 0xea, 0x01};

/* GOOD, with that if there is room. */
int __wrap_ioctl(int fd, unsigned long command, ...);
int __wrap_ioctl(int fd, unsigned long command, ...)
{
    const struct sg_io_hdr *header;
    va_list arguments;

    va_start(arguments, command);
    header = va_arg(arguments, const struct sg_io_hdr *);
    va_end(arguments);
    assert_int_equal(fd, device_fd);
    assert_true(command == SG_IO);
    if (header->dxfer_direction == SG_DXFER_FROM_DEV && header->dxfer_len == sizeof(capabilities))
        memcpy(header->dxferp, capabilities, sizeof(capabilities));
    n_commands++;
    return 0;
}

static int set_up(void **state)
{
    if (scratch_set_up(state) < 0)
        return -1;
    log_set_level(LOG_LEVEL_QUIET);
    memset(&fault, 0, sizeof(fault));
    mpath_init(&mpath, &(struct mpath_options){0}, NULL, "none in this test");
    if (route_init(&route, 30000, &mpath) < 0)
        return -1;
    device_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int tear_down(void **state)
{
    close(device_fd);
    route_deinit(&route);
    return scratch_tear_down(state);
}

#define route_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* A device of the next test row in /sys/dev/block: a file of it, or a link. */
static void make(const char *file, const char *content, const char *link)
{
    char path[64];

    device_sources_deinit(&route.sources);
    (void)nftw(scratch_path("sys"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(path, sizeof(path), "sys/8:16/%s", file);
    scratch_write(path, content);
    if (link) {
        scratch_write("sys/8:16/device/type", "0\n");
        assert_int_equal(symlink(link, scratch_path("sys/8:16/device/subsystem")), 0);
    }
    route.sources.sys_dev_block = open(scratch_path("sys"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(route.sources.sys_dev_block >= 0);
}

static const struct kind_row {
    const char *name, *file, *content, *link;
    bool is_disk;
    uint8_t cleanup; /* status of CLEANUP if nothing fails */
} rows[] = {
    {"disk", "size", "1\n", "../../../bus/scsi", true, GOOD},
    {"virtio-blk", "size", "1\n", "../../../bus/virtio", false, GOOD},
    {"NVMe", "size", "1\n", "../../../../class/nvme", false, GOOD},
    {"another bus with that end", "size", "1\n", "../../../bus/notscsi", false, GOOD},
    {"class of that beginning", "size", "1\n", "../../../class/scsi_generic", false, GOOD},
    {"device without a subsystem", "device/x", "1\n", NULL, false, GOOD},
    {"bcache, zram, loop", "size", "1\n", NULL, false, GOOD},
    {"partition", "partition", "1\n", NULL, false, GOOD},
    {"partition with a device", "partition", "1\n", "../../../bus/scsi", false, GOOD},
    {"multipath", "dm/uuid", "mpath-3600\n", NULL, false, CHECK},
    {"multipath with a device", "dm/uuid", "mpath-3600\n", "../../../bus/scsi", false, CHECK},
    {"LVM", "dm/uuid", "LVM-x\n", NULL, false, GOOD},
    {"LVM with a device", "dm/uuid", "LVM-x\n", "../../../bus/scsi", false, GOOD},
    {"map without a uuid", "dm/name", "m\n", "../../../bus/scsi", false, CHECK},
    {"dm that is no directory", "dm", "m\n", "../../../bus/scsi", false, CHECK},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static struct reply ask_with(const uint8_t cdb[16], uint8_t *data, unsigned length)
{
    const struct request request = {
        .opcode = cdb[0], .fd = device_fd, .cdb = cdb, .data = data, .length = length};
    struct reply reply;

    memset(&reply, 0xee, sizeof(reply));
    fault.n = 0;
    fault.is_on = true;
    route_execute(&route, &request, &reply);
    fault.is_on = false;
    return reply;
}

static struct reply ask(uint8_t opcode)
{
    static uint8_t data[24];
    const uint8_t cdb[16] = {opcode};

    return ask_with(cdb, data, opcode == SPC_PERSISTENT_RESERVE_OUT ? sizeof(data) : 0);
}

static void assert_answer(const struct reply *reply, uint8_t status)
{
    static const uint8_t refused[SENSE_SIZE] = {0x70, 0, 5, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x20};
    static const uint8_t none[SENSE_SIZE];

    assert_uint_equal(reply->status, status);
    if (status != GOOD) /* which is that of the device */
        assert_uint_equal(reply->size, 0);
    assert_memory_equal(reply->sense, status == CHECK ? refused : none, SENSE_SIZE);
}

/* Without any fault. */
static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        struct reply reply;

        table_row = rows[i].name;
        make(rows[i].file, rows[i].content, rows[i].link);
        n_commands = 0;
        reply = ask(SPC_PERSISTENT_RESERVE_OUT);
        assert_answer(&reply, rows[i].is_disk ? GOOD : CHECK);
        assert_uint_equal(n_commands, rows[i].is_disk);
        reply = ask(0xff);
        assert_answer(&reply, rows[i].cleanup);
        assert_uint_equal(n_commands, rows[i].is_disk);
    }
    table_row = NULL;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
           error == EINTR || error == EAGAIN;
}

/* Is this what the kernel says anyway, or has it no consequence? */
static bool is_no_fault(const struct kind_row *row, enum call call)
{
    if (fault.error == EINTR)
        return call == CALL_READ; /* which is made again */
    return row->is_disk && fault.error == ENOENT && !fault.all_after &&
           (call == CALL_FSTATAT || (call == CALL_OPENAT && fault.nth > 2));
}

/* Nothing is sent, refused for good only if it is no shortage, and never told as done. */
static void try_fault(const struct kind_row *row, enum call call, uint8_t opcode,
                      const struct reply *usual)
{
    struct reply reply;

    n_commands = 0;
    reply = ask(opcode);
    assert_true(fault.n > fault.nth);
    if (is_no_fault(row, call)) {
        assert_answer(&reply, usual->status);
        return;
    }
    assert_uint_equal(n_commands, 0);
    if (is_shortage(fault.error))
        assert_answer(&reply, BUSY);
    else if (opcode == SPC_PERSISTENT_RESERVE_OUT || fault.error != ENOENT)
        assert_answer(&reply, CHECK);
}

static unsigned try_faults(const struct kind_row *row, uint8_t opcode)
{
    const struct reply first = ask(opcode); /* that there is no worker is logged once */
    const struct reply usual = ask(opcode);
    const unsigned n_calls = fault.n;
    enum call calls[CALLS_MAX];
    unsigned n = 0;

    assert_memory_equal(&first, &usual, sizeof(usual));
    assert_uint_in_range(n_calls, 4, CALLS_MAX);
    memcpy(calls, fault.call, sizeof(calls));
    for (fault.nth = 0; fault.nth < n_calls; fault.nth++) {
        enum call call = calls[fault.nth];

        for (fault.error = 1; fault.error <= ERRNO_MAX; fault.error++) {
            /* A device that is no disk, but would be one if ENOENT were true. */
            if (fault.error == ENOENT && row->link && !row->is_disk)
                continue;
            fault.all_after = false;
            try_fault(row, call, opcode, &usual);
            n++;
            if (fault.error == EINTR)
                continue; /* a read(2) would be made again for ever */
            fault.all_after = true;
            try_fault(row, call, opcode, &usual);
            n++;
        }
    }
    fault.error = 0;
    return n;
}

static void test_faults(void **state)
{
    unsigned before, n = 0;

    (void)state;
    before = count_fds();
    for (size_t i = 0; i < N_ROWS; i++) {
        table_row = rows[i].name;
        make(rows[i].file, rows[i].content, rows[i].link);
        n += try_faults(&rows[i], SPC_PERSISTENT_RESERVE_OUT);
        n += try_faults(&rows[i], 0xff);
    }
    table_row = NULL;
    print_message("# %u faults\n", n);
    assert_uint_equal(count_fds(), before);
}

/* A device that /sys does not know, and no /sys at all: nothing can be told of it. */
static void test_no_sysfs(void **state)
{
    struct reply reply;

    (void)state;
    for (int i = 0; i < 3; i++) {
        make("size", "1\n", NULL);
        if (i < 2)
            (void)nftw(scratch_path("sys/8:16"), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (i == 1)
            rmdir(scratch_path("sys"));
        if (i == 2)
            device_sources_deinit(&route.sources);
        n_commands = 0;
        reply = ask(SPC_PERSISTENT_RESERVE_OUT);
        assert_answer(&reply, CHECK);
        reply = ask(0xff);
        assert_answer(&reply, CHECK);
        assert_uint_equal(n_commands, 0);
        reply = ask(SPC_PERSISTENT_RESERVE_IN); /* the kernel will say what it can */
        assert_answer(&reply, GOOD);
        assert_uint_equal(n_commands, 1);
    }
}

/* The same by a table without room for another fd, or for one only. */
static void test_full_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        table_row = rows[i].name;
        make(rows[i].file, rows[i].content, rows[i].link);
        for (unsigned room = 0; room < 2; room++) {
            struct reply reply;

            n_commands = 0;
            fd_room_limit(room);
            reply = ask(SPC_PERSISTENT_RESERVE_OUT);
            fd_room_restore();
            assert_answer(&reply, BUSY);
            assert_uint_equal(n_commands, 0);
            fd_room_limit(room);
            reply = ask(0xff);
            fd_room_restore();
            assert_answer(&reply, BUSY);
        }
    }
    table_row = NULL;
}

/* A map is never told to do what its target alone can, no matter what keeps us from seeing that it
 * is one. */
static void test_capabilities(void **state)
{
    const uint8_t cdb[16] = {SPC_PERSISTENT_RESERVE_IN, SPC_PRIN_REPORT_CAPABILITIES, [8] = 8};
    uint8_t data[8], masked[8];
    struct reply reply;
    unsigned n_calls;

    (void)state;
    make("size", "1\n", "../../../bus/scsi");
    reply = ask_with(cdb, data, sizeof(data));
    assert_answer(&reply, GOOD);
    assert_memory_equal(data, capabilities, sizeof(data));

    make("dm/uuid", "mpath-3600\n", NULL);
    memcpy(masked, capabilities, sizeof(masked));
    prin_capabilities_mask(masked, sizeof(masked));
    assert_memory_not_equal(masked, capabilities, sizeof(masked));
    reply = ask_with(cdb, data, sizeof(data));
    assert_answer(&reply, GOOD);
    assert_memory_equal(data, masked, sizeof(data));
    n_calls = fault.n;
    for (fault.nth = 1; fault.nth < n_calls; fault.nth++) { /* the first one is that of the fd */
        for (fault.error = 1; fault.error <= ERRNO_MAX; fault.error++) {
            if (fault.error == EINTR)
                continue; /* a read(2) is made again */
            reply = ask_with(cdb, data, sizeof(data));
            assert_answer(&reply, is_shortage(fault.error) ? BUSY : GOOD);
            if (reply.status == GOOD)
                assert_memory_equal(data, masked, sizeof(data));
        }
    }
    fault.error = 0;
}

/* An fd that cannot be looked at has no kind, not that of a file. */
static void test_no_fstat(void **state)
{
    static const uint8_t opcodes[] = {SPC_PERSISTENT_RESERVE_IN, SPC_PERSISTENT_RESERVE_OUT, 0xff};

    (void)state;
    make("size", "1\n", "../../../bus/scsi");
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        n_commands = 0;
        for (fault.error = 1; fault.error <= ERRNO_MAX; fault.error++) {
            struct reply reply = ask(opcodes[i]);

            assert_answer(&reply, is_shortage(fault.error) ? BUSY : CHECK);
        }
        assert_uint_equal(n_commands, 0);
    }
    fault.error = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        route_test(test_kinds),    route_test(test_faults),     route_test(test_no_sysfs),
        route_test(test_no_fstat), route_test(test_full_table), route_test(test_capabilities),
    };

    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
