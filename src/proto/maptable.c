// SPDX-License-Identifier: LGPL-2.1-or-later
#include "proto/maptable.h"

#include <string.h>

#define MAPTABLE_TRIES 4 /* a map is written in less than a microsecond */

void maptable_write(struct maptable *table, unsigned slot, const struct maptable_map *map)
{
    struct maptable_slot *to = &table->slot[slot];
    uint32_t sequence = atomic_load_explicit(&to->sequence, memory_order_relaxed);

    atomic_store_explicit(&to->sequence, sequence | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    to->map = *map;
    sequence = (sequence | 1) + 1;
    atomic_store_explicit(&to->sequence, sequence ? sequence : 2, memory_order_release);
}

static void maptable_tidy(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static bool maptable_is_sound(struct maptable_map *map)
{
    if (map->n_paths == 0 || map->n_paths > MAPTABLE_PATHS_MAX)
        return false;
    maptable_tidy(map->uuid, sizeof(map->uuid));
    for (uint32_t i = 0; i < map->n_paths; i++) {
        struct maptable_path *path = &map->path[i];

        if (path->state >= MAPTABLE_STATES || path->registered >= MAPTABLE_REGISTERED)
            return false;
        maptable_tidy(path->name, sizeof(path->name));
    }
    return true;
}

enum maptable_look maptable_read(const struct maptable *table, unsigned slot,
                                 struct maptable_map *ret_map)
{
    const struct maptable_slot *from = &table->slot[slot];

    for (unsigned tries = 0; tries < MAPTABLE_TRIES; tries++) {
        uint32_t sequence = atomic_load_explicit(&from->sequence, memory_order_acquire);

        if (sequence == 0)
            return MAPTABLE_END;
        *ret_map = from->map;
        atomic_thread_fence(memory_order_acquire);
        if (!(sequence & 1) &&
            atomic_load_explicit(&from->sequence, memory_order_relaxed) == sequence)
            return maptable_is_sound(ret_map) ? MAPTABLE_FOUND : MAPTABLE_NOTHING;
    }
    return MAPTABLE_NOTHING;
}
