// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Both commands have ten-byte CDBs and are sent as such: a host adapter with a limit of twelve
 * bytes refuses sixteen, and bytes 10 to 15 of the client's request have no business with the
 * device.
 *
 * What is lost on the way is never repeated if it could have had an effect: a PERSISTENT RESERVE
 * OUT goes out once, and if its outcome is unknown, the answer says so (B/00/06) and a log line
 * does.
 */
#include "helper/backend_sg.h"

#include <errno.h>
#include <scsi/sg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "scsi/cdb.h"

#define SG_INTERRUPTED_TRIES 4
#define SG_SUSPENDED_WAIT_MS 20

/* DID_ codes that SG_IO reports (include/scsi/scsi_status.h of the kernel; not in its uapi). */
enum sg_host_status {
    SG_HOST_OK = 0x00,
    SG_HOST_NO_CONNECT = 0x01,
    SG_HOST_BUS_BUSY = 0x02,
    SG_HOST_TIME_OUT = 0x03,
    SG_HOST_BAD_TARGET = 0x04,
    SG_HOST_ABORT = 0x05,
    SG_HOST_PARITY = 0x06,
    SG_HOST_RESET = 0x08,
    SG_HOST_IMM_RETRY = 0x0c,
    SG_HOST_REQUEUE = 0x0d,
    SG_HOST_TRANSPORT_DISRUPTED = 0x0e,
    SG_HOST_TRANSPORT_FAILFAST = 0x0f,
    SG_HOST_TARGET_FAILURE = 0x10,
    SG_HOST_RESERVATION_CONFLICT = 0x11, /* NEXUS_FAILURE until 5.18, with the same meaning */
    SG_HOST_ALLOC_FAILURE = 0x12,
    SG_HOST_MEDIUM_ERROR = 0x13,
    SG_HOST_TRANSPORT_MARGINAL = 0x14,
};

enum sg_driver_status {
    SG_DRIVER_OK = 0x0,
    SG_DRIVER_TIMEOUT = 0x6,
    SG_DRIVER_SENSE = 0x8,
};

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

static bool sg_has_sense(const struct sg_result *result)
{
    /* 70h to 73h and the vendor's 7Fh; a device that sends zeros sends no sense. */
    return result->sense_size > 0 && (result->sense[0] & 0x7f) >= 0x70;
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

void sg_reply_result(const struct sg_result *result, const struct request *request,
                     struct reply *reply)
{
    unsigned driver = result->driver_status & 0xf;
    uint32_t residual = 0;

    if (result->host_status != SG_HOST_OK) {
        sg_reply_host(result, reply);
        return;
    }
    if (driver == SG_DRIVER_TIMEOUT) {
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return;
    }
    if (result->status == SPC_STATUS_CHECK_CONDITION) {
        sg_reply_device_sense(result, reply);
        return;
    }
    if (result->status != SPC_STATUS_GOOD) {
        reply_status(reply, result->status, 0);
        return;
    }
    if (driver == SG_DRIVER_SENSE && sg_has_sense(result)) {
        sg_reply_device_sense(result, reply);
        return;
    }
    if (driver != SG_DRIVER_OK) {
        reply_sense(reply, SPC_IO_PROCESS_TERMINATED);
        return;
    }

    if (result->residual > 0)
        residual = (uint32_t)result->residual;
    reply_status(reply, SPC_STATUS_GOOD,
                 residual < request->length ? request->length - residual : 0);
}

/*
 * Has this error been logged for this device? Told by a small table that forgets: a line too many
 * now and then is better than a table that grows with what clients pass.
 */
static bool sg_first_time(dev_t device, int error)
{
    static _Atomic uint64_t seen[64];
    uint64_t entry = ((uint64_t)device << 8 | (unsigned)error) + 1;

    return atomic_exchange(&seen[entry % 61], entry) != entry;
}

static void sg_log_errno(const struct request *request, dev_t device, int error)
{
    if (error == EPERM && sg_first_time(device, error))
        log_client("device %u:%u: the kernel did not permit the command; "
                   "the helper needs CAP_SYS_RAWIO",
                   major(device), minor(device));
    else if (error == EBADF)
        log_client("device %u:%u: refused, its file descriptor was opened with O_PATH",
                   major(device), minor(device));
    else if (error == ENOTTY && sg_first_time(device, error))
        log_client("device %u:%u is not a SCSI device", major(device), minor(device));
    else if (error == EINTR && request->opcode == SPC_PERSISTENT_RESERVE_OUT)
        log_client("device %u:%u: PERSISTENT RESERVE OUT was interrupted: outcome unknown",
                   major(device), minor(device));
}

void sg_execute(const struct request *request, dev_t device, unsigned timeout_ms,
                struct reply *reply)
{
    const struct timespec pause = {.tv_nsec = SG_SUSPENDED_WAIT_MS * 1000000L};
    bool is_out = request->opcode == SPC_PERSISTENT_RESERVE_OUT;
    uint8_t cdb[CDB_SIZE], sense[SENSE_SIZE];
    int64_t deadline = 0;
    struct sg_io_hdr io;
    int error;

    memcpy(cdb, request->cdb, sizeof(cdb));
    for (unsigned tries = 1;; tries++) {
        memset(sense, 0, sizeof(sense));
        memset(&io, 0, sizeof(io));
        io.interface_id = 'S';
        io.cmd_len = sizeof(cdb);
        io.cmdp = cdb;
        io.mx_sb_len = sizeof(sense);
        io.sbp = sense;
        io.timeout = timeout_ms;
        io.dxfer_direction = SG_DXFER_NONE;
        if (request->length > 0) {
            io.dxfer_direction = is_out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
            io.dxfer_len = request->length;
            io.dxferp = request->data;
        }
        error = ioctl(request->fd, SG_IO, &io) < 0 ? errno : 0;

        if (error == EINTR && !is_out && tries < SG_INTERRUPTED_TRIES)
            continue;
        if (error != EAGAIN)
            break;
        /* A map that is being suspended took nothing: asking again is safe for both commands. */
        if (!deadline)
            deadline = clock_now_ms() + timeout_ms;
        else if (clock_now_ms() >= deadline)
            break;
        nanosleep(&pause, NULL);
    }

    if (error) {
        sg_log_errno(request, device, error);
        sg_reply_errno(error, reply);
        return;
    }
    sg_reply_result(
        &(struct sg_result){
            .status = io.status,
            .host_status = io.host_status,
            .driver_status = io.driver_status,
            .sense_size = io.sb_len_wr,
            .residual = io.resid,
            .sense = sense,
        },
        request, reply);
}
