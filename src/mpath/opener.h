// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The opener: a process of its own that opens the paths of maps for the worker, which has no way to
 * /dev itself. It opens nothing but a disk that sysfs calls a path of a multipath map that a client
 * has passed (or of which something is remembered), for reading, which is enough for SG_IO.
 */
#ifndef MPATH_OPENER_H
#define MPATH_OPENER_H

#include <sys/types.h>

/*
 * Fork it: before there are threads, and before this process has entered its sandbox. It enters one
 * of its own. Returns the worker's end of its channel, which is at end of file when it has died, or
 * a negative errno.
 */
int opener_start(void);

/* Show it a map, as a client has passed it, before its paths are to be opened. Any thread. */
void opener_show(int channel, int map_fd);

/*
 * Have one path opened. May block for as long as the path's driver does. Any thread. Returns an fd,
 * the caller's, or a negative errno: -ENOENT: no node of that name in /dev, or one of another
 * device; -EPERM: not a path of a map that the opener has been shown; of open(2); -EPIPE: the
 * opener has died.
 */
int opener_open(int channel, dev_t map, const char *name);

#endif
