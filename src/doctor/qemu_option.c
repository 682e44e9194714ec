// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * QEMU's documentation calls them keyval and JSON (qemu(1), -blockdev and -device). libvirt types
 * the latter since 6.9.
 */
#include "doctor/qemu_option.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define QEMU_OPTION_NAME_MAX 256
#define QEMU_OPTION_DEPTH    16

static void option_add(struct json_object *option, const char *name, struct json_object *value,
                       unsigned depth);

/* A file name that is a description of its own, in place of which its members are added. */
static bool option_add_described(struct json_object *option, const char *name, const char *value,
                                 unsigned depth)
{
    const char *last = strrchr(name, '.');
    char parent[QEMU_OPTION_NAME_MAX];
    struct json_object *json;

    last = last ? last + 1 : name;
    if (strncmp(value, "json:", 5) != 0 ||
        (strcmp(last, "filename") != 0 && strcmp(name, "file") != 0))
        return false;
    json = json_tokener_parse(value + 5);
    if (!json_object_is_type(json, json_type_object)) {
        json_object_put(json);
        return false;
    }
    snprintf(parent, sizeof(parent), "%.*s", last > name ? (int)(last - name - 1) : 0, name);
    option_add(option, parent, json, depth + 1);
    json_object_put(json);
    return true;
}

static void option_add_text(struct json_object *option, const char *name, const char *value,
                            unsigned depth)
{
    if (depth < QEMU_OPTION_DEPTH && !option_add_described(option, name, value, depth))
        json_object_object_add(option, name, json_object_new_string(value));
}

static void option_add_members(struct json_object *option, const char *name,
                               struct json_object *value, unsigned depth)
{
    char below[QEMU_OPTION_NAME_MAX];

    json_object_object_foreach(value, key, member)
    {
        snprintf(below, sizeof(below), "%s%s%s", name, name[0] ? "." : "", key);
        option_add(option, below, member, depth + 1);
    }
}

static void option_add(struct json_object *option, const char *name, struct json_object *value,
                       unsigned depth)
{
    char below[QEMU_OPTION_NAME_MAX];

    if (depth >= QEMU_OPTION_DEPTH || !value)
        return;
    switch (json_object_get_type(value)) {
    case json_type_object:
        option_add_members(option, name, value, depth);
        break;
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            snprintf(below, sizeof(below), "%s.%zu", name, i);
            option_add(option, below, json_object_array_get_idx(value, i), depth + 1);
        }
        break;
    case json_type_boolean:
        option_add_text(option, name, json_object_get_boolean(value) ? "on" : "off", depth);
        break;
    default:
        option_add_text(option, name, json_object_get_string(value), depth);
    }
}

/* One "name=value" up to a comma, of which two in a row are one of the value. The rest. */
static const char *option_take_pair(struct json_object *option, const char *text,
                                    const char *implied, char *buffer)
{
    char *value, *end = buffer;

    for (; *text && (text[0] != ',' || text[1] == ','); text++) {
        text += *text == ',';
        *end++ = *text;
    }
    *end = '\0';
    value = strchr(buffer, '=');
    if (value) {
        *value = '\0';
        option_add_text(option, buffer, value + 1, 0);
    } else if (implied) {
        option_add_text(option, implied, buffer, 0);
    } else if (buffer[0]) {
        option_add_text(option, buffer, "on", 0);
    }
    return *text == ',' ? text + 1 : text;
}

struct json_object *qemu_option_parse(const char *value, const char *implied)
{
    struct json_object *option = json_object_new_object(), *json;
    CLEANUP_FREE char *buffer = NULL;

    if (option && value[0] == '{') {
        json = json_tokener_parse(value);
        if (json_object_is_type(json, json_type_object)) {
            option_add(option, "", json, 0);
        } else {
            json_object_put(option);
            option = NULL;
        }
        json_object_put(json);
        return option;
    }
    buffer = malloc(strlen(value) + 1);
    if (!option || !buffer) {
        json_object_put(option);
        return NULL;
    }
    while (*value) {
        value = option_take_pair(option, value, implied, buffer);
        implied = NULL;
    }
    return option;
}

const char *qemu_option_get(struct json_object *option, const char *name)
{
    struct json_object *member;

    return json_object_object_get_ex(option, name, &member) ? json_object_get_string(member) : NULL;
}
