// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which registrations and reservations a command removes. Only this file decides it: hints, the
 * question before such a command, and --dry-run all have it from here, in one form.
 */
#ifndef CTL_LOSS_H
#define CTL_LOSS_H

#include <json.h>
#include <stdbool.h>

#include "ctl/options.h"
#include "ctl/outcome.h"
#include "ctl/session.h"
#include "ctl/state.h"

/* What a command removes from a registration; bits. */
enum loss {
    LOSS_NONE = 0,
    LOSS_KEY = 1,          /* its key is replaced by another one */
    LOSS_REGISTRATION = 2, /* it is removed */
    LOSS_RESERVATION = 4,  /* which it holds, alone or with others */
};

/*
 * Whether a command, with these options, can take something from others: what is asked about.
 * Most are known by their options alone, so that a script is told before it matters. The exceptions
 * are register-ignore, for which `state` says whether there is a registration that it may replace
 * (NULL: that is not known yet); and a cleanup without a key, which changes multipath maps only.
 */
bool loss_is_possible(const struct session *session, const struct options *options,
                      const struct state *state);

/*
 * Add lines: who holds the reservation, which registrations lose what, and what that does, in a
 * line that begins with "Warning: ". Nothing is added if nothing is lost as far as the device says,
 * unless that could not be read. Returns whether anything was added.
 */
bool loss_add(const struct options *options, const struct state *state, struct outcome *outcome);

/* The same as an array of objects. The caller owns it. */
struct json_object *loss_to_json(const struct options *options, const struct state *state);

#endif
