// SPDX-License-Identifier: LGPL-2.1-or-later
/* Before a command that can take something from others: a question, --yes, or --dry-run. */
#ifndef CTL_CONSENT_H
#define CTL_CONSENT_H

#include <json.h>
#include <stdbool.h>

#include "ctl/outcome.h"
#include "ctl/session.h"

/*
 * Whether the session's command may be sent: it takes nothing from others, or there is --yes, or a
 * question on the terminal was answered with yes, and nothing has changed meanwhile. Else the
 * outcome says why not, and `json`, unless it is NULL, who would lose what.
 */
bool consent_obtain(struct session *session, struct outcome *outcome, struct json_object *json);

/* --dry-run: show what would be sent, and who would lose what. */
void consent_show(struct session *session, struct outcome *outcome, struct json_object *json);

#endif
