// SPDX-License-Identifier: LGPL-2.1-or-later
/* From a failure to an exit status, words, and what to do next. */
#ifndef CTL_ADVICE_H
#define CTL_ADVICE_H

#include "ctl/command.h"
#include "ctl/session.h"

/* session_open_device() returned this. */
void advice_device(const struct session *session, int r, struct outcome *outcome);

/* session_connect() returned this. */
void advice_connect(const struct session *session, int r, struct outcome *outcome);

/* A command was sent, and there is no answer: outcome->r says why. */
void advice_failure(const struct session *session, const struct command *command,
                    struct outcome *outcome);

/*
 * There is an answer. To be able to say why the command was refused this may send others that only
 * read.
 */
void advice_answer(struct session *session, const struct command *command, struct outcome *outcome);

/* For the two above: what to do when it is not known what the device has done. */
void advice_unknown(const struct session *session, const struct command *command, const char *first,
                    struct outcome *outcome);

/*
 * RESERVATION CONFLICT, or what stands for it: reads keys, reservation and, if there is one, who
 * holds it, and says which of the usual causes it is.
 *
 * Advice that names a command which may take something from others says before it what would be
 * lost and for whom, as far as the device tells, in a line that begins with "Warning: ".
 */
void advice_conflict(struct session *session, const struct command *command,
                     struct outcome *outcome);

/* INVALID RELEASE OF PERSISTENT RESERVATION: this host holds one of another type. */
void advice_bad_release(struct session *session, struct outcome *outcome);

#endif
