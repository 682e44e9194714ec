// SPDX-License-Identifier: LGPL-2.1-or-later
/* node/fetch.h reads; where, and what to do about a failure, is said here. Helpers have their
 * sockets in one directory, each under a name of its own. */
#include "ctl/document.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/escape.h"
#include "build.h"
#include "node/fetch.h"

const char *document_directory(void)
{
    return BUILD_STATUS_DIRECTORY;
}

bool document_is_one(const struct options *options)
{
    struct stat status;

    return options->status_socket &&
           (stat(options->status_socket, &status) < 0 || !S_ISDIR(status.st_mode));
}

static void document_advise(const char *path, int r, struct outcome *outcome)
{
    outcome_fail(outcome, r == -ENOMEM ? CTL_INTERNAL : CTL_HELPER,
                 "cannot read the status at %s: %s", path, strerror(-r));
    switch (-r) {
    case ENOENT:
    case ENOTDIR:
        outcome_hint(outcome,
                     "Start the helper with --status-socket=%s, or name the status socket of a "
                     "running helper with --status-socket.",
                     path);
        break;
    case ECONNREFUSED:
        outcome_hint(outcome,
                     "The socket exists, but no process listens on it: the helper has exited.");
        break;
    case EACCES:
    case EPERM:
        outcome_hint(outcome, "Only its owner and its group may read it: see the helper's "
                              "--status-mode and --status-group.");
        break;
    case EAGAIN:
    case ETIMEDOUT:
        outcome_hint(outcome, "Too many readers are connected, or this is not a status socket.");
        break;
    default:
        break;
    }
}

/* The answer could not be used. */
static void document_object_to(const char *path, enum fetch_problem problem,
                               struct outcome *outcome)
{
    if (problem == FETCH_FORMAT) {
        outcome_fail(outcome, CTL_DATA, "unsupported format of the helper's status");
        outcome_hint(outcome, "This qemu-pr-ctl is older than the helper.");
        return;
    }
    outcome_fail(outcome, CTL_DATA, "%s does not send a helper's status", path);
    outcome_hint(outcome, "%s",
                 problem == FETCH_EMPTY
                     ? "Too many readers are connected: try again."
                     : "Is it the helper's socket for clients? Name the one of --status-socket.");
}

/* From one socket. Returns 0, and the caller puts *ret_document; else as fetch_document does, and
 * the outcome says what was wrong. */
static int document_fetch_one(const struct options *options, const char *path,
                              struct outcome *outcome, struct json_object **ret_document)
{
    int timeout_ms = options->timeout_ms < 0 ? FETCH_WAIT_MS : options->timeout_ms;
    int r = fetch_document(path, timeout_ms, ret_document);

    if (r < 0)
        document_advise(path, r, outcome);
    else if (r > 0)
        document_object_to(path, (enum fetch_problem)r, outcome);
    return r;
}

static int document_is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.'; /* a hidden one is on its way to a name */
}

/* Standard output is JSON for a program, or samples. */
static void document_tell(const struct outcome *outcome)
{
    char escaped[2 * sizeof(outcome->what)];

    escape_text(escaped, sizeof(escaped), outcome->what);
    if (*escaped)
        fprintf(stderr, "qemu-pr-ctl: %s\n", escaped);
}

/*
 * From each socket of a directory; those of helpers that are gone do not count. One that cannot be
 * read is told of, and if there is no other, it is the outcome.
 */
static void document_fetch_all(const struct options *options, const char *directory,
                               struct outcome *outcome, struct json_object *documents)
{
    struct outcome failed = {.what = ""};
    struct dirent **entries = NULL;
    int n = scandir(directory, &entries, document_is_visible, alphasort);

    if (n < 0)
        document_advise(directory, -errno, &failed);
    for (int i = 0; i < n; i++) {
        struct outcome one = {.result.status = PRHELPER_STATUS_NONE};
        struct json_object *document;
        char path[PATH_MAX];
        int r;

        snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
        free(entries[i]);
        r = document_fetch_one(options, path, &one, &document);
        if (r == 0) {
            json_object_array_add(documents, document);
        } else if (r != -ECONNREFUSED && r != -ENOENT) {
            document_tell(&failed);
            failed = one;
        }
    }
    free(entries);
    if (json_object_array_length(documents) > 0) {
        document_tell(&failed);
    } else if (failed.what[0]) {
        *outcome = failed;
    } else {
        outcome_fail(outcome, CTL_HELPER, "no running helper has a status socket in %s", directory);
        outcome_hint(outcome, "A helper makes one if the directory exists when it starts, unless "
                              "its --status-socket names another: then name that here, too.");
    }
}

bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_documents)
{
    const char *path = options->status_socket ? options->status_socket : document_directory();
    struct json_object *documents = json_object_new_array(), *document;

    if (!document_is_one(options)) {
        document_fetch_all(options, path, outcome, documents);
    } else if (document_fetch_one(options, path, outcome, &document) == 0) {
        json_object_array_add(documents, document);
    }
    if (json_object_array_length(documents) > 0) {
        *ret_documents = documents;
        return true;
    }
    json_object_put(documents);
    return false;
}
