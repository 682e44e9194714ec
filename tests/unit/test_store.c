// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulator's state files: names, atomic replacement, errors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_compat.h"
#include "simulator/store.h"

#define DEVICE 0x811 /* 8, 17 */
#define NAME   "lun-8-17-4711-1700000000.000000042"

static const struct store_lun lun = {DEVICE, 4711, 1700000000, 42};

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
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    assert_false(exists(NAME ".new"));
    assert_int_equal(fstatat(directory, NAME, &status, 0), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_int_equal(store_load(directory, &lun, &loaded), 0);
    assert_int_equal(loaded.registrations, 1);
    assert_int_equal(loaded.registration[0].key, 0xa);
}

/* Another device, inode or birth is another LUN; nothing saved is no error. */
static void test_names(void **state)
{
    static const struct store_lun others[] = {
        {DEVICE, 4712, 1700000000, 42},       {DEVICE + 1, 4711, 1700000000, 42},
        {DEVICE + 256, 4711, 1700000000, 42}, {DEVICE, 4711, 1700000001, 42},
        {DEVICE, 4711, 1700000000, 43},       {DEVICE, 4711, 0, 0},
    };

    (void)state;
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(store_load(directory, &others[i], &loaded), 0);
    assert_int_equal(loaded.registrations, 0);
}

/* A shorter state takes the place of a longer one, nothing of which stays. */
static void test_replaced(void **state)
{
    (void)state;
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    lu.registrations = 0;
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    assert_int_equal(store_load(directory, &lun, &loaded), 0);
    assert_int_equal(loaded.registrations, 0);
    assert_true(loaded.aptpl);
}

static void test_save_errors(void **state)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(store_save(null, &lun, &lu), -ENOTDIR);
    close(null);

    /* The temporary file cannot be made: the state is the old one. */
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    assert_int_equal(mkdirat(directory, NAME ".new", 0700), 0);
    lu.registration[0].key = 0xb;
    assert_int_equal(store_save(directory, &lun, &lu), -EISDIR);
    assert_int_equal(store_load(directory, &lun, &loaded), 0);
    assert_int_equal(loaded.registration[0].key, 0xa);
}

/* It cannot get its name: it does not stay behind. */
static void test_rename_error(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(directory, NAME, 0700), 0);
    assert_int_equal(store_save(directory, &lun, &lu), -EISDIR);
    assert_false(exists(NAME ".new"));
    assert_int_equal(store_load(directory, &lun, &loaded), -EISDIR);
}

/* It is in place, and may yet go: neither success nor as if nothing had been done. */
static void test_sync_error(void **state)
{
    int path = open(directory_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_int_equal(store_save(directory, &lun, &lu), 0);
    lu.registration[0].key = 0xb;
    assert_int_equal(store_save(path, &lun, &lu), STORE_UNSURE);
    assert_int_equal(errno, EBADF); /* fsync() of an O_PATH fd */
    close(path);
    assert_int_equal(store_load(directory, &lun, &loaded), 0);
    assert_int_equal(loaded.registration[0].key, 0xb);
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
    assert_int_equal(store_load(directory, &lun, &loaded), 0);
    lu_init(&loaded, 1);
    write_file(bytes, size - 1);
    assert_int_equal(store_load(directory, &lun, &loaded), -EBADMSG);
    write_file(bytes, size + 1);
    assert_int_equal(store_load(directory, &lun, &loaded), -EBADMSG);
    write_file(bytes, LU_SAVE_MAX + 1);
    assert_int_equal(store_load(directory, &lun, &loaded), -EBADMSG);
    write_file("", 0);
    assert_int_equal(store_load(directory, &lun, &loaded), -EBADMSG);
    assert_int_equal(loaded.registrations, 0);
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, open_directory, close_directory)
    const struct CMUnitTest tests[] = {
        TEST(round_trip),   TEST(names),      TEST(replaced), TEST(save_errors),
        TEST(rename_error), TEST(sync_error), TEST(damaged),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
