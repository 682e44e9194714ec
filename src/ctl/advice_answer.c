// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * CHECK CONDITION says little, and what it says is about SCSI. Who reads it wants to know which of
 * the few usual things it is: a device that cannot do it, a file that is no disk.
 */
#include "ctl/advice.h"

#include "ctl/device.h"
#include "scsi/spc.h"

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
        outcome_hint(
            outcome,
            "The device does not support this command or this type. To see what it supports:");
        outcome_add_command(outcome, session->options, "capabilities");
    } else if (advice_is_sense(&sense, SPC_INVALID_FIELD_IN_PARAMETER_LIST)) {
        outcome_hint(
            outcome,
            "The device rejects one of the keys, flags or TransportIDs; on a multipath map also "
            "check reservation_key in multipath.conf. To see what the device supports:");
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
        outcome_hint(outcome, "The device or the helper is busy; try again.");
        break;
    default:
        advice_look(session, command, outcome);
        break;
    }
    if (outcome_is_unknown(outcome, command))
        outcome->exit_status = CTL_UNKNOWN;
}
