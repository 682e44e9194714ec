// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * By sysfs: /sys/dev/block/MAJOR:MINOR has a file `partition` for a partition, `dm/uuid` for a map
 * of the device-mapper, and a `device` with a `scsi_level` for a SCSI disk.
 */
#include "ctl/device.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ctl/sysfs.h"

#define DEVICE_SG_MAJOR 21 /* Documentation/admin-guide/devices.txt of the kernel */

static bool has_attribute(dev_t number, const char *name, char *value, size_t size)
{
    return sysfs_read(value, size, "/sys/dev/block/%u:%u/%s", major(number), minor(number), name);
}

enum device_kind device_classify(int fd)
{
    struct stat status;
    char value[160];

    if (fstat(fd, &status) < 0)
        return DEVICE_OTHER;
    if (S_ISREG(status.st_mode))
        return DEVICE_FILE;
    if (S_ISCHR(status.st_mode) && major(status.st_rdev) == DEVICE_SG_MAJOR)
        return DEVICE_SCSI;
    if (!S_ISBLK(status.st_mode))
        return DEVICE_OTHER;
    if (has_attribute(status.st_rdev, "partition", value, sizeof(value)))
        return DEVICE_PARTITION;
    if (has_attribute(status.st_rdev, "dm/uuid", value, sizeof(value)))
        return strncmp(value, "mpath-", 6) == 0 ? DEVICE_MULTIPATH : DEVICE_MAPPED;
    if (has_attribute(status.st_rdev, "device/scsi_level", value, sizeof(value)))
        return DEVICE_SCSI;
    return DEVICE_BLOCK;
}

bool device_is_part(enum device_kind kind)
{
    return kind == DEVICE_PARTITION || kind == DEVICE_MULTIPATH || kind == DEVICE_MAPPED;
}

const char *device_objection(enum device_kind kind, bool changes)
{
    switch (kind) {
    case DEVICE_SCSI:
        return NULL;
    case DEVICE_PARTITION:
        return changes ? "a partition, and a reservation is of the whole disk: name that" : NULL;
    case DEVICE_MULTIPATH:
        return changes ? "a multipath map, of which a plain command would reach one path only"
                       : NULL;
    case DEVICE_MAPPED:
        return changes ? "a device-mapper map, and a reservation is of the whole disk below it: "
                         "name that"
                       : NULL;
    case DEVICE_BLOCK:
        return "a block device, but no SCSI disk";
    case DEVICE_FILE:
        return "a regular file; only qemu-pr-simulator takes those";
    case DEVICE_OTHER:
        break;
    }
    return "neither a disk nor a SCSI generic device";
}
