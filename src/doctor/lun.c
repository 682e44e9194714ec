// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A disk, its SCSI generic node and a multipath map that it is a path of lead to one logical unit
 * by one I_T nexus. What they have in common is the SCSI device in the tree of devices, which has
 * the numbers of host, target and logical unit.
 */
#include "doctor/lun.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/sysfs.h"

static void lun_add(struct lun *lun, const char *place)
{
    if (lun->count < LUN_PATHS_MAX && strlen(place) < LUN_PLACE_SIZE)
        strcpy(lun->places[lun->count++], place);
}

static void lun_add_paths(const char *map, struct lun *lun)
{
    char path[128], place[PATH_MAX];
    struct dirent *entry;
    DIR *directory;

    snprintf(path, sizeof(path), "/sys/block/%s/slaves", map);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && sysfs_scsi_device(entry->d_name, place, sizeof(place)))
            lun_add(lun, place);
    }
    if (directory)
        closedir(directory);
}

void lun_find(mode_t mode, dev_t number, struct lun *ret)
{
    char place[PATH_MAX], block[32], uuid[160];

    ret->mode = mode;
    ret->number = number;
    ret->count = 0;
    if (sysfs_scsi_device_of(mode, number, place, sizeof(place)))
        lun_add(ret, place);
    else if (S_ISBLK(mode) && sysfs_block_name(number, block, sizeof(block)) &&
             sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", block) &&
             strncmp(uuid, "mpath-", 6) == 0)
        lun_add_paths(block, ret);
}

bool lun_is_shared(const struct lun *a, const struct lun *b)
{
    if ((a->mode & S_IFMT) == (b->mode & S_IFMT) && a->number == b->number)
        return true;
    for (unsigned i = 0; i < a->count; i++) {
        for (unsigned k = 0; k < b->count; k++) {
            if (strcmp(a->places[i], b->places[k]) == 0)
                return true;
        }
    }
    return false;
}
