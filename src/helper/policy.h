// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which command may go to which fd, and how: the table of the protocol's description, and nothing
 * else. Pure.
 */
#ifndef HELPER_POLICY_H
#define HELPER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "scsi/spc.h"
#include "sg/device.h"

enum policy_verdict {
    POLICY_ISSUE,     /* by SG_IO on the fd */
    POLICY_MULTIPATH, /* by the backend that can speak for all paths of the map */
    POLICY_DONE,      /* GOOD: there is nothing to do */
    POLICY_REFUSE,    /* CHECK CONDITION 5/20/00 */
    POLICY_BUSY,      /* BUSY: it cannot be told now, and perhaps later */
};

/* Does the verdict depend on the fd's access mode and on the kind of block device? */
static inline bool policy_needs_details(uint8_t opcode)
{
    return opcode != SPC_PERSISTENT_RESERVE_IN;
}

/*
 * writable: the fd is open for writing. kind: refined where policy_needs_details says so; a
 * DEVICE_BLOCK is then one that has not been looked at. For POLICY_REFUSE *ret_reason is a static
 * text that goes after "refused: ".
 */
enum policy_verdict policy_judge(uint8_t opcode, enum device_kind kind, bool writable,
                                 const char **ret_reason);

/*
 * The verdict on a device of which it could not be found out what it is, for the reason `error` (a
 * positive errno): POLICY_REFUSE, or POLICY_BUSY for want of fds or memory. *ret_reason as above.
 */
enum policy_verdict policy_judge_unknown(int error, const char **ret_reason);

#endif
