// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * metrics: what one helper, or all of this node, say as numbers: qemu-pr-exporter's, in the classic
 * text format, which node_exporter's textfile collector reads.
 */
#include <errno.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/document.h"
#include "ctl/output.h"
#include "monitor/all.h"
#include "node/expose.h"

/* One helper, by its status socket's path, which no other has. */
static int metrics_look_at_one(const struct options *options, struct outcome *outcome,
                               struct look *look)
{
    struct json_object *documents;
    struct crowd crowd;
    int r;

    if (!document_fetch(options, outcome, &documents))
        return -EIO;
    r = crowd_of_document(options->status_socket, json_object_array_get_idx(documents, 0), &crowd);
    json_object_put(documents);
    if (r == 0)
        r = look_at_crowd(crowd, look);
    if (r < 0)
        outcome_fail(outcome, CTL_INTERNAL, "%s", strerror(-r));
    return r;
}

static int metrics_run(const struct options *options)
{
    struct outcome outcome = {.result.status = PRHELPER_STATUS_NONE};
    struct look look;
    int r = !options->all && document_is_one(options)
                ? metrics_look_at_one(options, &outcome, &look)
                : all_look(options, &outcome, &look);

    if (r < 0)
        return output_finish(options, &outcome, NULL);
    expose_helpers(stdout, EXPOSE_CLASSIC, &look.crowd);
    expose_luns(stdout, EXPOSE_CLASSIC, &look.luns);
    look_deinit(&look);
    return output_flush(CTL_GOOD);
}

const struct command cmd_metrics = {
    .name = "metrics",
    .summary = "Print the status of running helpers for Prometheus",
    .about = "For all helpers of this host that have a status socket, unless one is named.",
    .takes = OPTION_STATUS_SOCKET | OPTION_ALL,
    .lacks = OPTION_SOCKET | OPTION_JSON,
    .wants = COMMAND_NO_DEVICE,
    .run = metrics_run,
};
