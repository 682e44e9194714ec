// SPDX-License-Identifier: LGPL-2.1-or-later
/* The part of a path's I_T nexus that is known without a command to the target: its initiator port.
 */
#ifndef MPATH_NEXUS_H
#define MPATH_NEXUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scsi/transportid.h"

struct nexus {
    struct transportid initiator; /* covers the port; of size 0 if nothing is known */
    bool complete;                /* it is the port itself */
    uint64_t id; /* of initiator and target port: the same for this path after a new login */
};

/*
 * Read it from sysfs. Nothing here waits for a device. What sysfs does not have is no part of it.
 * Returns 0, or a negative errno if fds or memory are short: the nexus would look like another one.
 * Then *ret is untouched.
 */
int nexus_read(dev_t path, struct nexus *ret);

/* Whether a TransportID may be this path's. */
bool nexus_may_be(const struct nexus *nexus, const struct transportid *id);

#endif
