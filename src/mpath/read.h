// SPDX-License-Identifier: LGPL-2.1-or-later
/* PERSISTENT RESERVE IN on one path of a map after the other, until one answers. */
#ifndef MPATH_READ_H
#define MPATH_READ_H

#include "mpath/map.h"

/* Of MAP_READS. */
extern const struct map_calls read_calls;

#endif
