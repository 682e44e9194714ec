// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A rule is an object. What it has of "do", "id", "expect", "type" and "aptpl" must be that of the
 * step; "got" is what came of it. "after" is what the same nexus did last in this sequence and was
 * GOOD, or "nothing"; "held" is "other" if the other nexus has reserved in it; "seen" is a quirk
 * that this run has shown before. Texts are patterns of fnmatch(3).
 */
#include "validate/quirks.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/document.h"

struct json_object *quirks_load(const char *directory, char *error, size_t size)
{
    char path[PATH_MAX];
    struct json_object *quirks;

    snprintf(path, sizeof(path), "%s/quirks.json", directory);
    quirks = json_object_from_file(path);
    if (quirks && document_count(quirks, "quirks") > 0)
        return quirks;
    snprintf(error, size, "%s: %s", path,
             access(path, R_OK) < 0 ? strerror(errno) : "it has no list of quirks");
    json_object_put(quirks);
    return NULL;
}

static bool quirks_same_text(struct json_object *rule, struct json_object *step, const char *name)
{
    const char *wanted = document_text(rule, name), *found = document_text(step, name);

    return !wanted || (found && fnmatch(wanted, found, 0) == 0);
}

static bool quirks_fits_past(struct json_object *rule, unsigned nexus,
                             const struct quirks_past *past)
{
    const char *after = document_text(rule, "after"), *held = document_text(rule, "held");
    const char *last = past->last[nexus] ? past->last[nexus] : "nothing";
    const char *seen = document_text(rule, "seen");
    bool by_other = past->holder >= 0 && past->holder != (int)nexus;

    return (!after || fnmatch(after, last, 0) == 0) &&
           (!held || by_other == (strcmp(held, "other") == 0)) &&
           (!seen || document_object(past->seen, seen));
}

static bool quirks_fits(struct json_object *rule, struct json_object *step, const char *got)
{
    const char *pattern = document_text(rule, "got");

    return quirks_same_text(rule, step, "do") && quirks_same_text(rule, step, "id") &&
           quirks_same_text(rule, step, "expect") &&
           (!document_object(rule, "type") ||
            document_number(rule, "type") == document_number(step, "type")) &&
           (!document_object(rule, "aptpl") ||
            document_flag(rule, "aptpl") == document_flag(step, "aptpl")) &&
           pattern && fnmatch(pattern, got, 0) == 0;
}

struct json_object *quirks_find(struct json_object *quirks, struct json_object *step,
                                unsigned nexus, const struct quirks_past *past, const char *got)
{
    for (size_t i = 0; i < document_count(quirks, "quirks"); i++) {
        struct json_object *quirk = document_item(quirks, "quirks", i);

        for (size_t j = 0; j < document_count(quirk, "when"); j++) {
            struct json_object *rule = document_item(quirk, "when", j);

            if (quirks_fits(rule, step, got) && quirks_fits_past(rule, nexus, past))
                return quirk;
        }
    }
    return NULL;
}
