// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is explored: the bounds of each setting, and the classes of what no rule keeps in it. */
#include "settings.h"

#define ALL    "reg,ign,chg,unr,res,rel,pre,own,own2,clr,rel2,relt"
#define OTHERS "reg,res,rel,pre,clr,unr"
#define OLD    PATHS_MULTIPATHD_OLD
#define NEW    PATHS_MULTIPATHD_NEW
#define ANY    "denied-write/write-while-unregistering unsafe-write/fence-in-command unsafe-write/fence-while-hung unsafe-write/daemon-revived"
#define EACH   {.group = {0, 1, 2, 3, 4, 5}}

const struct setting settings[] = {
    {.name = "new", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "old", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = OLD, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "none", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = PATHS_MULTIPATHD_NONE, .guest_commands = 1, .other_commands = 1, .events = 1,
     .other_key = {3}, .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "new-shared", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {1},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "old-shared", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = OLD, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {1},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "new-2", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 2, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "all-registrants", .guest = ALL ",zero", .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 7, .type2 = 8, .quirks = EACH,
     .classes = ANY},
    {.name = "exclusive", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 3, .type2 = 1, .quirks = EACH,
     .classes = ANY},
    {.name = "three", .guest = ALL, .others = OTHERS, .paths = 3, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .quirks = EACH,
     .classes = ANY},
    {.name = "crash", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .crashes = true, .quirks = EACH,
     .classes = ANY},
    {.name = "deadline", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .deadlines = true, .quirks = EACH,
     .classes = ANY},
    {.name = "returns", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 1, .other_key = {3},
     .type = 5, .type2 = 6, .returns = true, .blips = true, .quirks = EACH,
     .classes = ANY},
    {.name = "irregular", .guest = ALL, .others = OTHERS, .paths = 2, .nexuses = 1,
     .multipathd = NEW, .guest_commands = 1, .other_commands = 1, .events = 0, .other_key = {3},
     .type = 5, .type2 = 6, .irregular = true, .quirks = EACH,
     .classes = ANY},
};
const unsigned settings_count = sizeof(settings) / sizeof(settings[0]);
