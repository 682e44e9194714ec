// SPDX-License-Identifier: LGPL-2.1-or-later
/* The paths of a multipath map, as the helper's worker has told of them. */
#include <errno.h>
#include <json.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "node/document.h"
#include "node/facts.h"
#include "node/facts_internal.h"

/* Maps of one document that are looked at; a helper tells of fewer. */
#define FACTS_MAPS_MAX 1024

static struct json_object *facts_find_map(struct json_object *worker, const char *wwn,
                                          const char *number)
{
    size_t n = document_count(worker, "maps");

    for (size_t i = 0; i < n && i < FACTS_MAPS_MAX; i++) {
        struct json_object *map = document_item(worker, "maps", i);
        const char *its_number = document_text(map, "device"), *its_wwn = document_text(map, "wwn");

        if (its_number && strcmp(its_number, number) == 0 && its_wwn && strcmp(its_wwn, wwn) == 0)
            return map;
    }
    return NULL;
}

static void facts_read_path(struct json_object *one, struct facts_path *path)
{
    const char *name = document_text(one, "name"), *state = document_text(one, "state");
    struct json_object *registered = document_object(one, "registered");

    escape_text(path->name, sizeof(path->name), name ? name : "?");
    escape_text(path->state, sizeof(path->state), state ? state : "?");
    path->registered = !json_object_is_type(registered, json_type_boolean) ? FACTS_UNKNOWN
                       : json_object_get_boolean(registered)               ? FACTS_YES
                                                                           : FACTS_NO;
}

int facts_read_paths(struct json_object *worker, const char *wwn, struct facts_device *device,
                     double *left_out)
{
    struct json_object *map = facts_find_map(worker, wwn, device->number);
    size_t n = document_count(map, "paths");

    if (n > FACTS_PATHS_MAX) {
        *left_out += (double)(n - FACTS_PATHS_MAX);
        n = FACTS_PATHS_MAX;
    }
    if (n == 0)
        return 0;
    device->paths = calloc(n, sizeof(*device->paths));
    if (!device->paths)
        return -ENOMEM;
    device->n_paths = (unsigned)n;
    for (size_t i = 0; i < n; i++)
        facts_read_path(document_item(map, "paths", i), &device->paths[i]);
    return 0;
}

bool facts_path_is_missing(const struct facts_path *path)
{
    /* One that is away is registered when it comes back, before the map uses it. */
    return path->registered == FACTS_NO && strcmp(path->state, "up") == 0;
}
