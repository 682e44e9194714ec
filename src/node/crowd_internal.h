// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef NODE_CROWD_INTERNAL_H
#define NODE_CROWD_INTERNAL_H

#include "node/crowd.h"

/* Fill in the members, none of them asked. Returns 0 or -ENOMEM. */
int crowd_find(const char *const *places, unsigned n_places, struct crowd *crowd);

#endif
