// SPDX-License-Identifier: LGPL-2.1-or-later
#include "validate/parts.h"

#include <stdio.h>
#include <string.h>

#include "node/document.h"

static struct json_object *parts_copy(struct json_object *object)
{
    struct json_object *copy = NULL;

    json_object_deep_copy(object, &copy, NULL);
    return copy;
}

/* The key that a name in a part stands for, as a new text; NULL: it stands for itself. */
static struct json_object *parts_key(struct json_object *keys, struct json_object *name)
{
    const char *text = json_object_is_type(name, json_type_string) ? json_object_get_string(name)
                                                                   : NULL;
    const char *key = text ? document_text(keys, text) : NULL;

    return key ? json_object_new_string(key) : NULL;
}

static void parts_set_keys(struct json_object *step, struct json_object *keys)
{
    static const char *const single[] = {"key", "new", "victim", "holder"};
    static const char *const lists[] = {"has", "only", "lacks"};
    struct json_object *key;

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        key = parts_key(keys, document_object(step, single[i]));
        if (key)
            json_object_object_add(step, single[i], key);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < document_count(step, lists[i]); j++) {
            key = parts_key(keys, document_item(step, lists[i], j));
            if (key)
                json_object_array_put_idx(document_object(step, lists[i]), j, key);
        }
    }
}

/* The steps of a part, in the place of the one that names it. */
static bool parts_insert(struct json_object *parts, struct json_object *step,
                         struct json_object *steps, char *error, size_t size)
{
    const char *name = document_text(step, "part");
    struct json_object *keys = document_object(step, "keys");

    json_object_object_foreach(step, member, value)
    {
        (void)value;
        if (strcmp(member, "part") != 0 && strcmp(member, "nexus") != 0 &&
            strcmp(member, "keys") != 0) {
            snprintf(error, size, "unknown '%s' of a part", member);
            return false;
        }
    }
    if (!name || document_count(parts, name) == 0) {
        snprintf(error, size, "unknown part '%s'", name ? name : "");
        return false;
    }
    for (size_t i = 0; i < document_count(parts, name); i++) {
        struct json_object *copy = parts_copy(document_item(parts, name, i));

        if (json_object_is_type(copy, json_type_object)) {
            parts_set_keys(copy, keys);
            json_object_object_add(copy, "nexus", json_object_get(document_object(step, "nexus")));
        }
        json_object_array_add(steps, copy);
    }
    return true;
}

static bool parts_expand_sequence(struct json_object *parts, struct json_object *sequence,
                                  struct json_object *used, char *error, size_t size)
{
    struct json_object *steps = json_object_new_array();

    for (size_t i = 0; i < document_count(sequence, "steps"); i++) {
        struct json_object *step = document_item(sequence, "steps", i);

        if (!document_object(step, "part")) {
            json_object_array_add(steps, json_object_get(step));
        } else if (parts_insert(parts, step, steps, error, size)) {
            json_object_object_add(used, document_text(step, "part"), json_object_new_boolean(1));
        } else {
            json_object_put(steps);
            return false;
        }
    }
    json_object_object_add(sequence, "steps", steps);
    return true;
}

bool parts_expand(struct json_object *profile, char *error, size_t size)
{
    struct json_object *parts = document_object(profile, "parts");
    struct json_object *used = json_object_new_object();
    bool ok = true;

    for (size_t i = 0; ok && i < document_count(profile, "sequences"); i++) {
        struct json_object *sequence = document_item(profile, "sequences", i);

        /* Of what is no object the check of the profile says so. */
        ok = !document_object(sequence, "steps") ||
             parts_expand_sequence(parts, sequence, used, error, size);
    }
    if (ok && json_object_is_type(parts, json_type_object)) {
        json_object_object_foreach(parts, name, value)
        {
            (void)value;
            if (ok && !document_object(used, name)) {
                snprintf(error, size, "no sequence has the part '%s'", name);
                ok = false;
            }
        }
    }
    json_object_put(used);
    json_object_object_del(profile, "parts");
    return ok;
}
