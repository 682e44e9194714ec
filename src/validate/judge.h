// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whether what was read is what a step expects to be there. */
#ifndef VALIDATE_JUDGE_H
#define VALIDATE_JUDGE_H

#include <json.h>

#include "validate/keys.h"
#include "validate/nexus.h"
#include "validate/profile.h"

/*
 * Of an answer that is GOOD: `got` stays "good" if all is there that the step names, and nothing
 * that it excludes. Otherwise it says what is different: "missing kA", "extra kB", "swapped",
 * "not held", "held", "other holder", "other type", "type missing", "no power loss", "malformed".
 */
void judge_answer(enum profile_action action, struct json_object *step, struct keys *keys,
                  struct nexus_answer *answer);

/* Whether a cluster can tell the logical unit by page 83h: "good", "no name", or "skipped". */
void judge_designator(const struct nexus *nexus, struct nexus_answer *ret);

/* Add to a step's record, in words, what was expected of it. */
void judge_expected(enum profile_action action, struct json_object *step,
                    struct json_object *record, const char *expect);

#endif
