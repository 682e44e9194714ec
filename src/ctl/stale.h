// SPDX-License-Identifier: LGPL-2.1-or-later
/* Keys that clients have left registered when they vanished. */
#ifndef CTL_STALE_H
#define CTL_STALE_H

#include <json.h>
#include <stdbool.h>

#include "ctl/outcome.h"
#include "ctl/session.h"

/* The next device of these status documents that is this open file, or one I_T nexus with it; NULL.
 * *cursor is 0 at first. */
struct json_object *stale_next_device(struct json_object *documents, int device, size_t *cursor);

/*
 * Whether options->key may be removed from the session's device: the helper lists it there as
 * stale; whose it was is in session->note then. Otherwise the outcome says why not.
 */
bool stale_check(struct session *session, struct outcome *outcome);

#endif
