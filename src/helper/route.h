// SPDX-License-Identifier: LGPL-2.1-or-later
/* From a request to the backend of the helper that executes it. */
#ifndef HELPER_ROUTE_H
#define HELPER_ROUTE_H

#include "helper/backend_mpath.h"
#include "ledger/ledger.h"
#include "serve/backend.h"
#include "sg/device.h"

struct route {
    struct device_sources sources;
    unsigned io_timeout_ms;
    struct mpath *mpath;   /* borrowed */
    struct ledger *ledger; /* borrowed; NULL: nothing is recorded */
    bool records_reads;    /* of PERSISTENT RESERVE IN as well */
    bool audit;
};

/*
 * Ahead of a sandbox: opens a directory of /sys. Nothing is recorded at first. Returns 0, also
 * where there is no such directory, which it says; or a negative errno for want of fds or memory.
 */
int route_init(struct route *route, unsigned io_timeout_ms, struct mpath *mpath);

/* Record commands in this ledger (borrowed) from now on, with an audit or without. */
void route_set_ledger(struct route *route, struct ledger *ledger, bool audit);

void route_deinit(struct route *route);

/* The backend's execute function; context is the struct route. */
void route_execute(void *context, const struct request *request, struct reply *reply);

/* Its forget function. */
void route_forget(void *context, int slot);

#endif
