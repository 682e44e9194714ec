// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RELEASE never goes through the library: up to 0.11.1 it sends CLEAR if the reservation is not
 * gone afterwards, which takes another node's reservation away along with all registrations; later
 * ones preempt it. Here it goes to every path, and nothing else does.
 *
 * GOOD from a path says less than it seems. The standard (SPC-4 5.13.11.2.2) wants it also from a
 * registered I_T nexus that does not hold the reservation, with no effect. So if the path that
 * holds it is down, all others say GOOD, and nothing was released: only a second look tells.
 */
#include "mpath/release.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mpath/command.h"
#include "mpath/multipathd.h"

/* Is this reservation one that `key` held, and holds still? All registrants hold those of the last
 * two types, which are reported without a key (SPC-4 6.15.3.2). */
static bool release_is_left(const struct prin_reservation *before,
                            const struct prin_reservation *after, uint64_t key)
{
    if (!after->held)
        return false;
    if (spc_type_is_all_registrants(after->type))
        return before->held && before->type == after->type;
    return after->key == key;
}

/* The first answer of that kind, or NULL. */
static const struct path_answer *release_first(const struct path_answer *answers, size_t n,
                                               enum path_verdict verdict)
{
    for (size_t i = 0; i < n; i++) {
        if (answers[i].verdict == verdict)
            return &answers[i];
    }
    return NULL;
}

enum release_verdict release_judge(const struct path_answer *answers, size_t n,
                                   const struct prin_reservation *before,
                                   const struct prin_reservation *after, uint64_t key,
                                   struct reply *reply)
{
    /* In the order in which they count: no path has to agree with another. */
    static const enum path_verdict order[] = {PATH_CHECK, PATH_GOOD, PATH_STATUS, PATH_FAILED};
    const struct path_answer *answer = NULL;

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !answer; i++)
        answer = release_first(answers, n, order[i]);
    if (!answer) { /* no path at all */
        reply_sense(reply, SPC_LU_NO_RESPONSE);
        return RELEASE_ANSWERED;
    }
    *reply = answer->reply;
    if (answer->verdict != PATH_GOOD)
        return RELEASE_ANSWERED;

    if (!after) {
        reply_sense(reply, SPC_LU_COMMUNICATION_FAILURE);
        return RELEASE_UNKNOWN;
    }
    if (release_is_left(before, after, key)) {
        reply_sense(reply, SPC_LU_COMMUNICATION_FAILURE);
        return RELEASE_LEFT;
    }
    return RELEASE_ANSWERED;
}

/* The initiator port that holds the reservation, in the words of transportid_format(). */
static bool release_find_holder(const struct command *command, const struct map_paths *paths,
                                char *text, size_t size)
{
    struct prin_registrant one;
    struct prin_list list;

    if (!paths_read_full_status(paths, command->io_timeout_ms, &list))
        return false;
    while (prin_registrant_next(&list, &one) == PRIN_OK) {
        if (one.holder) {
            transportid_format(text, size, &one.transportid);
            return true;
        }
    }
    return false;
}

/* Which paths did not say GOOD: one of them, most likely, is the holder. */
static void release_explain(struct command *command, const struct map_paths *paths,
                            const struct path_answer *answers, const struct prout *prout)
{
    char names[128], holder[160];
    bool silent[MAP_PATHS_MAX];

    for (unsigned i = 0; i < paths->n; i++)
        silent[i] = answers[i].verdict != PATH_GOOD;
    map_list_paths(paths, silent, names, sizeof(names));
    command_say(command,
                "RELEASE: the reservation of key 0x%" PRIx64 " still stands, because the path that "
                "holds it cannot be used%s%s",
                prout->key, names[0] ? ": " : "", names);
    if (release_find_holder(command, paths, holder, sizeof(holder)))
        command_say(command, "its holder is %s", holder);
    command_say(command, "bring that path back and release again");
}

void command_release(struct command *command, const struct prout *prout)
{
    static struct path_answer answers[MAP_PATHS_MAX];
    static struct map_paths paths;
    struct prin_reservation before, after;
    struct reply reply;
    bool known;
    int usable = map_open_paths(&command->map, &paths);

    if (usable < 0) {
        command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
        command_say(command, "its paths cannot be listed: %s", strerror(-usable));
        return;
    }
    if (!paths_read_reservation(&paths, command->io_timeout_ms, &before, &reply)) {
        command->answer.reply = reply; /* nothing was sent yet */
        command_say(command, "RELEASE: none of its %u paths answers", paths.n);
        return;
    }
    for (unsigned i = 0; i < paths.n; i++) {
        answers[i] = (struct path_answer){.verdict = PATH_FAILED};
        if (paths.path[i].fd < 0)
            reply_sense(&answers[i].reply, SPC_LU_NO_RESPONSE);
        else
            answers[i] = paths_send(&paths.path[i], &command->request, command->io_timeout_ms);
    }
    known = paths_read_reservation(&paths, command->io_timeout_ms, &after, &reply);

    switch (release_judge(answers, paths.n, &before, known ? &after : NULL, prout->key,
                          &command->answer.reply)) {
    case RELEASE_ANSWERED:
        /* From 0.13 on multipathd remembers who holds; older ones do not know the command. */
        if (command->answer.reply.status == SPC_STATUS_GOOD)
            multipathd_tell("unsetprhold", command->map.kernel_name);
        return;
    case RELEASE_LEFT:
        release_explain(command, &paths, answers, prout);
        return;
    case RELEASE_UNKNOWN:
        command_say(command, "RELEASE: outcome unknown, since READ RESERVATION failed after it");
        return;
    }
}
