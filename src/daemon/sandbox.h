// SPDX-License-Identifier: LGPL-2.1-or-later
/* The walls around the serving process: files by Landlock, system calls by seccomp. */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/*
 * From now on nothing of the file system but /sys can be opened, and that for reading; with
 * needs_proc, where there is no keeper to ask, /proc as well.
 * A kernel without Landlock is said at -v and is no error. Returns 0 or a negative errno with a
 * message in ret_error; *ret_version is that of the kernel's interface, 0: it has none. After
 * no_new_privs, before any thread.
 */
int sandbox_enter_landlock(bool needs_proc, int *ret_version, char *ret_error, size_t error_size);

/* Allow the system calls that serving needs, and no others. The same rules. */
int sandbox_enter_seccomp(char *ret_error, size_t error_size);

#endif
