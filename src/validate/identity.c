// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel reads page 83h when it finds a disk, and shows the designator that it prefers (NAA,
 * EUI-64, SCSI name, T10 vendor ID) as `wwid`. multipathd makes a map's uuid of the type's number
 * and the identifier: mpath-3 and an NAA one, for instance.
 */
#include "validate/identity.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/escape.h"
#include "ctl/sysfs.h"

#define IDENTITY_RAW_MAX 256

/* A path of a map, whose own name is what multipathd was configured to take. */
static void identity_of_slave(const char *name, char *text, size_t size)
{
    char path[128];
    struct dirent *entry;
    DIR *slaves;

    snprintf(path, sizeof(path), "/sys/block/%s/slaves", name);
    slaves = opendir(path);
    while (slaves && !text[0] && (entry = readdir(slaves))) {
        if (entry->d_name[0] != '.')
            sysfs_read(text, size, "/sys/block/%s/device/wwid", entry->d_name);
    }
    if (slaves)
        closedir(slaves);
}

void identity_find(int fd, char *text, size_t size, char *device, size_t device_size)
{
    char raw[IDENTITY_RAW_MAX] = "";
    struct stat file;

    text[0] = device[0] = '\0';
    if (fstat(fd, &file) < 0)
        return;
    if (S_ISREG(file.st_mode)) {
        snprintf(text, size, "file %llx:%llu", (unsigned long long)file.st_dev,
                 (unsigned long long)file.st_ino);
        return;
    }
    if (S_ISCHR(file.st_mode)) {
        sysfs_read(raw, sizeof(raw), "/sys/dev/char/%u:%u/device/wwid", major(file.st_rdev),
                   minor(file.st_rdev));
        escape_text(text, size, raw);
        return;
    }
    if (!sysfs_block_name(file.st_rdev, device, device_size))
        return;
    if (!sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/wwid", device))
        identity_of_slave(device, raw, sizeof(raw));
    escape_text(text, size, raw);
}
