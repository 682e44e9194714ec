// SPDX-License-Identifier: LGPL-2.1-or-later
/* What becomes of a RELEASE that every path of a map was asked for. Pure. */
#ifndef MPATH_RELEASE_H
#define MPATH_RELEASE_H

#include <stddef.h>

#include "mpath/paths.h"

enum release_verdict {
    RELEASE_ANSWERED, /* reply is what a path said, or GOOD */
    RELEASE_LEFT,     /* B/08/00: a path said GOOD, but the reservation stands */
    RELEASE_UNKNOWN,  /* B/08/00: a path said GOOD, but whether it is gone cannot be seen */
};

/*
 * answers: of n paths, in order. before, after: the reservation as read before and after all of
 * them, after NULL if it could not be read. key: the command's reservation key.
 */
enum release_verdict release_judge(const struct path_answer *answers, size_t n,
                                   const struct prin_reservation *before,
                                   const struct prin_reservation *after, uint64_t key,
                                   struct reply *reply);

#endif
