// SPDX-License-Identifier: LGPL-2.1-or-later
/* Before anything is changed: may this logical unit be used? */
#ifndef VALIDATE_SAFETY_H
#define VALIDATE_SAFETY_H

#include <stdbool.h>

#include "ctl/outcome.h"
#include "validate/run.h"

/*
 * Whether the nexuses lead to one logical unit, it has no registrations, nothing that is known
 * is on it, and the user agrees: options->force is for the middle two, --yes or a question for the
 * last. Otherwise the outcome says why not.
 */
bool safety_confirm(struct run *run, const struct options *options, struct outcome *outcome);

#endif
