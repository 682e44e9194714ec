// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The property, by an observer who knows nothing of paths: he keeps every state that a logical unit
 * may be in whose host A is one I_T nexus. A command of A may have been executed or not from when
 * it is sent until it is answered; after "unknown" for as long as anything hangs. What no such
 * state explains is a fault: an answer to A, an answer to another host, a write let through that
 * all of them refuse, a write refused that all of them let through, and after a definite answer
 * registrations of paths or a reservation that none of them has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static const struct target_quirks plain = {.group = {0, 1, 2, 3, 4, 5}};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ideal));
}

static void normalise(struct world *world)
{
    unsigned kept = 0;

    qsort(world->ideal, world->ideals, sizeof(world->ideal[0]), compare);
    for (unsigned i = 0; i < world->ideals; i++)
        if (kept == 0 || compare(&world->ideal[kept - 1], &world->ideal[i]) != 0)
            world->ideal[kept++] = world->ideal[i];
    memset(&world->ideal[kept], 0, (IDEALS_MAX - kept) * sizeof(world->ideal[0]));
    world->ideals = (uint8_t)kept;
}

static const struct prcommand nothing;

static bool is_late(const struct ideal *ideal)
{
    return memcmp(&ideal->late, &nothing, sizeof(nothing)) != 0;
}

static void add(struct world *world, const struct ideal *ideal)
{
    if (world->ideals == IDEALS_MAX) {
        world->crowded = true;
        return;
    }
    world->ideal[world->ideals++] = *ideal;
}

/*
 * Every state in which A's command may have been executed by now, beside those in which not; and
 * the same for an earlier one that was answered "unknown", which comes before it if at all.
 */
static void close_over(struct world *world)
{
    unsigned count = world->ideals;

    for (unsigned i = 0; i < count; i++) {
        struct ideal next = world->ideal[i];

        if (!is_late(&next))
            continue;
        target_execute(&plain, &next.lun, 0, next.late, NULL);
        next.late = nothing;
        add(world, &next);
    }
    count = world->ideals;
    for (unsigned i = 0; i < count; i++) {
        struct ideal next = world->ideal[i];

        if (next.phase != PHASE_PENDING)
            continue;
        next.status = target_execute(&plain, &next.lun, 0, world->command, &next.asc);
        next.phase = PHASE_EXECUTED;
        next.late = nothing;
        add(world, &next);
    }
    normalise(world);
}

void oracle_begin(struct world *world)
{
    struct ideal *ideal = &world->ideal[0];

    world->ideals = 1;
    ideal->lun.holder = -1;
    for (unsigned path = setting->paths; path-- > 0;)
        if (world->lun.key[path] != 0 && !(world->excused >> path & 1))
            ideal->lun.key[0] = world->lun.key[path];
    for (unsigned other = 0; other < setting->nexuses; other++)
        ideal->lun.key[1 + other] = world->lun.key[setting->paths + other];
    ideal->lun.type = world->lun.type;
    if (world->lun.type && world->lun.holder >= 0)
        ideal->lun.holder = world->lun.holder < setting->paths
                                ? 0
                                : (int8_t)(world->lun.holder - setting->paths + 1);
}

void oracle_command(struct world *world)
{
    for (unsigned i = 0; i < world->ideals; i++) {
        world->ideal[i].phase = PHASE_PENDING;
        world->ideal[i].status = 0;
        world->ideal[i].asc = 0;
    }
    close_over(world);
}

/* Whether the target is in this state, as far as usable paths and the other hosts go. */
static bool agrees(const struct world *world, const struct ideal *ideal)
{
    int8_t holder = world->lun.holder;

    for (unsigned other = 0; other < setting->nexuses; other++)
        if (ideal->lun.key[1 + other] != world->lun.key[setting->paths + other])
            return false;
    for (unsigned path = 0; path < setting->paths; path++)
        if (world->path[path] == PATH_UP && !(world->excused >> path & 1) &&
            world->lun.key[path] != ideal->lun.key[0] &&
            !(world->lun.key[path] == 0 && world->fresh >> path & 1))
            return false;
    if (world->lun.type != ideal->lun.type)
        return false;
    if (holder < 0)
        return ideal->lun.holder < 0;
    return holder < setting->paths ? ideal->lun.holder == 0
                                   : ideal->lun.holder == holder - setting->paths + 1;
}

bool oracle_agrees_wholly(const struct world *world)
{
    for (unsigned i = 0; i < world->ideals; i++) {
        const struct ideal *ideal = &world->ideal[i];
        bool same = agrees(world, ideal);

        for (unsigned path = 0; path < setting->paths; path++)
            same &= world->lun.key[path] == ideal->lun.key[0];
        if (same)
            return true;
    }
    return false;
}

enum fault oracle_answer(struct world *world, const struct paths_reply *reply)
{
    bool refused = reply->status == SPC_STATUS_BUSY || reply->reason == PATHS_REASON_NOT_NARROWED ||
                   reply->reason == PATHS_REASON_ATTENTION;
    uint16_t asc = (uint16_t)(reply->sense.asc << 8 | reply->sense.ascq);
    unsigned kept = 0, extra = 0;
    struct ideal more[IDEALS_MAX];

    for (unsigned i = 0; i < world->ideals; i++) {
        struct ideal ideal = world->ideal[i];

        if (reply->unknown) {
            /* The earlier one may be the one that is finished late, if this was not begun. */
            if (ideal.phase == PHASE_PENDING && is_late(&ideal) && extra < IDEALS_MAX) {
                more[extra] = ideal;
                more[extra].phase = PHASE_NONE;
                more[extra++].status = 0;
            }
            if (ideal.phase == PHASE_PENDING)
                ideal.late = world->command;
            ideal.phase = PHASE_NONE;
        } else if (refused) {
            if (ideal.phase != PHASE_PENDING)
                continue;
            ideal.phase = PHASE_NONE;
        } else {
            if (ideal.phase != PHASE_EXECUTED || ideal.status != reply->status || ideal.asc != asc)
                continue;
            ideal.phase = PHASE_NONE;
        }
        ideal.status = 0;
        ideal.asc = 0;
        world->ideal[kept++] = ideal;
    }
    world->ideals = (uint8_t)kept;
    for (unsigned i = 0; i < extra; i++)
        add(world, &more[i]);
    normalise(world);
    if (kept == 0)
        return FAULT_ANSWER;
    oracle_settled(world);
    if (reply->unknown || refused || daemon_busy(world))
        return FAULT_NONE;
    for (unsigned i = 0; i < world->ideals; i++)
        if (agrees(world, &world->ideal[i]))
            return FAULT_NONE;
    return FAULT_STATE;
}

enum fault oracle_other(struct world *world, unsigned other, struct prcommand command,
                        uint8_t status)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < world->ideals; i++) {
        struct ideal ideal = world->ideal[i];

        if (target_execute(&plain, &ideal.lun, 1 + other, command, NULL) == status)
            world->ideal[kept++] = ideal;
    }
    world->ideals = (uint8_t)kept;
    normalise(world);
    if (kept == 0)
        return FAULT_OTHER;
    close_over(world);
    return FAULT_NONE;
}

void oracle_settled(struct world *world)
{
    /* What was answered "unknown" may be executed late, and may be finished by a repair. */
    if (world->active || world->pending != 0 || paths_unfinished(&world->memory))
        return;
    for (unsigned i = 0; i < world->ideals; i++)
        world->ideal[i].late = nothing;
    normalise(world);
}

static bool some(const struct world *world, unsigned nexus, bool may)
{
    for (unsigned i = 0; i < world->ideals; i++)
        if (target_may_write(&plain, &world->ideal[i].lun, nexus) == may)
            return true;
    return false;
}

enum fault oracle_access(const struct world *world)
{
    bool may = some(world, 0, true), may_not = some(world, 0, false);
    /* With the types 1 and 3 only the path that holds the reservation writes: documented. */
    bool one_path = (world->lun.type == 1 || world->lun.type == 3) && world->lun.holder >= 0 &&
                    world->lun.holder < setting->paths;

    for (unsigned path = 0; path < setting->paths; path++) {
        bool writes = target_may_write(&setting->quirks, &world->lun, path);

        if (world->path[path] != PATH_UP || world->failed >> path & 1 || world->excused >> path & 1)
            continue;
        if (writes && !may)
            return world->fresh >> path & 1 ? FAULT_UNSAFE_FRESH : FAULT_UNSAFE;
        if (!writes && !may_not && !one_path)
            return world->fresh >> path & 1 ? FAULT_DENIED_FRESH : FAULT_DENIED;
    }
    for (unsigned other = 0; other < setting->nexuses; other++) {
        bool writes = target_may_write(&setting->quirks, &world->lun, setting->paths + other);

        if (writes && !some(world, 1 + other, true))
            return FAULT_OTHER_UNSAFE;
        if (!writes && !some(world, 1 + other, false))
            return FAULT_OTHER_DENIED;
    }
    return FAULT_NONE;
}
