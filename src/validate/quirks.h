// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What an answer that was not due means: rules in a JSON file, the first that fits counts. So an
 * array's habit has the same name in every profile.
 */
#ifndef VALIDATE_QUIRKS_H
#define VALIDATE_QUIRKS_H

#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file is quirks.json below `directory`. NULL, with the reason in `error`; the caller puts it.
 */
struct json_object *quirks_load(const char *directory, char *error, size_t size);

/* What came before a step: the same answer means another thing after another command. */
struct quirks_past {
    const char *last[2]; /* what each nexus did that was GOOD, without what reads; NULL: nothing */
    int holder;          /* the nexus that has reserved, in this sequence; -1: none */
    uint64_t held_by[2]; /* the holder that each nexus has read last; 0: none, or all */
    bool held[2];        /* whether there was a reservation then */
    struct json_object *seen; /* names of quirks that this run has shown, as members */
};

/*
 * The quirk that a step of this nexus shows by what came of it, an object of `quirks`, or NULL.
 */
struct json_object *quirks_find(struct json_object *quirks, struct json_object *step,
                                unsigned nexus, const struct quirks_past *past, const char *got);

#endif
