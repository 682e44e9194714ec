// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ctl/fence_whom.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "ctl/output.h"

#define FENCE_WATCH_MS 3000

bool fence_whom_find(struct fence *fence)
{
    struct victims *victims = &fence->victims;
    const char *whom = fence->options->operand;

    state_read(&fence->session, true, &fence->state);
    victims_find(&fence->state, whom, victims);
    if (!fence->state.known) {
        outcome_fail(&fence->outcome, CTL_UNKNOWN, "the registrations could not be read");
        return fence_refuse(
            fence, fence->state.cut
                       ? "It has more registrations than fit into an answer of the helper. As "
                         "root, use --direct to read all of them. Nothing was sent."
                       : "Nothing was sent. See 'qemu-pr-ctl keys'.");
    }
    if (!fence->state.answered) {
        outcome_fail(&fence->outcome, CTL_UNKNOWN,
                     "the holder of the reservation could not be read");
        return fence_refuse(fence, "Nothing was sent. See 'qemu-pr-ctl reservation'.");
    }
    if (victims->by_host && state_has_nameless(&fence->state)) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "the owners of some registrations are unknown");
        fence_refuse(fence, "READ FULL STATUS does not name them, so a host cannot be fenced by "
                            "its name. Nothing was sent. Give its key. Registered keys:");
        fence_list(fence);
        return false;
    }
    if (victims->count == 0) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "%s is not registered", whom);
        outcome_hint(&fence->outcome, "%s%s",
                     !fence->state.held ? "There is no reservation either, so it may still write."
                                        : "It has no access that a fence could take away.",
                     fence->state.count > 0 ? " Registered keys:" : " No host is registered.");
        fence_list(fence);
        return false;
    }
    if ((victims->others > 0 || victims->too_many) && !fence->options->force) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "other hosts also have a key of %s", whom);
        fence_refuse(fence, "PREEMPT identifies hosts by their keys alone, so they would lose the "
                            "disk too. --force allows that. Registered keys:");
        fence_list(fence);
        return false;
    }
    if (!victims->by_host && !fence->options->force &&
        victims_elsewhere(&fence->state, victims, &fence->state) > 0) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "the host of %s also has other keys", whom);
        fence_refuse(fence, "It could still write with them. Name the host instead of the key, or "
                            "use --force to fence this key alone. Registered keys:");
        fence_list(fence);
        return false;
    }
    for (size_t i = 0; i < victims->n_keys; i++) {
        if (fence->options->given & OPTION_KEY && victims->keys[i] == fence->options->key) {
            outcome_fail(&fence->outcome, CTL_REFUSED, "that is the key of this host");
            return fence_refuse(fence, "A host cannot fence itself.");
        }
    }
    if (fence->state.held || fence->options->given & OPTION_TYPE)
        return true;
    outcome_fail(&fence->outcome, CTL_REFUSED, "there is no reservation");
    return fence_refuse(fence, "Without one every host may write, registered or not, and a fence "
                               "stops nothing. --type=write-exclusive-registrants-only makes this "
                               "host reserve first; other registered hosts may still write.");
}

void fence_whom_watch(struct fence *fence, char *text, size_t size)
{
    const char *whom = fence->options->operand;
    uint32_t generation = fence->state.reservation.generation;
    struct state now;

    poll(NULL, 0, FENCE_WATCH_MS);
    state_read(&fence->session, true, &now);
    if (!now.known)
        snprintf(text, size, "It could not be determined whether it is alive.");
    else if (victims_left(&now, &fence->victims, whom) != fence->victims.count)
        snprintf(text, size, "It is alive: its registrations changed within %d s.",
                 FENCE_WATCH_MS / 1000);
    else if (now.held && generation != now.reservation.generation)
        snprintf(text, size, "Some host is active: registrations changed within %d s.",
                 FENCE_WATCH_MS / 1000);
    else
        snprintf(
            text, size,
            "Within %d s it changed no registration. That proves nothing: most hosts never do.",
            FENCE_WATCH_MS / 1000);
    state_deinit(&now);
}

void fence_whom_tell(const struct fence *fence)
{
    struct json_object *array = fence->json ? json_object_new_array() : NULL;

    for (size_t i = 0; i < fence->state.count; i++) {
        const struct state_registration *one = &fence->state.registrations[i];
        struct state only = {.registrations = (struct state_registration *)one, .count = 1};

        if (victims_left(&only, &fence->victims, fence->options->operand) == 0)
            continue;
        if (!array) {
            printf("%s: key %#018" PRIx64 "%s%s%s\n", fence->options->operand, one->key,
                   one->initiator[0] ? ", " : "", one->initiator,
                   one->holder ? ", holds the reservation" : "");
            continue;
        }
        struct json_object *victim = json_object_new_object();

        json_object_object_add(victim, "key", output_key(one->key));
        output_add_text(victim, "initiator", one->initiator);
        json_object_object_add(victim, "holder", json_object_new_boolean(one->holder));
        json_object_array_add(array, victim);
    }
    if (array)
        json_object_object_add(fence->json, "victims", array);
}
