// SPDX-License-Identifier: LGPL-2.1-or-later
/* The paths of maps in the helper's status (proto/maptable.h). */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "mpath/command.h"
#include "proto/maptable.h"

_Static_assert(PATHS_MAX <= MAPTABLE_PATHS_MAX, "every map fits");
_Static_assert(SYSFS_MAP_UUID_SIZE <= MAPTABLE_UUID_SIZE, "its name too");
_Static_assert(SYSFS_PATH_NAME_SIZE <= MAPTABLE_NAME_SIZE, "and those of its paths");

static void report_write(struct map *map, struct maptable_map *told)
{
    told->major = major(map->names.number);
    told->minor = minor(map->names.number);
    memcpy(told->uuid, map->names.uuid, sizeof(map->names.uuid));
    told->told_us = clock_now_us();
    maptable_write(map->shared->table, (unsigned)map->slot, told);
}

void report_gone(struct map *map)
{
    CLEANUP_FREE struct maptable_map *told = map->slot >= 0 ? calloc(1, sizeof(*told)) : NULL;

    if (told)
        report_write(map, told);
}

static uint8_t report_state(const struct command *command, unsigned path, uint64_t hung)
{
    uint64_t bit = (uint64_t)1 << path;

    return hung & bit                            ? MAPTABLE_HANGS
           : command->engine.memory.failed & bit ? MAPTABLE_FAILED
           : command->answered & bit             ? MAPTABLE_UP
                                                 : MAPTABLE_AWAY;
}

void report_paths(struct command *command)
{
    CLEANUP_FREE struct maptable_map *told = NULL; /* stacks are small here */
    struct map *map = command->map;
    uint64_t hung, with, known;

    if (!command->has_asked)
        return; /* nothing new was learnt */
    if (map->slot < 0)
        map->slot = shared_take_slot(map->shared);
    if (map->slot >= 0)
        told = calloc(1, sizeof(*told));
    if (!told)
        return;
    told->n_paths = map->count;
    hung = map_busy(map);
    paths_registrations(&command->engine, &with, &known);
    for (unsigned i = 0; i < map->count; i++) {
        const struct sysfs_path *names = &map->path[i]->names;
        uint64_t bit = (uint64_t)1 << i;

        told->path[i] = (struct maptable_path){
            .major = major(names->number),
            .minor = minor(names->number),
            .state = report_state(command, i, hung),
            .registered = !(known & bit) ? MAPTABLE_UNKNOWN
                          : (with & bit) ? MAPTABLE_YES
                                         : MAPTABLE_NO,
        };
        memcpy(told->path[i].name, names->name, sizeof(names->name));
    }
    report_write(map, told);
}
