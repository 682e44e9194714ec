// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a server wants of its process, before there are threads.
 *
 * Thread rule: the main thread's alone.
 */
#ifndef SERVE_PROCESS_H
#define SERVE_PROCESS_H

/* fds for ourselves, and for a message with as many fds as can be. */
#define PROCESS_FDS_RESERVED 300

/*
 * Block every signal but those that report a fault, for this thread and all that it starts: a
 * signal would interrupt commands on /dev/sgN, which then go on by themselves with an unknown
 * outcome. Returns an fd (signalfd(2), close-on-exec, non-blocking) for those that end a server:
 * SIGTERM, SIGINT and SIGHUP; or a negative errno.
 */
int process_block_signals(void);

/*
 * Raise the soft limit on open fds to the hard one, at most 65,536. Returns it, or a negative
 * errno.
 */
int process_raise_fd_limit(void);

/* How many clients fit into n_fds: each needs its own fd and a place for the one that it sends. */
unsigned process_client_room(unsigned n_fds);

/*
 * A path from an option, in which %d stands for our pid; every other text stands for itself. To a
 * directory, which ends in a slash, a name is added that is no other process's, also where several
 * PID namespaces share it. To be asked by the process that stays. Returns a path that the caller
 * frees, or NULL (ENOMEM).
 */
char *process_path(const char *text);

#endif
