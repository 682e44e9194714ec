// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PERSISTENT RESERVE IN only reads, and the kernel answers it on anything that leads to a SCSI
 * device. PERSISTENT RESERVE OUT changes who may write to a whole logical unit. The kernel lets a
 * process with CAP_SYS_RAWIO send it by a read-only fd and by a partition, so both have to be
 * stopped here; and on a device-mapper map it would go down one path only, so it is for those that
 * know all paths, or for nobody.
 */
#include "helper/policy.h"

#include "proto/wire.h"

static enum policy_verdict policy_judge_cleanup(enum device_kind kind, const char **ret_reason)
{
    switch (kind) {
    case DEVICE_DM_MULTIPATH:
        return POLICY_MULTIPATH;
    case DEVICE_DM_UNKNOWN:
        *ret_reason = "cannot tell whether it is a multipath map (is /sys mounted?)";
        return POLICY_REFUSE;
    default:
        return POLICY_DONE;
    }
}

static enum policy_verdict policy_judge_out(enum device_kind kind, const char **ret_reason)
{
    switch (kind) {
    case DEVICE_SG:
    case DEVICE_BLOCK:
        return POLICY_ISSUE;
    case DEVICE_DM_MULTIPATH:
        return POLICY_MULTIPATH;
    case DEVICE_PARTITION:
        *ret_reason = "a reservation is of the whole disk, and this is a partition";
        return POLICY_REFUSE;
    case DEVICE_DM_OTHER:
        *ret_reason = "a reservation is of the whole disk behind it, of which it knows one path";
        return POLICY_REFUSE;
    case DEVICE_DM_UNKNOWN:
        *ret_reason = "cannot tell whether it is a multipath map (is /sys mounted?)";
        return POLICY_REFUSE;
    case DEVICE_OTHER:
        break;
    }
    *ret_reason = "neither a block device nor a SCSI generic device";
    return POLICY_REFUSE;
}

enum policy_verdict policy_judge(uint8_t opcode, enum device_kind kind, bool writable,
                                 const char **ret_reason)
{
    if (opcode == SPC_PERSISTENT_RESERVE_IN) {
        if (kind != DEVICE_OTHER)
            return POLICY_ISSUE;
        *ret_reason = "neither a block device nor a SCSI generic device";
        return POLICY_REFUSE;
    }
    if (!writable) {
        *ret_reason = "its file descriptor is not open for writing";
        return POLICY_REFUSE;
    }
    if (opcode == WIRE_CLEANUP)
        return policy_judge_cleanup(kind, ret_reason);
    return policy_judge_out(kind, ret_reason);
}
