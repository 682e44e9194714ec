// SPDX-License-Identifier: LGPL-2.1-or-later
/* Parts of a profile: steps that are written once, and done by each nexus with its own keys. */
#ifndef VALIDATE_PARTS_H
#define VALIDATE_PARTS_H

#include <json.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Put the steps of its part in the place of each step that names one by "part", in all sequences:
 * with that step's nexus, and with the keys that its "keys" gives for the names in the part. False,
 * with the reason in `error`, if there is no such part, or a part is not used.
 */
bool parts_expand(struct json_object *profile, char *error, size_t size);

#endif
