// SPDX-License-Identifier: LGPL-2.1-or-later
/* The helper's status document (docs/status.schema.json), and how to look into it. */
#ifndef CTL_DOCUMENT_H
#define CTL_DOCUMENT_H

#include <json.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/outcome.h"

/* The status socket that is meant. */
const char *document_socket(const struct options *options);

/*
 * Fetch the document from the status socket. True: the caller puts *ret_document. False: the
 * outcome says why, with what to do about it.
 */
bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_document);

/*
 * A member of an object. One that is missing, null or of another kind is NULL, 0 or false: a later
 * helper may have changed its mind, and that is no reason to fail.
 */
struct json_object *document_object(struct json_object *object, const char *name);
const char *document_text(struct json_object *object, const char *name);
int64_t document_number(struct json_object *object, const char *name);
double document_seconds(struct json_object *object, const char *name);
bool document_flag(struct json_object *object, const char *name);

/* Members of an array that is a member: how many, and each. */
size_t document_count(struct json_object *object, const char *name);
struct json_object *document_item(struct json_object *object, const char *name, size_t index);

#endif
