// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Between our open and our lock an ending instance may unlink the file: we would hold a lock on a
 * file that no other process can find. So the name is looked at again once the lock is ours.
 */
#include "daemon/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define PIDFILE_ATTEMPTS 16

/* Open and lock. -ESTALE: that was not the file under this name any more. */
static int pidfile_try_lock(const char *path, char *ret_error, size_t error_size)
{
    CLEANUP_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat opened, named;
    int r;

    if (fd < 0) {
        snprintf(ret_error, error_size, "Cannot open pid file %s: %s", path, strerror(errno));
        return -errno;
    }
    r = fdio_lock(fd);
    if (r < 0) {
        snprintf(ret_error, error_size, "Cannot lock pid file %s: %s", path,
                 r == -EAGAIN ? "another instance is running" : strerror(-r));
        return r;
    }
    if (fstat(fd, &opened) < 0 || stat(path, &named) < 0 || opened.st_ino != named.st_ino ||
        opened.st_dev != named.st_dev)
        return -ESTALE;
    return steal_fd(&fd);
}

/* One that could not be written. The lock is ours, so no other process uses it. A device
 * that was named (/dev/null) is left alone. */
static void pidfile_discard(int fd, const char *path)
{
    struct stat status;

    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        unlink(path);
}

int pidfile_lock(const char *path, char *ret_error, size_t error_size)
{
    CLEANUP_CLOSE int fd = -1;
    char text[32];
    int length, r;

    for (int i = 0; i < PIDFILE_ATTEMPTS; i++) {
        fd = pidfile_try_lock(path, ret_error, error_size);
        if (fd != -ESTALE)
            break;
        snprintf(ret_error, error_size, "Cannot lock pid file %s: it keeps changing", path);
    }
    if (fd < 0)
        return fd;

    length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    r = ftruncate(fd, 0) < 0 ? -errno : fdio_write_full(fd, text, (size_t)length);
    if (r < 0) {
        snprintf(ret_error, error_size, "Cannot write pid file %s: %s", path, strerror(-r));
        pidfile_discard(fd, path);
        return r;
    }
    return steal_fd(&fd);
}

void pidfile_unlock(int fd)
{
    (void)fdio_unlock(fd);
    close(fd);
}
