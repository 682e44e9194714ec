// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For commands that have something on the device while they are under way: a signal ends them where
 * it can be removed or at least told. For the whole process; the main thread's.
 */
#ifndef CTL_INTERRUPT_H
#define CTL_INTERRUPT_H

#include <stdbool.h>

/*
 * From now on SIGINT, SIGTERM and SIGHUP are noted, and `notice` is written to standard error, a
 * text of 512 bytes at most; a second one ends the process at once. A reader of standard output
 * that goes away is no reason to end either: SIGPIPE is ignored.
 */
void interrupt_catch(const char *notice);

/* Whether such a signal has come. */
bool interrupt_came(void);

#endif
