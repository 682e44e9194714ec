// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Landlock (landlock(7)), which has no wrapper in the C library. Every right that the running
 * kernel knows of is handled, hence denied, and what is needed is given back. Open fds are not
 * concerned: a file carries the rights of the process that opened it.
 *
 * Thread rule: the rules hold for the calling thread and those it starts afterwards.
 */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include <linux/landlock.h>
#include <stdint.h>

/* Only from the fifth version of the interface on; asked for by a caller that gives a directory of
 * devices back, since the right is the opened file's. */
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define LANDLOCK_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

struct landlock {
    int ruleset;
    int version;     /* of the interface */
    uint64_t rights; /* that the kernel knows */
};

/* Begin. Returns 0 or a negative errno: the kernel has no Landlock (-ENOSYS, -EOPNOTSUPP). */
int landlock_begin(struct landlock *ret);

/* Give rights back below a directory; what does not exist needs none. Returns 0 or a negative
 * errno. */
int landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights);
int landlock_allow_fd(const struct landlock *landlock, int directory, uint64_t rights);

/* From now on. Closes the ruleset. Needs no_new_privs. Returns 0 or a negative errno. */
int landlock_enter(struct landlock *landlock);

#endif
