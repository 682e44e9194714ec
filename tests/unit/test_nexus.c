// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What tells the paths of a map apart, over a tree of the test's own in the place of /sys: it is
 * the same whenever it is read, or it is not read at all, whichever of the system calls fails for
 * want of fds or memory. A path that looked like another one would be without its key to the
 * worker.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mpath/host.h"
#include "mpath/nexus.h"
#include "mpath/sysfs.h"
#include "scratch.h"

const char host_sysfs[] = "sys";
const char host_class[] = "class";

bool host_is_disk(const struct stat *status)
{
    return S_ISBLK(status->st_mode);
}

/* Which of the calls fails, counted from 0, and with what. */
static struct {
    unsigned n, nth;
    int error;
} fault;

static bool fault_hits(void)
{
    if (!fault.error || fault.n++ != fault.nth)
        return false;
    errno = fault.error;
    return true;
}

#define WRAP(type, name, arguments, names)                                                         \
    type __real_##name arguments;                                                                  \
    type __wrap_##name arguments;                                                                  \
    type __wrap_##name arguments                                                                   \
    {                                                                                              \
        return fault_hits() ? -1 : __real_##name names;                                            \
    }

WRAP(int, fstatat, (int dir, const char *path, struct stat *ret, int flags),
     (dir, path, ret, flags))
WRAP(int, fstatat64, (int dir, const char *path, struct stat *ret, int flags),
     (dir, path, ret, flags))
WRAP(ssize_t, readlinkat, (int dir, const char *path, char *text, size_t size),
     (dir, path, text, size))

/* For reading only, so there is no mode. */
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    return fault_hits() ? -1 : __real_openat(dir, path, flags);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    return fault_hits() ? -1 : __real_openat64(dir, path, flags);
}

#define ISCSI makedev(8, 16)
#define FC    makedev(8, 32)
#define MAP   makedev(253, 0)

static void make_path(const char *number, const char *device)
{
    char path[64], target[128];

    snprintf(path, sizeof(path), "sys/%s", number);
    snprintf(target, sizeof(target), "../devices/%s", device);
    assert_int_equal(symlink(target, scratch_path(path)), 0);
}

static int set_up(void **state)
{
    if (scratch_set_up(state) < 0 || chdir(scratch) < 0)
        return -1;
    memset(&fault, 0, sizeof(fault));
    scratch_write("sys/253:0/slaves/sdb/dev", "8:16\n");
    scratch_write("sys/253:0/slaves/sdc/dev", "8:32\n");
    make_path("8:16", "host3/session7/target3:0:0/3:0:0:1/block/sdb");
    make_path("8:32", "host4/rport-4:0-1/target4:0:0/4:0:0:1/block/sdc");
    scratch_write("class/iscsi_session/session7/initiatorname", "iqn.2000-01.test:a\n");
    scratch_write("class/iscsi_session/session7/targetname", "iqn.2000-01.test:t\n");
    scratch_write("class/iscsi_session/session7/tpgt", "1\n");
    scratch_write("class/iscsi_session/session7/ifacename", "default\n");
    scratch_write("class/iscsi_connection/connection7:0/persistent_address", "192.0.2.1\n");
    scratch_write("class/iscsi_connection/connection7:0/persistent_port", "3260\n");
    scratch_write("class/fc_host/host4/port_name", "0x10000090fa000001\n");
    scratch_write("class/fc_transport/target4:0:0/port_name", "0x50060e8000000002\n");
    return 0;
}

static int tear_down(void **state)
{
    return chdir("/") < 0 ? -1 : scratch_tear_down(state);
}

static const int shortages[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN};

static void test_nexus(void **state)
{
    const dev_t paths[] = {ISCSI, FC};
    struct nexus whole[2], nexus;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(nexus_read(paths[i], &whole[i]), 0);
        assert_true(whole[i].initiator.size > 0);
        for (size_t j = 0; j < sizeof(shortages) / sizeof(shortages[0]); j++) {
            bool reached = true;

            for (unsigned nth = 0; reached; nth++) {
                fault.n = 0;
                fault.nth = nth;
                fault.error = shortages[j];
                memset(&nexus, 0xee, sizeof(nexus));
                int r = nexus_read(paths[i], &nexus);
                reached = fault.n > nth;
                fault.error = 0;
                assert_int_equal(r, reached ? -shortages[j] : 0);
                assert_true(reached ? nexus.id == 0xeeeeeeeeeeeeeeee : nexus.id == whole[i].id);
            }
            assert_true(fault.nth >= 3);
        }
    }
    assert_true(whole[0].id != whole[1].id);
}

/* An attribute that is not there is no shortage. */
static void test_nothing_there(void **state)
{
    struct nexus nexus, other;

    (void)state;
    assert_int_equal(unlink("class/fc_host/host4/port_name"), 0);
    assert_int_equal(nexus_read(FC, &nexus), 0);
    assert_int_equal(nexus.initiator.size, 0);
    assert_int_equal(nexus_read(makedev(8, 48), &other), 0);
    assert_true(other.id != nexus.id);
}

/* All paths with what tells them from later disks of the same number, or none. */
static void test_list(void **state)
{
    struct sysfs_path whole[4], found[4];
    bool reached = true;

    (void)state;
    memset(whole, 0, sizeof(whole));
    assert_int_equal(sysfs_list(MAP, whole, 4), 2);
    assert_string_equal(whole[0].name, "sdb");
    assert_true(whole[0].serial != 0 && whole[1].serial != 0);
    for (unsigned nth = 0; reached; nth++) {
        memset(found, 0, sizeof(found));
        fault.n = 0;
        fault.nth = nth;
        fault.error = ENOMEM;
        int n = sysfs_list(MAP, found, 4);
        reached = fault.n > nth;
        fault.error = 0;
        if (n >= 0) {
            assert_int_equal(n, 2);
            assert_memory_equal(found, whole, sizeof(whole));
        }
    }
}

#define nexus_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        nexus_test(test_nexus),
        nexus_test(test_nothing_there),
        nexus_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
