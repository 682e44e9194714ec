// SPDX-License-Identifier: LGPL-2.1-or-later
/* A profile from its first step to its last, each sequence from an empty logical unit to one. */
#ifndef VALIDATE_RUN_H
#define VALIDATE_RUN_H

#include <json.h>
#include <stdbool.h>

#include "validate/keys.h"
#include "validate/nexus.h"

/* Of a profile: what is to be told to those who ask whether it will work. */
enum run_verdict {
    RUN_PASS,
    RUN_PARTLY, /* as far as it could be tried; more needs a second nexus */
    RUN_UNKNOWN,
    RUN_FAIL,
};

/* In one word, by enum run_verdict. */
extern const char *const run_verdict_word[];

struct run {
    struct nexus nexus[2];
    unsigned n_nexuses;
    struct json_object *quirks; /* borrowed */
    struct keys keys;           /* of the profile that runs */
    struct json_object *first;  /* owned: the record of the first READ KEYS, if that failed */
    struct json_object *seen;   /* owned: names of quirks that were shown, as members */
    bool force;                 /* registrations of others may be removed */
    bool unlisted;              /* who was registered before could not be read */
    bool foreign;               /* another host registered meanwhile */
    bool stopped;               /* interrupted, or not to be tidied up: nothing more can be told */
    char left[512];             /* what could not be tidied up; "" if nothing is left */
};

/*
 * READ KEYS, before anything is changed. If that fails, nothing ever is: run_profile() then says of
 * all profiles what came of it, but of those of software that uses no reservations.
 */
void run_begin(struct run *run);

/*
 * Run all sequences of a profile; after interrupt_came() none of its steps any more. *ret_record is
 * an object with what was done and found, the caller's. Before and after each sequence the logical
 * unit is as run_tidy() leaves it.
 */
enum run_verdict run_profile(struct run *run, struct json_object *profile,
                             struct json_object **ret_record);

/*
 * Remove all registrations and the reservation, and see that they are gone. False: they are not,
 * or that is not known; run->left says it. If there is a key that is not of this program, a host
 * has begun to use the device: without run->force only our own registrations are removed then.
 */
bool run_tidy(struct run *run);

#endif
