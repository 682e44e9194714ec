// SPDX-License-Identifier: LGPL-2.1-or-later
/* The outcome of a command: the answer, and advice. */
#ifndef CTL_OUTCOME_H
#define CTL_OUTCOME_H

#include <inttypes.h>
#include <prhelper.h>
#include <stdbool.h>

#include "ctl/command.h"
#include "ctl/exit_status.h"
#include "ctl/options.h"

/* Unit attentions that are taken note of before one counts as the answer. */
#define OUTCOME_ATTENTIONS_MAX 8

/* Every key is written so, wherever it stands: it can be looked for. */
#define OUTCOME_KEY "0x%016" PRIx64

/*
 * Room for texts that name a device and a socket as a shell takes them: a name of PATH_MAX may be
 * four times as long then.
 */
#define OUTCOME_WHAT_MAX 8192
#define OUTCOME_HINT_MAX 65536

/* The outcome of a command. */
struct outcome {
    int r; /* libprhelper's, of the last time it was sent */
    struct prhelper_result result;
    bool is_long; /* the data is more than `result` holds: session_data() has it */
    struct prhelper_sense attentions[OUTCOME_ATTENTIONS_MAX]; /* that were reported before */
    unsigned n_attentions;

    enum exit_status exit_status; /* what follows is for advice_* to fill in */
    char what[OUTCOME_WHAT_MAX];  /* what went wrong, in words; "" if nothing did */
    char hint[OUTCOME_HINT_MAX];  /* what to do about it, maybe several lines; or "" */
};

/* Whether it is unknown if `command` has changed something on the device. */
bool outcome_is_unknown(const struct outcome *outcome, const struct command *command);

/* It failed, for this reason. */
__attribute__((format(printf, 3, 4))) void
outcome_fail(struct outcome *outcome, enum exit_status status, const char *format, ...);

/* Advice on what to do about it. */
__attribute__((format(printf, 2, 3))) void outcome_hint(struct outcome *outcome, const char *format,
                                                        ...);

/* One more line of it. */
__attribute__((format(printf, 2, 3))) void outcome_add_line(struct outcome *outcome,
                                                            const char *format, ...);

/*
 * Add a line to the hint: a command for the same device by the same way, which can be typed as it
 * stands, in a shell. The format has the command and its own options. What does not fit is left out
 * as a whole.
 */
__attribute__((format(printf, 3, 4))) void outcome_add_command(struct outcome *outcome,
                                                               const struct options *options,
                                                               const char *format, ...);

#endif
