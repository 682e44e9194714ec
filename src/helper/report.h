// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The status document: docs/status.schema.json says what is in it.
 *
 * Thread rule: the main thread's alone.
 */
#ifndef HELPER_REPORT_H
#define HELPER_REPORT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"
#include "helper/backend_mpath.h"
#include "helper/options.h"
#include "ledger/ledger.h"
#include "serve/server.h"

#define REPORT_CONNECTIONS_MAX 2000
#define REPORT_MAPS_MAX        256 /* whose paths are told of */
#define REPORT_PATHS_MAX       4096

/* One of the walls around the process. */
enum report_layer { REPORT_OFF, REPORT_ACTIVE, REPORT_UNSUPPORTED };

/* What the document is made of. Everything that is pointed to is borrowed. */
struct report {
    const struct options *options;
    const char *socket_path; /* NULL: the service manager's */
    const char *status_path;
    struct server *server;
    struct ledger *ledger;
    struct mpath *mpath;
    int64_t started_us;

    /* As they were before the sandbox, which forbids to ask. */
    uid_t uid;
    gid_t gid;
    const char *user_note; /* what there is to say against that user; "": nothing */
    uint32_t capabilities;
    enum report_layer seccomp, landlock;
    int landlock_version;
};

/* Of status_write_fn; context is the struct report. */
void report_write(void *context, struct json *json);

#endif
