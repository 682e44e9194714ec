// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A PREEMPT that names the map's own key, or key 0 while all registrants hold the reservation,
 * takes the registrations of all I_T nexuses with it but the one that it came by
 * (SPC-4 5.13.11.2.4). To the target the map's other paths are such nexuses. Versions of the
 * library before 0.13 leave it at that: of three paths one keeps its registration, and I/O by the
 * others fails.
 *
 * So every path is asked to REGISTER from no key to the map's. One that still has its registration
 * answers RESERVATION CONFLICT, since it is registered with another key than 0: both answers mean
 * that it is registered now.
 */
#include <inttypes.h>
#include <string.h>

#include "mpath/command.h"
#include "mpath/paths.h"

/* Registrations with this key; false if they could not all be seen. */
static bool preempt_count(const struct command *command, const struct map_paths *paths,
                          uint64_t key, unsigned *ret)
{
    struct prin_registrant one;
    enum prin_result result;
    struct prin_list list;
    unsigned count = 0;

    if (!paths_read_full_status(paths, command->io_timeout_ms, &list))
        return false;
    while ((result = prin_registrant_next(&list, &one)) == PRIN_OK) {
        if (one.key != key)
            continue;
        /* It may stand for any number of target ports, and paths with them. */
        count += one.all_tg_pt ? paths->n : 1;
    }
    *ret = count;
    return result == PRIN_END;
}

/* Register what has lost its registration. Returns how many paths have one now. */
static unsigned preempt_register(const struct command *command, const struct map_paths *paths,
                                 uint64_t key)
{
    struct prin_capabilities capabilities = {0};
    struct prout prout = {.sa_key = key};
    uint8_t list[PROUT_SIZE], cdb[CDB_FIELD_SIZE] = {0};
    struct request request = {
        .cdb = cdb,
        .opcode = SPC_PERSISTENT_RESERVE_OUT,
        .length = sizeof(list),
        .data = list,
    };
    unsigned registered = 0;

    /* A REGISTER sets for the whole logical unit whether registrations outlive a power loss: leave
     * it as it is (SPC-4 5.13.5). */
    if (paths_read_capabilities(paths, command->io_timeout_ms, &capabilities))
        prout.aptpl = capabilities.persistent_active;
    prout_encode(SPC_PROUT_REGISTER, &prout, NULL, 0, list, sizeof(list));
    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 0, sizeof(list));

    for (unsigned i = 0; i < paths->n; i++) {
        struct path_answer answer;

        if (paths->path[i].fd < 0)
            continue;
        answer = paths_send(&paths->path[i], &request, command->io_timeout_ms);
        registered += answer.verdict == PATH_GOOD ||
                      (answer.verdict == PATH_STATUS &&
                       answer.reply.status == SPC_STATUS_RESERVATION_CONFLICT);
    }
    return registered;
}

void command_repair_preempt(struct command *command, const struct prout *prout)
{
    static struct map_paths paths;
    unsigned count, registered;
    int usable;

    if (prout->sa_key != prout->key && prout->sa_key != 0)
        return;
    usable = map_open_paths(&command->map, &paths);
    if (usable > 0 && preempt_count(command, &paths, prout->key, &count)) {
        if (count >= (unsigned)usable)
            return;
        registered = preempt_register(command, &paths, prout->key);
        if (registered > 0 && preempt_count(command, &paths, prout->key, &count) &&
            count >= registered) {
            command_say(command,
                        "libmpathpersist left paths without the key 0x%" PRIx64
                        " after a PREEMPT of it; they are registered again",
                        prout->key);
            return;
        }
    }
    command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
    command_say(command,
                "PREEMPT of its own key 0x%" PRIx64 " was carried out, but not all of its paths "
                "have the key now; register again",
                prout->key);
}
