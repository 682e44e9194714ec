// SPDX-License-Identifier: LGPL-2.1-or-later
/* One look at the node: what its helpers say, joined by logical unit, and what needs attention. */
#ifndef NODE_LOOK_H
#define NODE_LOOK_H

#include "node/alarm.h"

struct look {
    struct crowd crowd;
    struct lun_list luns;
    struct alarm_list alarms;
};

/* Ask all at these places (crowd_ask). Returns 0, and the caller gives *ret_look back; or -ENOMEM.
 */
int look_take(const char *const *places, unsigned n_places, int timeout_ms, struct look *ret_look);

/* The same of a crowd that has answered, which is consumed. */
int look_at_crowd(struct crowd crowd, struct look *ret_look);
void look_deinit(struct look *look);

/*
 * The document of docs/node-status.schema.json, in one line without a newline, terminated. The
 * caller frees it; NULL: there is no memory.
 */
char *look_report(const struct look *look);

#endif
