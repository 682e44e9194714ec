// SPDX-License-Identifier: LGPL-2.1-or-later
/* One run of the command fence: what it needs, and how it sends and says something. */
#ifndef CTL_FENCE_H
#define CTL_FENCE_H

#include <json.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/command.h"
#include "ctl/options.h"
#include "ctl/outcome.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "ctl/victims.h"

/* The state of one run. */
struct fence {
    const struct options *options;
    struct options step; /* of the command that is being sent */
    struct session session;
    struct outcome outcome;
    struct state state; /* as it was before */
    struct victims victims;
    struct json_object *json; /* NULL: text */
    uint64_t key;             /* ours */
    bool temporary;           /* it was made for this */
    bool registered;          /* and is registered */
    bool fenced;              /* and it is over */
    unsigned flags;           /* of a registration: PRHELPER_APTPL, or none */
};

/* Open the device and connect. False: the outcome says why not. */
bool fence_open(struct fence *fence);

/* Send one command as if it had been typed. True: GOOD. */
bool fence_send(struct fence *fence, const struct command *command, uint64_t key, uint64_t other,
                unsigned type, struct outcome *outcome);

/* A command failed: the outcome says so in the words of that command. */
void fence_fail(struct fence *fence, const struct command *command, const struct outcome *outcome);

/* Add a hint to the outcome. Always false. */
bool fence_refuse(struct fence *fence, const char *hint);

/* Add to the outcome who was registered before. */
void fence_list(struct fence *fence);

#endif
