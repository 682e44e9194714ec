// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How to look into a JSON document of another program: the helper's status
 * (docs/status.schema.json), multipathd's maps. A member that is missing, null or of another kind
 * is NULL, 0 or false: a later program may have changed its mind, and that is no reason to fail.
 *
 * Thread rule: none; a document belongs to one thread. Texts belong to the document.
 */
#ifndef NODE_DOCUMENT_H
#define NODE_DOCUMENT_H

#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object *document_object(struct json_object *object, const char *name);
const char *document_text(struct json_object *object, const char *name);
int64_t document_number(struct json_object *object, const char *name);
double document_seconds(struct json_object *object, const char *name);
bool document_flag(struct json_object *object, const char *name);

/* Members of an array that is a member: how many, and each. */
size_t document_count(struct json_object *object, const char *name);
struct json_object *document_item(struct json_object *object, const char *name, size_t index);

#endif
