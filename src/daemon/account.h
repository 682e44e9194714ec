// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Accounts of the system by their files, without the name service: that loads libraries, may ask a
 * network, and takes longer than all else that a start does.
 */
#ifndef DAEMON_ACCOUNT_H
#define DAEMON_ACCOUNT_H

#include <sys/types.h>

/* The most that is read of a file: accounts after that are not found. */
#define ACCOUNT_FILE_MAX (1024 * 1024)

/*
 * Find the user `name` in a file such as /etc/passwd (passwd(5)). Lines that are malformed, or
 * longer than a few kB, are passed over, and so are those with user or group 0. Returns 0; -ENOENT:
 * there is none, or no file; -EFBIG: not within ACCOUNT_FILE_MAX; or another negative errno.
 */
int account_find_in(const char *path, const char *name, uid_t *ret_uid, gid_t *ret_gid);

/* The same in /etc/passwd, then in /usr/lib/passwd, where image-based systems have theirs. */
int account_find(const char *name, uid_t *ret_uid, gid_t *ret_gid);

#endif
