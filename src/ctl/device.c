// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sg/device.h has what a helper wants to know. A person may be told more: whether a block device is
 * a SCSI disk (in sysfs its `device` has a `scsi_level`), and that a regular file is none.
 */
#include "ctl/device.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ctl/sysfs.h"

struct device_facts device_examine(int fd)
{
    struct device_facts facts;
    struct stat file;
    dev_t number;

    facts.kind = device_classify(fd, &number);
    if (facts.kind == DEVICE_BLOCK) {
        struct device_sources sources;

        (void)device_sources_init(&sources); /* what is missing makes it DEVICE_DM_UNKNOWN */
        facts.kind = device_refine_block(&sources, number);
        device_sources_deinit(&sources);
    }
    facts.is_scsi = facts.kind == DEVICE_SG;
    if (facts.kind == DEVICE_BLOCK) {
        char level[16];

        facts.is_scsi = sysfs_read(level, sizeof(level), "/sys/dev/block/%u:%u/device/scsi_level",
                                   major(number), minor(number));
    }
    facts.is_file = facts.kind == DEVICE_OTHER && fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
    return facts;
}

bool device_is_part(const struct device_facts *facts)
{
    return facts->kind == DEVICE_PARTITION || facts->kind == DEVICE_DM_MULTIPATH ||
           facts->kind == DEVICE_DM_OTHER || facts->kind == DEVICE_DM_UNKNOWN;
}

const char *device_objection(const struct device_facts *facts, bool changes)
{
    switch (facts->kind) {
    case DEVICE_SG:
        return NULL;
    case DEVICE_BLOCK:
        return facts->is_scsi ? NULL : "a block device, but no SCSI disk";
    case DEVICE_PARTITION:
        return changes ? "a partition, and a reservation is of the whole disk: name that" : NULL;
    case DEVICE_DM_MULTIPATH:
        return changes ? "a multipath map, of which a plain command would reach one path only"
                       : NULL;
    case DEVICE_DM_OTHER:
        return changes ? "a device-mapper map, and a reservation is of the whole disk below it: "
                         "name that"
                       : NULL;
    case DEVICE_DM_UNKNOWN:
        return changes ? "a device-mapper map of a kind that cannot be told (is /sys mounted?)"
                       : NULL;
    case DEVICE_OTHER:
        break;
    }
    return facts->is_file ? "a regular file; only qemu-pr-simulator takes those"
                          : "neither a disk nor a SCSI generic device";
}
