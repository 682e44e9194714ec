// SPDX-License-Identifier: LGPL-2.1-or-later
/* The profiles that --for names, and the quirks that they have in common. */
#ifndef VALIDATE_CATALOGUE_H
#define VALIDATE_CATALOGUE_H

#include <json.h>
#include <stdbool.h>

#include "ctl/options.h"
#include "ctl/outcome.h"

struct catalogue {
    struct json_object *profiles; /* array: those that were asked for, checked */
    struct json_object *quirks;
};

/*
 * --for: a name, a path, several with commas between them, or "all". False: the outcome says why
 * not. The caller ends it by catalogue_deinit() in both cases.
 */
bool catalogue_load(struct catalogue *catalogue, const struct options *options,
                    struct outcome *outcome);
void catalogue_deinit(struct catalogue *catalogue);

/* --for=list: print the names of all. Returns an exit status. */
int catalogue_list(const struct options *options);

#endif
