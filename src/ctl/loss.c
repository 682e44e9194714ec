// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The device does not say which of its registrations are of this path, and a host and its virtual
 * machines are one nexus to it. So a command that changes the registration of this nexus, no matter
 * what it is, may take that of a running virtual machine; all that could be it are listed.
 *
 * SPC-4 5.13.11.2.2 (RELEASE), 5.13.11.2.3 (unregistering), 5.13.11.2.4 (PREEMPT), 5.13.11.2.7
 * (CLEAR), 5.13.8 (REGISTER AND MOVE), 5.13.7 (REGISTER AND IGNORE EXISTING KEY).
 */
#include "ctl/loss.h"

#include <stdio.h>
#include <string.h>

#include "ctl/device.h"
#include "ctl/output.h"

/* Registrations that are listed; beyond that there is their number. */
#define LOSS_LINES_MAX 16

static bool loss_is_preempt(const struct command *command)
{
    return command == &cmd_preempt || command == &cmd_preempt_abort;
}

static bool loss_is_all_registrants(unsigned type)
{
    return type == PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
           type == PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

/* At most one of the registrations of loss_of() is lost: the one of this path. */
static bool loss_is_of_this_path(const struct command *command)
{
    return command == &cmd_register || command == &cmd_register_ignore || command == &cmd_cleanup;
}

/* A preempt of all: those with our own key may be others as well, but one is ourselves. */
static bool loss_is_preempted(const struct options *options, const struct state *state,
                              const struct state_registration *one)
{
    if (options->other_key == 0)
        return (state_is_held_by_all(state) || !state->answered) &&
               (one->key != options->key || state_count(state, options->key) > 1);
    return one->key == options->other_key;
}

/* One of a type that not all hold is given up by its holder only, and nothing happens to others. */
static bool loss_is_released(const struct options *options, const struct state *state,
                             const struct state_registration *one)
{
    if (!state->answered)
        return loss_is_all_registrants(options->type);
    return state->held && options->type == state->reservation.type && one->holder &&
           (state_is_held_by_all(state) || one->key == options->key);
}

/*
 * The one that the reservation moves to, if it has registered by itself: its key becomes the new
 * one (SPC-4 5.13.8). A registration without a name may be it, unless it is that of this path.
 */
static bool loss_is_moved_to(const struct options *options, const struct state_registration *one)
{
    char port[PRHELPER_TRANSPORTID_TEXT_MAX];

    if (one->key == options->other_key)
        return false;
    if (!one->initiator[0] || options->n_transport_ids == 0)
        return one->key != options->key;
    prhelper_transportid_format(port, sizeof(port), &options->transport_ids[0]);
    return strcmp(one->initiator, port) == 0 &&
           (one->all_tg_pt || one->target_port == options->target_port);
}

static unsigned loss_of(const struct options *options, const struct state *state,
                        const struct state_registration *one)
{
    const struct command *command = options->command;
    unsigned all = LOSS_REGISTRATION | (one->holder ? LOSS_RESERVATION : 0u);

    if (loss_is_preempt(command))
        return loss_is_preempted(options, state, one) ? all : LOSS_NONE;
    if (command == &cmd_clear)
        return all;
    if (command == &cmd_release)
        return loss_is_released(options, state, one) ? LOSS_RESERVATION : LOSS_NONE;
    if (command == &cmd_register_move)
        return loss_is_moved_to(options, one) ? LOSS_KEY : LOSS_NONE;
    if (command == &cmd_register_ignore && options->other_key != 0)
        return one->key != options->other_key ? LOSS_KEY : LOSS_NONE;
    if (command == &cmd_register_ignore)
        return all;
    if (command == &cmd_cleanup && !(options->given & OPTION_KEY))
        return LOSS_NONE; /* which registrations are the map's is not told here */
    if (command == &cmd_cleanup || (command == &cmd_register && options->other_key == 0))
        return one->key == options->key ? all : LOSS_NONE;
    return LOSS_NONE;
}

static bool loss_is_map(const struct session *session)
{
    switch (device_examine(session->device_fd).kind) {
    case DEVICE_DM_MULTIPATH:
    case DEVICE_BLOCK:
    case DEVICE_UNKNOWN:
        return true;
    default:
        return false;
    }
}

bool loss_is_possible(const struct session *session, const struct options *options,
                      const struct state *state)
{
    const struct command *command = options->command;

    if (loss_is_preempt(command) || command == &cmd_clear)
        return true;
    if (command == &cmd_register)
        return options->other_key == 0;
    if (command == &cmd_release)
        return loss_is_all_registrants(options->type);
    if (command == &cmd_cleanup)
        return options->given & OPTION_KEY || loss_is_map(session);
    if (command != &cmd_register_ignore && command != &cmd_register_move)
        return false;
    if (!state)
        return true;
    for (size_t i = 0; i < state->count; i++) {
        if (loss_of(options, state, &state->registrations[i]))
            return true;
    }
    return !state->known;
}

static const char *loss_warning(const struct options *options)
{
    const struct command *command = options->command;

    if (loss_is_preempt(command))
        return "if what runs there is alive, its writes fail from then on, and it loses the "
               "device. Check there whether it is alive.";
    if (command == &cmd_clear)
        return "every host loses its registration, and the holder the reservation: running virtual "
               "machines, here and on other hosts, can no longer fence each other, and hosts that "
               "were locked out may write.";
    if (command == &cmd_release)
        return loss_is_all_registrants(options->type)
                   ? "when one host releases it, the reservation ends for all registrants: hosts "
                     "that it locks out may then write."
                   : "a running virtual machine of this host that made the reservation would lose "
                     "it: other hosts may then write.";
    if (command == &cmd_register_move)
        return "a host that has itself registered through that port loses its key: its reservation "
               "commands fail, and other nodes cannot fence it by the key that they know.";
    if (command == &cmd_register_ignore && options->other_key != 0)
        return "register-ignore replaces any key that this host has on this path. A running "
               "virtual machine that registered it would lose it: its reservation commands fail, "
               "and other nodes cannot fence it by the key that they know.";
    if (command == &cmd_cleanup && !(options->given & OPTION_KEY))
        return "a running virtual machine of this host that uses the map would lose its "
               "registration on all paths, and its reservation: its own writes may fail, and "
               "other hosts may write.";
    return "a running virtual machine of this host that made the registration would lose it and "
           "its reservation: its own writes may fail, and other hosts may write.";
}

static void loss_add_one(const struct state_registration *one, unsigned loss,
                         struct outcome *outcome)
{
    char port[16] = "";

    if (one->all_tg_pt)
        snprintf(port, sizeof(port), ", all ports");
    else if (one->named)
        snprintf(port, sizeof(port), ", port %#x", one->target_port);
    outcome_add_line(outcome, "  key " OUTCOME_KEY "%s%s%s: %s", one->key,
                     one->initiator[0] ? ", " : "", one->initiator, port,
                     loss & LOSS_KEY             ? "its key"
                     : loss == LOSS_REGISTRATION ? "its registration"
                     : loss == LOSS_RESERVATION  ? "the reservation"
                                                 : "its registration and the reservation");
}

/* It holds the reservation, and READ KEYS has not got it: lists that do not go together. */
static bool loss_is_holder_unlisted(const struct state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        if (state->registrations[i].holder)
            return false;
    }
    return state->held;
}

/*
 * Of a type that only its holder may write by, those that stay registered lose the device too: the
 * type of a reservation that is preempted is the new one (SPC-4 5.13.11.2.4.3).
 */
static void loss_add_narrowed(const struct options *options, const struct state *state,
                              struct outcome *outcome)
{
    bool narrow = options->type == PRHELPER_WRITE_EXCLUSIVE ||
                  options->type == PRHELPER_EXCLUSIVE_ACCESS;
    bool replaced = !state->answered || loss_is_holder_unlisted(state);
    size_t others = 0;
    bool own = false; /* has been met */

    if (!loss_is_preempt(options->command) || !narrow)
        return;
    for (size_t i = 0; i < state->count; i++) {
        const struct state_registration *one = &state->registrations[i];

        if (loss_of(options, state, one)) {
            replaced |= one->holder;
        } else if (one->key == options->key && !own) {
            own = true;
        } else {
            others++;
        }
    }
    if (replaced && others > 0 && (!state->held || state->reservation.type != options->type))
        outcome_add_line(
            outcome,
            "With the new type, %s, only this host may %s: %zu that stay%s registered may not.",
            prhelper_type_name(options->type),
            options->type == PRHELPER_WRITE_EXCLUSIVE ? "write" : "read or write", others,
            others == 1 ? "s" : "");
}

static const char *loss_head(const struct command *command, size_t losers)
{
    if (!loss_is_of_this_path(command))
        return losers == 1 ? "This registrant loses:" : "These registrants lose:";
    return losers == 1 ? "This registrant loses, if it is the one of this path:"
                       : "One of these registrants, the one of this path, may lose; the device "
                         "does not report which that is:";
}

bool loss_add(const struct options *options, const struct state *state, struct outcome *outcome)
{
    size_t losers = 0, shown = 0;
    bool anything;

    for (size_t i = 0; i < state->count; i++)
        losers += loss_of(options, state, &state->registrations[i]) != LOSS_NONE;
    anything = losers > 0 || !state->known || !state->answered || loss_is_holder_unlisted(state) ||
               (options->command == &cmd_cleanup && !(options->given & OPTION_KEY));
    if (!anything)
        return false;
    state_add_holder(state, outcome);
    if (losers > 0)
        outcome_add_line(outcome, "%s", loss_head(options->command, losers));
    for (size_t i = 0; i < state->count && shown < LOSS_LINES_MAX; i++) {
        unsigned loss = loss_of(options, state, &state->registrations[i]);

        if (loss == LOSS_NONE)
            continue;
        loss_add_one(&state->registrations[i], loss, outcome);
        shown++;
    }
    if (shown < losers)
        outcome_add_line(outcome, "  and %zu more", losers - shown);
    loss_add_narrowed(options, state, outcome);
    if (!state->known)
        outcome_add_line(outcome, "The registrations could not be read%s.",
                         losers > 0 ? " to its end" : "");
    outcome_add_line(outcome, "Warning: %s", loss_warning(options));
    return true;
}

struct json_object *loss_to_json(const struct options *options, const struct state *state)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < state->count; i++) {
        const struct state_registration *one = &state->registrations[i];
        unsigned loss = loss_of(options, state, one);
        struct json_object *json;

        if (loss == LOSS_NONE)
            continue;
        json = json_object_new_object();
        json_object_object_add(json, "key", output_key(one->key));
        output_add_text(json, "initiator", one->initiator);
        if (one->named && !one->all_tg_pt)
            json_object_object_add(json, "relative_target_port",
                                   json_object_new_int(one->target_port));
        json_object_object_add(json, "registration",
                               json_object_new_boolean(loss & (LOSS_REGISTRATION | LOSS_KEY)));
        json_object_object_add(json, "reservation",
                               json_object_new_boolean(loss & LOSS_RESERVATION));
        json_object_array_add(array, json);
    }
    return array;
}
