// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Clients are told apart by helper and pid. The same pid with the same name by two helpers is one
 * client that has changed its helper; a pid that is not known is not compared, so that missing
 * information raises no alarm.
 */
#include "node/lun.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool lun_is_live(const struct facts_key *key)
{
    return key->connected && !key->stale;
}

/* The same I_T nexus: the same disk of this host, or a map and what it consists of. */
static bool lun_is_one_nexus(const struct facts_device *a, const struct facts_device *b)
{
    if (*a->nexus && strcmp(a->nexus, b->nexus) == 0)
        return true;
    return a->is_map || b->is_map || (!*a->nexus && strcmp(a->number, b->number) == 0);
}

static bool lun_is_another(const struct lun_use *a, const struct facts_key *one,
                           const struct lun_use *b, const struct facts_key *other)
{
    if (one->pid == 0 || other->pid == 0)
        return false;
    if (one->pid == other->pid)
        return a->member != b->member && strcmp(one->vm, other->vm) != 0;
    return true;
}

bool lun_name_is_in(const char *list, const char *vm)
{
    const char *name = *vm ? vm : "unknown";
    size_t length = strlen(name);

    for (const char *at = list; (at = strstr(at, name)) != NULL; at++) {
        if ((at == list || at[-1] == ' ') && (at[length] == '\0' || at[length] == ','))
            return true;
    }
    return false;
}

void lun_name_add(char list[LUN_NAMES_MAX], const char *vm)
{
    const char *name = *vm ? vm : "unknown";
    size_t used = strlen(list), length = strlen(name);

    if (!lun_name_is_in(list, vm) && used + length + 3 <= LUN_NAMES_MAX)
        sprintf(list + used, "%s%s", used > 0 ? ", " : "", name);
}

/* False: so much has been compared for this unit that a helper is not telling the truth. */
static bool lun_may_compare(struct lun *lun)
{
    if (lun->n_compared == LUN_COMPARED_MAX)
        return false;
    lun->n_compared++;
    return true;
}

/* Does any other live client have a key by the same nexus as this one? The other one finds this one
 * when it is compared itself. */
static void lun_compare(struct lun *lun, const struct lun_use *use, const struct facts_key *key)
{
    bool shares = false;

    for (unsigned i = 0; i < lun->n_uses; i++) {
        const struct lun_use *other = &lun->uses[i];

        if (!lun_is_one_nexus(use->device, other->device))
            continue;
        for (unsigned k = 0; k < other->device->n_keys; k++) {
            const struct facts_key *one = &other->device->keys[k];

            if (!lun_may_compare(lun))
                return;
            if (!lun_is_live(one) || !lun_is_another(use, key, other, one))
                continue;
            if (!shares)
                lun_name_add(lun->nexus_vms, key->vm);
            shares = lun->same_nexus = true;
            if (use->member != other->member)
                lun->between_helpers = true;
            if (lun->between_helpers)
                return;
        }
    }
}

bool lun_key_is_stale(struct lun *lun, const struct facts_key *key)
{
    if (!key->stale || key->replaced)
        return false;
    for (unsigned i = 0; i < lun->n_uses; i++) {
        const struct facts_device *device = lun->uses[i].device;

        for (unsigned k = 0; k < device->n_keys; k++) {
            if (!lun_may_compare(lun) ||
                (device->keys[k].key == key->key && lun_is_live(&device->keys[k])))
                return false;
        }
    }
    return true;
}

static bool lun_has_key_of(const struct facts_device *device, int64_t pid)
{
    for (unsigned i = 0; i < device->n_keys; i++) {
        if (lun_is_live(&device->keys[i]) && device->keys[i].pid == pid)
            return true;
    }
    return false;
}

/*
 * A client that has a key by one path of a unit and uses another one as well should have it there
 * too: its multipathing would write by it. That it uses the other one is certain where the helper
 * has one client only, as libvirt's has.
 */
static void lun_look_at_paths(struct lun *lun, const struct lun_use *use)
{
    if (use->device->is_map)
        return;
    for (unsigned i = 0; i < use->device->n_keys; i++) {
        const struct facts_key *key = &use->device->keys[i];
        bool misses = false;

        if (!lun_is_live(key) || key->pid == 0)
            continue;
        for (unsigned k = 0; k < lun->n_uses && lun_may_compare(lun); k++) {
            const struct lun_use *other = &lun->uses[k];

            if (other->member != use->member || other->device->is_map || !*use->device->nexus ||
                !*other->device->nexus || lun_is_one_nexus(use->device, other->device) ||
                other->device->commands == 0 || other->member->facts.n_clients != 1 ||
                lun_has_key_of(other->device, key->pid))
                continue;
            lun->n_paths_missing++;
            misses = true;
        }
        if (misses)
            lun_name_add(lun->missing_vms, key->vm);
    }
}

/*
 * A map is one nexus to its client, so it has to be registered by each path that the map uses. Two
 * helpers may tell of the same map: the one that misses most counts. Returns how many that are.
 */
static unsigned lun_look_at_map(struct lun *lun, const struct lun_use *use, unsigned n_before)
{
    const struct facts_device *device = use->device;
    unsigned n_missing = 0, n_registered = 0;
    bool is_used = false;

    for (unsigned i = 0; i < device->n_paths; i++) {
        n_missing += facts_path_is_missing(&device->paths[i]);
        n_registered += device->paths[i].registered == FACTS_YES;
    }
    /* One that is registered by no path has been fenced, or has taken its key away. */
    if (n_missing == 0 || n_registered == 0)
        return n_before;
    for (unsigned i = 0; i < device->n_keys; i++) {
        if (!lun_is_live(&device->keys[i]) || device->keys[i].replaced)
            continue;
        is_used = true;
        lun_name_add(lun->missing_vms, device->keys[i].vm);
    }
    for (unsigned i = 0; is_used && i < device->n_paths; i++) {
        if (facts_path_is_missing(&device->paths[i]))
            lun_name_add(lun->missing_paths, device->paths[i].name);
    }
    return is_used && n_missing > n_before ? n_missing : n_before;
}

static void lun_judge(struct lun *lun)
{
    unsigned n_of_maps = 0;

    for (unsigned i = 0; i < lun->n_uses; i++) {
        const struct lun_use *use = &lun->uses[i];

        if (use->device->reservation_known &&
            (!lun->told || use->device->reservation_age_s < lun->told->reservation_age_s))
            lun->told = use->device;
        if (use->device->same_nexus) {
            lun->same_nexus = true;
            for (unsigned k = 0; k < use->device->n_keys; k++)
                lun_name_add(lun->nexus_vms, use->device->keys[k].vm);
        }
        for (unsigned k = 0; k < use->device->n_keys; k++) {
            const struct facts_key *key = &use->device->keys[k];

            if (lun_is_live(key)) {
                lun->n_live += !key->replaced;
                lun_name_add(lun->vms, key->vm);
                lun_compare(lun, use, key);
            } else if (lun_key_is_stale(lun, key)) {
                lun->n_stale++;
            }
        }
        lun_look_at_paths(lun, use);
        n_of_maps = lun_look_at_map(lun, use, n_of_maps);
    }
    lun->n_paths_missing += n_of_maps;
}

static int lun_compare_uses(const void *a, const void *b)
{
    const struct lun_use *one = a, *other = b;
    int r = strcmp(one->device->wwn, other->device->wwn);

    if (r == 0)
        r = strcmp(one->member->name, other->member->name);
    return r ? r : strcmp(one->device->number, other->device->number);
}

int lun_join(const struct crowd *crowd, struct lun_list *ret_list)
{
    struct lun_list list = {0};
    size_t n = 0, used = 0;

    for (unsigned i = 0; i < crowd->n_members; i++) {
        if (crowd->members[i].state == CROWD_ANSWERED)
            n += crowd->members[i].facts.n_devices;
    }
    list.uses = calloc(n + 1, sizeof(*list.uses));
    if (!list.uses)
        return -ENOMEM;
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];

        for (unsigned k = 0; member->state == CROWD_ANSWERED && k < member->facts.n_devices; k++)
            list.uses[used++] = (struct lun_use){member, &member->facts.devices[k]};
    }
    qsort(list.uses, used, sizeof(*list.uses), lun_compare_uses);
    for (size_t i = 0; i < used; i++)
        list.n += i == 0 || strcmp(list.uses[i].device->wwn, list.uses[i - 1].device->wwn) != 0;
    list.luns = calloc(list.n + 1, sizeof(*list.luns));
    if (!list.luns) {
        free(list.uses);
        return -ENOMEM;
    }
    list.n = 0;
    for (size_t i = 0; i < used; i++) {
        if (i == 0 || strcmp(list.uses[i].device->wwn, list.uses[i - 1].device->wwn) != 0)
            list.luns[list.n++] = (struct lun){.wwn = list.uses[i].device->wwn,
                                               .uses = &list.uses[i]};
        list.luns[list.n - 1].n_uses++;
    }
    for (unsigned i = 0; i < list.n; i++)
        lun_judge(&list.luns[i]);
    *ret_list = list;
    return 0;
}

void lun_list_deinit(struct lun_list *list)
{
    free(list->luns);
    free(list->uses);
    *list = (struct lun_list){0};
}
