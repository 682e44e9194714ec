// SPDX-License-Identifier: LGPL-2.1-or-later
/* The worker's loop: requests in, children out. */
#ifndef MPATH_WORKER_H
#define MPATH_WORKER_H

#include "mpath/jobs.h"

struct worker {
    int channel;    /* to the helper; -1: at end of file */
    int signal_fd;  /* SIGCHLD */
    int dm_control; /* -1: none, and no map is ever resumed */
    struct jobs jobs;
};

/* Serve until the channel is at end of file and the last child has ended. */
void worker_run(struct worker *worker);

#endif
