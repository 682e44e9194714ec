// SPDX-License-Identifier: LGPL-2.1-or-later
/* Becoming somebody who may do one thing: send SCSI commands by fds that others have opened. */
#ifndef DAEMON_PRIVILEGES_H
#define DAEMON_PRIVILEGES_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Change to uid and gid ((uid_t)-1, (gid_t)-1: stay), drop supplementary groups, and keep one
 * capability, CAP_SYS_RAWIO, and no way to any other. Before any thread exists: capabilities are
 * each thread's own. What cannot be dropped for lack of privilege is left and said at -v, since
 * no_new_privs makes it harmless; an id change that was asked for and fails is an error. Returns
 * 0 or a negative errno with a message in ret_error.
 */
int privileges_drop(uid_t uid, gid_t gid, char *ret_error, size_t error_size);

#endif
