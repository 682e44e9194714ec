// SPDX-License-Identifier: LGPL-2.1-or-later
#include "validate/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "ctl/exit_status.h"
#include "ctl/output.h"
#include "node/document.h"
#include "validate/profile.h"
#include "validate/quirks.h"

static const char *catalogue_directory(const struct options *options)
{
    return options->profiles ? options->profiles : BUILD_VALIDATE_DIR;
}

static bool catalogue_add(struct catalogue *catalogue, const struct options *options,
                          struct outcome *outcome, const char *name)
{
    char error[1024];
    struct json_object *profile = profile_load(catalogue_directory(options), name, error,
                                               sizeof(error));

    if (profile) {
        json_object_array_add(catalogue->profiles, profile);
        return true;
    }
    outcome_fail(outcome, CTL_USAGE, "--for=%s: %s", options->purpose, error);
    outcome_hint(outcome, "'qemu-pr-ctl validate --for=list' lists the known ones.");
    return false;
}

bool catalogue_load(struct catalogue *catalogue, const struct options *options,
                    struct outcome *outcome)
{
    const char *directory = catalogue_directory(options);
    char error[1024], *names, *rest, *name;
    struct json_object *all;
    bool ok = true;

    catalogue->profiles = json_object_new_array();
    catalogue->quirks = quirks_load(directory, error, sizeof(error));
    if (!catalogue->quirks) {
        outcome_fail(outcome, CTL_INTERNAL, "%s", error);
        outcome_hint(outcome, "Nothing was changed. Name the directory of the profiles and "
                              "quirks.json with --profiles; in a source tree it is dist/validate.");
        return false;
    }
    if (strcmp(options->purpose, "all") != 0) {
        names = rest = strdup(options->purpose);
        while (ok && (name = strsep(&rest, ",")))
            ok = catalogue_add(catalogue, options, outcome, name);
        free(names);
        return ok && names;
    }
    all = profile_names(directory, error, sizeof(error));
    if (!all) {
        outcome_fail(outcome, CTL_INTERNAL, "%s", error);
        return false;
    }
    for (size_t i = 0; ok && i < json_object_array_length(all); i++)
        ok = catalogue_add(catalogue, options, outcome,
                           json_object_get_string(json_object_array_get_idx(all, i)));
    json_object_put(all);
    return ok;
}

int catalogue_list(const struct options *options)
{
    char error[1024];
    struct json_object *names = profile_names(catalogue_directory(options), error, sizeof(error));

    if (!names) {
        fprintf(stderr, "qemu-pr-ctl: validate: %s\n", error);
        return CTL_INTERNAL;
    }
    for (size_t i = 0; i < json_object_array_length(names); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(names, i));
        struct json_object *profile = profile_load(catalogue_directory(options), name, error,
                                                   sizeof(error));

        printf("%-14s %s\n", name, profile ? document_text(profile, "title") : error);
        json_object_put(profile);
    }
    json_object_put(names);
    return output_flush(CTL_GOOD);
}

void catalogue_deinit(struct catalogue *catalogue)
{
    json_object_put(catalogue->profiles);
    json_object_put(catalogue->quirks);
    *catalogue = (struct catalogue){.profiles = NULL};
}
