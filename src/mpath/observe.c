// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which registration belongs to which path. The engine goes by TransportID and relative target
 * port; of many paths sysfs tells neither in full (nexus.c). What is missing is learnt from READ
 * FULL STATUS:
 *
 * - of a path that was registered before anything was known of it: REGISTER of a key to itself is
 *   GOOD by a path that has the key and changes nothing (SPC-4 5.13.7). If one descriptor alone can
 *   be meant, it is the path's;
 * - of a path that is registered now: one descriptor has come that was not there at the look
 * before. The engine registers one path after the other, and looks after each.
 *
 * Where neither decides, the map is looked at without READ FULL STATUS (memory.plain), which tells
 * paths apart by asking each of them.
 *
 * A path without a name has one that no descriptor has, so the engine takes it for unregistered.
 * That is right: its registration would have been found. A path that hangs since before a restart
 * has its name from the journal.
 */
#include <stdlib.h>
#include <string.h>

#include "mpath/command.h"
#include "scsi/prin.h"

#define OBSERVE_KEYS_MAX 16 /* different ones, tried by one path */

static bool observe_is_named(const struct path *path)
{
    return path->is_learnt || (path->nexus.complete && path->has_target_port);
}

static struct transportid observe_stand_in(unsigned path)
{
    const uint8_t bytes[2] = {0xff, (uint8_t)path}; /* too short for a TransportID */
    struct transportid id;

    transportid_decode(bytes, sizeof(bytes), &id);
    return id;
}

static void observe_fill_one(struct command *command, unsigned at)
{
    const struct path *path = command->map->path[at];
    struct paths_nexus *nexus = &command->known.path[at];

    nexus->initiator = observe_is_named(path) ? path->nexus.initiator : observe_stand_in(at);
    nexus->target_port = path->target_port;
    nexus->id = path->nexus.id;
    /* Two sessions that sysfs shows no difference of: told apart while they last. */
    for (unsigned i = 0; i < at; i++) {
        if (command->known.path[i].id == nexus->id)
            nexus->id ^= path->names.serial * 0x9e3779b97f4a7c15;
    }
}

void observe_fill(struct command *command)
{
    command->known.count = command->map->count;
    for (unsigned i = 0; i < command->map->count; i++)
        observe_fill_one(command, i);
}

/* Whether a descriptor is that of a path whose name is known. */
static bool observe_is_taken(const struct command *command, const struct prin_registrant *one)
{
    for (unsigned i = 0; i < command->map->count; i++) {
        const struct path *path = command->map->path[i];

        if (observe_is_named(path) &&
            transportid_equal(&path->nexus.initiator, &one->transportid) &&
            (one->all_tg_pt || one->relative_target_port == 0 ||
             one->relative_target_port == path->target_port))
            return true;
    }
    return false;
}

/* Whether it may be that of a path without a name. */
static bool observe_may_be(const struct command *command, const struct path *path,
                           const struct prin_registrant *one)
{
    return nexus_may_be(&path->nexus, &one->transportid) &&
           (!path->has_target_port || one->all_tg_pt ||
            one->relative_target_port == path->target_port) &&
           !observe_is_taken(command, one);
}

static uint64_t observe_hash(const struct prin_registrant *one)
{
    return paths_nexus_id(&one->transportid, one->relative_target_port);
}

static bool observe_was_seen(const struct command *command, const struct prin_registrant *one)
{
    for (unsigned i = 0; i < command->n_seen; i++) {
        if (command->seen[i] == observe_hash(one))
            return true;
    }
    return false;
}

/*
 * The descriptors that may be a path's: with this key (0: with any), and only if they are new if
 * that is wanted. Returns how many there are, and the last.
 */
static unsigned observe_find(const struct command *command, const struct path *path,
                             const uint8_t *data, size_t size, uint64_t key, bool is_new,
                             struct prin_registrant *ret)
{
    struct prin_registrant one;
    struct prin_list list;
    unsigned n = 0;

    if (prin_list_decode(data, size, &list) != PRIN_OK)
        return 0;
    while (prin_registrant_next(&list, &one) == PRIN_OK) {
        if ((key && one.key != key) || (is_new && observe_was_seen(command, &one)) ||
            !observe_may_be(command, path, &one))
            continue;
        *ret = one;
        n++;
    }
    return n;
}

static void observe_learn(struct command *command, unsigned at, const struct prin_registrant *one)
{
    struct path *path = command->map->path[at];

    path->nexus.initiator = one->transportid;
    if (!path->has_target_port)
        path->target_port = one->relative_target_port;
    path->is_learnt = true;
    observe_fill_one(command, at);
}

/* Every key that may be the path's is tried. False: it has one, and whose it is is not clear. */
static bool observe_path(struct command *command, unsigned at, const uint8_t *data, size_t size,
                         bool aptpl)
{
    const struct path *path = command->map->path[at];
    uint64_t tried[OBSERVE_KEYS_MAX];
    struct prin_registrant one;
    struct prin_list list;
    unsigned n_tried = 0;

    if (prin_list_decode(data, size, &list) != PRIN_OK)
        return true;
    while (prin_registrant_next(&list, &one) == PRIN_OK) {
        bool again = false;

        for (unsigned i = 0; i < n_tried; i++)
            again |= tried[i] == one.key;
        if (again || !observe_may_be(command, path, &one))
            continue;
        if (n_tried == OBSERVE_KEYS_MAX)
            return false;
        tried[n_tried++] = one.key;
        if (!steps_has_key(command, at, one.key, aptpl))
            continue;
        if (observe_find(command, path, data, size, one.key, false, &one) != 1)
            return false;
        observe_learn(command, at, &one);
        return true;
    }
    return true;
}

/* APTPL for a registration: as it is now, because it applies to the whole logical unit. */
static bool observe_aptpl(struct command *command)
{
    struct prin_capabilities capabilities;
    size_t size;

    if (command->memory.aptpl_known)
        return command->memory.aptpl;
    return steps_read(command, SPC_PRIN_REPORT_CAPABILITIES, &size) &&
           prin_capabilities_decode(command->data, size, &capabilities) == PRIN_OK &&
           capabilities.persistent_active;
}

void observe_begin(struct command *command)
{
    struct prin_registrant one;
    uint8_t *data;
    uint64_t wanted = 0;
    size_t size;
    bool aptpl;

    for (unsigned i = 0; i < command->map->count; i++) {
        if (command->map->path[i]->is_asked && !observe_is_named(command->map->path[i]))
            wanted |= (uint64_t)1 << i;
    }
    if (wanted == 0 || command->memory.plain ||
        !steps_read(command, SPC_PRIN_READ_FULL_STATUS, &size))
        return;
    data = command->data;
    command->data = NULL;
    for (unsigned i = 0; i < command->map->count; i++) {
        if ((wanted >> i & 1) &&
            observe_find(command, command->map->path[i], data, size, 0, false, &one) == 0)
            wanted &= ~((uint64_t)1 << i);
    }
    aptpl = wanted != 0 && observe_aptpl(command);
    for (unsigned i = 0; i < command->map->count; i++) {
        if ((wanted >> i & 1) && !observe_path(command, i, data, size, aptpl))
            command->memory.plain = true;
    }
    free(data);
}

bool observe_nothing(struct command *command)
{
    struct prin_registrant one;
    struct prin_list list;
    bool nothing = true;
    size_t size;

    for (unsigned i = 0; i < command->map->count; i++)
        nothing &= command->map->path[i]->is_asked;
    if (!nothing || command->memory.plain ||
        !steps_read(command, SPC_PRIN_READ_FULL_STATUS, &size) ||
        prin_list_decode(command->data, size, &list) != PRIN_OK)
        return false;
    while (prin_registrant_next(&list, &one) == PRIN_OK)
        nothing &= !observe_is_taken(command, &one);
    return nothing;
}

void observe_registered(struct command *command, unsigned path)
{
    if (!observe_is_named(command->map->path[path]))
        command->unlearnt |= (uint64_t)1 << path;
}

/* Remember who of the others is there now. */
static void observe_note(struct command *command, const uint8_t *data, size_t size)
{
    struct prin_registrant one;
    struct prin_list list;

    free(command->seen);
    command->seen = calloc(size / PRIN_HEADER_SIZE + 1, sizeof(*command->seen));
    command->n_seen = 0;
    if (!command->seen || prin_list_decode(data, size, &list) != PRIN_OK)
        return;
    while (prin_registrant_next(&list, &one) == PRIN_OK) {
        if (!observe_is_taken(command, &one))
            command->seen[command->n_seen++] = observe_hash(&one);
    }
}

bool observe_look(struct command *command, const uint8_t *data, size_t size)
{
    uint64_t key = command->engine.memory.key;
    bool clear = true;

    for (unsigned i = 0; i < command->map->count; i++) {
        struct prin_registrant one;

        if (!(command->unlearnt >> i & 1))
            continue;
        if (observe_find(command, command->map->path[i], data, size, key, true, &one) == 1)
            observe_learn(command, i, &one);
        else if (steps_has_key(command, i, key, command->engine.memory.aptpl))
            clear = false; /* it is registered, but it is unknown through which of them */
        command->unlearnt &= ~((uint64_t)1 << i);
    }
    observe_note(command, data, size);
    return clear;
}
