// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PERSISTENT RESERVE IN only reads, and the kernel answers it on anything that leads to a SCSI
 * device. PERSISTENT RESERVE OUT changes who may write to a whole logical unit. The kernel lets a
 * process with CAP_SYS_RAWIO send it by a read-only fd and by a partition, so both have to be
 * stopped here; and on a device-mapper map it would go down one path only, so it is for those that
 * know all paths, or not at all.
 *
 * The kernel passes SG_IO on through other stacks of block devices as well. So what may be sent to
 * is listed, and what a device is has to be known for certain.
 */
#include "helper/policy.h"

#include "proto/wire.h"

static const char policy_not_scsi[] = "neither a SCSI disk nor a SCSI generic device";
static const char policy_unknown[] = "its type could not be determined";

static enum policy_verdict policy_judge_in(enum device_kind kind, const char **ret_reason)
{
    switch (kind) {
    case DEVICE_SG:
    case DEVICE_BLOCK:
    case DEVICE_DISK:
    case DEVICE_NOT_SCSI: /* the kernel says so */
    case DEVICE_PARTITION:
    case DEVICE_DM_MULTIPATH:
    case DEVICE_DM_OTHER:
        return POLICY_ISSUE;
    case DEVICE_UNKNOWN:
        *ret_reason = policy_unknown;
        return POLICY_REFUSE;
    case DEVICE_OTHER:
        break;
    }
    *ret_reason = policy_not_scsi;
    return POLICY_REFUSE;
}

static enum policy_verdict policy_judge_cleanup(enum device_kind kind, const char **ret_reason)
{
    switch (kind) {
    case DEVICE_DM_MULTIPATH:
        return POLICY_MULTIPATH;
    case DEVICE_OTHER:
    case DEVICE_SG:
    case DEVICE_DISK:
    case DEVICE_NOT_SCSI:
    case DEVICE_PARTITION:
    case DEVICE_DM_OTHER:
        return POLICY_DONE;
    case DEVICE_BLOCK: /* which it is has not been asked */
    case DEVICE_UNKNOWN:
        break;
    }
    *ret_reason = policy_unknown;
    return POLICY_REFUSE;
}

static enum policy_verdict policy_judge_out(enum device_kind kind, const char **ret_reason)
{
    switch (kind) {
    case DEVICE_SG:
    case DEVICE_DISK:
        return POLICY_ISSUE;
    case DEVICE_DM_MULTIPATH:
        return POLICY_MULTIPATH;
    case DEVICE_PARTITION:
        *ret_reason = "a reservation applies to the whole disk, and this is a partition";
        return POLICY_REFUSE;
    case DEVICE_DM_OTHER:
        *ret_reason =
            "a reservation applies to the whole disk below it, and would reach one path only";
        return POLICY_REFUSE;
    case DEVICE_NOT_SCSI:
    case DEVICE_OTHER:
        *ret_reason = policy_not_scsi;
        return POLICY_REFUSE;
    case DEVICE_BLOCK:
    case DEVICE_UNKNOWN:
        break;
    }
    *ret_reason = policy_unknown;
    return POLICY_REFUSE;
}

enum policy_verdict policy_judge(uint8_t opcode, enum device_kind kind, bool writable,
                                 const char **ret_reason)
{
    if (opcode == SPC_PERSISTENT_RESERVE_IN)
        return policy_judge_in(kind, ret_reason);
    if (!writable) {
        *ret_reason = "its file descriptor is not open for writing";
        return POLICY_REFUSE;
    }
    if (opcode == WIRE_CLEANUP)
        return policy_judge_cleanup(kind, ret_reason);
    return policy_judge_out(kind, ret_reason);
}

enum policy_verdict policy_judge_unknown(int error, const char **ret_reason)
{
    *ret_reason = policy_unknown;
    return device_is_shortage(error) ? POLICY_BUSY : POLICY_REFUSE;
}
