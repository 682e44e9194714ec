// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A descriptor of READ FULL STATUS is of a nexus: a TransportID, and a relative target port unless
 * it is for all of them (SPC-4 6.15.5). Where a path's own nexus is known in full it is found or
 * not. Else there are descriptors that may be its own, and as each is of one path, the most paths
 * that can be registered are a maximum matching: with three of one name for five paths two are not.
 */
#include "doctor/registrations.h"

#include <stdlib.h>
#include <string.h>

struct matching {
    const struct nexus *paths;
    unsigned n_paths;
    struct prin_registrant *list;
    int *path_of; /* of each registration; -1: none */
    bool *tried;
    unsigned count;
};

/* One that can be of more than one path. */
static bool registrations_is_shared(const struct prin_registrant *one)
{
    return one->all_tg_pt || one->relative_target_port == 0 || one->transportid.size == 0 ||
           one->transportid.kind == TRANSPORTID_ISCSI_DEVICE;
}

/* Find a registration for a path, moving others to other ones if need be. */
static bool registrations_place(struct matching *matching, unsigned path)
{
    for (unsigned i = 0; i < matching->count; i++) {
        const struct prin_registrant *one = &matching->list[i];

        if (matching->tried[i] || nexus_fit(&matching->paths[path], one) == NEXUS_OTHER)
            continue;
        if (registrations_is_shared(one))
            return true;
        matching->tried[i] = true;
        if (matching->path_of[i] < 0 ||
            registrations_place(matching, (unsigned)matching->path_of[i])) {
            matching->path_of[i] = (int)path;
            return true;
        }
    }
    return false;
}

static enum nexus_fit registrations_best_fit(const struct matching *matching, unsigned path)
{
    enum nexus_fit best = NEXUS_OTHER;

    for (unsigned i = 0; i < matching->count; i++) {
        enum nexus_fit fit = nexus_fit(&matching->paths[path], &matching->list[i]);

        best = fit > best ? fit : best;
    }
    return best;
}

/* Whether the device tells target ports apart: one initiator port has two registrations. */
static bool registrations_are_by_port(const struct matching *matching)
{
    for (unsigned i = 0; i < matching->count; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct prin_registrant *a = &matching->list[i], *b = &matching->list[k];

            if (a->transportid.size > 0 && !registrations_is_shared(a) &&
                !registrations_is_shared(b) && a->relative_target_port != b->relative_target_port &&
                transportid_equal(&a->transportid, &b->transportid))
                return true;
        }
    }
    return false;
}

/* Whether a path without a registration may have a part in another target port's. */
static bool registrations_may_share(const struct matching *matching, unsigned path)
{
    for (unsigned i = 0; i < matching->count; i++) {
        if (nexus_may_be_initiator(&matching->paths[path], &matching->list[i]) &&
            nexus_fit(&matching->paths[path], &matching->list[i]) == NEXUS_OTHER)
            return true;
    }
    return false;
}

/* Whether all paths that may be registered may be so with this key. */
static bool registrations_all_have(const struct matching *matching, uint64_t key)
{
    for (unsigned path = 0; path < matching->n_paths; path++) {
        bool any = false, has = false;

        for (unsigned i = 0; i < matching->count; i++) {
            if (nexus_fit(&matching->paths[path], &matching->list[i]) == NEXUS_OTHER)
                continue;
            any = true;
            has |= matching->list[i].key == key;
        }
        if (any && !has)
            return false;
    }
    return true;
}

static void registrations_judge_keys(const struct matching *matching, uint64_t expected,
                                     struct registrations *ret)
{
    if (expected != 0 && registrations_all_have(matching, expected)) {
        ret->key = expected;
        return;
    }
    for (unsigned i = 0; i < matching->count; i++) {
        if (!registrations_all_have(matching, matching->list[i].key))
            continue;
        ret->key = matching->list[i].key;
        return;
    }
    ret->differ = true;
}

static void registrations_count(struct matching *matching, uint64_t expected,
                                struct registrations *ret)
{
    bool by_host = true;

    ret->total = matching->count;
    for (unsigned i = 0; i < matching->count; i++) {
        bool own = false;

        for (unsigned path = 0; path < matching->n_paths; path++)
            own |= nexus_fit(&matching->paths[path], &matching->list[i]) != NEXUS_OTHER;
        ret->own += own;
    }
    for (unsigned path = 0; path < matching->n_paths; path++) {
        memset(matching->tried, 0, matching->count * sizeof(*matching->tried));
        ret->certain += registrations_best_fit(matching, path) == NEXUS_CERTAIN;
        if (registrations_place(matching, path))
            ret->possible++;
        else
            by_host &= registrations_may_share(matching, path);
    }
    ret->by_host = (by_host || ret->own == 1) && !registrations_are_by_port(matching);
    if (ret->own > 0)
        registrations_judge_keys(matching, expected, ret);
}

/* All descriptors, which the caller frees. False: they make no sense, or there is no memory. */
static bool registrations_decode(const uint8_t *data, size_t size, bool reversed,
                                 struct matching *matching, bool *ret_cut)
{
    size_t room = size / TRANSPORTID_SIZE + 1; /* each is as long as that at least */
    enum prin_result r = PRIN_END;
    struct prin_list list;

    matching->list = calloc(room, sizeof(*matching->list));
    matching->path_of = calloc(room, sizeof(*matching->path_of));
    matching->tried = calloc(room, sizeof(*matching->tried));
    if (!matching->list || !matching->path_of || !matching->tried ||
        prin_list_decode(data, size, &list) != PRIN_OK)
        return false;
    while (matching->count < room &&
           (r = prin_registrant_next(&list, &matching->list[matching->count])) == PRIN_OK) {
        struct prin_registrant *one = &matching->list[matching->count];

        if (reversed)
            one->key = __builtin_bswap64(one->key);
        matching->path_of[matching->count++] = -1;
    }
    *ret_cut = r == PRIN_TRUNCATED;
    return r == PRIN_END || r == PRIN_TRUNCATED;
}

bool registrations_judge(const struct nexus *paths, unsigned n_paths, const uint8_t *data,
                         size_t size, bool reversed, uint64_t expected, struct registrations *ret)
{
    struct matching matching = {.paths = paths, .n_paths = n_paths};
    bool good;

    memset(ret, 0, sizeof(*ret));
    good = registrations_decode(data, size, reversed, &matching, &ret->cut);
    if (good)
        registrations_count(&matching, expected, ret);
    free(matching.list);
    free(matching.path_of);
    free(matching.tried);
    return good;
}
