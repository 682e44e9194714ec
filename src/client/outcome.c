// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Was the command carried out? The answer decides whether its sender may send it again, must look
 * at the device first, or may go on to write. So there are three answers, and what is not known for
 * certain is unknown: a helper has to tell everything that happens on the way to the device as a
 * SCSI status, and most of what it has no status for becomes ABORTED COMMAND or HARDWARE ERROR.
 *
 * NOT DONE is said only of statuses and sense keys with which a device server declines a command:
 * SAM-5 5.3.1, Status codes; SPC-4 4.5, Sense key and sense code definitions.
 */
#include "client/prhelper.h"
#include "scsi/sense.h"
#include "scsi/spc.h"

/* LOGICAL UNIT COMMUNICATION FAILURE and its kin: any number of things may have happened. LIO says
 * it of a command of a client that is not registered, but also when it has changed a registration
 * and could not save it. */
#define ASC_LU_COMMUNICATION 0x08

/* POWER ON, RESET, OR BUS DEVICE RESET OCCURRED and its kin. A unit attention comes in place of a
 * command that was not carried out (SAM-5 5.14), but helpers also say this when the transport was
 * reset under the command. */
#define ASC_RESET 0x29

static enum prhelper_outcome outcome_of_sense(const struct prhelper_result *result)
{
    struct spc_sense code;

    if (!sense_decode(result->sense, sizeof(result->sense), &code))
        return PRHELPER_OUTCOME_UNKNOWN;
    /* It is of an earlier command, and this one was not carried out. SPC-4 4.5, Deferred errors. */
    if (sense_is_deferred(result->sense, sizeof(result->sense)))
        return PRHELPER_OUTCOME_NOT_DONE;
    switch (code.key) {
    case SPC_SENSE_RECOVERED_ERROR:
    case SPC_SENSE_COMPLETED:
        return PRHELPER_OUTCOME_DONE;
    case SPC_SENSE_ILLEGAL_REQUEST:
    case SPC_SENSE_DATA_PROTECT:
        return PRHELPER_OUTCOME_NOT_DONE;
    case SPC_SENSE_NOT_READY:
        return code.asc == ASC_LU_COMMUNICATION ? PRHELPER_OUTCOME_UNKNOWN
                                                : PRHELPER_OUTCOME_NOT_DONE;
    case SPC_SENSE_UNIT_ATTENTION:
        return code.asc == ASC_RESET ? PRHELPER_OUTCOME_UNKNOWN : PRHELPER_OUTCOME_NOT_DONE;
    default:
        return PRHELPER_OUTCOME_UNKNOWN;
    }
}

static enum prhelper_outcome outcome_of_answer(const struct prhelper_result *result)
{
    switch (result->status) {
    case SPC_STATUS_GOOD:
        return PRHELPER_OUTCOME_DONE;
    case SPC_STATUS_CHECK_CONDITION:
        return outcome_of_sense(result);
    case SPC_STATUS_BUSY:
    case SPC_STATUS_RESERVATION_CONFLICT:
    case SPC_STATUS_TASK_SET_FULL:
    case SPC_STATUS_ACA_ACTIVE:
        return PRHELPER_OUTCOME_NOT_DONE;
    default:
        /* TASK ABORTED, whose command may have been at any point; and what is no status. */
        return PRHELPER_OUTCOME_UNKNOWN;
    }
}

bool prhelper_is_good(int r, const struct prhelper_result *result)
{
    return r == 0 && result->status == PRHELPER_GOOD;
}

enum prhelper_outcome prhelper_outcome(int r, const struct prhelper_result *result)
{
    switch (r) {
    case PRHELPER_BAD_ARGUMENT:
    case PRHELPER_NO_FEATURE:
    case PRHELPER_DEAD:
    case PRHELPER_IN_USE:
        return PRHELPER_OUTCOME_NOT_DONE;
    case PRHELPER_PENDING:
        return PRHELPER_OUTCOME_UNKNOWN;
    case 0:
        return result ? outcome_of_answer(result) : PRHELPER_OUTCOME_UNKNOWN;
    default:
        return result && !result->outcome_unknown ? PRHELPER_OUTCOME_NOT_DONE
                                                  : PRHELPER_OUTCOME_UNKNOWN;
    }
}
