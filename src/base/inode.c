// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names in a directory are looked at and then removed, and the kernel does not do both in one. So
 * helpers exclude each other by a lock meanwhile. A lock of the directory itself could be held by
 * everyone who may read it, for as long as they like; to lock a file for writing takes the right to
 * write to it (fcntl(2)). Hence a file of mode 600 that exists only while it is locked, and that
 * counts only if it is ours: another user who may make one there owns the names anyway, and shall
 * not keep us waiting either.
 */
#include "base/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define INODE_LOCK_NAME     ".pr-helper.lock"
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

/* Returns 0; -EAGAIN if it has or has just had an owner; or another negative errno. */
static int inode_lock_file(int fd)
{
    struct stat status;
    int r;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return -EPERM;
    r = fdio_lock(fd);
    if (r < 0)
        return r;
    /* The owner may have removed it between our open and our lock. */
    if (fstat(fd, &status) < 0)
        return -errno;
    return status.st_nlink == 0 ? -EAGAIN : 0;
}

/* Returns the fd or an error of inode_lock_file. */
static int inode_try_lock(int dir)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    CLEANUP_CLOSE int fd = openat(dir, INODE_LOCK_NAME, flags | O_CREAT | O_EXCL, 0600);
    bool created = fd >= 0;
    int r;

    if (!created && errno == EEXIST)
        fd = openat(dir, INODE_LOCK_NAME, flags);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno; /* it has just gone */
    r = inode_lock_file(fd);
    if (r == 0)
        return steal_fd(&fd);
    if (created && r != -EAGAIN)
        unlinkat(dir, INODE_LOCK_NAME, 0);
    return r;
}

int inode_lock_names(int dir)
{
    const struct timespec pause = {.tv_nsec = INODE_LOCK_PAUSE_MS * 1000000};
    int lock = inode_try_lock(dir);

    for (int i = 1; lock == -EAGAIN && i < INODE_LOCK_TRIES; i++) {
        nanosleep(&pause, NULL);
        lock = inode_try_lock(dir);
    }
    return lock;
}

void inode_unlock_names(int dir, int lock)
{
    if (lock < 0)
        return;
    unlinkat(dir, INODE_LOCK_NAME, 0);
    close(lock);
}

static int inode_remove_locked(int dir, const char *name, const struct inode_id *inode)
{
    struct inode_id found;
    int r = inode_identify_at(dir, name, &found);

    if (r == -ENOENT || (r == 0 && !inode_same(&found, inode)))
        return 0;
    if (r == 0 && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int inode_remove(const char *path, const struct inode_id *inode)
{
    char for_dirname[PATH_MAX], for_basename[PATH_MAX]; /* no heap: it may be for want of memory */
    CLEANUP_CLOSE int dir = -1;
    int lock, r;

    if (strlen(path) >= sizeof(for_dirname))
        return -ENAMETOOLONG;
    strcpy(for_dirname, path);
    strcpy(for_basename, path);
    dir = open(dirname(for_dirname), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? 0 : -errno;
    lock = inode_lock_names(dir);
    r = inode_remove_locked(dir, basename(for_basename), inode);
    inode_unlock_names(dir, lock);
    return r;
}
