// SPDX-License-Identifier: LGPL-2.1-or-later
/* A multipath map and its paths, by what sysfs says. Nothing here waits for a device. */
#ifndef MPATH_SYSFS_H
#define MPATH_SYSFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SYSFS_MAP_NAME_SIZE  128 /* the kernel's DM_NAME_LEN */
#define SYSFS_MAP_UUID_SIZE  130 /* DM_UUID_LEN, and a NUL */
#define SYSFS_PATH_NAME_SIZE 32  /* the kernel's DISK_NAME_LEN */

struct sysfs_map {
    dev_t number;
    char kernel_name[16];           /* "dm-3", which multipathd also accepts */
    char name[SYSFS_MAP_NAME_SIZE]; /* "mpatha", for people */
    char uuid[SYSFS_MAP_UUID_SIZE]; /* "mpath-3600..." */
};

/* One path: a disk. */
struct sysfs_path {
    char name[SYSFS_PATH_NAME_SIZE]; /* "sda" */
    dev_t number;
    uint64_t serial; /* of this use of the number: the inode of its directory; 0: unknown */
};

/*
 * Is it a multipath map that fd is open on? Returns 0, or a negative errno with ret untouched:
 * -ENODEV: it is not; an fd made with O_PATH is none, since any process can make one; others: that
 * cannot be told.
 */
int sysfs_identify(int fd, struct sysfs_map *ret);

/* The same by the device's number. */
int sysfs_identify_number(dev_t number, struct sysfs_map *ret);

/* Is fd open for writing? The kernel itself does not ask that of who has CAP_SYS_RAWIO. */
bool sysfs_is_writable(int fd);

/*
 * The map's paths, by name. Returns how many there are, of which `max` at most are in ret, or a
 * negative errno.
 */
int sysfs_list(dev_t map, struct sysfs_path *ret, unsigned max);

/* Call `found` for each multipath map that there is. */
void sysfs_each_map(void (*found)(void *context, const struct sysfs_map *map), void *context);

/*
 * The number of one path of a map by its name. Returns 0, or a negative errno: -ENOENT: the map has
 * no such path; others: that cannot be told.
 */
int sysfs_find(dev_t map, const char *name, dev_t *ret);

/* Commands of the page cache and of direct I/O that a disk has in flight; -1: not to be learnt. */
int sysfs_inflight(dev_t path);

#endif
