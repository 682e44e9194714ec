// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whether --second is another I_T nexus at all. */
#ifndef VALIDATE_SECOND_H
#define VALIDATE_SECOND_H

#include <stdbool.h>

#include "ctl/outcome.h"
#include "validate/nexus.h"

/*
 * Nexus A is open; B would be `device` by the helper at `socket`. False: they are one I_T nexus as
 * far as can be told, and the outcome says so.
 */
bool second_is_other(const struct nexus *a, const char *device, const char *socket,
                     struct outcome *outcome);

#endif
