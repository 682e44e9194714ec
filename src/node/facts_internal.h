// SPDX-License-Identifier: LGPL-2.1-or-later
/* The parts of facts.h: facts_paths.c. */
#ifndef NODE_FACTS_INTERNAL_H
#define NODE_FACTS_INTERNAL_H

#include "node/facts.h"

/*
 * Of a device that is a map and has this WWN and number in the document. Untouched if nothing was
 * told. What is beyond FACTS_PATHS_MAX is added to *left_out. Returns 0 or -ENOMEM.
 */
int facts_read_paths(struct json_object *worker, const char *wwn, struct facts_device *device,
                     double *left_out);

#endif
