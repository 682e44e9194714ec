// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Observing the target. READ FULL STATUS (SPC-4 6.15.5) is the only command that shows keys, holder
 * and type of one instant, so each rule is based on one of its answers.
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

uint64_t paths_absent(const struct paths *engine)
{
    return paths_registered(engine) & ~paths_usable(engine) & ~engine->view.twins;
}

uint64_t paths_with(const struct paths *engine, uint64_t key)
{
    uint64_t set = 0;

    for (unsigned path = 0; path < engine->map->count; path++)
        if (key != 0 && engine->view.key[path] == key)
            set |= paths_bit(path);
    return set;
}

uint64_t paths_surely(const struct paths *engine, uint64_t set)
{
    return set & ~(engine->view.assumed & ~engine->memory.had);
}

void paths_registrations(const struct paths *engine, uint64_t *ret_with, uint64_t *ret_known)
{
    const struct paths_memory *memory = &engine->memory;
    uint64_t all = 0;

    for (unsigned path = 0; path < engine->map->count; path++)
        all |= paths_bit(path);
    *ret_with = memory->key ? paths_with(engine, memory->key) : paths_registered(engine);
    *ret_known = engine->looked ? all & ~(*ret_with & engine->view.assumed & ~memory->had) : 0;
    /* After the last step of a command that removes every registration, nothing is read again. */
    if (engine->looked && memory->key == 0 && memory->aim == PATHS_AIM_NONE &&
        memory->expected == 0)
        *ret_with = 0;
    *ret_with &= *ret_known;
}

/*
 * The map's key is what its usable registered paths have. An absent path speaks only if no usable
 * one is registered; else an old key on an absent path would make a wrong key right. So no key (0)
 * is right if no usable path is registered, unless an absent one has the map's key: then what can
 * be used has returned, and is not registered yet.
 */
bool paths_key_right(const struct paths *engine, uint64_t key)
{
    uint64_t speaking = paths_registered(engine);

    if (speaking & paths_usable(engine))
        speaking &= paths_usable(engine);
    if (key == 0 && (paths_with(engine, engine->memory.key) & engine->memory.had))
        return false;
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
    return paths_all_registrants(engine) || (paths_holding(engine) & paths_with(engine, key)) != 0;
}

/* Whether another host has removed a registration: a path that was registered has none, and we did
 * not remove it.
 */
bool paths_lost_some(const struct paths *engine)
{
    if (!engine->looked)
        return false;
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

/*
 * PREEMPT would take the other host's registration with the path's. From 0.13 on multipathd clears
 * the path when it returns, or gives it the new key, if it was told so; but not if the path holds
 * the reservation, which would go with the old key.
 */
bool paths_is_out_of_reach(const struct paths *engine, uint64_t stale)
{
    for (; stale != 0; stale &= stale - 1) {
        unsigned path = paths_first(stale);

        if (paths_shared(engine, engine->view.key[path]) &&
            (engine->view.holder == (int)path || engine->untold || engine->lost ||
             engine->memory.plain || engine->map->multipathd != PATHS_MULTIPATHD_NEW))
            return true;
    }
    return false;
}

static bool look_is_of_path(const struct prin_registrant *registrant,
                            const struct paths_nexus *nexus)
{
    return transportid_equal(&registrant->transportid, &nexus->initiator) &&
           (registrant->all_tg_pt || registrant->relative_target_port == nexus->target_port ||
            registrant->relative_target_port == 0);
}

/*
 * The paths that a descriptor is of, with those that are known to share a registration with them.
 * If its target port is none of the map's: those of its initiator port that share one.
 */
static uint64_t look_match_paths(const struct paths *engine,
                                 const struct prin_registrant *registrant)
{
    uint64_t exact = 0, twins = 0, all = 0;

    for (unsigned path = 0; path < engine->map->count; path++) {
        const struct paths_nexus *nexus = &engine->map->path[path];

        if (look_is_of_path(registrant, nexus))
            exact |= paths_bit(path);
        if (engine->memory.twin[path] != 0 &&
            transportid_equal(&registrant->transportid, &nexus->initiator))
            twins |= paths_bit(path);
    }
    for (uint64_t left = exact ? exact : twins; left != 0; left &= left - 1)
        all |= paths_twins_of(&engine->memory, paths_first(left));
    return all;
}

/*
 * The path that a descriptor is of, or map->count. Paths that share a registration count as one: a
 * usable one if there is any; the others are twins.
 */
static unsigned look_find_path(struct paths *engine, const struct prin_registrant *registrant,
                               uint64_t *ret_matching)
{
    uint64_t matching = look_match_paths(engine, registrant);
    uint64_t usable = matching & engine->up & ~engine->hung;
    unsigned found = engine->map->count;

    if (matching != 0) {
        found = paths_first(usable ? usable : matching);
        engine->view.twins |= matching & ~paths_bit(found);
    }
    *ret_matching = matching;
    return found;
}

/* Give the key to all paths of a set. False if one has another registration of its own already. */
static bool look_give_key(struct paths *engine, uint64_t set, uint64_t key)
{
    for (; set != 0; set &= set - 1) {
        unsigned path = paths_first(set);

        if (engine->view.key[path] != 0) {
            paths_twins_part(&engine->memory, set); /* not any more, then */
            return false;
        }
        engine->view.key[path] = key;
    }
    return true;
}

static void look_note_foreign(struct paths *engine, uint64_t key)
{
    struct paths_view *view = &engine->view;

    view->shared |= paths_with(engine, key);
    view->command_key_shared |= key == engine->command.key;
    view->sa_key_shared |= key == engine->command.sa_key;
}

/* One pass over all descriptors: ours first, since others' keys are compared with them. */
static bool look_read_pass(struct paths *engine, bool ours)
{
    struct prin_list list;
    struct prin_registrant registrant;
    enum prin_result result;
    uint64_t matching;
    unsigned path;

    if (prin_list_decode(engine->data, engine->length, &list) != PRIN_OK)
        return false;
    while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK) {
        if (registrant.key == 0)
            return false;
        path = look_find_path(engine, &registrant, &matching);
        if (ours && path < engine->map->count) {
            if (!look_give_key(engine, matching, registrant.key))
                return false;
        } else if (!ours && path == engine->map->count) {
            look_note_foreign(engine, registrant.key);
        }
        if (ours && registrant.holder) {
            if (!spc_type_is_valid(registrant.type))
                return false;
            engine->view.type = registrant.type;
            if (!spc_type_is_all_registrants(registrant.type))
                engine->view.holder_key = registrant.key;
            engine->view.holder = spc_type_is_all_registrants(registrant.type) ? PATHS_HOLDER_NONE
                                  : path < engine->map->count                  ? (int8_t)path
                                                                               : PATHS_HOLDER_OTHER;
        }
    }
    return result == PRIN_END;
}

static bool look_read_view(struct paths *engine)
{
    memset(&engine->view, 0, sizeof(engine->view));
    engine->view.holder = PATHS_HOLDER_NONE;
    if (engine->length >= PRIN_HEADER_SIZE)
        engine->plain.generation = load_be32(engine->data);
    return engine->data && look_read_pass(engine, true) && look_read_pass(engine, false);
}

/* Once more if it is not understood: paths may not have been twins after all. */
static bool look_understand_view(struct paths *engine)
{
    bool understood = look_read_view(engine);

    if (!understood)
        understood = look_read_view(engine);
    return understood;
}

/* A path has a key that neither the guest nor we gave it: perhaps it is misread. */
static bool look_is_strange(const struct paths *engine)
{
    for (unsigned path = 0; path < engine->map->count; path++) {
        uint64_t key = engine->view.key[path];

        if (key != 0 && key != engine->memory.key && key != engine->command.key &&
            key != engine->command.sa_key)
            return true;
    }
    return false;
}

/*
 * Whether READ KEYS has every key that the view has; if not, READ FULL STATUS is not believed. True
 * as well if something was registered between the two.
 */
static bool look_has_keys(const struct paths *engine)
{
    for (unsigned path = 0; path < engine->map->count; path++) {
        struct prin_list list;
        uint64_t key = engine->view.key[path], read;
        bool found = key == 0;

        if (prin_list_decode(engine->data, engine->length, &list) != PRIN_OK ||
            list.generation != engine->plain.generation)
            return true;
        while (!found && prin_key_next(&list, &read) == PRIN_OK)
            found = read == key;
        if (!found)
            return false;
    }
    return true;
}

/* FRAME_PLAIN. engine->looked is false, and memory.plain set, if the two contradict each other. */
static bool look_check_keys(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_PLAIN);
    paths_prepare_read(engine, engine->by, SPC_PRIN_READ_KEYS);
    RESUME_CALL(engine, PATHS_FRAME_PLAIN, paths_send(engine));
    if (engine->result != PATHS_RESULT_GOOD) {
        engine->looked = false;
    } else if (!look_has_keys(engine)) {
        engine->looked = false;
        engine->memory.plain = true;
    }
    RESUME_END(engine, PATHS_FRAME_PLAIN);
}

bool paths_learn_aptpl(struct paths *engine)
{
    struct prin_capabilities capabilities;

    RESUME_BEGIN(engine, PATHS_FRAME_READ);
    if (engine->memory.aptpl_known || !paths_usable(engine))
        RESUME_RETURN(engine, PATHS_FRAME_READ);
    paths_prepare_read(engine, paths_first(paths_usable(engine)), SPC_PRIN_REPORT_CAPABILITIES);
    RESUME_CALL(engine, PATHS_FRAME_READ, paths_send(engine));
    if (engine->result == PATHS_RESULT_GOOD && engine->data &&
        prin_capabilities_decode(engine->data, engine->length, &capabilities) == PRIN_OK) {
        engine->memory.aptpl = capabilities.persistent_active;
        engine->memory.aptpl_known = true;
    } else if (engine->result == PATHS_RESULT_CHECK) {
        /* Not served, nor would it be told later. */
        engine->memory.aptpl_known = true;
    }
    RESUME_END(engine, PATHS_FRAME_READ);
}

bool paths_look(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_ACT);
    engine->lacked = 0;
    if (engine->memory.plain && engine->looked)
        engine->lacked = engine->up & ~engine->hung & ~paths_with(engine, engine->memory.key);
    engine->looked = false;
    engine->tried = 0;
    RESUME_CALL(engine, PATHS_FRAME_ACT, paths_ask(engine));
    memset(&engine->view, 0, sizeof(engine->view));
    while (!engine->looked && !engine->memory.plain && (paths_usable(engine) & ~engine->tried)) {
        engine->by = (uint8_t)paths_first(paths_usable(engine) & ~engine->tried);
        engine->tried |= paths_bit(engine->by);
        paths_prepare_read(engine, engine->by, SPC_PRIN_READ_FULL_STATUS);
        RESUME_CALL(engine, PATHS_FRAME_ACT, paths_send(engine));
        engine->looked = engine->result == PATHS_RESULT_GOOD && look_understand_view(engine);
        if (!engine->looked)
            memset(&engine->view, 0, sizeof(engine->view));
        /* 5/20/00, 5/24/00: not served. Said once, it is not asked for again. */
        if (engine->result == PATHS_RESULT_CHECK && engine->sense.key == SPC_SENSE_ILLEGAL_REQUEST)
            engine->memory.plain = true;
        if (engine->looked && look_is_strange(engine))
            RESUME_CALL(engine, PATHS_FRAME_ACT, look_check_keys(engine));
        if (engine->memory.plain)
            break;
    }
    engine->tried = 0;
    engine->plain.generation = 0;
    if (engine->memory.plain)
        RESUME_CALL(engine, PATHS_FRAME_ACT, paths_look_plain(engine));
    else if (engine->looked && paths_registered(engine) != 0)
        RESUME_CALL(engine, PATHS_FRAME_ACT, paths_learn_aptpl(engine));
    engine->lacked = 0;
    RESUME_END(engine, PATHS_FRAME_ACT);
}

/* Those that `keep` may share a registration with: of its initiator port, if there are any. */
static uint64_t look_partners(const struct paths *engine)
{
    uint64_t with = paths_with(engine, engine->memory.key), same = 0;

    for (unsigned path = 0; path < engine->map->count; path++)
        if (paths_has(with, path) && transportid_equal(&engine->map->path[path].initiator,
                                                       &engine->map->path[engine->keep].initiator))
            same |= paths_bit(path);
    return same ? same : with;
}

bool paths_learn_twin(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_ACT);
    paths_prepare(engine, engine->keep, SPC_PROUT_REGISTER, 0, engine->memory.key,
                  engine->memory.key);
    RESUME_CALL(engine, PATHS_FRAME_ACT, paths_send(engine));
    if (engine->result == PATHS_RESULT_GOOD) {
        uint64_t partners = look_partners(engine);

        /* If two registrations can be meant, the paths are asked one by one from now on. */
        if (partners != 0 && partners & ~paths_twins_of(&engine->memory, paths_first(partners)))
            engine->memory.plain = true;
        else
            paths_twins_join(&engine->memory, partners | paths_bit(engine->keep));
    }
    RESUME_END(engine, PATHS_FRAME_ACT);
}
