// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An open file description lock (F_OFD_SETLK, fcntl(2)) on one byte, shared by all paths that are
 * executing a command. It does not interact with flock(2), by which commands on a map take turns
 * (journal.c).
 */
#include "mpath/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct flock hold_lock(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
}

int hold_open(int directory, const char *uuid)
{
    int fd;

    if (strchr(uuid, '/'))
        return -EINVAL;
    fd = openat(directory, uuid, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    return fd;
}

int hold_take(int fd)
{
    struct flock lock = hold_lock(F_RDLCK);

    return fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

void hold_give(int *fd)
{
    struct flock lock = hold_lock(F_UNLCK);

    if (*fd >= 0 && fcntl(*fd, F_OFD_SETLK, &lock) < 0) {
        close(*fd); /* and the lock with it */
        *fd = -1;
    }
}

bool hold_is_taken(int fd)
{
    struct flock lock = hold_lock(F_WRLCK);

    return fd >= 0 && (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK);
}
