// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Two of the requests of <linux/dm-ioctl.h>, with the map named by its number. A name could have
 * changed hands meanwhile; the number cannot, as long as the client's fd keeps the map open.
 */
#include "mpath/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

int dm_open(void)
{
    int fd = open("/dev/" DM_DIR "/" DM_CONTROL_NODE, O_RDWR | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* flags: in and out. */
static int dm_request(int control, unsigned long request, dev_t map, uint32_t *flags)
{
    struct dm_ioctl io = {
        /* Of the oldest kernel that answers as we need it: 2.6. */
        .version = {4, 0, 0},
        .data_size = sizeof(io),
        .data_start = sizeof(io),
        .flags = *flags,
        /* new_encode_dev() of the kernel. */
        .dev = (minor(map) & 0xff) | major(map) << 8 | (uint64_t)(minor(map) & ~0xffu) << 12,
    };

    if (ioctl(control, request, &io) < 0)
        return -errno;
    *flags = io.flags;
    return 0;
}

int dm_is_suspended(int control, dev_t map, bool *ret)
{
    uint32_t flags = 0;
    int r = dm_request(control, DM_DEV_STATUS, map, &flags);

    if (r == 0)
        *ret = flags & DM_SUSPEND_FLAG;
    return r;
}

int dm_resume(int control, dev_t map)
{
    /* Without DM_SUSPEND_FLAG the request is its opposite. */
    uint32_t flags = DM_NOFLUSH_FLAG;

    return dm_request(control, DM_DEV_SUSPEND, map, &flags);
}
