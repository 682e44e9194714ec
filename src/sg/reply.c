// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * GOOD only if host, driver and device all say so: of all that is not known to be success, failure
 * is the safe thing to say, since a guest that is told GOOD believes that it has fenced its
 * neighbour. That sense data came with GOOD is no failure: Linux up to 5.13 says so by the driver's
 * status (DRIVER_SENSE), and the sense key says what is meant.
 */
#include "sg/reply.h"

#include <errno.h>
#include <string.h>

void sg_reply_errno(int error, struct reply *reply)
{
    switch (error) {
    case EDOM: /* a path's queue is full */
        reply_status(reply, SPC_STATUS_TASK_SET_FULL, 0);
        return;
    case EBADE:
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
        return;
    case ENODATA:
        reply_sense(reply, SPC_UNRECOVERED_READ_ERROR);
        return;
    case EREMOTEIO:
    case ENOMEM:
    case ENODEV:
        reply_sense(reply, SPC_INTERNAL_TARGET_FAILURE);
        return;
    case ENOMEDIUM:
        reply_sense(reply, SPC_MEDIUM_NOT_PRESENT);
        return;
    /* Of a SCSI device: something about the command that its driver does not take. Drivers of other
     * block devices say it as well where ENOTTY is meant (loop, with and without a file behind it).
     * Only a command that reads comes that far, no SCSI device has answered, and QEMU's own helper
     * says the same. */
    case EINVAL:
        reply_sense(reply, SPC_INVALID_FIELD_IN_CDB);
        return;
    case EBADF: /* an fd made with O_PATH: nothing can be issued on it */
    case ENOTTY:
    case EPERM:
        reply_sense(reply, SPC_INVALID_OPERATION_CODE);
        return;
    case ENOSPC:
        reply_sense(reply, SPC_SPACE_ALLOCATION_FAILED);
        return;
    default:
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
    }
}

bool sg_sense_is_success(const struct sg_result *result)
{
    struct spc_sense code;

    if (!sense_decode(result->sense, result->sense_size, &code) ||
        sense_is_deferred(result->sense, result->sense_size))
        return false;
    return code.key == SPC_SENSE_NO_SENSE || code.key == SPC_SENSE_RECOVERED_ERROR ||
           code.key == SPC_SENSE_COMPLETED;
}

/* CHECK CONDITION as the device said it, every byte of it. */
static void sg_reply_device_sense(const struct sg_result *result, struct reply *reply)
{
    if (!sg_has_sense(result)) {
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
        return;
    }
    reply_status(reply, SPC_STATUS_CHECK_CONDITION, 0);
    memcpy(reply->sense, result->sense, SENSE_SIZE);
}

/* The host adapter or its transport has something to say, other than OK. */
static void sg_reply_host(const struct sg_result *result, struct reply *reply)
{
    switch (result->host_status) {
    case SG_HOST_TARGET_FAILURE:
    case SG_HOST_ALLOC_FAILURE:
    case SG_HOST_MEDIUM_ERROR:
        /* These the kernel concludes from the sense, so the sense is the better answer. */
        if (result->status == SPC_STATUS_CHECK_CONDITION && sg_has_sense(result)) {
            sg_reply_device_sense(result, reply);
            return;
        }
        break;
    default:
        break;
    }

    switch (result->host_status) {
    case SG_HOST_NO_CONNECT:
        reply_sense(reply, SPC_LU_NO_RESPONSE);
        return;
    case SG_HOST_BUS_BUSY:
    case SG_HOST_IMM_RETRY:
    case SG_HOST_REQUEUE:
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return;
    case SG_HOST_TIME_OUT:
        reply_sense(reply, SPC_COMMAND_TIMEOUT);
        return;
    case SG_HOST_BAD_TARGET:
    case SG_HOST_TRANSPORT_FAILFAST:
    case SG_HOST_TRANSPORT_MARGINAL:
        reply_sense(reply, SPC_LU_COMMUNICATION_FAILURE);
        return;
    case SG_HOST_ABORT:
        reply_sense(reply, SPC_COMMANDS_CLEARED);
        return;
    case SG_HOST_PARITY:
        reply_sense(reply, SPC_PARITY_ERROR);
        return;
    case SG_HOST_RESET:
        reply_sense(reply, SPC_RESET_OCCURRED);
        return;
    case SG_HOST_TRANSPORT_DISRUPTED:
        reply_sense(reply, SPC_IT_NEXUS_LOSS);
        return;
    case SG_HOST_TARGET_FAILURE:
        reply_sense(reply, SPC_INTERNAL_TARGET_FAILURE);
        return;
    case SG_HOST_RESERVATION_CONFLICT:
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
        return;
    case SG_HOST_ALLOC_FAILURE:
        reply_sense(reply, SPC_SPACE_ALLOCATION_FAILED);
        return;
    case SG_HOST_MEDIUM_ERROR:
        reply_sense(reply, SPC_UNRECOVERED_READ_ERROR);
        return;
    default: /* known or not, it is not success */
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
    }
}

/*
 * Of a command that has not plainly succeeded: true if it has all the same, else the reply is made.
 * Not part of its caller, which nearly all commands go through and which very rarely calls it.
 */
__attribute__((noinline)) static bool sg_reply_unless_success(const struct sg_result *result,
                                                              struct reply *reply)
{
    unsigned driver = result->driver_status & SG_DRIVER_MASK;

    if (result->host_status != SG_HOST_OK) {
        sg_reply_host(result, reply);
    } else if (driver == SG_DRIVER_TIMEOUT) {
        reply_status(reply, SPC_STATUS_BUSY, 0);
    } else if (result->status == SPC_STATUS_CHECK_CONDITION) {
        sg_reply_device_sense(result, reply);
    } else if (result->status != SPC_STATUS_GOOD) {
        reply_status(reply, result->status, 0);
    } else if (driver == SG_DRIVER_SENSE && sg_has_sense(result)) {
        if (sg_sense_is_success(result))
            return true;
        sg_reply_device_sense(result, reply);
    } else {
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
    }
    return false;
}

void sg_reply_result(const struct sg_result *result, const struct request *request,
                     struct reply *reply)
{
    bool is_plain = result->host_status == SG_HOST_OK && result->status == SPC_STATUS_GOOD &&
                    (result->driver_status & SG_DRIVER_MASK) == SG_DRIVER_OK;
    uint32_t residual = 0;

    if (!is_plain && !sg_reply_unless_success(result, reply))
        return;
    if (result->residual > 0)
        residual = (uint32_t)result->residual;
    reply_status(reply, SPC_STATUS_GOOD,
                 residual < request->length ? request->length - residual : 0);
}

bool sg_path_failed(int error, const struct sg_result *result)
{
    struct spc_sense code;

    if (error)
        return error == ENODEV || error == ENXIO || error == EIO;

    switch (result->host_status) {
    case SG_HOST_OK:
        return result->status == SPC_STATUS_BUSY || result->status == SPC_STATUS_TASK_SET_FULL ||
               (result->status == SPC_STATUS_CHECK_CONDITION && sg_has_sense(result) &&
                sense_decode(result->sense, sizeof(result->sense), &code) &&
                sense_is_of_path(code));
    case SG_HOST_BUS_BUSY:
    case SG_HOST_IMM_RETRY:
    case SG_HOST_REQUEUE:
    case SG_HOST_NO_CONNECT:
    case SG_HOST_TIME_OUT:
    case SG_HOST_BAD_TARGET:
    case SG_HOST_TRANSPORT_DISRUPTED:
    case SG_HOST_TRANSPORT_FAILFAST:
    case SG_HOST_TRANSPORT_MARGINAL:
        return true;
    default:
        return false;
    }
}
