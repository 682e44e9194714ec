// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a child prints, or rather the library in it: kept in a file in memory of limited size, and
 * never in the way of what it does, as a pipe that nobody empties would be.
 */
#ifndef MPATH_OUTPUT_H
#define MPATH_OUTPUT_H

#include <stddef.h>

#define OUTPUT_LINE_SIZE 200 /* of a line that is quoted, with its NUL */

/* A place for it. Returns an fd (close-on-exec) or a negative errno. */
int output_new(void);

/* In the child: standard output and standard error go there. Returns 0 or a negative errno. */
int output_use(int fd);

/*
 * The last line that has anything in it, without the time that the library puts before it; "" if
 * there is none. Any process that has the fd.
 */
void output_last_line(int fd, char ret_line[OUTPUT_LINE_SIZE]);

#endif
