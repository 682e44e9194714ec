// SPDX-License-Identifier: LGPL-2.1-or-later
/* The process that executes one command, and whatever the library does to it. */
#ifndef MPATH_CHILD_H
#define MPATH_CHILD_H

#include <sys/types.h>

#include "mpath/map.h"
#include "proto/worker.h"

/* Its exit code once it has answered: one that a library that calls exit() would not come up with.
 */
#define CHILD_ANSWERED 77

/*
 * Fork a child that executes the request on the map that device is open on, answers on reply and
 * ends with CHILD_ANSWERED. What it prints goes to output (output.h). It has no copy of any other
 * fd, and ends with this process. Returns its pid, or a negative errno.
 */
pid_t child_start(const struct worker_request *request, const struct map *map, int device,
                  int reply, int output);

/* Fork a child that resumes the map by dm_resume() and ends with CHILD_ANSWERED if that worked. */
pid_t child_start_resume(int control, const struct map *map);

/*
 * Send an answer on reply. Never waits: a helper that does not read has no wish to. The helper
 * takes the first one that comes.
 */
void child_answer(int reply, const struct worker_reply *answer, const uint8_t *data);

#endif
