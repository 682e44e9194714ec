// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the helpers of a node say together of each logical unit: what no helper can see by itself,
 * since each knows its own clients only.
 *
 * An I_T nexus is this host's port and the target's; a disk of this host is one nexus to its unit,
 * for the clients of all helpers, and a multipath map is one with all of its paths. To the unit it
 * is one initiator with one registration (SPC-4 5.13.7).
 */
#ifndef NODE_LUN_H
#define NODE_LUN_H

#include "node/crowd.h"

#define LUN_NAMES_MAX    512     /* of a list of names */
#define LUN_COMPARED_MAX 2000000 /* keys of one unit with each other; beyond it nothing is said */

/* A device of a helper, as a part of a unit. */
struct lun_use {
    const struct crowd_member *member;
    const struct facts_device *device;
};

struct lun {
    const char *wwn; /* facts_lun_name's; belongs to the crowd */
    unsigned n_uses;
    const struct lun_use *uses; /* belongs to the list; by the helpers' names */

    const struct facts_device *told; /* whose word on the reservation is the newest; NULL: none */
    unsigned n_live;                 /* keys whose client is connected, to any helper */
    unsigned n_stale;                /* keys of this host that no live client has */
    unsigned n_paths_missing;        /* paths of this unit by which a client that is registered by
                                        another one is not: disks that it uses, or paths of a map */
    bool same_nexus;                 /* two live clients by one I_T nexus */
    bool between_helpers;            /* of different helpers, so that neither of these can know */
    unsigned n_compared;
    char vms[LUN_NAMES_MAX];           /* of live keys, "a, b" */
    char nexus_vms[LUN_NAMES_MAX];     /* those of same_nexus */
    char missing_vms[LUN_NAMES_MAX];   /* of n_paths_missing */
    char missing_paths[LUN_NAMES_MAX]; /* those of them that are paths of a map */
};

struct lun_list {
    unsigned n;
    struct lun *luns;     /* owned; by WWN */
    struct lun_use *uses; /* owned */
};

/* Join what a crowd has said, which has to stay. 0, or -ENOMEM. */
int lun_join(const struct crowd *crowd, struct lun_list *ret_list);
void lun_list_deinit(struct lun_list *list);

/* Whether a name, or "unknown", is one of "a, b". */
bool lun_name_is_in(const char *list, const char *vm);

/* Add it, unless it is there already or does not fit. */
void lun_name_add(char list[LUN_NAMES_MAX], const char *vm);

/* Whether this key's client has gone, and no live client of this host has it on this unit. */
bool lun_key_is_stale(struct lun *lun, const struct facts_key *key);

#endif
