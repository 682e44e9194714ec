// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The helper has looked at the fd before it sent it. It is looked at again here, because the helper
 * talks to clients and this process has rights that the helper has given up.
 */
#include "mpath/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fdio.h"
#include "mpath/host.h"

#define SYSFS_UUID_PREFIX "mpath-"

static void sysfs_cleanup_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Returns the length or a negative errno, as fdio_read_text(). */
static ssize_t sysfs_read(dev_t number, const char *file, char *text, size_t size)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%u:%u/%s", host_sysfs, major(number), minor(number), file);
    return fdio_read_text(AT_FDCWD, path, text, size);
}

int sysfs_identify_number(dev_t number, struct sysfs_map *ret)
{
    struct sysfs_map map = {.number = number};
    ssize_t n = sysfs_read(number, "dm/uuid", map.uuid, sizeof(map.uuid));

    if (n < 0)
        return n == -ENOENT ? -ENODEV : (int)n;
    if (strncmp(map.uuid, SYSFS_UUID_PREFIX, strlen(SYSFS_UUID_PREFIX)) != 0)
        return -ENODEV;
    snprintf(map.kernel_name, sizeof(map.kernel_name), "dm-%u", minor(number));
    if (sysfs_read(number, "dm/name", map.name, sizeof(map.name)) <= 0)
        strcpy(map.name, map.kernel_name);
    *ret = map;
    return 0;
}

int sysfs_identify(int fd, struct sysfs_map *ret)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat status;

    if (flags < 0 || fstat(fd, &status) < 0)
        return -errno;
    if ((flags & O_PATH) || !host_is_disk(&status))
        return -ENODEV;
    return sysfs_identify_number(status.st_rdev, ret);
}

bool sysfs_is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    /* With O_PATH the access mode reads as O_RDONLY. */
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static dev_t sysfs_parse_number(const char *text)
{
    unsigned number[2];

    return sscanf(text, "%u:%u", &number[0], &number[1]) == 2 ? makedev(number[0], number[1]) : 0;
}

int sysfs_find(dev_t map, const char *name, dev_t *ret)
{
    char file[SYSFS_PATH_NAME_SIZE + 16], text[32];
    dev_t number;
    ssize_t n;

    if (name[0] == '.' || name[0] == '\0' || strchr(name, '/') ||
        strlen(name) >= SYSFS_PATH_NAME_SIZE)
        return -ENOENT;
    snprintf(file, sizeof(file), "slaves/%s/dev", name);
    n = sysfs_read(map, file, text, sizeof(text));
    if (n < 0)
        return (int)n;
    number = sysfs_parse_number(text);
    if (number == 0)
        return -ENOENT;
    *ret = number;
    return 0;
}

static int sysfs_compare(const void *a, const void *b)
{
    const struct sysfs_path *one = a, *other = b;

    return strcmp(one->name, other->name);
}

int sysfs_list(dev_t map, struct sysfs_path *ret, unsigned max)
{
    __attribute__((cleanup(sysfs_cleanup_directory))) DIR *directory = NULL;
    const struct dirent *entry;
    char path[256];
    unsigned n = 0;

    snprintf(path, sizeof(path), "%s/%u:%u/slaves", host_sysfs, major(map), minor(map));
    directory = opendir(path);
    if (!directory)
        return -errno;
    while (errno = 0, (entry = readdir(directory))) {
        struct stat status;
        dev_t number;
        int r = sysfs_find(map, entry->d_name, &number);

        if (entry->d_name[0] == '.')
            continue;
        if (r == -ENOENT && fstatat(dirfd(directory), entry->d_name, &status, 0) < 0 &&
            errno == ENOENT)
            continue; /* has just left the map */
        if (r < 0)    /* a path that is left out would be a path that is not registered */
            return r;
        if (n < max) {
            ret[n] = (struct sysfs_path){.number = number};
            strcpy(ret[n].name, entry->d_name); /* sysfs_find() has looked at its length */
            /* Without its serial it would be another disk than before. */
            if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0)
                ret[n].serial = status.st_ino;
            else if (errno != ENOENT)
                return -errno;
        }
        n++;
    }
    if (errno)
        return -errno;
    qsort(ret, n < max ? n : max, sizeof(*ret), sysfs_compare);
    return (int)n;
}

void sysfs_each_map(void (*found)(void *context, const struct sysfs_map *map), void *context)
{
    __attribute__((cleanup(sysfs_cleanup_directory))) DIR *directory = opendir(host_sysfs);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        dev_t number = sysfs_parse_number(entry->d_name);
        struct sysfs_map map;

        if (number != 0 && sysfs_identify_number(number, &map) == 0)
            found(context, &map);
    }
}

int sysfs_inflight(dev_t path)
{
    unsigned reads, writes;
    char text[64];

    if (sysfs_read(path, "inflight", text, sizeof(text)) < 0 ||
        sscanf(text, "%u %u", &reads, &writes) != 2)
        return -1;
    return (int)(reads + writes);
}
