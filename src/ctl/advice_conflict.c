// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RESERVATION CONFLICT does not say which of the few usual things it is: not registered yet, a
 * reservation of another host, a key that this host does not have. Most of that can be found out
 * by reading keys, reservation and full status, which changes nothing.
 *
 * It cannot find out whether a holder is alive, and, as the device does not say which of
 * its registrations are of this path, whether a registration of this host is a virtual machine's.
 */
#include "ctl/advice.h"
#include "ctl/loss.h"
#include "ctl/state.h"

/* Whether a registration is all that a host needs to write. SPC-4 5.13.1. */
static bool advice_registrants_write(const struct state *state)
{
    return state_is_held_by_all(state) ||
           state->reservation.type == PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY ||
           state->reservation.type == PRHELPER_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY;
}

static bool advice_has_key(const struct session *session, const struct state *state)
{
    return (session->options->given & OPTION_KEY) && state_count(state, session->options->key) > 0;
}

static void advice_add_look(const struct session *session, const char *what,
                            struct outcome *outcome)
{
    outcome_add_line(outcome, "%s", what);
    outcome_add_command(outcome, session->options, "full-status");
}

/* Print which registrations the command that is suggested next would remove. */
static void advice_add_loss(const struct session *session, const struct state *state,
                            const struct command *command, uint64_t other_key, unsigned type,
                            struct outcome *outcome)
{
    struct options named = *session->options;

    named.command = command;
    named.other_key = other_key;
    named.type = type;
    loss_add(&named, state, outcome);
}

static void advice_replace(const struct session *session, const struct state *state,
                           struct outcome *outcome)
{
    uint64_t new_key = session->options->other_key;

    advice_add_loss(session, state, &cmd_register_ignore, new_key, 0, outcome);
    advice_add_look(session, "To see who is registered:", outcome);
    outcome_add_line(outcome, "Only if no virtual machine of this host uses the device:");
    outcome_add_command(outcome, session->options, "register-ignore --new-key=" OUTCOME_KEY,
                        new_key);
}

static void advice_register(const struct session *session, const struct state *state,
                            struct outcome *outcome)
{
    const struct options *options = session->options;

    if (options->key == 0) {
        outcome_hint(outcome, "This host is registered on this path already. To change its key, "
                              "give the present one with --key.");
    } else if (state->known && state->count == 0 && options->other_key == 0) {
        outcome_hint(outcome, "No key is registered, so there is none to remove.");
        return;
    } else if (state->known && state->count == 0) {
        outcome_hint(outcome, "No key is registered. For a first registration leave out --key:");
        outcome_add_command(outcome, options, "register --new-key=" OUTCOME_KEY,
                            options->other_key);
        return;
    } else if (state->known && !advice_has_key(session, state)) {
        outcome_hint(outcome,
                     "Key " OUTCOME_KEY " is not registered. For a first registration leave out "
                     "--key.",
                     options->key);
    } else {
        outcome_hint(outcome,
                     "Key " OUTCOME_KEY " is not the one under which this host is registered on "
                     "this path, if it is registered at all.",
                     options->key);
    }
    advice_replace(session, state, outcome);
}

static void advice_register_first(const struct session *session, const struct state *state,
                                  struct outcome *outcome)
{
    const struct options *options = session->options;

    if (state->held && advice_registrants_write(state)) {
        outcome_hint(outcome, "Key " OUTCOME_KEY " is not registered.", options->key);
        state_add_holder(state, outcome);
        outcome_add_line(outcome,
                         "Warning: registered hosts may write. A virtual machine of this host that "
                         "was fenced could write again despite the holder.");
        outcome_add_line(outcome, "Only if there is none, register first:");
    } else {
        outcome_hint(outcome,
                     "Key " OUTCOME_KEY " is not registered. Register first:", options->key);
    }
    outcome_add_command(outcome, options, "register --new-key=" OUTCOME_KEY, options->key);
}

/* Suggest how to release the reservation, whose type may have no name. */
static void advice_add_release(const struct session *session, const struct state *state,
                               struct outcome *outcome)
{
    const char *type = prhelper_type_name(state->reservation.type);

    if (!type) {
        state_add_holder(state, outcome);
        outcome_add_line(
            outcome,
            "Type %u is not a reservation type of SPC-4, and this program cannot release it.",
            state->reservation.type);
        return;
    }
    advice_add_loss(session, state, &cmd_release, 0, state->reservation.type, outcome);
    advice_add_look(session, "To see who is registered:", outcome);
    outcome_add_line(outcome, state_is_held_by_all(state)
                                  ? "Only if no other registered host uses the device:"
                                  : "Only if no virtual machine of this host uses the device:");
    outcome_add_command(outcome, session->options, "release --key=" OUTCOME_KEY " --type=%s",
                        session->options->key, type);
}

static void advice_reserve(const struct session *session, const struct state *state,
                           struct outcome *outcome)
{
    const struct options *options = session->options;
    const struct prhelper_reservation *reservation = &state->reservation;

    if (!state->held) {
        outcome_hint(outcome,
                     "Key " OUTCOME_KEY " is registered, but not for this host on this path. To "
                     "see who has it:",
                     options->key);
        outcome_add_command(outcome, session->options, "full-status");
    } else if (state_is_held_by_all(state) || reservation->key == options->key) {
        outcome_hint(outcome, "There is a reservation already.");
        advice_add_release(session, state, outcome);
    } else {
        outcome_hint(outcome, "The device is reserved under another key.");
        advice_add_loss(session, state, &cmd_preempt, reservation->key, options->type, outcome);
        advice_add_look(session, "To see which host that is:", outcome);
        outcome_add_line(outcome, "Only if it is down, and stays down:");
        outcome_add_command(outcome, session->options,
                            "preempt --key=" OUTCOME_KEY " --victim-key=" OUTCOME_KEY " --type=%s",
                            options->key, reservation->key, prhelper_type_name(options->type));
    }
}

static void advice_conflict_with(const struct session *session, const struct command *command,
                                 const struct state *state, struct outcome *outcome)
{
    const struct options *options = session->options;

    if (command == &cmd_register) {
        advice_register(session, state, outcome);
    } else if (state->known && (options->given & OPTION_KEY) && !advice_has_key(session, state)) {
        advice_register_first(session, state, outcome);
    } else if (command == &cmd_reserve && state->known) {
        advice_reserve(session, state, outcome);
    } else if ((options->given & OPTION_VICTIM_KEY) && state->known &&
               state_count(state, options->other_key) == 0) {
        outcome_hint(outcome,
                     "There is nothing to preempt: key " OUTCOME_KEY
                     " is not registered. To see which keys are:",
                     options->other_key);
        outcome_add_command(outcome, session->options, "full-status");
    } else {
        outcome_hint(
            outcome,
            "Is this host registered with that key, and does it hold the reservation? To check:");
        outcome_add_command(outcome, session->options, "full-status");
    }
}

void advice_conflict(struct session *session, const struct command *command,
                     struct outcome *outcome)
{
    bool who = command == &cmd_register; /* whose key might be replaced */
    struct state state;

    if (!command->changes) {
        outcome_hint(outcome,
                     "Another host has reserved the device with the RESERVE command of SPC-2. "
                     "Until it releases it, persistent reservations cannot even be read.");
        return;
    }
    state_read(session, who, &state);
    advice_conflict_with(session, command, &state, outcome);
    state_deinit(&state);
}

void advice_bad_release(struct session *session, struct outcome *outcome)
{
    struct state state;

    state_read(session, false, &state);
    if (state.held) {
        outcome_hint(outcome, "The reservation is of another type.");
        advice_add_release(session, &state, outcome);
    }
    state_deinit(&state);
}
