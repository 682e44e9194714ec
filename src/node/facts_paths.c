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

int facts_list_maps(struct json_object *worker, struct facts_maps *ret_maps)
{
    size_t n = document_count(worker, "maps");
    struct facts_maps maps = {
        .rows = calloc(n < FACTS_MAPS_MAX ? n + 1 : FACTS_MAPS_MAX, sizeof(*maps.rows))};

    if (!maps.rows)
        return -ENOMEM;
    for (size_t i = 0; i < n && i < FACTS_MAPS_MAX; i++) {
        struct json_object *map = document_item(worker, "maps", i);
        const char *number = document_text(map, "device"), *wwn = document_text(map, "wwn");

        if (number && wwn)
            maps.rows[maps.n++] = (struct facts_map){number, wwn, map};
    }
    *ret_maps = maps;
    return 0;
}

static struct json_object *facts_find_map(const struct facts_maps *maps, const char *wwn,
                                          const char *number)
{
    for (size_t i = 0; i < maps->n; i++) {
        if (strcmp(maps->rows[i].number, number) == 0 && strcmp(maps->rows[i].wwn, wwn) == 0)
            return maps->rows[i].object;
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

int facts_read_paths(const struct facts_maps *maps, const char *wwn, struct facts_device *device,
                     double *left_out)
{
    struct json_object *map = facts_find_map(maps, wwn, device->number);
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
