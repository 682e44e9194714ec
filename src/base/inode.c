// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

#define INODE_LOCK_TRIES    1000
#define INODE_LOCK_PAUSE_MS 1

int inode_identify_at(int dir, const char *path, struct inode_id *ret_inode)
{
    struct statx status;

    if (statx(dir, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_INO | STATX_BTIME, &status))
        return -errno;
    *ret_inode = (struct inode_id){
        .device = makedev(status.stx_dev_major, status.stx_dev_minor),
        .inode = status.stx_ino,
    };
    if (status.stx_mask & STATX_BTIME)
        ret_inode->born = (struct timespec){.tv_sec = status.stx_btime.tv_sec,
                                            .tv_nsec = status.stx_btime.tv_nsec};
    return 0;
}

int inode_identify(const char *path, struct inode_id *ret_inode)
{
    return inode_identify_at(AT_FDCWD, path, ret_inode);
}

bool inode_same(const struct inode_id *a, const struct inode_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->born.tv_sec == b->born.tv_sec &&
           a->born.tv_nsec == b->born.tv_nsec;
}

int inode_lock_directory(int at, const char *path)
{
    const struct timespec pause = {.tv_nsec = INODE_LOCK_PAUSE_MS * 1000000};
    int lock = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; lock >= 0 && i < INODE_LOCK_TRIES; i++) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            break;
        nanosleep(&pause, NULL);
    }
    return lock;
}

int inode_remove(const char *path, const struct inode_id *inode)
{
    char for_dirname[PATH_MAX]; /* no heap: it may be for want of memory that this is called */
    CLEANUP_CLOSE int lock = -1;
    struct inode_id found;
    int r;

    if (strlen(path) >= sizeof(for_dirname))
        return -ENAMETOOLONG;
    strcpy(for_dirname, path);
    lock = inode_lock_directory(AT_FDCWD, dirname(for_dirname));
    r = inode_identify(path, &found);
    if (r == -ENOENT || (r == 0 && !inode_same(&found, inode)))
        return 0;
    if (r == 0 && unlink(path) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}
