// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A map's node below /dev/mapper is made by udev, /dev/dm-N by the kernel: the latter is there in
 * a container too. A unit's name is its disk's `wwid`; for a map, that of one of its paths.
 */
#include "inventory/scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sysfs.h"

#define SCAN_TYPE_DISK "0" /* PERIPHERAL DEVICE TYPE: direct access block device */

static bool scan_is_multipath(const char *kernel)
{
    char uuid[160];

    return sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", kernel) &&
           strncmp(uuid, "mpath-", 6) == 0;
}

/* Whether a directory below /sys/block/KERNEL lists a multipath map; or, of `slaves`, its first. */
static bool scan_first(const char *kernel, const char *what, bool multipath, char *ret_name,
                       size_t size)
{
    char path[160];
    struct dirent *entry;
    bool found = false;
    DIR *directory;

    snprintf(path, sizeof(path), "/sys/block/%s/%s", kernel, what);
    directory = opendir(path);
    while (directory && !found && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || (multipath && !scan_is_multipath(entry->d_name)))
            continue;
        snprintf(ret_name, size, "%.*s", (int)size - 1, entry->d_name);
        found = true;
    }
    if (directory)
        closedir(directory);
    return found;
}

static bool scan_fill(struct scan_device *device, const char *kernel)
{
    char raw[160], other[32];

    *device = (struct scan_device){.is_map = scan_is_multipath(kernel)};
    if (!device->is_map &&
        (!sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/scsi_level", kernel) ||
         !sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/type", kernel) ||
         strcmp(raw, SCAN_TYPE_DISK) != 0 ||
         scan_first(kernel, "holders", true, other, sizeof(other))))
        return false;
    snprintf(device->kernel, sizeof(device->kernel), "%s", kernel);
    sysfs_read(device->number, sizeof(device->number), "/sys/block/%s/dev", kernel);
    snprintf(device->path, sizeof(device->path), "/dev/%s", kernel);
    snprintf(device->name, sizeof(device->name), "%s", kernel);
    if (device->is_map && sysfs_read(raw, sizeof(raw), "/sys/block/%s/dm/name", kernel)) {
        snprintf(device->name, sizeof(device->name), "%.*s", (int)sizeof(device->name) - 1, raw);
        if (access(device->path, F_OK) < 0)
            snprintf(device->path, sizeof(device->path), "/dev/mapper/%s", raw);
    }
    if (!sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/wwid", kernel) &&
        !(scan_first(kernel, "slaves", false, other, sizeof(other)) &&
          sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/wwid", other)))
        sysfs_read(raw, sizeof(raw), "/sys/block/%s/dm/uuid", kernel);
    snprintf(device->unit, sizeof(device->unit), "%s", raw);
    return true;
}

static int scan_compare(const void *a, const void *b)
{
    const struct scan_device *left = a, *right = b;

    return strverscmp(left->name, right->name);
}

int scan_host(struct scan *ret_scan)
{
    struct scan scan = {.count = 0};
    struct scan_device *more;
    struct dirent *entry;
    size_t room = 0;
    DIR *blocks = opendir("/sys/block");

    if (!blocks)
        return -errno;
    while ((entry = readdir(blocks))) {
        if (strncmp(entry->d_name, "sd", 2) != 0 && strncmp(entry->d_name, "dm-", 3) != 0)
            continue;
        if (scan.count == room) {
            room = room > 0 ? 2 * room : 64;
            more = realloc(scan.devices, room * sizeof(*more));
            if (!more) {
                closedir(blocks);
                free(scan.devices);
                return -ENOMEM;
            }
            scan.devices = more;
        }
        if (!scan_fill(&scan.devices[scan.count], entry->d_name))
            continue;
        if (scan.count + 1 > SCAN_MAX)
            scan.left_out++;
        else
            scan.count++;
    }
    closedir(blocks);
    if (scan.count > 0)
        qsort(scan.devices, scan.count, sizeof(*scan.devices), scan_compare);
    *ret_scan = scan;
    return 0;
}

void scan_deinit(struct scan *scan)
{
    free(scan->devices);
    scan->devices = NULL;
    scan->count = 0;
}
