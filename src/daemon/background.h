// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * -d: going into the background such that the command that started us knows how it went.
 *
 * Thread rule: the main thread's alone.
 */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

/*
 * Fork. The parent does not return: it shows what the child logs and exits with 0 once the child
 * calls background_ready, or with 1 if the child ends before. The child returns, in a session of
 * its own, in /, with its standard fds on /dev/null and its log going to the parent. Returns the fd
 * for background_ready or a negative errno.
 */
int background_start(void);

/* Let the parent go. Closes the fd; the log has to go elsewhere from now on. */
void background_ready(int fd);

#endif
