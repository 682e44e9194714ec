// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fence: take the disk from a host. What a person would compose of full-status, register and
 * preempt-abort, with the looks before and after it that are forgotten at night.
 *
 * Only a reservation keeps one that is not registered from writing, so there has to be one when it
 * is over (SPC-4 5.13.1). If the host held it, PREEMPT AND ABORT makes this host its holder
 * (5.13.11.2.4.3), and it must go on holding it: unregistering would release it (5.13.11.2.3).
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/advice.h"
#include "ctl/command.h"
#include "ctl/consent.h"
#include "ctl/device.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "ctl/victims.h"
#include "scsi/spc.h"

#define FENCE_PREFIX   0x7072666500000000u /* "prfe": by which a key that was left is known */
#define FENCE_WATCH_MS 3000

/* What one run needs. */
struct fence {
    const struct options *options;
    struct options step; /* of the command that is being sent */
    struct session session;
    struct outcome outcome;
    struct state state; /* as it was before */
    struct victims victims;
    struct json_object *json; /* NULL: text */
    uint64_t key;             /* ours */
    bool temporary;           /* it was made for this */
    bool registered;          /* and is registered */
    bool fenced;              /* and it is over */
    unsigned flags;           /* of a registration: PRHELPER_APTPL, or none */
};

static uint64_t fence_draw_key(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint32_t)clock_now_us();
    return FENCE_PREFIX | number | 1;
}

static bool fence_refuse(struct fence *fence, const char *hint)
{
    outcome_hint(&fence->outcome, "%s", hint);
    return false;
}

/* Send one command as if it had been typed. True: GOOD. */
static bool fence_send(struct fence *fence, const struct command *command, uint64_t key,
                       uint64_t other, unsigned type, struct outcome *outcome)
{
    fence->step = *fence->options;
    fence->step.command = command;
    fence->step.key = key;
    fence->step.other_key = other;
    fence->step.type = type;
    fence->step.flags = command == &cmd_register ? fence->flags : 0;
    fence->session.options = &fence->step;
    session_send(&fence->session, command, outcome);
    return prhelper_is_good(outcome->r, &outcome->result);
}

/* It failed: say so in the words of that command. */
static void fence_fail(struct fence *fence, const struct command *command,
                       const struct outcome *outcome)
{
    fence->outcome = *outcome;
    if (outcome->r == 0)
        advice_answer(&fence->session, command, &fence->outcome);
    else
        advice_failure(&fence->session, command, &fence->outcome);
}

static bool fence_open(struct fence *fence)
{
    struct device_facts facts;
    int r = session_open_device(&fence->session, fence->options);

    if (r < 0) {
        advice_device(&fence->session, r, &fence->outcome);
        return false;
    }
    facts = device_examine(fence->session.device_fd);
    if (fence->options->direct && !facts.is_scsi) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "refused");
        outcome_hint(&fence->outcome, "This is %s.", device_objection(&facts, true));
        return false;
    }
    r = session_connect(&fence->session);
    if (r == 0)
        return true;
    advice_connect(&fence->session, r, &fence->outcome);
    return false;
}

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

static void fence_list(struct fence *fence)
{
    for (size_t i = 0; i < fence->state.count; i++)
        outcome_add_line(&fence->outcome, "  %#018" PRIx64 "  %s%s",
                         fence->state.registrations[i].key, fence->state.registrations[i].initiator,
                         fence->state.registrations[i].holder ? "  (holds the reservation)" : "");
}

/* Who it is, and whether it is clear that no other host is meant. */
static bool fence_find(struct fence *fence)
{
    struct victims *victims = &fence->victims;
    const char *whom = fence->options->operand;

    state_read(&fence->session, true, &fence->state);
    victims_find(&fence->state, whom, victims);
    if (!fence->state.known) {
        outcome_fail(&fence->outcome, CTL_UNKNOWN, "who is registered could not be read");
        return fence_refuse(fence, "Nothing was sent. See 'qemu-pr-ctl keys'.");
    }
    if (!fence->state.answered) {
        outcome_fail(&fence->outcome, CTL_UNKNOWN, "who holds the reservation could not be read");
        return fence_refuse(fence, "Nothing was sent. See 'qemu-pr-ctl reservation'.");
    }
    if (victims->by_host && state_has_nameless(&fence->state)) {
        outcome_fail(&fence->outcome, CTL_REFUSED,
                     "not of all registrations is it known whose they are");
        fence_refuse(fence,
                     "READ FULL STATUS does not name them, so a host cannot be fenced by its "
                     "name. Nothing was sent. Give its key; registered are:");
        fence_list(fence);
        return false;
    }
    if (victims->count == 0) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "%s is not registered", whom);
        outcome_hint(&fence->outcome, "%s%s",
                     !fence->state.held
                         ? "There is no reservation either, so it may write all the same."
                         : "It has no access that a fence could take.",
                     fence->state.count > 0 ? " Registered are:" : " No host is registered.");
        fence_list(fence);
        return false;
    }
    if ((victims->others > 0 || victims->too_many) && !fence->options->force) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "others have a key of %s as well", whom);
        fence_refuse(fence, "A key is all that PREEMPT knows, so they would lose the disk too; "
                            "--force says that they may. Registered are:");
        fence_list(fence);
        return false;
    }
    if (!victims->by_host && !fence->options->force &&
        victims_elsewhere(&fence->state, victims, &fence->state) > 0) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "the host of %s has other keys as well", whom);
        fence_refuse(fence, "It would go on writing by them. Name the host in place of the key; or "
                            "--force fences this key alone. Registered are:");
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
                               "stops nothing. --type=write-exclusive-registrants-only lets this "
                               "host reserve first; others that are registered go on writing.");
}

/* Does anything tell that it is alive? Only what is on the device can be seen from here. */
static void fence_watch(struct fence *fence, char *text, size_t size)
{
    const char *whom = fence->options->operand;
    uint32_t generation = fence->state.reservation.generation;
    struct state now;

    poll(NULL, 0, FENCE_WATCH_MS);
    state_read(&fence->session, true, &now);
    if (!now.known)
        snprintf(text, size, "Whether it is alive could not be seen.");
    else if (victims_left(&now, &fence->victims, whom) != fence->victims.count)
        snprintf(text, size, "It is alive: its registrations changed within %d s.",
                 FENCE_WATCH_MS / 1000);
    else if (now.held && generation != now.reservation.generation)
        snprintf(text, size, "Some host is at work: registrations changed within %d s.",
                 FENCE_WATCH_MS / 1000);
    else
        snprintf(text, size,
                 "Within %d s it changed no registration, which says nothing for certain: most "
                 "hosts never do.",
                 FENCE_WATCH_MS / 1000);
    state_deinit(&now);
}

/* A question for each key; --yes is the answer to all. */
static bool fence_agree(struct fence *fence)
{
    unsigned type = fence->state.held ? fence->state.reservation.type : fence->options->type;

    for (size_t i = 0; i < fence->victims.n_keys; i++) {
        fence->step = *fence->options;
        fence->step.command = &cmd_preempt_abort;
        fence->step.key = fence->key;
        fence->step.other_key = fence->victims.keys[i];
        fence->step.type = type;
        fence->session.options = &fence->step;
        if (fence->options->dry_run)
            consent_show(&fence->session, &fence->outcome, fence->json);
        else if (!consent_obtain(&fence->session, &fence->outcome, fence->json))
            return false;
        if (fence->options->dry_run && fence->json)
            break; /* one object has room for one */
    }
    return !fence->options->dry_run;
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
                fence_refuse(fence, "Give its key with --key. Registered are:");
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

/* Of a device without PREEMPT AND ABORT, PREEMPT has to do. */
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

/* Leave the device, unless the reservation would end by it. */
static void fence_leave(struct fence *fence, const struct state *now)
{
    struct outcome outcome;

    if (!fence->registered)
        return;
    if (!fence_may_leave(fence, now)) {
        outcome_add_line(&fence->outcome,
                         "This host %s the reservation now, with key %#018" PRIx64
                         ". It keeps %s out; when another host has taken it over, or "
                         "the %s host is down for good:",
                         now->answered ? "holds" : "may hold", fence->key,
                         fence->fenced ? "the fenced host" : "those that are not registered",
                         fence->fenced ? "fenced" : "other");
        outcome_add_command(&fence->outcome, fence->options,
                            "register --key=%#018" PRIx64 " --new-key=0", fence->key);
        return;
    }
    if (!fence_send(fence, &cmd_register, fence->key, 0, 0, &outcome))
        outcome_add_line(&fence->outcome, "Key %#018" PRIx64 " of this host is left registered.",
                         fence->key);
}

/* Something failed. By then some keys may be fenced, and the reservation be of this host. */
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

/* Nothing of it may be left, by any path, and something must keep it out. */
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
        outcome_fail(&fence->outcome, CTL_UNKNOWN, "whether %s is fenced could not be read", whom);
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

static void fence_tell(struct fence *fence)
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

/* Of such a type those that are registered do not hold a part of it. */
static bool fence_is_narrow(unsigned type)
{
    return type == PRHELPER_WRITE_EXCLUSIVE || type == PRHELPER_EXCLUSIVE_ACCESS;
}

static void fence_work(struct fence *fence)
{
    char alive[256] = "";

    if (!fence_open(fence) || !fence_find(fence))
        return;
    fence_tell(fence);
    /* Where a user decides by it. */
    if (fence->options->dry_run || (!fence->options->yes && isatty(STDIN_FILENO))) {
        fence_watch(fence, alive, sizeof(alive));
        if (fence->json)
            output_add_text(fence->json, "alive", alive);
        else
            printf("%s\n", alive);
        fflush(stdout);
    }
    if (!fence->state.held && !fence->json)
        printf("This host reserves it first, %s: %s can no longer write.\n",
               prhelper_type_name(fence->options->type),
               fence_is_narrow(fence->options->type) ? "all other hosts, registered or not,"
                                                     : "hosts that are not registered");
    fflush(stdout);
    if (!fence_agree(fence))
        return;
    if (fence_prepare(fence) && fence_preempt(fence))
        fence_check(fence);
    else
        fence_give_up(fence);
}

static int fence_run(const struct options *options)
{
    struct fence fence = {
        .options = options,
        .json = options->json ? json_object_new_object() : NULL,
        .key = options->given & OPTION_KEY ? options->key : fence_draw_key(),
        .temporary = !(options->given & OPTION_KEY),
    };

    fence.outcome.exit_status = CTL_GOOD;
    fence.outcome.r = PRHELPER_DEAD;
    fence.outcome.result.status = PRHELPER_STATUS_NONE;
    fence_work(&fence);
    session_close(&fence.session);
    state_deinit(&fence.state);
    if (fence.outcome.exit_status == CTL_GOOD && fence.outcome.hint[0] && !fence.json)
        output_print_lines(stdout, fence.outcome.hint + (fence.outcome.hint[0] == '\n'));
    return output_finish(options, &fence.outcome, fence.json);
}

const struct command cmd_fence = {
    .name = "fence",
    .summary = "Take the disk from a host, and see that it is taken",
    .about = "KEY|HOST is one of its keys, or its initiator port as full-status shows it, or the\n"
             "part of its iSCSI name behind the last colon. Without --key this host registers for\n"
             "it, and unregisters again unless it has to keep the reservation. It asks first.",
    .takes = OPTION_KEY | OPTION_TYPE | OPTION_FORCE | OPTION_YES | OPTION_DIRECT,
    .changes = true,
    .wants = COMMAND_OPERAND_DEVICE,
    .run = fence_run,
};
