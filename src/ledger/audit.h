// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One line in the log for each command that would change something, with any outcome.
 *
 * Thread rule: any.
 */
#ifndef LEDGER_AUDIT_H
#define LEDGER_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/ledger.h"
#include "proto/request.h"
#include "sg/device.h"

/* What the line is about. */
struct audit_event {
    const struct request *request;
    const struct reply *reply; /* NULL: there is none, and what becomes of it is not known */
    enum device_kind kind;
    dev_t number;
    const struct device_names *names; /* NULL: unknown */
    const char *refused; /* why the helper sent nothing to the device; NULL: it did, or */
    bool has_no_effect;  /* there was nothing to do */
    uint64_t duration_us;
};

/* Log it, if the limits of its client allow: those of changes, or of all else (serve/budget.h). */
void audit_write(const struct audit_event *event);

/* The end of the helper: log the commands in flight, whose devices may execute them still. */
void audit_write_unfinished(struct ledger *ledger);

/* The line, without what the log itself puts in front. Pure. Returns its length, cut to size. */
size_t audit_format(const struct audit_event *event, char *line, size_t size);

#endif
