// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sg/device.h has what a helper wants to know. A person may be told more: that a regular file is no
 * device.
 */
#include "ctl/device.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct device_facts device_examine(int fd)
{
    struct device_facts facts = {.kind = DEVICE_UNKNOWN};
    enum device_kind kind;
    struct stat file;
    dev_t number;
    int r = device_classify(fd, &kind, &number);

    if (r == 0 && kind == DEVICE_BLOCK) {
        struct device_sources sources;

        r = device_sources_init(&sources);
        if (r == 0)
            r = device_refine_block(&sources, number, &kind);
        device_sources_deinit(&sources);
    }
    if (r == 0)
        facts.kind = kind;
    facts.is_scsi = facts.kind == DEVICE_SG || facts.kind == DEVICE_DISK;
    facts.is_file = facts.kind == DEVICE_OTHER && fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
    return facts;
}

const char *device_objection(const struct device_facts *facts, bool changes)
{
    switch (facts->kind) {
    case DEVICE_SG:
    case DEVICE_DISK:
        return NULL;
    case DEVICE_NOT_SCSI:
        return "a block device, but not a SCSI disk";
    case DEVICE_PARTITION:
        return changes ? "a partition, and a reservation applies to the whole disk: name the disk"
                       : NULL;
    case DEVICE_DM_MULTIPATH:
        return changes ? "a multipath map, and a plain command would reach only one of its paths"
                       : NULL;
    case DEVICE_DM_OTHER:
        return changes ? "a device-mapper map, and a reservation applies to the whole disk below "
                         "it: name the disk"
                       : NULL;
    case DEVICE_BLOCK:
    case DEVICE_UNKNOWN:
        return changes ? "a device of unknown type (is /sys mounted?)" : NULL;
    case DEVICE_OTHER:
        break;
    }
    return facts->is_file ? "a regular file; only qemu-pr-simulator takes those"
                          : "neither a SCSI disk nor a SCSI generic device";
}
