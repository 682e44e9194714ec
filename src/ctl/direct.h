// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands without a helper: the kernel's SG_IO, for --direct. */
#ifndef CTL_DIRECT_H
#define CTL_DIRECT_H

#include <prhelper.h>
#include <stddef.h>
#include <stdint.h>

#define DIRECT_TIMEOUT_MS 30000
#define DIRECT_ROOM_MAX   65535

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

/*
 * PERSISTENT RESERVE IN with more room for its answer than libprhelper has: `size` bytes at `data`,
 * DIRECT_ROOM_MAX at most (the allocation length has 16 bits, SPC-4 6.15.1). Returns as
 * direct_execute() does; *ret_result has no data but says how much there is.
 */
int direct_read(struct direct *direct, int device, uint8_t service_action, void *data, size_t size,
                struct prhelper_result *ret_result);

#endif
