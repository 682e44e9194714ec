// SPDX-License-Identifier: LGPL-2.1-or-later
/* One step of a profile: carried out, and judged by what the device answered. */
#ifndef VALIDATE_STEP_H
#define VALIDATE_STEP_H

#include <json.h>
#include <stdio.h>

#include "validate/keys.h"
#include "validate/nexus.h"
#include "validate/quirks.h"

enum step_verdict {
    STEP_PASS,
    STEP_NOTE,    /* not what was expected, and no harm */
    STEP_SKIPPED, /* it could not be tried here */
    STEP_UNKNOWN, /* it was tried, and there is no answer to judge by */
    STEP_FAIL,
};

/* In one word, by enum step_verdict. */
extern const char *const step_verdict_word[];

struct step_context {
    struct nexus *nexus; /* one or two */
    unsigned n_nexuses;
    struct keys *keys;
    struct json_object *quirks;
    int64_t beat_ms; /* an answer must not take longer; 0: no matter */
    struct quirks_past past;
};

/* What it would send, in words: "A: PREEMPT, key 0x...", on a line of its own. */
void step_print(FILE *file, struct json_object *step, struct keys *keys);

/* Whether it is sent at all: by what its nexus has read last, if it says so by "if". */
bool step_applies(const struct step_context *context, struct json_object *step);

/*
 * Carry it out. *ret_record is an object with all that is known of it, the caller's. Never more
 * than one command, but for a race, and those that unit attentions came in place of.
 */
enum step_verdict step_run(struct step_context *context, struct json_object *step,
                           struct json_object **ret_record);

#endif
