// SPDX-License-Identifier: LGPL-2.1-or-later
/* A command to multipathd, by its socket. */
#ifndef MPATH_MULTIPATHD_H
#define MPATH_MULTIPATHD_H

#include <stddef.h>

#define MULTIPATHD_REPLY_SIZE 256 /* far more than any answer to what we ask */

/*
 * Send "COMMAND map MAP" and wait for the answer, without its newline. Returns 0, with whatever
 * multipathd said in ret_reply ("ok", "fail", a key); or a negative errno if it could not be
 * reached, with what was tried in ret_reply, for people.
 */
int multipathd_ask(const char *command, const char *map, char ret_reply[MULTIPATHD_REPLY_SIZE]);

/* The same where no answer is needed: it is waited for as briefly as makes no difference. */
void multipathd_tell(const char *command, const char *map);

#endif
