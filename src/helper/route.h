// SPDX-License-Identifier: LGPL-2.1-or-later
/* From a request to whoever executes it: the helper's backend. */
#ifndef HELPER_ROUTE_H
#define HELPER_ROUTE_H

#include "helper/backend_mpath.h"
#include "helper/device.h"
#include "serve/backend.h"

struct route {
    struct device_sources sources;
    unsigned io_timeout_ms;
    struct mpath *mpath; /* borrowed */
};

/* Ahead of a sandbox: opens directories of /sys and /proc. */
void route_init(struct route *route, unsigned io_timeout_ms, struct mpath *mpath);
void route_deinit(struct route *route);

/* The backend's execute function; context is the struct route. */
void route_execute(void *context, const struct request *request, struct reply *reply);

#endif
