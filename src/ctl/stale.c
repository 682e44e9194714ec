// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A key is stale if its client has vanished and no other client of the nexus has registered since.
 * After a question this is asked once more: a virtual machine may have come back meanwhile, with
 * the same key.
 */
#include "ctl/stale.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/parse.h"
#include "ctl/document.h"
#include "ctl/sysfs.h"
#include "node/document.h"

#define STALE_NAME_MAX 256

enum stale_state { STALE_UNKNOWN, STALE_REPLACED, STALE_VANISHED, STALE_CONNECTED };

/* What the helper lists of a key, the weightiest if it is listed more than once, and whose it is.
 */
struct owner {
    enum stale_state state;
    char name[STALE_NAME_MAX]; /* escaped */
};

static bool stale_equals(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

/* Of all devices of all documents, the one of this index; NULL: there are not so many. */
static struct json_object *stale_device(struct json_object *documents, size_t index)
{
    for (size_t i = 0; i < json_object_array_length(documents); i++) {
        struct json_object *document = json_object_array_get_idx(documents, i);
        size_t count = document_count(document, "devices");

        if (index < count)
            return document_item(document, "devices", index);
        index -= count;
    }
    return NULL;
}

struct json_object *stale_next_device(struct json_object *documents, int device, size_t *cursor)
{
    struct json_object *one;
    char number[32], where[PATH_MAX] = "/";
    struct stat file;

    if (fstat(device, &file) < 0)
        return NULL;
    snprintf(number, sizeof(number), "%u:%u", major(file.st_rdev), minor(file.st_rdev));
    sysfs_scsi_device_of(file.st_mode, file.st_rdev, where, sizeof(where));
    while ((one = stale_device(documents, (*cursor)++)) != NULL) {
        bool is_generic = stale_equals(document_text(one, "kind"), "generic");

        if ((stale_equals(document_text(one, "device"), number) &&
             is_generic == S_ISCHR(file.st_mode)) ||
            stale_equals(document_text(one, "nexus"), strrchr(where, '/') + 1))
            return one;
    }
    return NULL;
}

static void stale_add_owner(struct owner *owner, struct json_object *key)
{
    enum stale_state state = document_flag(key, "replaced") ? STALE_REPLACED
                             : document_flag(key, "stale")  ? STALE_VANISHED
                                                            : STALE_CONNECTED;
    const char *vm = document_text(key, "vm");
    char raw[STALE_NAME_MAX];

    if (state < owner->state)
        return;
    owner->state = state;
    if (document_number(key, "pid") > 0)
        snprintf(raw, sizeof(raw), "%s (pid %" PRId64 ")", vm ? vm : "an unknown client",
                 document_number(key, "pid"));
    else
        snprintf(raw, sizeof(raw), "%s", vm ? vm : "an unknown client");
    escape_text(owner->name, sizeof(owner->name), raw);
}

/* False if the status cannot be read; the outcome says why then. */
static bool stale_find_owner(const struct session *session, struct outcome *outcome,
                             struct owner *owner)
{
    struct json_object *documents, *device;
    size_t cursor = 0;

    *owner = (struct owner){.state = STALE_UNKNOWN};
    if (!document_fetch(session->options, outcome, &documents))
        return false;
    while ((device = stale_next_device(documents, session->device_fd, &cursor)) != NULL) {
        for (size_t i = 0; i < document_count(device, "keys"); i++) {
            struct json_object *key = document_item(device, "keys", i);
            const char *text = document_text(key, "key");
            uint64_t number;

            if (text && parse_hex(text, UINT64_MAX, &number) && number == session->options->key)
                stale_add_owner(owner, key);
        }
    }
    json_object_put(documents);
    return true;
}

static bool stale_is_stale(const struct session *session, const struct owner *owner,
                           struct outcome *outcome)
{
    uint64_t key = session->options->key;

    switch (owner->state) {
    case STALE_VANISHED:
        return true;
    case STALE_CONNECTED:
        outcome_fail(outcome, CTL_REFUSED, "key " OUTCOME_KEY " is in use by %s", key, owner->name);
        outcome_hint(outcome, "Its client is connected, so the key is not stale.");
        return false;
    case STALE_REPLACED:
        outcome_fail(outcome, CTL_REFUSED, "key " OUTCOME_KEY " of %s is no longer registered", key,
                     owner->name);
        outcome_hint(outcome, "Another client of this host has registered in its place.");
        return false;
    case STALE_UNKNOWN:
        break;
    }
    outcome_fail(outcome, CTL_REFUSED, "the helper lists no stale key " OUTCOME_KEY " here", key);
    outcome_hint(outcome, "'qemu-pr-ctl status' shows the keys that came through the helper since "
                          "its start.");
    outcome_add_line(outcome,
                     "Warning: a virtual machine of this host that still uses the key would lose "
                     "its registration and its reservation: its own writes may fail, and other "
                     "hosts may write.");
    outcome_add_line(outcome,
                     "Only if this host has left the key behind and nothing here uses it:");
    outcome_add_command(outcome, session->options, "register --key=" OUTCOME_KEY " --new-key=0",
                        key);
    return false;
}

bool stale_check(struct session *session, struct outcome *outcome)
{
    struct owner owner;

    if (!stale_find_owner(session, outcome, &owner) || !stale_is_stale(session, &owner, outcome))
        return false;
    snprintf(session->note, sizeof(session->note),
             "Key " OUTCOME_KEY " was registered by %s, which has gone.", session->options->key,
             owner.name);
    return true;
}
