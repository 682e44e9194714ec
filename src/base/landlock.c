// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Rights of each version of the interface (Documentation/userspace-api/landlock). */
#define LANDLOCK_FS_ABI1 ((1ULL << 13) - 1) /* execute ... make symlink */
#define LANDLOCK_FS_ABI2 (1ULL << 13)       /* link and rename across directories */
#define LANDLOCK_FS_ABI3 (1ULL << 14)       /* truncate */
#define LANDLOCK_FS_ABI5 LANDLOCK_ACCESS_FS_IOCTL_DEV

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

int landlock_begin(struct landlock *ret)
{
    struct landlock_ruleset_attr attributes = {0};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    long ruleset;

    if (abi < 0)
        return -errno;
    attributes.handled_access_fs = landlock_rights((int)abi);
    ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset < 0)
        return -errno;
    *ret = (struct landlock){(int)ruleset, (int)abi, attributes.handled_access_fs};
    return 0;
}

int landlock_allow_fd(const struct landlock *landlock, int directory, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights & landlock->rights,
        .parent_fd = directory,
    };

    return syscall(SYS_landlock_add_rule, landlock->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) <
                   0
               ? -errno
               : 0;
}

int landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights)
{
    CLEANUP_CLOSE int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return errno == ENOENT ? 0 : -errno;
    return landlock_allow_fd(landlock, directory, rights);
}

int landlock_enter(struct landlock *landlock)
{
    int r = syscall(SYS_landlock_restrict_self, landlock->ruleset, 0) < 0 ? -errno : 0;

    close(landlock->ruleset);
    landlock->ruleset = -1;
    return r;
}
