// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A helper has to put whatever happens to a command into a SCSI status, because its clients know
 * nothing else. A person in front of a terminal is better served with what host adapter and driver
 * really said. So only the device's own answer becomes a status here; everything else is an error
 * whose outcome is unknown, unless the kernel refused to take the command at all.
 */
#include "ctl/direct.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/request.h"
#include "sg/issue.h"
#include "sg/reply.h"

_Static_assert(sizeof(((struct prhelper_result *)0)->sense) == SENSE_SIZE, "the same sense");

/* Errors with which the ioctl ends before the command is on its way. */
static bool direct_is_refusal(int error)
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

static int direct_fail(struct direct *direct, const char *who, unsigned code,
                       struct prhelper_result *result)
{
    snprintf(direct->problem, sizeof(direct->problem), "%s status %02Xh", who, code);
    result->outcome_unknown = true;
    return -EIO;
}

static int direct_judge(struct direct *direct, const struct sg_result *answer, size_t in_size,
                        struct prhelper_result *result)
{
    unsigned driver = answer->driver_status & SG_DRIVER_MASK;
    bool has_sense = sg_has_sense(answer);
    bool is_success = driver == SG_DRIVER_OK ||
                      (driver == SG_DRIVER_SENSE && sg_sense_is_success(answer));
    size_t residual;

    switch (answer->host_status) {
    case SG_HOST_OK:
        break;
    case SG_HOST_RESERVATION_CONFLICT:
        result->status = PRHELPER_RESERVATION_CONFLICT;
        return 0;
    case SG_HOST_TARGET_FAILURE:
    case SG_HOST_ALLOC_FAILURE:
    case SG_HOST_MEDIUM_ERROR:
        /* The kernel concludes these from the sense, which says more. */
        if (answer->status == PRHELPER_CHECK_CONDITION && has_sense)
            break;
        /* fall through */
    default:
        return direct_fail(direct, "host adapter's", answer->host_status, result);
    }
    if (driver == SG_DRIVER_SENSE && answer->status == PRHELPER_GOOD && has_sense && !is_success) {
        result->status = PRHELPER_CHECK_CONDITION;
        return 0;
    }
    if (answer->status == PRHELPER_GOOD && !is_success)
        return direct_fail(direct, "driver's", answer->driver_status, result);

    result->status = answer->status;
    if (answer->status != PRHELPER_GOOD)
        return 0;
    residual = answer->residual > 0 ? (size_t)answer->residual : 0;
    result->size = (uint32_t)(residual < in_size ? in_size - residual : 0);
    return 0;
}

int direct_execute(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
                   size_t out_size, size_t in_size, struct prhelper_result *result)
{
    struct direct *direct = context;
    struct sg_result answer;
    const struct request request = {
        .cdb = cdb,
        .opcode = cdb[0],
        .length = (uint32_t)(out_size > 0 ? out_size : in_size),
        .data = out_size > 0 ? (uint8_t *)out : result->data,
        .fd = device,
    };
    int r;

    direct->problem[0] = '\0';
    r = sg_issue(&request, (unsigned)direct->timeout_ms, &answer);
    if (r == 0) {
        memcpy(result->sense, answer.sense, sizeof(result->sense));
        return direct_judge(direct, &answer, in_size, result);
    }
    if (r == -EBADE) { /* so say request-based maps */
        result->status = PRHELPER_RESERVATION_CONFLICT;
        return 0;
    }
    result->outcome_unknown = !direct_is_refusal(-r);
    return r;
}
