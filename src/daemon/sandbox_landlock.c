// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Landlock has no wrapper in the C library; three system calls do. Every right that the running
 * kernel knows of is handled, hence denied, and reading is given back below /sys (what kind of
 * device is it?), and below /proc (who is the client?) if there is no keeper to open that: with
 * CAP_SYS_RAWIO user 0 could read /proc/kcore. The fds that clients and keeper pass are not
 * concerned: a file carries the rights of whoever opened it.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Rights of each version of the interface, newest first (Documentation/userspace-api/landlock). */
#define LANDLOCK_FS_ABI1 ((1ULL << 13) - 1) /* execute ... make symlink */
#define LANDLOCK_FS_ABI2 (1ULL << 13)       /* link and rename across directories */
#define LANDLOCK_FS_ABI3 (1ULL << 14)       /* truncate */
#define LANDLOCK_FS_ABI5 (1ULL << 15)       /* ioctl on devices opened from here on */

static uint64_t landlock_rights(int abi)
{
    uint64_t rights = LANDLOCK_FS_ABI1;

    if (abi >= 2)
        rights |= LANDLOCK_FS_ABI2;
    if (abi >= 3)
        rights |= LANDLOCK_FS_ABI3;
    if (abi >= 5)
        rights |= LANDLOCK_FS_ABI5;
    return rights;
}

static int landlock_allow_reading(int ruleset, const char *path)
{
    CLEANUP_CLOSE int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        .parent_fd = directory,
    };

    if (directory < 0) /* what is not mounted needs no right */
        return errno == ENOENT ? 0 : -errno;
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

int sandbox_enter_landlock(bool needs_proc, int *ret_version, char *ret_error, size_t error_size)
{
    struct landlock_ruleset_attr attributes = {0};
    CLEANUP_CLOSE int ruleset = -1;
    long abi;

    *ret_version = 0;
    abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0) {
        if (errno != ENOSYS && errno != EOPNOTSUPP &&
            errno != EPERM) { /* EPERM: a container's filter */
            snprintf(ret_error, error_size, "cannot tell whether there is Landlock: %s",
                     strerror(errno));
            return -errno;
        }
        log_info("no Landlock: %s", strerror(errno));
        return 0;
    }
    attributes.handled_access_fs = landlock_rights((int)abi);
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset < 0 || landlock_allow_reading(ruleset, "/sys") < 0 ||
        (needs_proc && landlock_allow_reading(ruleset, "/proc") < 0) ||
        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        snprintf(ret_error, error_size, "cannot enter the Landlock sandbox: %s", strerror(errno));
        return -errno;
    }
    *ret_version = (int)abi;
    log_debug("Landlock: interface version %ld", abi);
    return 0;
}
