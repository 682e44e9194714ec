// SPDX-License-Identifier: LGPL-2.1-or-later
/* The parts of facts.h: facts_paths.c. */
#ifndef NODE_FACTS_INTERNAL_H
#define NODE_FACTS_INTERNAL_H

#include "node/facts.h"

/* Maps of one document that are looked at; a helper tells of fewer. */
#define FACTS_MAPS_MAX 1024

/* What a document tells of the worker's maps; everything but the rows belongs to it. */
struct facts_map {
    const char *number, *wwn;
    struct json_object *object;
};

struct facts_maps {
    size_t n;
    struct facts_map *rows; /* owned by the caller, who frees it */
};

/* 0 or -ENOMEM. */
int facts_list_maps(struct json_object *worker, struct facts_maps *ret_maps);

/*
 * Of a device that is a map and has this WWN and number in the document. Untouched if nothing was
 * told. What is beyond FACTS_PATHS_MAX is added to *left_out. Returns 0 or -ENOMEM.
 */
int facts_read_paths(const struct facts_maps *maps, const char *wwn, struct facts_device *device,
                     double *left_out);

#endif
