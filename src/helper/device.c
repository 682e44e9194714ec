// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sysfs says it all: /sys/dev/block/MAJOR:MINOR is a directory that has a file `partition` for a
 * partition (Documentation/ABI/stable/sysfs-block) and a directory `dm` with the map's uuid for a
 * device-mapper device (Documentation/ABI/testing/sysfs-block-dm). Only when that directory is not
 * to be had does the major number decide, by /proc/devices, whether the device could be a map.
 */
#include "helper/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define DEVICE_SG_MAJOR 21 /* Documentation/admin-guide/devices.txt */

bool device_sources_init(struct device_sources *sources)
{
    sources->sys_dev_block = open("/sys/dev/block", O_PATH | O_DIRECTORY | O_CLOEXEC);
    sources->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return sources->sys_dev_block >= 0 && sources->proc >= 0;
}

void device_sources_deinit(struct device_sources *sources)
{
    cleanup_close(&sources->sys_dev_block);
    cleanup_close(&sources->proc);
}

enum device_kind device_classify(int fd, dev_t *ret_number)
{
    struct stat status;

    *ret_number = 0;
    if (fstat(fd, &status) < 0)
        return DEVICE_OTHER;
    if (S_ISBLK(status.st_mode)) {
        *ret_number = status.st_rdev;
        return DEVICE_BLOCK;
    }
    if (S_ISCHR(status.st_mode) && major(status.st_rdev) == DEVICE_SG_MAJOR) {
        *ret_number = status.st_rdev;
        return DEVICE_SG;
    }
    return DEVICE_OTHER;
}

/* Is `wanted` a major number that the device-mapper has? When in doubt, yes. */
static bool device_may_be_dm(const struct device_sources *sources, unsigned wanted)
{
    char text[8192];
    char *line, *rest;

    if (fdio_read_text(sources->proc, "devices", text, sizeof(text)) < 0)
        return true;
    rest = strstr(text, "Block devices:");
    if (!rest)
        return true;
    strsep(&rest, "\n");
    while ((line = strsep(&rest, "\n"))) {
        char name[64];
        unsigned number;

        if (sscanf(line, "%u %63s", &number, name) == 2 && number == wanted)
            return strcmp(name, "device-mapper") == 0;
    }
    return false;
}

enum device_kind device_refine_block(const struct device_sources *sources, dev_t number)
{
    CLEANUP_CLOSE int directory = -1;
    char name[32], uuid[160];
    struct stat status;
    ssize_t n;

    snprintf(name, sizeof(name), "%u:%u", major(number), minor(number));
    directory = openat(sources->sys_dev_block, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return device_may_be_dm(sources, major(number)) ? DEVICE_DM_UNKNOWN : DEVICE_BLOCK;

    n = fdio_read_text(directory, "dm/uuid", uuid, sizeof(uuid));
    if (n >= 0)
        return strncmp(uuid, "mpath-", 6) == 0 ? DEVICE_DM_MULTIPATH : DEVICE_DM_OTHER;
    if (n != -ENOENT)
        return DEVICE_DM_UNKNOWN;
    if (fstatat(directory, "dm", &status, 0) == 0)
        return DEVICE_DM_UNKNOWN;
    return fstatat(directory, "partition", &status, 0) == 0 ? DEVICE_PARTITION : DEVICE_BLOCK;
}

const char *const device_kind_word[] = {
    [DEVICE_OTHER] = "other",
    [DEVICE_SG] = "generic",
    [DEVICE_BLOCK] = "block",
    [DEVICE_PARTITION] = "partition",
    [DEVICE_DM_MULTIPATH] = "multipath",
    [DEVICE_DM_OTHER] = "device-mapper",
    [DEVICE_DM_UNKNOWN] = "unknown",
};

const char *device_kind_name(enum device_kind kind)
{
    switch (kind) {
    case DEVICE_SG:
        return "SCSI generic device";
    case DEVICE_BLOCK:
        return "block device";
    case DEVICE_PARTITION:
        return "partition";
    case DEVICE_DM_MULTIPATH:
        return "multipath map";
    case DEVICE_DM_OTHER:
        return "device-mapper map that is not multipath";
    case DEVICE_DM_UNKNOWN:
        return "device-mapper map of unknown kind";
    case DEVICE_OTHER:
        break;
    }
    return "file that is no SCSI device";
}
