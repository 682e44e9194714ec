// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What kind of device an fd is. device_classify looks at real fds; it needs no more than fstat(2),
 * so that O_PATH fds of device nodes without a driver will do. device_refine_block looks at trees
 * of the test's own in the place of /sys/dev/block and /proc.
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
    dev_t found = 4711;

    assert_int_equal(device_classify(fd, &found), kind);
    assert_true(found == number);
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
    classify(pair[0], DEVICE_OTHER, 0); /* closed */
    classify(-1, DEVICE_OTHER, 0);
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

static const char proc_devices[] = "Character devices:\n"
                                   "  1 mem\n"
                                   " 21 sg\n"
                                   "253 char-thing\n"
                                   "254 device-mapper\n" /* a character device of that name */
                                   "\n"
                                   "Block devices:\n"
                                   "  7 loop\n"
                                   "  8 sd\n"
                                   "253 device-mapper\n"
                                   "254 mdp\n"
                                   "259 blkext\n";

/* Sources of the test's own; a directory that is not there becomes -1. */
static struct device_sources sources_open(void)
{
    return (struct device_sources){
        .sys_dev_block = open(scratch_path("sys"), O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc = open(scratch_path("proc"), O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
}

static void test_refine(void **state)
{
    static const struct {
        const char *name, *file, *content;
        unsigned major, minor;
        enum device_kind kind;
    } rows[] = {
        {"disk", "sys/8:0/size", "1", 8, 0, DEVICE_BLOCK},
        {"disk with a directory that looks like dm", "sys/8:16/dmx/uuid", "mpath-x", 8, 16,
         DEVICE_BLOCK},
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
        {"dm, but no uuid", "sys/253:9/dm/name", "m\n", 253, 9, DEVICE_DM_UNKNOWN},
        {"unreadable uuid", "sys/253:10/dm/uuid/directory", "", 253, 10, DEVICE_DM_UNKNOWN},
        {"dm is no directory", "sys/253:11/dm", "", 253, 11, DEVICE_DM_UNKNOWN},
        /* It is sysfs that counts, not the number. */
        {"dm under another number", "sys/8:32/dm/uuid", "mpath-3\n", 8, 32, DEVICE_DM_MULTIPATH},
        {"not dm under dm's number", "sys/253:12/size", "1\n", 253, 12, DEVICE_BLOCK},
    };
    struct device_sources sources;
    unsigned before = count_fds();

    (void)state;
    scratch_write("proc/devices", proc_devices);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        scratch_write(rows[i].file, rows[i].content);
    sources = sources_open();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].name;
        assert_int_equal(device_refine_block(&sources, makedev(rows[i].major, rows[i].minor)),
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
    assert_int_equal(device_refine_block(&sources, makedev(253, 0)), DEVICE_DM_MULTIPATH);
    device_sources_deinit(&sources);
}

/* Sysfs does not know the device: only what can be no map is let through. */
static void test_refine_without_directory(void **state)
{
    static const struct {
        const char *name, *devices;
        unsigned major;
        enum device_kind kind;
    } rows[] = {
        {"disk", proc_devices, 8, DEVICE_BLOCK},
        {"map", proc_devices, 253, DEVICE_DM_UNKNOWN},
        {"character device of the same number", proc_devices, 254, DEVICE_BLOCK},
        {"unknown number", proc_devices, 77, DEVICE_BLOCK},
        {"no block devices there", "Character devices:\n  1 mem\n", 8, DEVICE_DM_UNKNOWN},
        {"empty", "", 8, DEVICE_DM_UNKNOWN},
        {"something else", "hello\n", 8, DEVICE_DM_UNKNOWN},
        {"no such file", NULL, 8, DEVICE_DM_UNKNOWN},
    };

    (void)state;
    for (int with_sys = 1; with_sys >= 0; with_sys--) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct device_sources sources;

            table_row = rows[i].name;
            if (with_sys)
                scratch_write("sys/9:9/size", "1\n");
            scratch_write("proc/self", "");
            unlink(scratch_path("proc/devices"));
            if (rows[i].devices)
                scratch_write("proc/devices", rows[i].devices);
            sources = sources_open();
            assert_int_equal(sources.sys_dev_block >= 0, with_sys);
            assert_int_equal(device_refine_block(&sources, makedev(rows[i].major, 0)),
                             rows[i].kind);
            device_sources_deinit(&sources);
        }
        unlink(scratch_path("sys/9:9/size"));
        rmdir(scratch_path("sys/9:9"));
        rmdir(scratch_path("sys"));
    }
    table_row = NULL;
}

static void test_refine_without_sources(void **state)
{
    struct device_sources sources = sources_open();

    (void)state;
    assert_int_equal(sources.proc, -1);
    assert_int_equal(device_refine_block(&sources, makedev(8, 0)), DEVICE_DM_UNKNOWN);
    device_sources_deinit(&sources);
}

static void test_real_sources(void **state)
{
    struct device_sources sources;
    unsigned before = count_fds();
    bool complete = device_sources_init(&sources);

    (void)state;
    assert_int_equal(complete, access("/sys/dev/block", X_OK) == 0);
    assert_true(sources.proc >= 0);
    device_sources_deinit(&sources);
    assert_uint_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_classify_others),
        scratch_test(test_classify_devices),
        scratch_test(test_refine),
        scratch_test(test_long_uuid),
        scratch_test(test_refine_without_directory),
        scratch_test(test_refine_without_sources),
        cmocka_unit_test(test_real_sources),
    };

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
