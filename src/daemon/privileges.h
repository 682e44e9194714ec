// SPDX-License-Identifier: LGPL-2.1-or-later
/* Becoming a user that may do one thing: send SCSI commands by fds that others have opened. */
#ifndef DAEMON_PRIVILEGES_H
#define DAEMON_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The helper's own user, which packages and images make. */
#define PRIVILEGES_USER "qemu-pr-helper"

#define PRIVILEGES_NOTE_SIZE 256

/* Whom to become. */
struct privileges_ids {
    uid_t uid;       /* (uid_t)-1: stay */
    gid_t gid;       /* (gid_t)-1: stay */
    bool is_default; /* the user was not asked for, so that it cannot be had is no error */
    /* A note about the user for the administrator, or "". */
    char note[PRIVILEGES_NOTE_SIZE];
};

/*
 * Change to these ids, drop supplementary groups, and keep one capability, CAP_SYS_RAWIO, and no
 * way to any other. User 0 that was not told whom to become (uid (uid_t)-1) becomes the helper's
 * own user, or *nobody*, which others share. Before any thread exists: capabilities are each
 * thread's own.
 *
 * Privileges that cannot be dropped for lack of privilege are kept and logged at -v, because
 * no_new_privs makes it harmless; a change that was asked for and fails is an error; a user by
 * default that cannot be had is said in ids->note, and the process goes on as it is. Returns 0 or a
 * negative errno with a message in ret_error.
 */
int privileges_drop(struct privileges_ids *ids, char *ret_error, size_t error_size);

#endif
