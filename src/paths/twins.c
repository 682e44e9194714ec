// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Paths that share one registration, as on a target that keeps one for each host, or for each host
 * port, though the map has several paths to it. READ FULL STATUS gives such a registration to one
 * of them; that the others share it is found out, and kept as a number for each set.
 */
#include <string.h>

#include "paths/internal.h"

static uint64_t twins_with(const uint8_t numbers[PATHS_MAX], unsigned path)
{
    uint64_t set = paths_bit(path);

    for (unsigned other = 0; numbers[path] != 0 && other < PATHS_MAX; other++)
        if (numbers[other] == numbers[path])
            set |= paths_bit(other);
    return set;
}

uint64_t paths_twins_of(const struct paths_memory *memory, unsigned path)
{
    return twins_with(memory->twin, path);
}

void paths_twins_settle(struct paths_memory *memory)
{
    uint8_t before[PATHS_MAX];

    memcpy(before, memory->twin, sizeof(before));
    for (unsigned path = 0; path < PATHS_MAX; path++) {
        uint64_t set = twins_with(before, path);

        memory->twin[path] = set & (set - 1) ? (uint8_t)(paths_first(set) + 1) : 0;
    }
}

void paths_twins_join(struct paths_memory *memory, uint64_t set)
{
    uint64_t all = 0;

    for (; set != 0; set &= set - 1)
        all |= paths_twins_of(memory, paths_first(set));
    for (uint64_t left = all; left != 0; left &= left - 1)
        memory->twin[paths_first(left)] = (uint8_t)(paths_first(all) + 1);
    paths_twins_settle(memory);
}

void paths_twins_part(struct paths_memory *memory, uint64_t set)
{
    for (; set != 0; set &= set - 1)
        memory->twin[paths_first(set)] = 0;
    paths_twins_settle(memory);
}
