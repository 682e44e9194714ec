// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RESERVATION CONFLICT does not say which of the few usual things it is: not registered yet, a
 * reservation of another host, a key that this host does not have. Most of that can be found out
 * by reading keys, reservation and full status, which changes nothing.
 *
 * What cannot be found out is whether a holder is alive, and, as the device does not say which of
 * its registrations are of this path, whether a registration of this host is a virtual machine's.
 */
#include <inttypes.h>

#include "ctl/advice.h"

/* What there is on the device, as far as it could be read. */
struct advice_state {
    bool known; /* the keys */
    bool has_key, has_other_key;
    unsigned n_keys;
    bool held;
    struct prhelper_reservation reservation;
    char port[PRHELPER_TRANSPORTID_TEXT_MAX]; /* of the holder if there is one; or "" */
};

static bool advice_read(struct session *session, const struct command *command,
                        struct prhelper_result *ret_result)
{
    struct outcome outcome;

    session_send(session, command, &outcome);
    *ret_result = outcome.result;
    return prhelper_is_good(outcome.r, &outcome.result);
}

static void advice_read_keys(struct session *session, struct advice_state *state)
{
    const struct options *options = session->options;
    struct prhelper_result result;
    struct prhelper_list list;
    uint64_t key;
    int r;

    if (!advice_read(session, &cmd_keys, &result) ||
        prhelper_list_decode(result.data, result.size, &list) != 0)
        return;
    while ((r = prhelper_key_next(&list, &key)) == 0) {
        state->has_key |= (options->given & OPTION_KEY) && key == options->key;
        state->has_other_key |= key == options->other_key;
        state->n_keys++;
    }
    state->known = r == PRHELPER_END;
}

static void advice_read_holders(struct session *session, struct advice_state *state)
{
    struct prhelper_registrant registrant;
    struct prhelper_result result;
    struct prhelper_list list;
    unsigned n_holders = 0;

    if (!advice_read(session, &cmd_full_status, &result) ||
        prhelper_list_decode(result.data, result.size, &list) != 0)
        return;
    while (prhelper_registrant_next(&list, &registrant) == 0) {
        if (!registrant.holder)
            continue;
        n_holders++;
        if (registrant.port.size > 0)
            prhelper_transportid_format(state->port, sizeof(state->port), &registrant.port);
    }
    if (n_holders != 1)
        state->port[0] = '\0';
}

static void advice_read_state(struct session *session, struct advice_state *state)
{
    struct prhelper_result result;

    *state = (struct advice_state){.known = false};
    advice_read_keys(session, state);
    if (advice_read(session, &cmd_reservation, &result) &&
        prhelper_reservation_decode(result.data, result.size, &state->reservation) == 0)
        state->held = state->reservation.held;
    if (state->held)
        advice_read_holders(session, state);
}

static const char *advice_type_text(unsigned type)
{
    const char *name = prhelper_type_name(type);

    return name ? name : "of an unknown type";
}

static bool advice_is_held_by_all(const struct advice_state *state)
{
    return state->reservation.type == PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
           state->reservation.type == PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

/* Whether a registration is all that a host needs to write. SPC-4 5.13.1. */
static bool advice_registrants_write(const struct advice_state *state)
{
    return advice_is_held_by_all(state) ||
           state->reservation.type == PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY ||
           state->reservation.type == PRHELPER_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY;
}

static void advice_add_holder(const struct advice_state *state, struct outcome *outcome)
{
    const char *type = advice_type_text(state->reservation.type);

    if (!state->held)
        return;
    if (advice_is_held_by_all(state))
        outcome_add_line(outcome, "All registered hosts hold the reservation, %s.", type);
    else
        outcome_add_line(outcome, "Key %#" PRIx64 " holds the reservation, %s%s%s.",
                         state->reservation.key, type, state->port[0] ? ", from " : "",
                         state->port);
}

static void advice_add_look(const struct session *session, const char *what,
                            struct outcome *outcome)
{
    outcome_add_line(outcome, "%s", what);
    outcome_add_command(outcome, session->options, "full-status");
}

static void advice_replace(const struct session *session, const struct advice_state *state,
                           struct outcome *outcome)
{
    uint64_t new_key = session->options->other_key;

    advice_add_holder(state, outcome);
    if (new_key == 0)
        outcome_add_line(outcome,
                         "Warning: register-ignore removes whatever registration this host has on "
                         "this path. A running virtual machine that made it would lose it and its "
                         "reservation: its own writes may fail, and other hosts may write.");
    else
        outcome_add_line(outcome,
                         "Warning: register-ignore replaces whatever key this host has on this "
                         "path. A running virtual machine that registered it would lose it: its "
                         "commands for reservations fail, and other nodes cannot fence it by the "
                         "key that they know.");
    advice_add_look(session, "To see who is registered:", outcome);
    outcome_add_line(outcome, "Only if no virtual machine of this host uses the device:");
    outcome_add_command(outcome, session->options, "register-ignore --new-key=%#" PRIx64, new_key);
}

static void advice_register(const struct session *session, const struct advice_state *state,
                            struct outcome *outcome)
{
    const struct options *options = session->options;

    if (options->key == 0) {
        outcome_hint(outcome,
                     "This host is registered on this path already. To change its key, say the "
                     "present one with --key.");
    } else if (state->known && state->n_keys == 0 && options->other_key == 0) {
        outcome_hint(outcome, "No key is registered, so there is none to remove.");
        return;
    } else if (state->known && state->n_keys == 0) {
        outcome_hint(outcome, "No key is registered. For a first registration leave out --key:");
        outcome_add_command(outcome, options, "register --new-key=%#" PRIx64, options->other_key);
        return;
    } else if (state->known && !state->has_key) {
        outcome_hint(outcome,
                     "Key %#" PRIx64 " is not registered. For a first registration leave out "
                     "--key.",
                     options->key);
    } else {
        outcome_hint(outcome,
                     "Key %#" PRIx64 " is not the one under which this host is registered on this "
                     "path, if it is registered at all.",
                     options->key);
    }
    advice_replace(session, state, outcome);
}

static void advice_register_first(const struct session *session, const struct advice_state *state,
                                  struct outcome *outcome)
{
    const struct options *options = session->options;

    if (state->held && advice_registrants_write(state)) {
        outcome_hint(outcome, "Key %#" PRIx64 " is not registered.", options->key);
        advice_add_holder(state, outcome);
        outcome_add_line(outcome,
                         "Warning: registered hosts may write. A virtual machine of this host that "
                         "was fenced could write again beside the holder.");
        outcome_add_line(outcome, "Only if there is none, register first:");
    } else {
        outcome_hint(outcome, "Key %#" PRIx64 " is not registered. Register first:", options->key);
    }
    outcome_add_command(outcome, options, "register --new-key=%#" PRIx64, options->key);
}

static void advice_add_release(const struct advice_state *state, struct outcome *outcome)
{
    if (advice_is_held_by_all(state))
        outcome_add_line(outcome,
                         "Warning: released by one host, the reservation ends for all that are "
                         "registered: hosts that it locks out may write beside them.");
    else
        outcome_add_line(outcome, "Warning: a running virtual machine of this host that made the "
                                  "reservation would lose it: other hosts may write beside it.");
}

static void advice_reserve(const struct session *session, const struct advice_state *state,
                           struct outcome *outcome)
{
    const struct options *options = session->options;
    const struct prhelper_reservation *reservation = &state->reservation;
    const char *type = advice_type_text(reservation->type);

    if (!state->held) {
        outcome_hint(outcome,
                     "Key %#" PRIx64
                     " is registered, but not for this host on this path. To see who "
                     "has it:",
                     options->key);
        outcome_add_command(outcome, session->options, "full-status");
    } else if (advice_is_held_by_all(state) || reservation->key == options->key) {
        outcome_hint(outcome, "There is a reservation already.");
        advice_add_holder(state, outcome);
        advice_add_release(state, outcome);
        advice_add_look(session, "To see who is registered:", outcome);
        outcome_add_line(outcome, advice_is_held_by_all(state)
                                      ? "Only if no other registered host uses the device:"
                                      : "Only if no virtual machine of this host uses the device:");
        outcome_add_command(outcome, session->options, "release --key=%#" PRIx64 " --type=%s",
                            options->key, type);
    } else {
        outcome_hint(outcome, "The device is reserved under another key.");
        advice_add_holder(state, outcome);
        outcome_add_line(outcome,
                         "Warning: preempt takes registration and reservation away from key "
                         "%#" PRIx64 ". If its host is alive, its writes fail from then on, and "
                         "what runs on it loses the device. Whether it is alive can only be seen "
                         "there.",
                         reservation->key);
        advice_add_look(session, "To see which host that is:", outcome);
        outcome_add_line(outcome, "Only if it is down, and stays down:");
        outcome_add_command(outcome, session->options,
                            "preempt --key=%#" PRIx64 " --victim-key=%#" PRIx64 " --type=%s",
                            options->key, reservation->key, advice_type_text(options->type));
    }
}

void advice_conflict(struct session *session, const struct command *command,
                     struct outcome *outcome)
{
    const struct options *options = session->options;
    struct advice_state state;

    if (!command->changes) {
        outcome_hint(outcome,
                     "Another host holds the device by the RESERVE command of SPC-2, in whose "
                     "presence persistent reservations cannot even be read.");
        return;
    }
    advice_read_state(session, &state);
    if (command == &cmd_register) {
        advice_register(session, &state, outcome);
    } else if (state.known && (options->given & OPTION_KEY) && !state.has_key) {
        advice_register_first(session, &state, outcome);
    } else if (command == &cmd_reserve && state.known) {
        advice_reserve(session, &state, outcome);
    } else if ((options->given & OPTION_VICTIM_KEY) && state.known && !state.has_other_key) {
        outcome_hint(outcome,
                     "Nobody to preempt: key %#" PRIx64 " is not registered. To see which are:",
                     options->other_key);
        outcome_add_command(outcome, session->options, "full-status");
    } else {
        outcome_hint(
            outcome,
            "Is this host registered with that key, and is the reservation its own? To see:");
        outcome_add_command(outcome, session->options, "full-status");
    }
}

void advice_bad_release(struct session *session, struct outcome *outcome)
{
    struct advice_state state;

    advice_read_state(session, &state);
    if (!state.held)
        return;
    outcome_hint(outcome, "The reservation is of another type.");
    advice_add_holder(&state, outcome);
    advice_add_release(&state, outcome);
    outcome_add_line(outcome, "To release it all the same: --type=%s",
                     advice_type_text(state.reservation.type));
}
