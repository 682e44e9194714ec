// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The simulator's status: as much of the helper's document (docs/status.schema.json) as a simulated
 * LUN has, so that the same programs show it. A host, which is a nexus, stands in the place of a
 * virtual machine. Unlike a helper, it knows every registration of its LUNs and who holds them.
 */
#ifndef SIMULATOR_REPORT_H
#define SIMULATOR_REPORT_H

#include "base/json.h"
#include "serve/server.h"
#include "simulator/sim.h"

struct sim_report {
    struct sim *sim;             /* borrowed, as is the server */
    const struct server *server; /* only looked at when a document is written */
    int64_t started_us;
};

/* A status_write_fn; context is a struct sim_report. */
void sim_report_write(void *context, struct json *json);

#endif
