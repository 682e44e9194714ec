// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One line in the log for each command that would change something, whatever became of it.
 *
 * Thread rule: any.
 */
#ifndef LEDGER_AUDIT_H
#define LEDGER_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/request.h"
#include "sg/device.h"

/* Of one connection, and of all together, in LOG_LIMIT_MS. What is left out is counted and told. */
#define AUDIT_CLIENT_LINES 100
#define AUDIT_LINES        1000

/* What the line is about. */
struct audit_event {
    const struct request *request;
    const struct reply *reply;
    enum device_kind kind;
    dev_t number;
    const struct device_names *names; /* NULL: unknown */
    const char *refused;              /* why the helper sent nothing to the device; NULL: it did */
    uint64_t duration_us;
};

/* Log it, if the limits allow. */
void audit_write(const struct audit_event *event);

/* The line, without what the log itself puts in front. Pure. Returns its length, cut to size. */
size_t audit_format(const struct audit_event *event, char *line, size_t size);

#endif
