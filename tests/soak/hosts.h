// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_HOSTS_H
#define SOAK_HOSTS_H

/*
 * The hosts: a helper each, with a socket under a name of its own.
 *
 * HOST_VETERAN lives as long as the run; what it has open and holds at the end is compared with the
 * beginning. It has a status socket, "status" in the directory. HOST_RESTARTED makes its socket
 * itself. HOST_ACTIVATED is passed one, in whose queue clients wait while there is no helper, and
 * has few threads.
 *
 * Thread rule: host_mark() and host_excuse() are for any thread, the rest is for one.
 */

#include <stdint.h>
#include <sys/types.h>

#include "books.h"
#include "mailbox.h"

enum host_role {
    HOST_VETERAN,
    HOST_RESTARTED,
    HOST_ACTIVATED,
};
_Static_assert(HOST_ACTIVATED + 1 == MAILBOX_HOSTS, "each has its part of the mailbox");

#define HOST_PATH_MAX 100

/* What had befallen a host's helpers by a point in time. */
struct host_mark {
    unsigned kills, stops;
};

/* Where programs and files are. */
struct host_options {
    const char *helper, *library, *mailbox, *directory;
    unsigned sandbox; /* 0: off, which sanitizers need */
};

/* Start all helpers. Returns 0 or a negative errno. */
int hosts_start(const struct host_options *options);

/* Restart a helper, by SIGKILL or else SIGTERM. Returns when the new one has been started. */
void host_restart(unsigned host, bool by_force);

/* Has one ended by itself? Then it is started again, and that was wrong. */
void hosts_look_after(void);

/* Stop all of them; their exit codes must be 0. */
void hosts_stop(void);

pid_t host_pid(unsigned host);
const char *host_path(unsigned host);

/* May the helper be out of threads? */
bool host_has_few_threads(unsigned host);

/* Take this before connecting, and ask this when the connection has ended. */
struct host_mark host_mark(unsigned host);
struct books_excuse host_excuse(unsigned host, const struct host_mark *mark);

#endif
