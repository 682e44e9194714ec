// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A command that has activated persistence may be answered GOOD only when what it did will survive
 * (SPC-4 5.13.5, Preserving persistent reservations): hence the two syncs.
 */
#include "simulator/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define STORE_NAME_SIZE 112

static void store_name(char name[STORE_NAME_SIZE], const struct store_lun *lun, const char *suffix)
{
    snprintf(name, STORE_NAME_SIZE, "lun-%u-%u-%llu-%" PRId64 ".%09" PRIu32 "%s",
             major(lun->device), minor(lun->device), (unsigned long long)lun->inode, lun->born_s,
             lun->born_ns, suffix);
}

int store_save(int directory, const struct store_lun *lun, const struct lu *lu)
{
    char name[STORE_NAME_SIZE], temporary[STORE_NAME_SIZE];
    CLEANUP_FREE uint8_t *bytes = malloc(LU_SAVE_MAX);
    CLEANUP_CLOSE int fd = -1;
    int r;

    if (!bytes)
        return -ENOMEM;
    store_name(name, lun, "");
    store_name(temporary, lun, ".new");
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
    return fsync(directory) < 0 ? STORE_UNSURE : 0;
}

int store_load(int directory, const struct store_lun *lun, struct lu *lu)
{
    CLEANUP_FREE uint8_t *bytes = malloc(LU_SAVE_MAX + 1);
    CLEANUP_CLOSE int fd = -1;
    char name[STORE_NAME_SIZE];
    ssize_t n;

    if (!bytes)
        return -ENOMEM;
    store_name(name, lun, "");
    fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    n = fdio_read_full(fd, bytes, LU_SAVE_MAX + 1);
    if (n < 0)
        return (int)n;
    return lu_load(lu, bytes, (size_t)n) == LU_LOAD_OK ? 0 : -EBADMSG;
}
