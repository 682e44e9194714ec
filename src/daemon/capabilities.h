// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Capabilities of the calling thread, in the three system calls that the helper and its keeper
 * need. (A library for it would be the third one to load at each start, and reads /proc for every
 * call.)
 *
 * Thread rule: for a process with one thread; capabilities are each thread's own.
 */
#ifndef DAEMON_CAPABILITIES_H
#define DAEMON_CAPABILITIES_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>

/* A set of capabilities, by number; all that we ever keep are among the first 32. */
#define CAPABILITY(number) (1U << (number))

/* Which of the first 32 are permitted. */
uint32_t capabilities_permitted(void);

/*
 * Set the permitted and effective sets to exactly these; the inheritable and ambient sets become
 * empty. Returns 0 or a negative errno (-EPERM: one of them was not permitted).
 */
int capabilities_set(uint32_t permitted, uint32_t effective);

/*
 * Take all others out of the bounding set, so that no program that is executed can bring them.
 * Returns 0 or a negative errno.
 */
int capabilities_bound(uint32_t keep);

#endif
