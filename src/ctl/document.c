// SPDX-License-Identifier: LGPL-2.1-or-later
/* node/fetch.h reads; what to do about a failure is said here. */
#include "ctl/document.h"

#include <errno.h>
#include <string.h>

#include "build.h"
#include "node/fetch.h"

const char *document_socket(const struct options *options)
{
    return options->status_socket ? options->status_socket : BUILD_DEFAULT_STATUS_SOCKET;
}

const char *document_directory(void)
{
    return BUILD_STATUS_DIRECTORY;
}

static void document_advise(const struct options *options, int r, struct outcome *outcome)
{
    const char *path = document_socket(options);

    outcome_fail(outcome, r == -ENOMEM ? CTL_INTERNAL : CTL_HELPER,
                 "cannot read the status at %s: %s", path, strerror(-r));
    switch (-r) {
    case ENOENT:
    case ENOTDIR:
        outcome_hint(outcome,
                     "Start the helper with --status-socket=%s, or name the status socket of one "
                     "that runs with --status-socket.",
                     path);
        break;
    case ECONNREFUSED:
        outcome_hint(outcome, "The socket is there, but nobody listens: the helper has ended.");
        break;
    case EACCES:
    case EPERM:
        outcome_hint(outcome, "Only its owner may read it, unless the helper was started with "
                              "--status-mode or --status-group.");
        break;
    case EAGAIN:
    case ETIMEDOUT:
        outcome_hint(outcome, "It has as many readers as it takes, or is no status socket.");
        break;
    default:
        break;
    }
}

/* What came could not be used. */
static void document_object_to(const struct options *options, enum fetch_problem problem,
                               struct outcome *outcome)
{
    if (problem == FETCH_FORMAT) {
        outcome_fail(outcome, CTL_DATA, "the helper's status has another format");
        outcome_hint(outcome, "This qemu-pr-ctl is older than the helper.");
        return;
    }
    outcome_fail(outcome, CTL_DATA, "what %s sends is no status of a helper",
                 document_socket(options));
    outcome_hint(outcome, "%s",
                 problem == FETCH_EMPTY ? "It has as many readers as it takes: try again."
                                        : "Is it the socket of --status-socket, and not that for "
                                          "clients?");
}

bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_document)
{
    int timeout_ms = options->timeout_ms < 0 ? FETCH_WAIT_MS : options->timeout_ms;
    int r = fetch_document(document_socket(options), timeout_ms, ret_document);

    if (r < 0)
        document_advise(options, r, outcome);
    else if (r > 0)
        document_object_to(options, (enum fetch_problem)r, outcome);
    return r == 0;
}
