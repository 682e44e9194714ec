// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Profiles: what one cluster software asks of a disk, as data. One JSON file each, read and checked
 * when it is wanted; docs/validate.md says what is in it. Members are read by ctl/document.h.
 */
#ifndef VALIDATE_PROFILE_H
#define VALIDATE_PROFILE_H

#include <json.h>
#include <stdbool.h>
#include <stddef.h>

#include "validate/keys.h"
#include "validate/nexus.h"

#define PROFILE_FORMAT 1

/* What a step does. */
enum profile_action {
    PROFILE_COMMAND,     /* a PERSISTENT RESERVE OUT */
    PROFILE_KEYS,        /* READ KEYS, and what must be in it */
    PROFILE_RESERVATION, /* READ RESERVATION */
    PROFILE_CAPABILITIES,
    PROFILE_FULL_STATUS,
    PROFILE_READ, /* data */
    PROFILE_WRITE,
    PROFILE_DESIGNATOR, /* page 83h, as the kernel has it */
    PROFILE_RACE,       /* two commands by both nexuses at the same time */
};

struct profile_verb {
    const char *name;
    enum profile_action action;
    enum nexus_action command; /* of those that send one */
    unsigned takes;            /* PROFILE_TAKES_ bits */
};

#define PROFILE_TAKES_KEY    0x1u
#define PROFILE_TAKES_NEW    0x2u
#define PROFILE_TAKES_VICTIM 0x4u
#define PROFILE_TAKES_TYPE   0x8u
#define PROFILE_TAKES_APTPL  0x10u

/* What "do" names; NULL for an unknown one. */
const struct profile_verb *profile_find_verb(const char *name);

/*
 * Read a profile: `name` is that of a file "NAME.json" below `directory`, or a path if it has a
 * slash. Its parts are in their places, and it has been checked: every member is known, every "do"
 * and "expect" is one that there is, every key and type makes sense. NULL, with the reason in
 * `error`, if it is none. The caller puts it.
 */
struct json_object *profile_load(const char *directory, const char *name, char *error, size_t size);

/*
 * The names of all profiles below `directory`, in alphabetical order: an array of texts, which the
 * caller puts. NULL, with the reason in `error`, if it cannot be read.
 */
struct json_object *profile_names(const char *directory, char *error, size_t size);

/* Begin with a profile's keys: those that it has chosen itself. */
void profile_keys(struct json_object *profile, struct keys *keys);

/* A command's step as a call; `keys` draws those that are new. */
struct nexus_call profile_call(const struct profile_verb *verb, struct json_object *step,
                               struct keys *keys);

#endif
