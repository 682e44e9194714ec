// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Only a reservation keeps one that is not registered from writing, so there has to be one when it
 * is over (SPC-4 5.13.1). If the host held it, PREEMPT AND ABORT makes this host its holder
 * (5.13.11.2.4.3), and it must go on holding it: unregistering would release it (5.13.11.2.3).
 */
#include "ctl/fence_act.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/interrupt.h"
#include "ctl/output.h"
#include "scsi/spc.h"

/*
 * APTPL of the last registration is that of all, and of the reservation (SPC-4 5.13.5): ours must
 * not take it from a cluster.
 */
static void fence_find_aptpl(struct fence *fence)
{
    struct prhelper_capabilities capabilities;
    struct outcome outcome;
    const uint8_t *data;
    size_t size;

    if (!fence_send(fence, &cmd_capabilities, 0, 0, 0, &outcome))
        return;
    data = session_data(&fence->session, &outcome, &size);
    if (prhelper_capabilities_decode(data, size, &capabilities) == 0 &&
        capabilities.persistent_active)
        fence->flags = PRHELPER_APTPL;
}

/* This host has to be registered, and there must be a reservation. */
static bool fence_prepare(struct fence *fence)
{
    struct outcome outcome;

    if (fence->temporary) {
        fence_find_aptpl(fence);
        if (!fence_send(fence, &cmd_register, 0, fence->key, 0, &outcome)) {
            if (outcome.r == 0 && outcome.result.status == PRHELPER_RESERVATION_CONFLICT) {
                outcome_fail(&fence->outcome, CTL_REFUSED, "this host is registered already");
                fence_refuse(fence, "Give its key with --key. Registered keys:");
                fence_list(fence);
            } else {
                fence_fail(fence, &cmd_register, &outcome);
            }
            return false;
        }
        fence->registered = true;
    }
    if (fence->state.held)
        return true;
    if (fence_send(fence, &cmd_reserve, fence->key, 0, fence->options->type, &outcome))
        return true;
    fence_fail(fence, &cmd_reserve, &outcome);
    return false;
}

/* If the device does not support PREEMPT AND ABORT, PREEMPT is used. */
static bool fence_is_unknown(const struct outcome *outcome)
{
    struct prhelper_sense sense;

    return outcome->r == 0 && outcome->result.status == PRHELPER_CHECK_CONDITION &&
           prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), &sense) ==
               0 &&
           sense.key == SPC_SENSE_ILLEGAL_REQUEST;
}

static bool fence_preempt(struct fence *fence)
{
    unsigned type = fence->state.held ? fence->state.reservation.type : fence->options->type;
    struct outcome outcome;

    for (size_t i = 0; i < fence->victims.n_keys; i++) {
        uint64_t key = fence->victims.keys[i];

        if (interrupt_came()) {
            outcome_fail(&fence->outcome, CTL_UNKNOWN,
                         "interrupted; %zu of %zu keys have been preempted", i,
                         fence->victims.n_keys);
            return fence_refuse(fence, "The host is not fenced.");
        }
        if (fence_send(fence, &cmd_preempt_abort, fence->key, key, type, &outcome))
            continue;
        if (fence_is_unknown(&outcome) &&
            fence_send(fence, &cmd_preempt, fence->key, key, type, &outcome)) {
            outcome_hint(&fence->outcome, "The device has no PREEMPT AND ABORT: what the host had "
                                          "sent before may still be written.");
            continue;
        }
        fence_fail(fence, &cmd_preempt_abort, &outcome);
        return false;
    }
    return true;
}

/* Whether it is known that the reservation would outlast our unregistering. */
static bool fence_may_leave(const struct fence *fence, const struct state *now)
{
    if (!now->known || !now->answered)
        return false;
    if (!now->held)
        return true;
    if (state_is_held_by_all(now))
        return now->count > state_count(now, fence->key);
    return now->reservation.key != fence->key;
}

/* Unregister this host, unless that would end the reservation. */
static void fence_leave(struct fence *fence, const struct state *now)
{
    struct outcome outcome;

    if (!fence->registered)
        return;
    if (!fence_may_leave(fence, now)) {
        outcome_add_line(&fence->outcome,
                         "This host %s the reservation now, with key %#018" PRIx64
                         ", which keeps %s out. When another host has taken it over, or the %s "
                         "host is down for good:",
                         now->answered ? "holds" : "may hold", fence->key,
                         fence->fenced ? "the fenced host" : "hosts that are not registered",
                         fence->fenced ? "fenced" : "other");
        outcome_add_command(&fence->outcome, fence->options,
                            "register --key=%#018" PRIx64 " --new-key=0", fence->key);
        return;
    }
    if (!fence_send(fence, &cmd_register, fence->key, 0, 0, &outcome))
        outcome_add_line(&fence->outcome, "Key %#018" PRIx64 " of this host is left registered.",
                         fence->key);
}

/* After a failure. Some keys may already be fenced, and this host may hold the reservation. */
static void fence_give_up(struct fence *fence)
{
    struct state now;

    if (!fence->registered)
        return;
    /* The connection may be what failed. */
    session_disconnect(&fence->session);
    now = (struct state){.known = false};
    if (session_connect(&fence->session) == 0)
        state_read(&fence->session, true, &now);
    fence_leave(fence, &now);
    state_deinit(&now);
}

/* No registration of it may be left on any path, and a reservation must lock it out. */
static void fence_check(struct fence *fence)
{
    const char *whom = fence->options->operand;
    struct state now;
    size_t left;

    state_read(&fence->session, true, &now);
    left = victims_left(&now, &fence->victims, whom);
    if (!fence->victims.by_host && !fence->options->force)
        left += victims_elsewhere(&fence->state, &fence->victims, &now);
    if (left == 0 &&
        (!now.known || !now.answered || (fence->victims.by_host && state_has_nameless(&now))))
        outcome_fail(&fence->outcome, CTL_UNKNOWN, "could not determine whether %s is fenced",
                     whom);
    else if (left > 0)
        outcome_fail(&fence->outcome, CTL_TROUBLE,
                     "%s is NOT fenced: %zu of its registrations are left", whom, left);
    else if (!now.held)
        outcome_fail(&fence->outcome, CTL_TROUBLE,
                     "%s is NOT fenced: there is no reservation that keeps it out", whom);
    else if (!fence->json)
        printf("fenced: %s has no registration any more (it had %zu), and a reservation of type "
               "%u keeps it out\n",
               whom, fence->victims.count, now.reservation.type);
    fence->fenced = fence->outcome.exit_status == CTL_GOOD;
    if (fence->json)
        json_object_object_add(fence->json, "fenced", json_object_new_boolean(fence->fenced));
    fence_leave(fence, &now);
    state_deinit(&now);
}

void fence_act(struct fence *fence)
{
    char notice[512];
    int n = snprintf(notice, sizeof(notice),
                     "qemu-pr-ctl: fence: interrupted; waiting for the command in progress. "
                     "Interrupt again to exit at once");

    if (fence->temporary)
        n += snprintf(notice + n, sizeof(notice) - (size_t)n,
                      ": key " OUTCOME_KEY " of this host may be left registered", fence->key);
    snprintf(notice + n, sizeof(notice) - (size_t)n, ".\n");
    interrupt_catch(notice);
    if (fence_prepare(fence) && fence_preempt(fence))
        fence_check(fence);
    else
        fence_give_up(fence);
}
