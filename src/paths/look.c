// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looking: READ FULL STATUS (SPC-4 6.15.5) is the only command that shows keys, holder and type of
 * one instant, so one of them is the picture that a rule goes by.
 */
#include <string.h>

#include "paths/internal.h"
#include "scsi/prin.h"

uint64_t paths_registered(const struct paths *engine)
{
    uint64_t set = 0;

    for (unsigned path = 0; path < engine->map->count; path++)
        if (engine->view.key[path] != 0)
            set |= paths_bit(path);
    return set;
}

uint64_t paths_with(const struct paths *engine, uint64_t key)
{
    uint64_t set = 0;

    for (unsigned path = 0; path < engine->map->count; path++)
        if (key != 0 && engine->view.key[path] == key)
            set |= paths_bit(path);
    return set;
}

/*
 * The map's key is what its usable registered paths have. An absent path speaks only if no usable
 * one is registered; else an old key on an absent path would make a wrong key right.
 */
bool paths_key_right(const struct paths *engine, uint64_t key)
{
    uint64_t speaking = paths_registered(engine);

    if (speaking & paths_usable(engine))
        speaking &= paths_usable(engine);
    return key == 0 ? !(paths_registered(engine) & paths_usable(engine))
                    : (paths_with(engine, key) & speaking) != 0;
}

bool paths_shared(const struct paths *engine, uint64_t key)
{
    if (key == engine->command.key && engine->view.command_key_shared)
        return true;
    if (key == engine->command.sa_key && engine->view.sa_key_shared)
        return true;
    return (paths_with(engine, key) & engine->view.shared) != 0;
}

bool paths_all_registrants(const struct paths *engine)
{
    return spc_type_is_all_registrants(engine->view.type);
}

uint64_t paths_holding(const struct paths *engine)
{
    return engine->view.holder >= 0 ? paths_bit((unsigned)engine->view.holder) : 0;
}

/* Whether the guest, whose key this is, holds the reservation: SPC-4 5.13.10. */
bool paths_holds(const struct paths *engine, uint64_t key)
{
    if (engine->view.type == 0)
        return false;
    return paths_all_registrants(engine) ||
           (paths_holding(engine) & paths_with(engine, key)) != 0;
}

/*
 * Whether another host has taken away a registration: a path that was registered has none, and it
 * was not us.
 */
bool paths_lost_some(const struct paths *engine)
{
    return (engine->memory.expected & ~paths_registered(engine)) != 0 ||
           (engine->memory.aim == PATHS_AIM_LEVEL &&
            (engine->memory.had & ~paths_with(engine, engine->memory.key)) != 0);
}

/*
 * A path that had the key at the last GOOD has lost it, while another of ours still has it: another
 * host has fenced this map, and multipathd has registered a path again that came back later.
 */
bool paths_is_revived(const struct paths *engine)
{
    uint64_t with = paths_with(engine, engine->memory.key);

    return with != 0 && (engine->memory.had & ~with) != 0;
}

/* The path that a descriptor is of, or map->count. */
static unsigned find_path(const struct paths *engine, const struct prin_registrant *registrant)
{
    const struct paths_map *map = engine->map;
    unsigned found = map->count;

    for (unsigned path = 0; path < map->count; path++) {
        const struct paths_nexus *nexus = &map->path[path];

        if (!transportid_equal(&registrant->transportid, &nexus->initiator) ||
            (!registrant->all_tg_pt && registrant->relative_target_port != nexus->target_port))
            continue;
        if (paths_has(paths_usable(engine), path))
            return path;
        if (found == map->count)
            found = path;
    }
    return found;
}

static void note_foreign(struct paths *engine, uint64_t key)
{
    struct paths_view *view = &engine->view;

    view->shared |= paths_with(engine, key);
    view->command_key_shared |= key == engine->command.key;
    view->sa_key_shared |= key == engine->command.sa_key;
}

/* One pass over all descriptors: ours first, since others' keys are compared with them. */
static bool read_pass(struct paths *engine, bool ours)
{
    struct prin_list list;
    struct prin_registrant registrant;
    enum prin_result result;
    unsigned path;

    if (prin_list_decode(engine->data, engine->length, &list) != PRIN_OK)
        return false;
    while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK) {
        if (registrant.key == 0)
            return false;
        path = find_path(engine, &registrant);
        if (ours && path < engine->map->count) {
            if (engine->view.key[path] != 0)
                return false;
            engine->view.key[path] = registrant.key;
        } else if (!ours && path == engine->map->count) {
            note_foreign(engine, registrant.key);
        }
        if (ours && registrant.holder) {
            if (!spc_type_is_valid(registrant.type))
                return false;
            engine->view.type = registrant.type;
            if (!spc_type_is_all_registrants(registrant.type))
                engine->view.holder_key = registrant.key;
            engine->view.holder = spc_type_is_all_registrants(registrant.type) ? PATHS_HOLDER_NONE
                                  : path < engine->map->count                ? (int8_t)path
                                                                : PATHS_HOLDER_OTHER;
        }
    }
    return result == PRIN_END;
}

static bool read_view(struct paths *engine)
{
    memset(&engine->view, 0, sizeof(engine->view));
    engine->view.holder = PATHS_HOLDER_NONE;
    return engine->data && read_pass(engine, true) && read_pass(engine, false);
}

bool paths_look(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_ACT);
    engine->looked = false;
    engine->tried = 0;
    RESUME_CALL(engine, PATHS_FRAME_ACT, paths_ask(engine));
    while (!engine->looked && (paths_usable(engine) & ~engine->tried)) {
        engine->by = (uint8_t)paths_first(paths_usable(engine) & ~engine->tried);
        engine->tried |= paths_bit(engine->by);
        paths_prepare_read(engine, engine->by, SPC_PRIN_READ_FULL_STATUS);
        RESUME_CALL(engine, PATHS_FRAME_ACT, paths_send(engine));
        engine->looked = engine->result == PATHS_RESULT_GOOD && read_view(engine);
    }
    engine->tried = 0;
    RESUME_END(engine, PATHS_FRAME_ACT);
}
