// SPDX-License-Identifier: LGPL-2.1-or-later
/* The worker's loop: requests in, each to its map's thread. */
#ifndef MPATH_WORKER_H
#define MPATH_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "mpath/map.h"
#include "mpath/shared.h"

/* Maps of which something is known, each in two halves (enum map_side). */
#define WORKER_MAPS_MAX 2048

/* Of the helper's clients that are told of at their end. */
#define WORKER_SLOTS_MAX 8192

struct worker {
    int channel; /* to the helper; -1: at end of file */
    struct shared shared;
    struct map *maps;
    unsigned n_maps;
    uint8_t has_sent[WORKER_SLOTS_MAX / 8]; /* a bit for each client, by its slot */
};

/*
 * Serve until the channel is at end of file and what was begun is done. Returns false if it ends
 * because the opener has died.
 */
bool worker_run(struct worker *worker);

#endif
