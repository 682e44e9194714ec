// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * In the place of src/mpath/dm.c: the file "dm/MINOR" says "1" while the map with that minor number
 * is suspended, "0" while it is not. If there is a FIFO dm/gate, to resume a map takes until
 * somebody opens it for writing.
 */
#include "mpath/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int dm_open(void)
{
    int fd = open("dm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int dm_open_map(int control, dev_t map, int flags)
{
    char name[16];
    int fd;

    snprintf(name, sizeof(name), "%u", minor(map));
    fd = openat(control, name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int dm_is_suspended(int control, dev_t map, bool *ret)
{
    int fd = dm_open_map(control, map, O_RDONLY);
    char state = '0';

    if (fd < 0)
        return fd;
    *ret = read(fd, &state, 1) == 1 && state == '1';
    close(fd);
    return 0;
}

int dm_resume(int control, dev_t map)
{
    int gate = openat(control, "gate", O_RDONLY | O_CLOEXEC);
    int fd = dm_open_map(control, map, O_WRONLY);
    int r;

    if (gate >= 0)
        close(gate);
    if (fd < 0)
        return fd;
    r = write(fd, "0", 1) == 1 ? 0 : -EIO;
    close(fd);
    return r;
}
