// SPDX-License-Identifier: LGPL-2.1-or-later
/* The device-mapper's own word on a map: is it suspended? */
#ifndef MPATH_DM_H
#define MPATH_DM_H

#include <stdbool.h>
#include <sys/types.h>

/* /dev/mapper/control. Returns an fd (close-on-exec) or a negative errno. */
int dm_open(void);

/* Does not wait for the map. Returns 0 or a negative errno. */
int dm_is_suspended(int control, dev_t map, bool *ret);

/* Let the map's I/O go on. May block. Returns 0 or a negative errno. */
int dm_resume(int control, dev_t map);

#endif
