// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Observing a target without READ FULL STATUS, which many targets do not support.
 *
 * READ KEYS and READ RESERVATION do not show which path has which key. But three commands that
 * change nothing show it, path by path:
 *
 * - REGISTER of a key to itself is GOOD by a path that has it, else RESERVATION CONFLICT
 *   (SPC-4 5.13.7);
 * - RELEASE with another type than that of the reservation is GOOD and does nothing by a registered
 *   path that does not hold it, and an error by the one that does (5.13.11.2.2);
 * - PRGENERATION, which every registration counts up (6.15.2), tells at the end whether anything
 *   else was registered meanwhile; RESERVE and RELEASE do not count there, so READ RESERVATION is
 *   repeated as well. If anything differs: again.
 *
 * Registrations of absent paths cannot be distinguished from those of other hosts: they are treated
 * as both.
 */
#include <string.h>

#include "paths/internal.h"
#include "scsi/prin.h"

static uint64_t look_plain_hash_key(uint64_t hash, uint64_t key)
{
    return (hash ^ key) * 0x9e3779b97f4a7c15;
}

/* Take READ KEYS in. False if it cannot be understood, or has too many different keys. */
static bool look_plain_take_keys(struct paths *engine)
{
    struct paths_plain *plain = &engine->plain;
    enum prin_result result;
    struct prin_list list;
    uint64_t key;

    plain->keys = 0;
    plain->hash = 0;
    memset(plain->count, 0, sizeof(plain->count));
    memset(plain->key, 0, sizeof(plain->key));
    if (!engine->data || prin_list_decode(engine->data, engine->length, &list) != PRIN_OK)
        return false;
    plain->generation = list.generation;
    while ((result = prin_key_next(&list, &key)) == PRIN_OK) {
        uint8_t at = 0;

        while (at < plain->keys && plain->key[at] != key)
            at++;
        if (at == PATHS_KEYS_MAX || key == 0)
            return false;
        if (at == plain->keys)
            plain->key[plain->keys++] = key;
        if (plain->count[at] < UINT16_MAX)
            plain->count[at]++;
        plain->hash = look_plain_hash_key(plain->hash, key);
    }
    return result == PRIN_END;
}

static bool look_plain_take_reservation(struct paths *engine)
{
    struct prin_reservation reservation;

    if (!engine->data ||
        prin_reservation_decode(engine->data, engine->length, &reservation) != PRIN_OK ||
        (reservation.held && !spc_type_is_valid(reservation.type)))
        return false;
    engine->plain.type = reservation.type;
    engine->plain.holder_key = reservation.key;
    return true;
}

/* One reading command by any usable path; engine->data, or engine->result is not GOOD. */
static bool look_plain_read_by_any(struct paths *engine, uint8_t service_action)
{
    RESUME_BEGIN(engine, PATHS_FRAME_READ);
    engine->result = PATHS_RESULT_PATH;
    while (paths_usable(engine) & ~engine->tried) {
        engine->by = (uint8_t)paths_first(paths_usable(engine) & ~engine->tried);
        paths_prepare_read(engine, engine->by, service_action);
        RESUME_CALL(engine, PATHS_FRAME_READ, paths_send(engine));
        if (engine->result == PATHS_RESULT_GOOD)
            break;
        engine->tried |= paths_bit(engine->by);
    }
    RESUME_END(engine, PATHS_FRAME_READ);
}

/* The key of path `by`: each key of the list is registered to itself. */
static bool look_plain_probe_key(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_READ);
    for (engine->plain.at = 0; engine->plain.at < engine->plain.keys; engine->plain.at++) {
        engine->by = (uint8_t)paths_first(engine->plain.todo);
        if (!paths_has(paths_usable(engine), engine->by))
            break;
        paths_prepare(engine, engine->by, SPC_PROUT_REGISTER, 0,
                      engine->plain.key[engine->plain.at], engine->plain.key[engine->plain.at]);
        engine->harmless = true;
        RESUME_CALL(engine, PATHS_FRAME_READ, paths_send(engine));
        engine->harmless = false;
        if (engine->result == PATHS_RESULT_GOOD) {
            engine->view.key[engine->by] = engine->plain.key[engine->plain.at];
            engine->plain.probes++;
            break;
        }
    }
    engine->plain.at = 0;
    RESUME_END(engine, PATHS_FRAME_READ);
}

/* Whether path `by` holds the reservation: RELEASE with a type that is not its type. */
static bool look_plain_probe_holder(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_READ);
    engine->by = (uint8_t)paths_first(engine->plain.todo);
    paths_prepare(engine, engine->by, SPC_PROUT_RELEASE,
                  engine->plain.type == SPC_TYPE_WRITE_EXCLUSIVE ? SPC_TYPE_EXCLUSIVE_ACCESS
                                                                 : SPC_TYPE_WRITE_EXCLUSIVE,
                  engine->view.key[engine->by], 0);
    engine->harmless = true;
    RESUME_CALL(engine, PATHS_FRAME_READ, paths_send(engine));
    engine->harmless = false;
    /* SPC-4 asks for 5/26/04; LIO says RESERVATION CONFLICT. */
    if (engine->result == PATHS_RESULT_CHECK || engine->result == PATHS_RESULT_CONFLICT)
        engine->view.holder = (int8_t)engine->by;
    RESUME_END(engine, PATHS_FRAME_READ);
}

/* The number of registrations that these paths account for, as far as it is known who shares one.
 */
static unsigned look_plain_count(const struct paths *engine, uint64_t set)
{
    unsigned registrations = 0;

    for (uint64_t left = set; left != 0; left &= left - 1)
        registrations += paths_first(left) ==
                         paths_first(set & paths_twins_of(&engine->memory, paths_first(left)));
    return registrations;
}

/*
 * Who shares a registration: of several paths that have the key there is one registration; or one
 * registration has come since the last look, and several paths have it that had not.
 */
static void look_plain_learn_twins(struct paths *engine, uint64_t with, unsigned count)
{
    uint64_t come = with & engine->lacked;

    if (count == 1)
        come = with;
    if (come & (come - 1) && count == look_plain_count(engine, with & ~come) + 1)
        paths_twins_join(&engine->memory, come);
}

/* Paths that shared a registration have different ones. */
static void look_plain_part_twins(struct paths *engine)
{
    uint64_t usable = engine->up & ~engine->hung;

    for (uint64_t left = usable; left != 0; left &= left - 1) {
        uint64_t set = paths_twins_of(&engine->memory, paths_first(left)) & usable;

        if (set & ~paths_with(engine, engine->view.key[paths_first(left)]) &&
            engine->view.key[paths_first(left)] != 0)
            paths_twins_part(&engine->memory, paths_twins_of(&engine->memory, paths_first(left)));
    }
}

/* Of paths that share a registration, only the first usable one gets commands. */
static void look_plain_choose(struct paths *engine, uint64_t with)
{
    for (uint64_t left = with; left != 0; left &= left - 1)
        if (paths_first(left) !=
            paths_first(with & paths_twins_of(&engine->memory, paths_first(left))))
            engine->view.twins |= paths_bit(paths_first(left));
}

/* A usable path that an absent one shares a registration with, as a set. */
static uint64_t look_plain_known_twin(const struct paths *engine, unsigned path)
{
    uint64_t known = paths_twins_of(&engine->memory, path) & engine->up & ~engine->hung;

    return known & -known;
}

/* A key that absent paths of ours may have: one that was given to them, as far as is known. */
static bool look_plain_is_likely(const struct paths *engine, uint64_t key)
{
    bool registers = engine->command.service_action == SPC_PROUT_REGISTER ||
                     engine->command.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY;

    return (paths_with(engine, key) & engine->up & ~engine->hung) != 0 ||
           key == engine->memory.key || key == engine->memory.old_key ||
           key == engine->command.key || (registers && key == engine->command.sa_key);
}

/*
 * Registrations that no usable path accounts for are of absent paths, or of other hosts, and are
 * taken for both. An absent path that is known to share the registration of a usable one has that.
 */
static void look_plain_attribute_rest(struct paths *engine)
{
    uint64_t usable = engine->up & ~engine->hung;

    for (unsigned path = 0; path < engine->map->count; path++)
        if (!paths_has(usable, path))
            engine->view.key[path] = 0;
    look_plain_part_twins(engine);
    for (unsigned i = 0; i < engine->plain.keys; i++) {
        uint64_t key = engine->plain.key[i], with = paths_with(engine, key) & usable;
        unsigned count = engine->plain.count[i];

        look_plain_learn_twins(engine, with, count);
        look_plain_choose(engine, with);
        if (count <= look_plain_count(engine, with))
            continue;
        engine->view.shared |= with;
        engine->view.command_key_shared |= key == engine->command.key;
        engine->view.sa_key_shared |= key == engine->command.sa_key;
        for (unsigned path = 0; path < engine->map->count && look_plain_is_likely(engine, key);
             path++) {
            if (paths_has(usable, path) || look_plain_known_twin(engine, path) != 0 ||
                (engine->view.key[path] != 0 && key != engine->memory.key))
                continue;
            engine->view.key[path] = key;
            engine->view.shared |= paths_bit(path);
            engine->view.assumed |= paths_bit(path);
        }
    }
    for (unsigned path = 0; path < engine->map->count; path++) {
        uint64_t known = paths_has(usable, path) ? 0 : look_plain_known_twin(engine, path);

        if (known == 0 || engine->view.key[path] != 0)
            continue;
        engine->view.key[path] = engine->view.key[paths_first(known)];
        engine->view.twins |= paths_bit(path);
    }
}

/* A possible holder that has not reported the reservation: an absent path, or another host. */
static void look_plain_attribute_holder(struct paths *engine)
{
    uint64_t with = paths_with(engine, engine->plain.holder_key);

    engine->view.type = engine->plain.type;
    if (engine->plain.type == 0 || spc_type_is_all_registrants(engine->plain.type)) {
        engine->view.holder = PATHS_HOLDER_NONE;
        return;
    }
    engine->view.holder_key = engine->plain.holder_key;
    if (engine->view.holder != PATHS_HOLDER_NONE)
        return;
    with &= ~paths_usable(engine);
    engine->view.holder = with ? (int8_t)paths_first(with) : PATHS_HOLDER_OTHER;
    engine->view.unsure = with != 0;
}

/* The reading again: has nothing changed but by our probes? Not every target counts those. */
static bool look_plain_is_the_same(struct paths *engine, uint32_t generation, uint64_t hash)
{
    return engine->plain.hash == hash &&
           (engine->plain.generation == generation ||
            engine->plain.generation == generation + engine->plain.probes);
}

static bool look_plain_look_once(struct paths *engine)
{
    uint32_t generation;
    uint64_t hash, holder_key;
    uint8_t type;

    RESUME_BEGIN(engine, PATHS_FRAME_PLAIN);
    memset(&engine->view, 0, sizeof(engine->view));
    memset(&engine->plain, 0, sizeof(engine->plain));
    engine->view.holder = PATHS_HOLDER_NONE;
    RESUME_CALL(engine, PATHS_FRAME_PLAIN,
                look_plain_read_by_any(engine, SPC_PRIN_READ_RESERVATION));
    if (engine->result != PATHS_RESULT_GOOD || !look_plain_take_reservation(engine))
        RESUME_RETURN(engine, PATHS_FRAME_PLAIN);
    RESUME_CALL(engine, PATHS_FRAME_PLAIN, look_plain_read_by_any(engine, SPC_PRIN_READ_KEYS));
    if (engine->result != PATHS_RESULT_GOOD || !look_plain_take_keys(engine))
        RESUME_RETURN(engine, PATHS_FRAME_PLAIN);
    if (engine->plain.keys > 0)
        RESUME_CALL(engine, PATHS_FRAME_PLAIN, paths_learn_aptpl(engine));
    engine->plain.todo = paths_usable(engine);
    while (engine->plain.todo != 0 && engine->plain.keys > 0) {
        RESUME_CALL(engine, PATHS_FRAME_PLAIN, look_plain_probe_key(engine));
        engine->plain.todo &= engine->plain.todo - 1;
    }
    engine->plain.todo = engine->plain.type == 0 || spc_type_is_all_registrants(engine->plain.type)
                             ? 0
                             : paths_with(engine, engine->plain.holder_key) & paths_usable(engine);
    while (engine->plain.todo != 0 && engine->view.holder == PATHS_HOLDER_NONE) {
        RESUME_CALL(engine, PATHS_FRAME_PLAIN, look_plain_probe_holder(engine));
        engine->plain.todo &= engine->plain.todo - 1;
    }
    engine->plain.todo = 0;
    RESUME_CALL(engine, PATHS_FRAME_PLAIN,
                look_plain_read_by_any(engine, SPC_PRIN_READ_RESERVATION));
    holder_key = engine->plain.holder_key;
    type = engine->plain.type;
    if (engine->result != PATHS_RESULT_GOOD || !look_plain_take_reservation(engine) ||
        holder_key != engine->plain.holder_key || type != engine->plain.type)
        RESUME_RETURN(engine, PATHS_FRAME_PLAIN);
    RESUME_CALL(engine, PATHS_FRAME_PLAIN, look_plain_read_by_any(engine, SPC_PRIN_READ_KEYS));
    generation = engine->plain.generation;
    hash = engine->plain.hash;
    if (engine->result != PATHS_RESULT_GOOD || !look_plain_take_keys(engine) ||
        !look_plain_is_the_same(engine, generation, hash))
        RESUME_RETURN(engine, PATHS_FRAME_PLAIN);
    look_plain_attribute_rest(engine);
    look_plain_attribute_holder(engine);
    engine->looked = true;
    RESUME_END(engine, PATHS_FRAME_PLAIN);
}

bool paths_look_plain(struct paths *engine)
{
    RESUME_BEGIN(engine, PATHS_FRAME_LOOK);
    for (engine->plain_round = 0; engine->plain_round < PATHS_ROUNDS_MAX && !engine->looked;
         engine->plain_round++) {
        engine->tried = 0;
        RESUME_CALL(engine, PATHS_FRAME_LOOK, look_plain_look_once(engine));
    }
    engine->plain_round = 0;
    engine->tried = 0;
    memset(&engine->plain, 0, sizeof(engine->plain));
    RESUME_END(engine, PATHS_FRAME_LOOK);
}
