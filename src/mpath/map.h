// SPDX-License-Identifier: LGPL-2.1-or-later
/* A multipath map and its paths, by what sysfs says. */
#ifndef MPATH_MAP_H
#define MPATH_MAP_H

#include <stdbool.h>
#include <sys/types.h>

#define MAP_NAME_SIZE 128 /* the kernel's DM_NAME_LEN */

struct map {
    dev_t number;
    char kernel_name[16];     /* "dm-3", which multipathd knows it by, too */
    char name[MAP_NAME_SIZE]; /* "mpatha", for people */
};

/*
 * Which multipath map is fd open on? Returns 0; -ENODEV: on none; another negative errno: that
 * cannot be told. ret is untouched but for 0.
 */
int map_identify(int fd, struct map *ret);

/* Is fd open for writing? The kernel itself does not ask that of who has CAP_SYS_RAWIO. */
bool map_is_writable(int fd);

#define MAP_PATHS_MAX     256 /* far beyond what multipathd handles in one map */
#define MAP_PATH_NAME_MAX 32  /* the kernel's DISK_NAME_LEN */

/* One path: a disk. */
struct map_path {
    char name[MAP_PATH_NAME_MAX]; /* "sda" */
    int fd;                       /* open for reading, which is enough for SG_IO; -1: unusable */
    int error;                    /* then why: an errno; ENOENT: its node is not there */
};

struct map_paths {
    unsigned n;
    struct map_path path[MAP_PATHS_MAX];
};

/*
 * Open the paths. A path whose node is missing or belongs to another device (a private /dev) is
 * unusable. May block in the driver of a path. Returns the number of usable ones, or a negative
 * errno.
 */
int map_open_paths(const struct map *map, struct map_paths *ret);
void map_close_paths(struct map_paths *paths);

/*
 * Names of the paths for which `wanted` is set (or whose node is missing, if wanted is NULL), with
 * commas; what does not fit is left out.
 */
void map_list_paths(const struct map_paths *paths, const bool *wanted, char *text, size_t size);

#endif
