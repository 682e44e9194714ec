// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A helper has to put all that happens to a command into a SCSI status, because its clients know
 * nothing else. A person in front of a terminal is better served with what host adapter and driver
 * really said. So only the device's own answer becomes a status here; everything else is an error
 * whose outcome is unknown, unless the kernel refused to take the command at all.
 */
#include "ctl/direct.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/request.h"
#include "scsi/cdb.h"
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

/* `data` holds `length` bytes of the parameter list, or is room for as many of the answer. */
static int direct_send(struct direct *direct, int device, const uint8_t *cdb, uint8_t *data,
                       size_t length, struct prhelper_result *result)
{
    struct sg_result answer;
    const struct request request = {
        .cdb = cdb,
        .opcode = cdb[0],
        .length = (uint32_t)length,
        .data = data,
        .fd = device,
    };
    size_t in_size = cdb[0] == SPC_PERSISTENT_RESERVE_IN ? length : 0;
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

int direct_execute(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
                   size_t out_size, size_t in_size, struct prhelper_result *result)
{
    if (out_size > 0)
        return direct_send(context, device, cdb, (uint8_t *)out, out_size, result);
    return direct_send(context, device, cdb, result->data, in_size, result);
}

int direct_read(struct direct *direct, int device, uint8_t service_action, void *data, size_t size,
                struct prhelper_result *ret_result)
{
    uint8_t cdb[PRHELPER_CDB_MAX] = {0};

    memset(ret_result, 0, sizeof(*ret_result));
    ret_result->status = PRHELPER_STATUS_NONE;
    cdb_encode_prin(cdb, service_action, (uint16_t)size);
    return direct_send(direct, device, cdb, data, size, ret_result);
}
