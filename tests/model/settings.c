// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is explored: the bounds of each setting. */
#include "settings.h"

#define ALL    "reg,ign,chg,unr,res,rel,pre,own,own2,clr,rel2,relt"
#define OTHERS "reg,res,rel,pre,clr,unr"
#define NONE   PATHS_MULTIPATHD_NONE
#define OLD    PATHS_MULTIPATHD_OLD
#define NEW    PATHS_MULTIPATHD_NEW

/* Paths and the other hosts' nexuses; commands of the guest, of the others, events of paths. */
#define BOUNDS(a, b, c, d, e)                                                                      \
    .paths = (a), .nexuses = (b), .guest_commands = (c), .other_commands = (d), .events = (e)
#define MENUS    .guest = ALL, .others = OTHERS
#define TYPES    .type = 5, .type2 = 6
#define EACH     .quirks = {.group = {0, 1, 2, 3, 4, 5}}
#define PLAIN    .quirks = {.no_full_status = true, .group = {0, 1, 2, 3, 4, 5}}
#define OWN_KEY  .other_key = {3, 4}
#define SAME_KEY .other_key = {1, 3}

const struct setting settings[] = {
    {.name = "new", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH},
    {.name = "old", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = OLD, OWN_KEY, TYPES, EACH},
    {.name = "none", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NONE, OWN_KEY, TYPES, EACH},
    {.name = "new-shared", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, SAME_KEY, TYPES, EACH},
    {.name = "old-shared", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = OLD, SAME_KEY, TYPES, EACH},
    {.name = "all-registrants", .guest = ALL ",zero", .others = OTHERS, BOUNDS(2, 1, 1, 1, 1),
     .multipathd = NEW, OWN_KEY, .type = 7, .type2 = 8, EACH},
    {.name = "exclusive", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, .type = 3,
     .type2 = 1, EACH},
    {.name = "three", MENUS, BOUNDS(3, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH},
    {.name = "third-host", MENUS, BOUNDS(2, 2, 1, 2, 1), .multipathd = NEW, SAME_KEY, TYPES, EACH},
    {.name = "crash", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .crashes = true},
    {.name = "crash-forgets", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .crashes = true, .forgets = true},
    {.name = "deadline", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .deadlines = true},
    {.name = "returns", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .returns = true, .blips = true},
    {.name = "refuses", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .refuses = true},
    {.name = "silences", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .silences = true},
    {.name = "irregular", MENUS, BOUNDS(2, 1, 1, 1, 0), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .irregular = true},
    {.name = "plain", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, PLAIN},
    {.name = "plain-shared", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, SAME_KEY, TYPES,
     PLAIN},
    {.name = "swapped", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES,
     .quirks = {.swapped_keys = true, .group = {0, 1, 2, 3, 4, 5}}},
    {.name = "host-port", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES,
     .quirks = {.group = {0, 0, 2, 3, 4, 5}}},
    {.name = "host-port-plain", MENUS, BOUNDS(2, 1, 1, 1, 1), .multipathd = NEW, OWN_KEY, TYPES,
     .quirks = {.no_full_status = true, .group = {0, 0, 2, 3, 4, 5}}},
    {.name = "new-2", MENUS, BOUNDS(2, 1, 2, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, EACH},
    {.name = "events", MENUS, BOUNDS(2, 1, 1, 1, 2), .multipathd = NEW, OWN_KEY, TYPES, EACH},

    /* The long form. */
    {.name = "deep-new", MENUS, BOUNDS(2, 1, 2, 2, 2), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .full = true},
    {.name = "deep-old", MENUS, BOUNDS(2, 1, 2, 2, 1), .multipathd = OLD, OWN_KEY, TYPES, EACH,
     .full = true},
    {.name = "deep-new-shared", MENUS, BOUNDS(2, 1, 2, 2, 1), .multipathd = NEW, SAME_KEY, TYPES,
     EACH, .full = true},
    {.name = "deep-old-shared", MENUS, BOUNDS(2, 1, 2, 2, 1), .multipathd = OLD, SAME_KEY, TYPES,
     EACH, .full = true},
    {.name = "deep-three", MENUS, BOUNDS(3, 1, 2, 1, 2), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .full = true},
    {.name = "deep-all-registrants", .guest = ALL ",zero", .others = OTHERS,
     BOUNDS(2, 1, 2, 2, 1), .multipathd = NEW, OWN_KEY, .type = 7, .type2 = 8, EACH, .full = true},
    {.name = "deep-crash", MENUS, BOUNDS(2, 1, 2, 1, 2), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .crashes = true, .deadlines = true, .full = true},
    {.name = "deep-returns", MENUS, BOUNDS(2, 1, 1, 2, 2), .multipathd = NEW, OWN_KEY, TYPES, EACH,
     .returns = true, .full = true},
    {.name = "deep-plain", MENUS, BOUNDS(2, 1, 2, 1, 1), .multipathd = NEW, OWN_KEY, TYPES, PLAIN,
     .full = true},
    {.name = "deep-third-host", MENUS, BOUNDS(2, 2, 1, 2, 2), .multipathd = NEW, SAME_KEY, TYPES,
     EACH, .full = true},
};
const unsigned settings_count = sizeof(settings) / sizeof(settings[0]);
