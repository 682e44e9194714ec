// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RESERVATION CONFLICT and CHECK CONDITION say little, and what they say is about SCSI. Who reads
 * them wants to know which of the few usual things it is: not registered yet, somebody else's
 * reservation, a device that cannot do it, a file that is no disk. Most of that can be found out
 * by reading keys and reservation once more, which changes nothing.
 */
#include "ctl/advice.h"

#include <inttypes.h>

#include "ctl/device.h"
#include "scsi/spc.h"

/* What there is on the device, as far as it could be read. */
struct advice_state {
    bool known; /* the keys */
    bool has_key, has_other_key;
    bool held;
    struct prhelper_reservation reservation;
};

static bool advice_read(struct session *session, const struct command *command,
                        struct prhelper_result *ret_result)
{
    struct outcome outcome;

    session_send(session, command, &outcome);
    *ret_result = outcome.result;
    return prhelper_is_good(outcome.r, &outcome.result);
}

static void advice_read_state(struct session *session, struct advice_state *state)
{
    const struct options *options = session->options;
    struct prhelper_result result;
    struct prhelper_list list;
    uint64_t key;

    *state = (struct advice_state){.known = false};
    if (advice_read(session, &cmd_keys, &result) &&
        prhelper_list_decode(result.data, result.size, &list) == 0) {
        int r;

        while ((r = prhelper_key_next(&list, &key)) == 0) {
            state->has_key |= (options->given & OPTION_KEY) && key == options->key;
            state->has_other_key |= key == options->other_key;
        }
        state->known = r == PRHELPER_END;
    }
    if (advice_read(session, &cmd_reservation, &result) &&
        prhelper_reservation_decode(result.data, result.size, &state->reservation) == 0)
        state->held = state->reservation.held;
}

static const char *advice_type_text(unsigned type)
{
    const char *name = prhelper_type_name(type);

    return name ? name : "of an unknown type";
}

static void advice_register(const struct session *session, const struct advice_state *state,
                            struct outcome *outcome)
{
    const struct options *options = session->options;

    if (options->key == 0)
        outcome_hint(outcome,
                     "This host is registered already. Say its present key with --key, or:");
    else if (state->known && !state->has_key)
        outcome_hint(outcome,
                     "Nobody is registered with key %#" PRIx64
                     ". For a first registration leave out "
                     "--key; to replace whatever key there is:",
                     options->key);
    else
        outcome_hint(outcome,
                     "Key %#" PRIx64 " is not the one under which this host is registered on this "
                     "path. Without knowing that:",
                     options->key);
    outcome_add_command(outcome, session->options, "register-ignore --new-key=%#" PRIx64,
                        options->other_key);
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
    } else if (reservation->key == options->key || reservation->key == 0) {
        outcome_hint(outcome, "There is a reservation already, %s. Release it first:", type);
        outcome_add_command(outcome, session->options, "release --key=%#" PRIx64 " --type=%s",
                            options->key, type);
    } else {
        outcome_hint(outcome,
                     "Key %#" PRIx64 " holds a reservation, %s. To take it away from its holder:",
                     reservation->key, type);
        outcome_add_command(outcome, session->options,
                            "preempt --key=%#" PRIx64 " --victim-key=%#" PRIx64 " --type=%s",
                            options->key, reservation->key, advice_type_text(options->type));
    }
}

static void advice_conflict(struct session *session, const struct command *command,
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
        outcome_hint(outcome, "Key %#" PRIx64 " is not registered. Register first:", options->key);
        outcome_add_command(outcome, session->options, "register --new-key=%#" PRIx64,
                            options->key);
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

/* No advice but this: the answer leaves open what the device has done. */
static void advice_look(const struct session *session, const struct command *command,
                        struct outcome *outcome)
{
    if (outcome_is_unknown(outcome, command))
        advice_unknown(session, command, "The transport or the device gave up or was reset.",
                       outcome);
}

/* 5/20/00: a device that does not know the command, or a helper that does not pass it on. */
static void advice_not_supported(const struct session *session, const struct command *command,
                                 struct outcome *outcome)
{
    const struct device_facts facts = device_examine(session->device_fd);
    const char *objection = device_objection(&facts, command->changes);

    if (objection) {
        outcome->exit_status = CTL_REFUSED;
        outcome_hint(outcome, "This is %s.", objection);
    } else if (session->options->direct) {
        outcome_hint(outcome, "The device has no persistent reservations.");
    } else {
        outcome_hint(outcome,
                     "Either the device has no persistent reservations, or the helper lacks "
                     "CAP_SYS_RAWIO, which its log says.");
    }
}

static void advice_bad_release(struct session *session, struct outcome *outcome)
{
    struct advice_state state;

    advice_read_state(session, &state);
    if (state.held)
        outcome_hint(outcome, "The reservation is of another type: --type=%s",
                     advice_type_text(state.reservation.type));
}

static bool advice_is_sense(const struct prhelper_sense *sense, struct spc_sense code)
{
    return sense->key == code.key && sense->asc == code.asc && sense->ascq == code.ascq;
}

static void advice_check(struct session *session, const struct command *command,
                         struct outcome *outcome)
{
    struct prhelper_sense sense;

    if (prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), &sense) != 0) {
        advice_look(session, command, outcome);
        return;
    }
    if (advice_is_sense(&sense, SPC_INVALID_OPERATION_CODE)) {
        advice_not_supported(session, command, outcome);
    } else if (advice_is_sense(&sense, SPC_INVALID_FIELD_IN_CDB)) {
        outcome_hint(outcome, "The device does not know this command or this type. What it knows:");
        outcome_add_command(outcome, session->options, "capabilities");
    } else if (advice_is_sense(&sense, SPC_INVALID_FIELD_IN_PARAMETER_LIST)) {
        outcome_hint(outcome,
                     "The device does not take one of the keys, flags or TransportIDs; on a "
                     "multipath map also see reservation_key in multipath.conf. What the "
                     "device takes:");
        outcome_add_command(outcome, session->options, "capabilities");
    } else if (advice_is_sense(&sense, SPC_INVALID_RELEASE)) {
        advice_bad_release(session, outcome);
    } else if (advice_is_sense(&sense, SPC_INSUFFICIENT_REGISTRATION_RESOURCES)) {
        outcome_hint(outcome, "The device has no room for one more registration.");
    } else if (advice_is_sense(&sense, SPC_LU_COMMUNICATION_FAILURE_NOT_READY)) {
        if (command->changes)
            advice_conflict(session, command, outcome);
    } else if (sense.key == SPC_SENSE_ABORTED_COMMAND) {
        advice_unknown(session, command, "The transport or the device gave up or was reset.",
                       outcome);
    } else if (sense.key == SPC_SENSE_NOT_READY && !outcome_is_unknown(outcome, command)) {
        outcome_hint(outcome, "The device is not ready; try again.");
    } else {
        advice_look(session, command, outcome);
    }
}

void advice_answer(struct session *session, const struct command *command, struct outcome *outcome)
{
    uint8_t status = outcome->result.status;
    char text[PRHELPER_TEXT_MAX];

    if (status == PRHELPER_GOOD)
        return;
    prhelper_describe(text, sizeof(text), 0, &outcome->result);
    outcome_fail(outcome, CTL_OTHER, "%s", text);
    switch (status) {
    case PRHELPER_RESERVATION_CONFLICT:
        outcome->exit_status = CTL_CONFLICT;
        advice_conflict(session, command, outcome);
        break;
    case PRHELPER_CHECK_CONDITION:
        outcome->exit_status = CTL_CHECK;
        advice_check(session, command, outcome);
        break;
    case PRHELPER_BUSY:
    case PRHELPER_TASK_SET_FULL:
        outcome_hint(outcome, "The device or the helper has too much to do; try again.");
        break;
    default:
        advice_look(session, command, outcome);
        break;
    }
}
