// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sysfs says it all: /sys/dev/block/MAJOR:MINOR is a directory that has a file `partition` for a
 * partition and a link `device` for what has a device behind it
 * (Documentation/ABI/stable/sysfs-block), and a directory `dm` with the map's uuid for a
 * device-mapper device (Documentation/ABI/testing/sysfs-block-dm). The link `subsystem` of a SCSI
 * device leads to /sys/bus/scsi.
 *
 * There are three answers: it is, it is not, and it could not be found out. Only ENOENT says that
 * something is not there; each other error is the third answer, and so is a directory that is
 * missing altogether.
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
#define DEVICE_SCSI_BUS "scsi"

int device_sources_init(struct device_sources *sources)
{
    sources->sys_dev_block = open("/sys/dev/block", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return sources->sys_dev_block < 0 ? -errno : 0;
}

void device_sources_deinit(struct device_sources *sources)
{
    cleanup_close(&sources->sys_dev_block);
}

bool device_is_shortage(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EINTR:
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

int device_classify(int fd, enum device_kind *ret_kind, dev_t *ret_number)
{
    enum device_kind kind = DEVICE_OTHER;
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (S_ISBLK(status.st_mode))
        kind = DEVICE_BLOCK;
    else if (S_ISCHR(status.st_mode) && major(status.st_rdev) == DEVICE_SG_MAJOR)
        kind = DEVICE_SG;
    *ret_kind = kind;
    *ret_number = kind == DEVICE_OTHER ? 0 : status.st_rdev;
    return 0;
}

/* Is there such a name? 1, 0, or a negative errno if it cannot be told. */
static int device_has(int directory, const char *name)
{
    struct stat status;

    if (fstatat(directory, name, &status, 0) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

/* Does the device hang on the SCSI bus? 1, 0, or a negative errno if it cannot be told. */
static int device_is_scsi(int directory)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(directory, "device/subsystem", target, sizeof(target));
    const char *last;

    if (n < 0)
        return errno == ENOENT ? 0 : -errno;
    if ((size_t)n >= sizeof(target))
        return -ENAMETOOLONG;
    target[n] = '\0';
    last = strrchr(target, '/');
    return strcmp(last ? last + 1 : target, DEVICE_SCSI_BUS) == 0;
}

/* In the directory of one device. */
static int device_refine_in(int directory, enum device_kind *ret_kind)
{
    char uuid[160];
    ssize_t n = fdio_read_text(directory, "dm/uuid", uuid, sizeof(uuid));
    int r;

    if (n >= 0) {
        *ret_kind = strncmp(uuid, "mpath-", 6) == 0 ? DEVICE_DM_MULTIPATH : DEVICE_DM_OTHER;
        return 0;
    }
    if (n != -ENOENT)
        return (int)n;
    r = device_has(directory, "dm");
    if (r != 0)
        return r < 0 ? r : -ENOENT; /* a map that says nothing of its uuid */
    r = device_has(directory, "partition");
    if (r < 0)
        return r;
    if (r > 0) {
        *ret_kind = DEVICE_PARTITION;
        return 0;
    }
    r = device_is_scsi(directory);
    if (r < 0)
        return r;
    *ret_kind = r > 0 ? DEVICE_DISK : DEVICE_NOT_SCSI;
    return 0;
}

int device_refine_block(const struct device_sources *sources, dev_t number,
                        enum device_kind *ret_kind)
{
    CLEANUP_CLOSE int directory = -1;
    char name[32];

    if (sources->sys_dev_block < 0)
        return -ENOENT;
    snprintf(name, sizeof(name), "%u:%u", major(number), minor(number));
    directory = openat(sources->sys_dev_block, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    return device_refine_in(directory, ret_kind);
}

/* Where sysfs has it, below /sys/dev/block. */
static void device_path(enum device_kind kind, dev_t number, char *path, size_t size)
{
    snprintf(path, size, "%s%u:%u", kind == DEVICE_SG ? "../char/" : "", major(number),
             minor(number));
}

/* The inode of the device's directory: sysfs takes long to use the number of one again. */
int device_serial(const struct device_sources *sources, enum device_kind kind, dev_t number,
                  uint64_t *ret_serial)
{
    struct stat status;
    char path[48];

    device_path(kind, number, path, sizeof(path));
    if (fstatat(sources->sys_dev_block, path, &status, 0) < 0)
        return -errno;
    *ret_serial = status.st_ino;
    return 0;
}

/* Does this negative errno leave open whether there is a name? A device without one may say EINVAL.
 */
static bool device_is_open_question(int r)
{
    return r < 0 && (device_is_shortage(-r) || r == -EIO);
}

/* The last component of what a link leads to, or "". Returns 0 or a negative errno. */
static int device_read_link(int dir, const char *path, char *name, size_t size)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, path, target, sizeof(target) - 1);
    int r = n < 0 ? -errno : 0;
    const char *last;

    target[n > 0 ? n : 0] = '\0';
    last = strrchr(target, '/');
    snprintf(name, size, "%.*s", (int)size - 1, last ? last + 1 : target);
    return r;
}

/* The text of a file, or "". Returns its length or a negative errno. */
static int device_read_name(int dir, const char *path, char *name, size_t size)
{
    int n = (int)fdio_read_text(dir, path, name, size);

    if (n < 0)
        name[0] = '\0';
    return n;
}

/* Four numbers, with colons between them? Other buses have other names there. */
static bool device_is_nexus(const char *text)
{
    int end = 0;

    return sscanf(text, "%*u:%*u:%*u:%*u%n", &end) == 0 && end > 0 && !text[end];
}

/* In the directory of one device. Returns 0, or the first negative errno that leaves a name open.
 */
static int device_describe_in(int directory, struct device_names *ret)
{
    int r = device_read_name(directory, "dm/uuid", ret->wwn, sizeof(ret->wwn));

    if (r > 0) {
        r = device_read_name(directory, "dm/name", ret->map, sizeof(ret->map));
        return device_is_open_question(r) ? r : 0;
    }
    if (device_is_open_question(r))
        return r;
    r = device_read_link(directory, "device", ret->nexus, sizeof(ret->nexus));
    if (device_is_open_question(r))
        return r;
    if (!device_is_nexus(ret->nexus))
        ret->nexus[0] = '\0';
    r = device_read_name(directory, "device/wwid", ret->wwn, sizeof(ret->wwn));
    if (r < 0 && !device_is_open_question(r))
        r = device_read_name(directory, "wwid", ret->wwn, sizeof(ret->wwn));
    return device_is_open_question(r) ? r : 0;
}

void device_describe(const struct device_sources *sources, enum device_kind kind, dev_t number,
                     struct device_names *ret)
{
    CLEANUP_CLOSE int directory = -1;
    char path[48];
    int r;

    memset(ret, 0, sizeof(*ret));
    device_path(kind, number, path, sizeof(path));
    r = device_serial(sources, kind, number, &ret->serial);
    if (r == 0)
        r = device_read_link(sources->sys_dev_block, path, ret->name, sizeof(ret->name));
    if (ret->serial && !device_is_open_question(r)) {
        directory = openat(sources->sys_dev_block, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = directory < 0 ? -errno : device_describe_in(directory, ret);
    }
    ret->cut_short = !ret->serial || device_is_open_question(r);
}

/* A disk has the word of a block device: PERSISTENT RESERVE IN does not ask which of them it is. */
const char *const device_kind_word[] = {
    [DEVICE_OTHER] = "other",
    [DEVICE_SG] = "generic",
    [DEVICE_BLOCK] = "block",
    [DEVICE_DISK] = "block",
    [DEVICE_NOT_SCSI] = "not-scsi",
    [DEVICE_PARTITION] = "partition",
    [DEVICE_DM_MULTIPATH] = "multipath",
    [DEVICE_DM_OTHER] = "device-mapper",
    [DEVICE_UNKNOWN] = "unknown",
};

const char *device_kind_name(enum device_kind kind)
{
    switch (kind) {
    case DEVICE_SG:
        return "SCSI generic device";
    case DEVICE_BLOCK:
        return "block device";
    case DEVICE_DISK:
        return "SCSI disk";
    case DEVICE_NOT_SCSI:
        return "block device that is not a SCSI disk";
    case DEVICE_PARTITION:
        return "partition";
    case DEVICE_DM_MULTIPATH:
        return "multipath map";
    case DEVICE_DM_OTHER:
        return "device-mapper map that is not multipath";
    case DEVICE_UNKNOWN:
        return "device of unknown kind";
    case DEVICE_OTHER:
        break;
    }
    return "file that is not a SCSI device";
}
