// SPDX-License-Identifier: LGPL-2.1-or-later
/* A code is all that the library returns: whatever a device said is reduced to its sense key. */
#include "mpath/result.h"

#include "mpath/multipath.h"

enum result_kind result_reply(int code, struct reply *reply)
{
    switch (code) {
    case MPATH_PR_SUCCESS:
        reply_status(reply, SPC_STATUS_GOOD, 0);
        return RESULT_ANSWER;
    case MPATH_PR_RESERV_CONFLICT:
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
        return RESULT_ANSWER;
    case MPATH_PR_SYNTAX_ERROR:
        reply_sense(reply, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return RESULT_KEY;
    case MPATH_PR_SENSE_NOT_READY:
        reply_sense(reply, SPC_LU_NOT_READY);
        return RESULT_LESS;
    case MPATH_PR_SENSE_MEDIUM_ERROR:
        reply_sense(reply, SPC_UNRECOVERED_READ_ERROR);
        return RESULT_LESS;
    case MPATH_PR_SENSE_HARDWARE_ERROR:
        reply_sense(reply, SPC_INTERNAL_TARGET_FAILURE);
        return RESULT_LESS;
    case MPATH_PR_SENSE_ABORTED_COMMAND:
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
        return RESULT_LESS;
    case MPATH_PR_ILLEGAL_REQ:
        reply_sense(reply, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return RESULT_ANSWER;
    case MPATH_PR_SENSE_UNIT_ATTENTION:
        reply_sense(reply, SPC_RESET_OCCURRED);
        return RESULT_ANSWER;
    case MPATH_PR_SENSE_INVALID_OP:
        reply_sense(reply, SPC_INVALID_OPERATION_CODE);
        return RESULT_ANSWER;
    case MPATH_PR_NO_SENSE:
        reply_sense(reply, SPC_NO_ADDITIONAL_SENSE);
        return RESULT_ANSWER;
    default: /* known or not, it is not success */
        reply_sense(reply, SPC_LU_COMMUNICATION_FAILURE);
        return RESULT_NO_OUTCOME;
    }
}
