// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ledger's part of the status document, and what it has in common with the rest of it. */
#ifndef LEDGER_REPORT_DEVICES_H
#define LEDGER_REPORT_DEVICES_H

#include <stdint.h>

#include "base/json.h"
#include "ledger/ledger.h"

/* Members for all devices. now_us: the time of the document; hung_us: the age from which on a
 * command in flight counts as hung. */
void report_devices(struct ledger *ledger, int64_t now_us, int64_t hung_us, struct json *json);

/* Members for who it is; 0, (uid_t)-1 and NULL: unknown. */
void report_who(pid_t pid, uid_t uid, const char *vm, struct json *json);

/* Where the VM's name comes from, in one word; NULL: nowhere. */
const char *report_source(const struct peer *peer);

#endif
