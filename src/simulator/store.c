// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A command that has activated persistence may be answered GOOD only when what it did will survive
 * (SPC-4 5.13.5, Preserving persistent reservations): hence the two syncs.
 */
#include "simulator/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define STORE_NAME_SIZE 80

static void store_name(char name[STORE_NAME_SIZE], dev_t device, ino_t inode, const char *suffix)
{
    snprintf(name, STORE_NAME_SIZE, "lun-%u-%u-%llu%s", major(device), minor(device),
             (unsigned long long)inode, suffix);
}

int store_save(int directory, dev_t device, ino_t inode, const struct lu *lu)
{
    char name[STORE_NAME_SIZE], temporary[STORE_NAME_SIZE];
    CLEANUP_FREE uint8_t *bytes = malloc(LU_SAVE_MAX);
    CLEANUP_CLOSE int fd = -1;
    int r;

    if (!bytes)
        return -ENOMEM;
    store_name(name, device, inode, "");
    store_name(temporary, device, inode, ".new");
    fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = fdio_write_full(fd, bytes, lu_save(lu, bytes, LU_SAVE_MAX));
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(directory, temporary, directory, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(directory, temporary, 0);
        return r;
    }
    return fsync(directory) < 0 ? -errno : 0;
}

int store_load(int directory, dev_t device, ino_t inode, struct lu *lu)
{
    CLEANUP_FREE uint8_t *bytes = malloc(LU_SAVE_MAX + 1);
    CLEANUP_CLOSE int fd = -1;
    char name[STORE_NAME_SIZE];
    ssize_t n;

    if (!bytes)
        return -ENOMEM;
    store_name(name, device, inode, "");
    fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    n = fdio_read_full(fd, bytes, LU_SAVE_MAX + 1);
    if (n < 0)
        return (int)n;
    return lu_load(lu, bytes, (size_t)n) == LU_LOAD_OK ? 0 : -EBADMSG;
}
