// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A helper has to put whatever happens to a command into a SCSI status, because its clients know
 * nothing else. A person in front of a terminal is better served with what host adapter and driver
 * really said. So only the device's own answer becomes a status here; everything else is an error
 * whose outcome is unknown, unless the kernel refused to take the command at all.
 */
#include "ctl/sg.h"

#include <errno.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define SG_CDB_SIZE 10 /* of both commands; some adapters take no more than 12 */

/* Of the kernel's include/scsi/scsi_status.h, those that come with an answer of the device. */
#define SG_HOST_OK                   0x00
#define SG_HOST_TARGET_FAILURE       0x10
#define SG_HOST_RESERVATION_CONFLICT 0x11
#define SG_HOST_ALLOC_FAILURE        0x12
#define SG_HOST_MEDIUM_ERROR         0x13

#define SG_DRIVER_MASK  0x0f
#define SG_DRIVER_OK    0x00
#define SG_DRIVER_SENSE 0x08

/* Errors with which the ioctl ends before the command is on its way. */
static bool is_refusal(int error)
{
    switch (error) {
    case EAGAIN:
    case EACCES:
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENODEV:
    case ENOMEM:
    case ENOTTY:
    case ENXIO:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static int fail(struct sg *sg, const char *who, unsigned code, struct prhelper_result *result)
{
    snprintf(sg->problem, sizeof(sg->problem), "%s status %02Xh", who, code);
    result->outcome_unknown = true;
    return -EIO;
}

static int judge(struct sg *sg, const struct sg_io_hdr *io, size_t in_size,
                 struct prhelper_result *result)
{
    unsigned driver = io->driver_status & SG_DRIVER_MASK;
    bool has_sense = io->sb_len_wr > 0 && (result->sense[0] & 0x7f) >= 0x70;
    bool is_check = io->status == PRHELPER_CHECK_CONDITION && has_sense;
    size_t residual;

    switch (io->host_status) {
    case SG_HOST_OK:
        break;
    case SG_HOST_RESERVATION_CONFLICT:
        result->status = PRHELPER_RESERVATION_CONFLICT;
        return 0;
    case SG_HOST_TARGET_FAILURE:
    case SG_HOST_ALLOC_FAILURE:
    case SG_HOST_MEDIUM_ERROR:
        /* The kernel concludes these from the sense, which says more. */
        if (is_check)
            break;
        /* fall through */
    default:
        return fail(sg, "host adapter's", io->host_status, result);
    }
    if (driver == SG_DRIVER_SENSE && io->status == PRHELPER_GOOD && has_sense) {
        result->status = PRHELPER_CHECK_CONDITION;
        return 0;
    }
    if (io->status == PRHELPER_GOOD && driver != SG_DRIVER_OK)
        return fail(sg, "driver's", io->driver_status, result);

    result->status = io->status;
    if (io->status != PRHELPER_GOOD)
        return 0;
    residual = io->resid > 0 ? (size_t)io->resid : 0;
    result->size = (uint32_t)(residual < in_size ? in_size - residual : 0);
    return 0;
}

int sg_execute(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
               size_t out_size, size_t in_size, struct prhelper_result *result)
{
    struct sg *sg = context;
    struct sg_io_hdr io = {
        .interface_id = 'S',
        .dxfer_direction = SG_DXFER_NONE,
        .cmd_len = SG_CDB_SIZE,
        .cmdp = (unsigned char *)cdb,
        .mx_sb_len = sizeof(result->sense),
        .sbp = result->sense,
        .timeout = (unsigned)sg->timeout_ms,
    };

    sg->problem[0] = '\0';
    if (out_size > 0) {
        io.dxfer_direction = SG_DXFER_TO_DEV;
        io.dxfer_len = (unsigned)out_size;
        io.dxferp = (void *)out;
    } else if (in_size > 0) {
        io.dxfer_direction = SG_DXFER_FROM_DEV;
        io.dxfer_len = (unsigned)in_size;
        io.dxferp = result->data;
    }
    if (ioctl(device, SG_IO, &io) == 0)
        return judge(sg, &io, in_size, result);

    if (errno == EBADE) { /* so say request-based maps */
        result->status = PRHELPER_RESERVATION_CONFLICT;
        return 0;
    }
    result->outcome_unknown = !is_refusal(errno);
    return -errno;
}
