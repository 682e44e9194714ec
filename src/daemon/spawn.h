// SPDX-License-Identifier: LGPL-2.1-or-later
/* The keeper's part in the multipath worker's life: to execute it. */
#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The worker finds its channel here; the standard fds are /dev/null, and there are no others. */
#define SPAWN_CHANNEL 3

/* The only privilege that the worker needs and gets: SG_IO on the paths. */
extern const uint32_t spawn_capabilities;

/*
 * Can there be a worker, by the rights of this process and what is installed? If not, ret_problem
 * says what is missing.
 */
bool spawn_is_possible(const char *path, char *ret_problem, size_t problem_size);

/*
 * Before the first one: make the calling process the parent of all processes that its workers leave
 * behind, and see that it has nothing to collect.
 */
void spawn_init(void);

/*
 * Execute the worker. Of the environment it gets MULTIPATH_SOCKET_NAME and nothing else; and the
 * argument WORKER_BESIDE if the last one, or what it left in the kernel, still lives. Returns the
 * helper's end of its channel, the caller's from now on, or a negative errno. That it cannot be
 * executed is said in its hello.
 */
int spawn_worker(const char *path);

/*
 * The same of a worker that the service manager starts, by connecting to the socket that is there
 * for that. Does not wait. Returns the helper's end of the channel or a negative errno.
 */
int spawn_connect(const char *path);

#endif
