// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What kind of device an fd is. device_classify looks at real fds; it needs no more than fstat(2),
 * so that O_PATH fds of device nodes without a driver will do. device_refine_block looks at trees
 * of the test's own in the place of /sys/dev/block. What either says when a system call fails is in
 * test_route.c.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "passing.h"
#include "scratch.h"
#include "sg/device.h"

static void classify(int fd, enum device_kind kind, dev_t number)
{
    enum device_kind found = DEVICE_UNKNOWN;
    dev_t found_number = 4711;

    assert_int_equal(device_classify(fd, &found, &found_number), 0);
    assert_int_equal(found, kind);
    assert_true(found_number == number);
}

static void classify_path(const char *path, int flags, enum device_kind kind, dev_t number)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    classify(fd, kind, number);
    close(fd);
}

static void test_classify_others(void **state)
{
    int pair[2];

    (void)state;
    classify_path("/dev/null", O_RDWR, DEVICE_OTHER, 0);
    classify_path("/dev/zero", O_RDONLY, DEVICE_OTHER, 0);
    classify_path("/dev/ptmx", O_RDWR, DEVICE_OTHER, 0);
    classify_path("/", O_RDONLY | O_DIRECTORY, DEVICE_OTHER, 0);
    classify_path(scratch_write("file", "text"), O_RDWR, DEVICE_OTHER, 0);
    assert_int_equal(symlink("/dev/null", scratch_path("link")), 0);
    classify_path(scratch_path("link"), O_PATH | O_NOFOLLOW, DEVICE_OTHER, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    classify(pair[0], DEVICE_OTHER, 0);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(pipe(pair), 0);
    classify(pair[0], DEVICE_OTHER, 0);
    close(pair[0]);
    close(pair[1]);
}

/* It could not be determined, and what the caller has stays as it is. */
static void test_classify_nothing(void **state)
{
    enum device_kind kind = DEVICE_PARTITION;
    dev_t number = 4711;

    (void)state;
    assert_int_equal(device_classify(-1, &kind, &number), -EBADF);
    assert_int_equal(kind, DEVICE_PARTITION);
    assert_true(number == 4711);
}

static void test_classify_devices(void **state)
{
    static const struct {
        mode_t type;
        unsigned major, minor;
        enum device_kind kind;
    } rows[] = {
        {S_IFBLK, 8, 0, DEVICE_BLOCK},     {S_IFBLK, 8, 1, DEVICE_BLOCK},
        {S_IFBLK, 253, 7, DEVICE_BLOCK},   {S_IFBLK, 21, 0, DEVICE_BLOCK},
        {S_IFBLK, 259, 300, DEVICE_BLOCK}, {S_IFCHR, 21, 0, DEVICE_SG},
        {S_IFCHR, 21, 300, DEVICE_SG},     {S_IFCHR, 22, 0, DEVICE_OTHER},
        {S_IFCHR, 8, 0, DEVICE_OTHER},     {S_IFCHR, 1, 3, DEVICE_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dev_t number = makedev(rows[i].major, rows[i].minor);

        unlink(scratch_path("node"));
        if (mknod(scratch_path("node"), rows[i].type | 0600, number) < 0) {
            assert_int_equal(errno, EPERM);
            print_message("# test_classify_devices: may not make device nodes here\n");
            skip();
        }
        classify_path(scratch_path("node"), O_PATH, rows[i].kind,
                      rows[i].kind == DEVICE_OTHER ? 0 : number);
    }
}

/* Sources of the test's own; a directory that is not there becomes -1. */
static struct device_sources sources_open(void)
{
    return (struct device_sources){
        .sys_dev_block = open(scratch_path("sys"), O_PATH | O_DIRECTORY | O_CLOEXEC)};
}

/* Which kind it is, or DEVICE_UNKNOWN for the error. */
static enum device_kind refine(const struct device_sources *sources, dev_t number, int error)
{
    enum device_kind kind = DEVICE_UNKNOWN;

    assert_int_equal(device_refine_block(sources, number, &kind), error);
    return kind;
}

/* The device of that name is on a bus, or of a class. */
static void make_device(const char *name, const char *subsystem)
{
    char path[64];

    snprintf(path, sizeof(path), "sys/%s/device/type", name);
    scratch_write(path, "0\n");
    snprintf(path, sizeof(path), "sys/%s/device/subsystem", name);
    assert_int_equal(symlink(subsystem, scratch_path(path)), 0);
}

static void test_refine(void **state)
{
    static const struct {
        const char *name, *file, *content;
        unsigned major, minor;
        enum device_kind kind;
        int error;
    } rows[] = {
        {"disk", "sys/8:0/size", "1", 8, 0, DEVICE_DISK},
        {"disk with a directory that looks like dm", "sys/8:16/dmx/uuid", "mpath-x", 8, 16,
         DEVICE_DISK},
        {"disk of another bus", "sys/252:0/size", "1", 252, 0, DEVICE_NOT_SCSI},
        {"bcache", "sys/251:0/bcache/x", "1", 251, 0, DEVICE_NOT_SCSI},
        {"a device without a bus", "sys/251:1/device/x", "1", 251, 1, DEVICE_NOT_SCSI},
        {"partition", "sys/8:1/partition", "1\n", 8, 1, DEVICE_PARTITION},
        {"extended minor", "sys/259:70000/partition", "9\n", 259, 70000, DEVICE_PARTITION},
        {"multipath", "sys/253:0/dm/uuid", "mpath-36001405f\n", 253, 0, DEVICE_DM_MULTIPATH},
        {"multipath without a newline", "sys/253:1/dm/uuid", "mpath-3", 253, 1,
         DEVICE_DM_MULTIPATH},
        {"partition of a map", "sys/253:2/dm/uuid", "part1-mpath-36001405f\n", 253, 2,
         DEVICE_DM_OTHER},
        {"LVM", "sys/253:3/dm/uuid", "LVM-abcdefmpath-\n", 253, 3, DEVICE_DM_OTHER},
        {"crypt", "sys/253:4/dm/uuid", "CRYPT-LUKS2-x\n", 253, 4, DEVICE_DM_OTHER},
        {"upper case", "sys/253:5/dm/uuid", "MPATH-36001405f\n", 253, 5, DEVICE_DM_OTHER},
        {"a prefix of the prefix", "sys/253:6/dm/uuid", "mpath\n", 253, 6, DEVICE_DM_OTHER},
        {"no uuid set", "sys/253:7/dm/uuid", "\n", 253, 7, DEVICE_DM_OTHER},
        {"empty file", "sys/253:8/dm/uuid", "", 253, 8, DEVICE_DM_OTHER},
        {"dm, but no uuid", "sys/253:9/dm/name", "m\n", 253, 9, DEVICE_UNKNOWN, -ENOENT},
        {"unreadable uuid", "sys/253:10/dm/uuid/directory", "", 253, 10, DEVICE_UNKNOWN, -EISDIR},
        {"dm is no directory", "sys/253:11/dm", "", 253, 11, DEVICE_UNKNOWN, -ENOTDIR},
        /* It is sysfs that counts, not the number. */
        {"dm under another number", "sys/8:32/dm/uuid", "mpath-3\n", 8, 32, DEVICE_DM_MULTIPATH},
        {"not dm under dm's number", "sys/253:12/size", "1\n", 253, 12, DEVICE_DISK},
        {"not there", "sys/8:48/size", "1\n", 8, 49, DEVICE_UNKNOWN, -ENOENT},
        {"no directory", "sys/8:64", "", 8, 64, DEVICE_UNKNOWN, -ENOTDIR},
    };
    struct device_sources sources;
    unsigned before = count_fds();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        scratch_write(rows[i].file, rows[i].content);
    make_device("8:0", "../../../../bus/scsi");
    make_device("8:16", "scsi");
    make_device("252:0", "../../../bus/virtio");
    make_device("253:12", "../../../bus/scsi");
    sources = sources_open();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].name;
        assert_int_equal(refine(&sources, makedev(rows[i].major, rows[i].minor), rows[i].error),
                         rows[i].kind);
    }
    table_row = NULL;
    device_sources_deinit(&sources);
    assert_uint_equal(count_fds(), before);
}

/* The longest uuid that device-mapper takes (DM_UUID_LEN is 129, with its NUL). */
static void test_long_uuid(void **state)
{
    struct device_sources sources;
    char uuid[130];

    (void)state;
    memset(uuid, 'x', sizeof(uuid));
    memcpy(uuid, "mpath-", 6);
    uuid[128] = '\n';
    uuid[129] = '\0';
    scratch_write("sys/253:0/dm/uuid", uuid);
    sources = sources_open();
    assert_int_equal(refine(&sources, makedev(253, 0), 0), DEVICE_DM_MULTIPATH);
    device_sources_deinit(&sources);
}

/* A link whose end is cut off says nothing. */
static void test_long_link(void **state)
{
    char target[PATH_MAX];
    struct device_sources sources;

    (void)state;
    memset(target, 'x', sizeof(target));
    memcpy(target + sizeof(target) - 6, "/scsi", 6);
    scratch_write("sys/8:0/device/type", "0\n");
    if (symlink(target, scratch_path("sys/8:0/device/subsystem")) < 0) {
        print_message("# test_long_link: no link of %zu bytes here\n", strlen(target));
        skip();
    }
    sources = sources_open();
    assert_int_equal(refine(&sources, makedev(8, 0), 0), DEVICE_DISK);
    device_sources_deinit(&sources);
}

static void test_refine_without_sources(void **state)
{
    struct device_sources sources = sources_open();

    (void)state;
    assert_int_equal(sources.sys_dev_block, -1);
    assert_int_equal(refine(&sources, makedev(8, 0), -ENOENT), DEVICE_UNKNOWN);
}

static void test_real_sources(void **state)
{
    struct device_sources sources;
    unsigned before = count_fds();
    int r = device_sources_init(&sources);

    (void)state;
    assert_int_equal(r, access("/sys/dev/block", X_OK) == 0 ? 0 : -errno);
    device_sources_deinit(&sources);
    assert_uint_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_classify_others),
        cmocka_unit_test(test_classify_nothing),
        scratch_test(test_classify_devices),
        scratch_test(test_refine),
        scratch_test(test_long_uuid),
        scratch_test(test_long_link),
        scratch_test(test_refine_without_sources),
        cmocka_unit_test(test_real_sources),
    };

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
