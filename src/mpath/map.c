// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The helper has looked at the fd before it sent it. It is looked at again here, because the helper
 * talks to clients and this process has rights that the helper has given up.
 *
 * A path is opened by its name in /dev, since there is no other way to open a disk, and believed
 * only if the node that was opened is the disk that the map says it consists of.
 */
#include "mpath/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "mpath/host.h"

#define MAP_UUID_PREFIX "mpath-"

static void map_cleanup_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Returns the length or a negative errno, as fdio_read_text(). */
static ssize_t map_read(dev_t number, const char *file, char *text, size_t size)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%u:%u/%s", host_sysfs, major(number), minor(number), file);
    return fdio_read_text(AT_FDCWD, path, text, size);
}

int map_identify(int fd, struct map *ret)
{
    struct map map;
    struct stat status;
    char uuid[160];
    ssize_t n;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!host_is_disk(&status))
        return -ENODEV;
    map.number = status.st_rdev;
    n = map_read(map.number, "dm/uuid", uuid, sizeof(uuid));
    if (n < 0)
        return n == -ENOENT ? -ENODEV : (int)n;
    if (strncmp(uuid, MAP_UUID_PREFIX, strlen(MAP_UUID_PREFIX)) != 0)
        return -ENODEV;

    snprintf(map.kernel_name, sizeof(map.kernel_name), "dm-%u", minor(map.number));
    if (map_read(map.number, "dm/name", map.name, sizeof(map.name)) <= 0)
        strcpy(map.name, map.kernel_name);
    *ret = map;
    return 0;
}

bool map_is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* An fd on the disk `name`, whose number sysfs gives as "8:16"; or a negative errno. */
static int map_open_path(const char *name, const char *number)
{
    CLEANUP_CLOSE int fd = -1;
    char path[256], found[32];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", host_dev, name);
    for (char *slash = path + strlen(host_dev) + 1; *slash; slash++) {
        if (*slash == '!') /* sysfs's way to write the slash of "cciss/c0d0" */
            *slash = '/';
    }
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    snprintf(found, sizeof(found), "%u:%u", major(status.st_rdev), minor(status.st_rdev));
    if (!host_is_disk(&status) || strcmp(found, number) != 0)
        return -ENOENT;
    return steal_fd(&fd);
}

int map_open_paths(const struct map *map, struct map_paths *ret)
{
    __attribute__((cleanup(map_cleanup_directory))) DIR *directory = NULL;
    struct dirent *entry;
    char path[256];
    int usable = 0;

    ret->n = 0;
    snprintf(path, sizeof(path), "%s/%u:%u/slaves", host_sysfs, major(map->number),
             minor(map->number));
    directory = opendir(path);
    if (!directory)
        return -errno;
    while (ret->n < MAP_PATHS_MAX && (entry = readdir(directory))) {
        struct map_path *one = &ret->path[ret->n];
        size_t length = strlen(entry->d_name);
        char file[MAP_PATH_NAME_MAX + 8], number[32];

        if (entry->d_name[0] == '.' || length >= sizeof(one->name))
            continue;
        memcpy(one->name, entry->d_name, length + 1);
        snprintf(file, sizeof(file), "%s/dev", one->name);
        if (fdio_read_text(dirfd(directory), file, number, sizeof(number)) < 0)
            continue; /* has just left the map */
        one->fd = map_open_path(one->name, number);
        one->error = 0;
        if (one->fd < 0) {
            one->error = -one->fd;
            one->fd = -1;
        } else {
            usable++;
        }
        ret->n++;
    }
    return usable;
}

void map_close_paths(struct map_paths *paths)
{
    for (unsigned i = 0; i < paths->n; i++)
        cleanup_close(&paths->path[i].fd);
    paths->n = 0;
}

void map_list_paths(const struct map_paths *paths, const bool *wanted, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < paths->n; i++) {
        const struct map_path *one = &paths->path[i];

        if (!(wanted ? wanted[i] : one->error == ENOENT))
            continue;
        if (used + strlen(one->name) + 3 > size)
            return;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", one->name);
    }
}
