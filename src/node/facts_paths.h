// SPDX-License-Identifier: LGPL-2.1-or-later
/* The paths of a multipath map, as the helper's worker has told of them (src/proto/maptable.h). */
#ifndef NODE_FACTS_PATHS_H
#define NODE_FACTS_PATHS_H

#include "node/facts.h"

/*
 * Of a device that is a map and has this WWN and number in the document. Untouched if nothing was
 * told. What is beyond FACTS_PATHS_MAX is added to *left_out. Returns 0 or -ENOMEM.
 */
int facts_read_paths(struct json_object *worker, const char *wwn, struct facts_device *device,
                     double *left_out);

/* A client that is registered on the map is not by this path, which it uses. */
bool facts_path_is_missing(const struct facts_path *path);

#endif
