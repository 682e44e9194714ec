// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sysfs says it all: /sys/dev/block/MAJOR:MINOR is a directory that has a file `partition` for a
 * partition (Documentation/ABI/stable/sysfs-block) and a directory `dm` with the map's uuid for a
 * device-mapper device (Documentation/ABI/testing/sysfs-block-dm). Only when that directory is not
 * to be had does the major number decide, by /proc/devices, whether the device could be a map.
 */
#include "sg/device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* Where sysfs has it, below /sys/dev/block. */
static void device_path(enum device_kind kind, dev_t number, char *path, size_t size)
{
    snprintf(path, size, "%s%u:%u", kind == DEVICE_SG ? "../char/" : "", major(number),
             minor(number));
}

/* The inode of the device's directory: sysfs takes long to use the number of one again. */
uint64_t device_serial(const struct device_sources *sources, enum device_kind kind, dev_t number)
{
    struct stat status;
    char path[48];

    device_path(kind, number, path, sizeof(path));
    return fstatat(sources->sys_dev_block, path, &status, 0) < 0 ? 0 : status.st_ino;
}

/* The last component of what a link leads to, or "". */
static void device_read_link(int dir, const char *path, char *name, size_t size)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, path, target, sizeof(target) - 1);
    const char *last;

    target[n > 0 ? n : 0] = '\0';
    last = strrchr(target, '/');
    snprintf(name, size, "%.*s", (int)size - 1, last ? last + 1 : target);
}

/* Four numbers, with colons between them? Other buses have other names there. */
static bool device_is_nexus(const char *text)
{
    int end = 0;

    return sscanf(text, "%*u:%*u:%*u:%*u%n", &end) == 0 && end > 0 && !text[end];
}

void device_describe(const struct device_sources *sources, enum device_kind kind, dev_t number,
                     struct device_names *ret)
{
    CLEANUP_CLOSE int directory = -1;
    char path[48];

    memset(ret, 0, sizeof(*ret));
    device_path(kind, number, path, sizeof(path));
    ret->serial = device_serial(sources, kind, number);
    device_read_link(sources->sys_dev_block, path, ret->name, sizeof(ret->name));
    directory = openat(sources->sys_dev_block, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    if (fdio_read_text(directory, "dm/uuid", ret->wwn, sizeof(ret->wwn)) > 0) {
        (void)fdio_read_text(directory, "dm/name", ret->map, sizeof(ret->map));
        return;
    }
    device_read_link(directory, "device", ret->nexus, sizeof(ret->nexus));
    if (!device_is_nexus(ret->nexus))
        ret->nexus[0] = '\0';
    if (fdio_read_text(directory, "device/wwid", ret->wwn, sizeof(ret->wwn)) < 0 &&
        fdio_read_text(directory, "wwid", ret->wwn, sizeof(ret->wwn)) < 0)
        ret->wwn[0] = '\0';
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
