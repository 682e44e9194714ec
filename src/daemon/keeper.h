// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The keeper: a tiny process that stays behind with the starter's user, for what the helper cannot
 * do itself because it has changed its user, because of its sandbox, or because it was killed: to
 * remove socket and PID file, to start the multipath worker, and to look into /proc.
 *
 * Thread rule: start and deinit are the main thread's, the rest may be called by any thread.
 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/inode.h"

struct keeper {
    int channel; /* -1: there is none */
    pid_t pid;
    pthread_mutex_t lock; /* of the channel: one question at a time */
    uint32_t serial;      /* of the last question */
};

/* What the keeper needs. */
struct keeper_options {
    const char *socket_path;       /* to be removed; NULL: none */
    const struct inode_id *socket; /* what it is now */
    const char *status_path;       /* a second one; NULL: none */
    const struct inode_id *status;
    const char *pidfile_path;  /* to be removed; NULL: none */
    int pidfile_fd;            /* holds the lock of what it is now; -1: none */
    const char *worker_path;   /* to be executed on request; NULL: never */
    const char *worker_socket; /* to be connected to instead; NULL: none */
};

/*
 * Fork it. Its copies of all fds but the PID file's, a listening socket among them, are closed
 * before it does anything else. Returns 0 or a negative errno.
 */
int keeper_start(struct keeper *keeper, const struct keeper_options *options);

/*
 * Remove the sockets, or the PID file (whose lock we still hold), if it is still ours. Returns 0,
 * or a negative errno; that another process has replaced or removed it is no error.
 */
int keeper_remove_socket(struct keeper *keeper);
int keeper_remove_pidfile(struct keeper *keeper);

/*
 * Start a multipath worker. Returns our end of its channel (proto/worker.h), the caller's from now
 * on, or a negative errno; -EAGAIN: the last one has not gone completely. May take KEEPER_REPLY_S.
 */
int keeper_start_worker(struct keeper *keeper);

/*
 * Open a file of another process for reading: "cgroup", "cmdline" or "stat" of /proc/PID. Returns
 * an fd, the caller's, or a negative errno.
 */
int keeper_open_proc(struct keeper *keeper, pid_t pid, const char *file);

/* Let it go: it removes what is left and ends. */
void keeper_deinit(struct keeper *keeper);

#endif
