// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands without a helper: the kernel's SG_IO, for --direct. */
#ifndef CTL_DIRECT_H
#define CTL_DIRECT_H

#include <prhelper.h>

#define DIRECT_TIMEOUT_MS 30000

struct direct {
    int timeout_ms;
    char problem[64]; /* what host adapter or driver had to say of the last command; else "" */
};

/*
 * A prhelper_execute_function; the context is a struct direct. GOOD only if errno, host, driver and
 * device all say so. What is not the device's own answer is a negative errno: -EIO with `problem`,
 * or the ioctl's. Repeats what sg_issue() repeats.
 */
int direct_execute(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
                   size_t out_size, size_t in_size, struct prhelper_result *result);

#endif
