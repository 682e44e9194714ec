// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A lock on the map's file. It tells every worker of this host that a path is executing a command
 * that changes something. It lasts as long as the command is in the kernel, also when the
 * worker that sent it has given it up or was killed: no other command on that map may begin until
 * then, since the late one may still be executed. Other maps are not concerned.
 *
 * Each path's thread has the file open for itself, in its own table of fds, so the lock goes with
 * that thread alone. Thread rule: any, each fd by one thread.
 */
#ifndef MPATH_HOLD_H
#define MPATH_HOLD_H

#include <stdbool.h>

/*
 * Open a map's file, making it if need be. directory: an fd (journal.h). Returns an fd, the
 * caller's, or a negative errno.
 */
int hold_open(int directory, const char *uuid);

/*
 * Take the lock, which others may have as well, and give it up. fd -1: nothing to do. hold_take()
 * returns 0, or a negative errno if others would not be told: the command must not be sent then.
 * hold_give() may have to close the fd, which is -1 then.
 */
int hold_take(int fd);
void hold_give(int *fd);

/* Has any other fd of the file the lock? fd -1: no. What cannot be told counts as yes. */
bool hold_is_taken(int fd);

#endif
