// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulator's state files: names, atomic replacement, errors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cmocka_compat.h"
#include "simulator/store.h"

#define DEVICE makedev(8, 17)
#define INODE  4711
#define NAME   "lun-8-17-4711"

static struct lu lu, loaded;
static char directory_path[] = "/tmp/test-store-XXXXXX";
static int directory = -1;

static int open_directory(void **state)
{
    (void)state;
    memcpy(directory_path + sizeof(directory_path) - 7, "XXXXXX", 6);
    if (!mkdtemp(directory_path))
        return -1;
    directory = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lu_init(&lu, 1);
    lu.aptpl = true;
    lu.registration[lu.registrations++] = (struct lu_registration){
        .key = 0xa,
        .initiator = transportid_sas(1),
        .target_port = 1,
    };
    lu_init(&loaded, 1);
    return directory < 0 ? -1 : 0;
}

static int close_directory(void **state)
{
    (void)state;
    unlinkat(directory, NAME, 0);
    unlinkat(directory, NAME, AT_REMOVEDIR);
    unlinkat(directory, NAME ".new", AT_REMOVEDIR);
    close(directory);
    return rmdir(directory_path);
}

static bool exists(const char *name)
{
    return faccessat(directory, name, F_OK, 0) == 0;
}

static void test_round_trip(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), 0);
    assert_false(exists(NAME ".new"));
    assert_int_equal(fstatat(directory, NAME, &status, 0), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), 0);
    assert_int_equal(loaded.registrations, 1);
    assert_int_equal(loaded.registration[0].key, 0xa);
}

/* Another device, or another inode, is another LUN; nothing saved is no error. */
static void test_names(void **state)
{
    (void)state;
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), 0);
    assert_int_equal(store_load(directory, DEVICE, INODE + 1, &loaded), 0);
    assert_int_equal(store_load(directory, makedev(8, 18), INODE, &loaded), 0);
    assert_int_equal(store_load(directory, makedev(9, 17), INODE, &loaded), 0);
    assert_int_equal(loaded.registrations, 0);
}

/* A shorter state takes the place of a longer one, nothing of which stays. */
static void test_replaced(void **state)
{
    (void)state;
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), 0);
    lu.registrations = 0;
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), 0);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), 0);
    assert_int_equal(loaded.registrations, 0);
    assert_true(loaded.aptpl);
}

static void test_save_errors(void **state)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(store_save(null, DEVICE, INODE, &lu), -ENOTDIR);
    close(null);

    /* The temporary file cannot be made: the state is the old one. */
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), 0);
    assert_int_equal(mkdirat(directory, NAME ".new", 0700), 0);
    lu.registration[0].key = 0xb;
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), -EISDIR);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), 0);
    assert_int_equal(loaded.registration[0].key, 0xa);
}

/* It cannot get its name: it does not stay behind. */
static void test_rename_error(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(directory, NAME, 0700), 0);
    assert_int_equal(store_save(directory, DEVICE, INODE, &lu), -EISDIR);
    assert_false(exists(NAME ".new"));
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), -EISDIR);
}

static void write_file(const void *bytes, size_t size)
{
    int fd = openat(directory, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void test_damaged(void **state)
{
    uint8_t *bytes = calloc(1, LU_SAVE_MAX + 1);
    size_t size = lu_save(&lu, bytes, LU_SAVE_MAX);

    (void)state;
    write_file(bytes, size);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), 0);
    lu_init(&loaded, 1);
    write_file(bytes, size - 1);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), -EBADMSG);
    write_file(bytes, size + 1);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), -EBADMSG);
    write_file(bytes, LU_SAVE_MAX + 1);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), -EBADMSG);
    write_file("", 0);
    assert_int_equal(store_load(directory, DEVICE, INODE, &loaded), -EBADMSG);
    assert_int_equal(loaded.registrations, 0);
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, open_directory, close_directory)
    const struct CMUnitTest tests[] = {
        TEST(round_trip),  TEST(names),        TEST(replaced),
        TEST(save_errors), TEST(rename_error), TEST(damaged),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
