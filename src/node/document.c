// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/document.h"

struct json_object *document_object(struct json_object *object, const char *name)
{
    struct json_object *member;

    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, name, &member))
        return NULL;
    return member;
}

const char *document_text(struct json_object *object, const char *name)
{
    struct json_object *member = document_object(object, name);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

int64_t document_number(struct json_object *object, const char *name)
{
    return json_object_get_int64(document_object(object, name));
}

double document_seconds(struct json_object *object, const char *name)
{
    return json_object_get_double(document_object(object, name));
}

bool document_flag(struct json_object *object, const char *name)
{
    return json_object_get_boolean(document_object(object, name));
}

size_t document_count(struct json_object *object, const char *name)
{
    struct json_object *member = document_object(object, name);

    return json_object_is_type(member, json_type_array) ? json_object_array_length(member) : 0;
}

struct json_object *document_item(struct json_object *object, const char *name, size_t index)
{
    /* json-c asserts that it is an array. */
    if (index >= document_count(object, name))
        return NULL;
    return json_object_array_get_idx(document_object(object, name), index);
}
