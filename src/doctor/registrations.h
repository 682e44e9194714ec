// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which paths of a map are registered, by READ FULL STATUS. */
#ifndef DOCTOR_REGISTRATIONS_H
#define DOCTOR_REGISTRATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/nexus.h"

struct registrations {
    unsigned total;    /* registrations that were shown */
    unsigned own;      /* of them may be of this host */
    unsigned certain;  /* paths that are registered */
    unsigned possible; /* paths that are or may be: a registration is of one path at most */
    bool cut;          /* there are more than were shown */
    /* Those without may have a part in others': the device may keep one for a host or a port. */
    bool by_host;
    bool differ;  /* paths have different keys, in any assignment of registrations to paths */
    uint64_t key; /* one that they all may have */
};

/*
 * Judge `data` of READ FULL STATUS for the paths of a map. Keys have their bytes reversed if
 * `reversed`. `expected` is the key that is looked for first. False: the data is malformed, or
 * there is no memory.
 */
bool registrations_judge(const struct nexus *paths, unsigned n_paths, const uint8_t *data,
                         size_t size, bool reversed, uint64_t expected, struct registrations *ret);

#endif
