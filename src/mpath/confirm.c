// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * REGISTER with SPEC_I_PT. The library sends it to all paths at the same time, by one thread each,
 * from one copy of the list, in which it clears SPEC_I_PT as soon as the first thread has been
 * started: whether any path is sent the TransportIDs is a matter of luck, and GOOD says nothing
 * about them. (Seen with 0.9.4; the same code is in 0.14.) So the target is asked.
 */
#include "mpath/command.h"
#include "mpath/paths.h"

/* Is `key` registered for an initiator port that `id` names? */
static bool confirm_one(struct prin_list list, uint64_t key, const struct transportid *id)
{
    struct prin_registrant one;

    while (prin_registrant_next(&list, &one) == PRIN_OK) {
        if (one.key == key && transportid_covers(id, &one.transportid))
            return true;
    }
    return false;
}

void command_confirm_transportids(struct command *command, const struct prout *prout)
{
    static struct map_paths paths;
    struct prout walk = *prout;
    struct transportid id;
    struct prin_list list;
    bool good = map_open_paths(&command->map, &paths) > 0 &&
                paths_read_full_status(&paths, command->io_timeout_ms, &list);

    while (good && prout_transportid_next(&walk, &id))
        good = confirm_one(list, prout->sa_key, &id);
    if (good)
        return;
    command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
    command_say(command, "REGISTER with TransportIDs: libmpathpersist has registered the map's own "
                         "paths, but not all of the initiator ports named");
}
