// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A command that the kernel did not carry out is answered like any other. The reason should be
 * logged, too: most of these reasons are a matter of the set-up.
 */
#include "helper/backend_sg.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "serve/tracepoints.h"
#include "sg/issue.h"
#include "sg/reply.h"

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

bool sg_execute(const struct request *request, dev_t device, unsigned timeout_ms,
                struct reply *reply)
{
    struct sg_result result;
    int error = -sg_issue(request, timeout_ms, &result);

    trace_device_result(request->connection, error, result.status, result.host_status,
                        result.driver_status);
    if (error) {
        sg_log_errno(request, device, error);
        sg_reply_errno(error, reply);
    } else {
        sg_reply_result(&result, request, reply);
        if (reply->status == SPC_STATUS_GOOD)
            return true;
    }
    return !sg_path_failed(error, &result);
}
