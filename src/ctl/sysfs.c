// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * /sys/dev/block/MAJOR:MINOR and /sys/dev/char/MAJOR:MINOR are links into the tree of devices; the
 * last part of where one leads is the kernel's name, and its `device` is the SCSI device.
 */
#include "ctl/sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fdio.h"

static const char blanks[] = " \t\n";

bool sysfs_read(char *text, size_t size, const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    size_t length, blanks_before;
    ssize_t n;

    text[0] = '\0';
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    n = fdio_read_text(AT_FDCWD, path, text, size);
    if (n < 0) {
        text[0] = '\0';
        return false;
    }
    length = strlen(text);
    while (length > 0 && strchr(blanks, text[length - 1]))
        text[--length] = '\0';
    blanks_before = strspn(text, blanks);
    memmove(text, text + blanks_before, length - blanks_before + 1);
    return true;
}

bool sysfs_block_name(dev_t number, char *text, size_t size)
{
    char path[64], real[PATH_MAX];

    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(number), minor(number));
    if (!realpath(path, real))
        return false;
    snprintf(text, size, "%s", strrchr(real, '/') + 1);
    return true;
}

static bool sysfs_follow(const char *path, char *text, size_t size)
{
    char real[PATH_MAX];

    if (!realpath(path, real))
        return false;
    snprintf(text, size, "%s", real);
    return true;
}

bool sysfs_map_above(const char *block, char *text, size_t size)
{
    char path[128], uuid[160];
    struct dirent *entry;
    bool found = false;
    DIR *holders;

    text[0] = '\0';
    snprintf(path, sizeof(path), "/sys/block/%s/holders", block);
    holders = opendir(path);
    while (holders && !found && (entry = readdir(holders)) != NULL)
        found = sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", entry->d_name) &&
                strncmp(uuid, "mpath-", 6) == 0 &&
                sysfs_read(text, size, "/sys/block/%s/dm/name", entry->d_name);
    if (holders)
        closedir(holders);
    return found;
}

bool sysfs_scsi_device(const char *block, char *text, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/block/%s/device/scsi_level", block);
    if (access(path, F_OK) < 0)
        return false;
    *strrchr(path, '/') = '\0';
    return sysfs_follow(path, text, size);
}

bool sysfs_scsi_device_of(mode_t mode, dev_t number, char *text, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/dev/%s/%u:%u/device/scsi_level",
             S_ISBLK(mode) ? "block" : "char", major(number), minor(number));
    if (access(path, F_OK) < 0)
        return false;
    *strrchr(path, '/') = '\0';
    return sysfs_follow(path, text, size);
}
