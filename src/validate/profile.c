// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A profile is checked as a whole before anything is sent, so that a slip of the pen in step 30
 * does not end a validation in the middle, and a member that is spelt wrong is not passed over.
 */
#include "validate/profile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "node/document.h"
#include "scsi/spc.h"
#include "validate/parts.h"

static const struct profile_verb verbs[] = {
    {"register", PROFILE_COMMAND, NEXUS_REGISTER,
     PROFILE_TAKES_KEY | PROFILE_TAKES_NEW | PROFILE_TAKES_APTPL},
    {"register-ignore", PROFILE_COMMAND, NEXUS_REGISTER_IGNORE,
     PROFILE_TAKES_NEW | PROFILE_TAKES_APTPL},
    {"reserve", PROFILE_COMMAND, NEXUS_RESERVE, PROFILE_TAKES_KEY | PROFILE_TAKES_TYPE},
    {"release", PROFILE_COMMAND, NEXUS_RELEASE, PROFILE_TAKES_KEY | PROFILE_TAKES_TYPE},
    {"clear", PROFILE_COMMAND, NEXUS_CLEAR, PROFILE_TAKES_KEY},
    {"preempt", PROFILE_COMMAND, NEXUS_PREEMPT,
     PROFILE_TAKES_KEY | PROFILE_TAKES_VICTIM | PROFILE_TAKES_TYPE},
    {"preempt-abort", PROFILE_COMMAND, NEXUS_PREEMPT_ABORT,
     PROFILE_TAKES_KEY | PROFILE_TAKES_VICTIM | PROFILE_TAKES_TYPE},
    {"keys", PROFILE_KEYS, NEXUS_READ_KEYS, 0},
    {"reservation", PROFILE_RESERVATION, NEXUS_READ_RESERVATION, 0},
    {"capabilities", PROFILE_CAPABILITIES, NEXUS_REPORT_CAPABILITIES, 0},
    {"full-status", PROFILE_FULL_STATUS, NEXUS_READ_FULL_STATUS, 0},
    {"read", PROFILE_READ, NEXUS_READ_KEYS, 0},
    {"write", PROFILE_WRITE, NEXUS_READ_KEYS, 0},
    {"designator", PROFILE_DESIGNATOR, NEXUS_READ_KEYS, 0},
    {"race", PROFILE_RACE, NEXUS_READ_KEYS, 0},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const char *const of_profile[] = {"format", "name",      "title",   "sources",
                                         "note",   "keys",      "beat_ms", "unreserved",
                                         "parts",  "sequences", NULL};
static const char *const of_sequence[] = {"name",   "title", "nexuses", "disk_only",
                                          "report", "steps", "sent_by", NULL};
static const char *const of_step[] = {
    "id",    "nexus",  "do",    "key",    "new",      "victim", "type",       "aptpl",  "expect",
    "has",   "only",   "lacks", "none",   "holder",   "types",  "power_loss", "active", "count",
    "steps", "report", "why",   "source", "evidence", "go_on",  "if",         NULL};
static const char *const expectations[] = {"good", "conflict", "refused", "any", "one", NULL};
static const char *const conditions[] = {"no-reservation", "not-holder", NULL};
static const char *const evidence[] = {"S", "D", "C", "M", NULL};

/* Where in a file, and what is wrong there. */
struct complaint {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static bool profile_complain(struct complaint *complaint,
                                                                   const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(complaint->text, complaint->size, format, arguments);
    va_end(arguments);
    return false;
}

static bool profile_is_one_of(const char *text, const char *const *list)
{
    for (; text && *list; list++) {
        if (strcmp(text, *list) == 0)
            return true;
    }
    return false;
}

static bool profile_check_members(struct json_object *object, const char *const *known,
                                  const char *where, struct complaint *complaint)
{
    if (!json_object_is_type(object, json_type_object))
        return profile_complain(complaint, "%s is not an object", where);
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        if (!profile_is_one_of(name, known))
            return profile_complain(complaint, "%s has an unknown member '%s'", where, name);
    }
    return true;
}

const struct profile_verb *profile_find_verb(const char *name)
{
    for (size_t i = 0; name && i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static bool profile_check_keys(struct json_object *step, const char *where, struct keys *keys,
                               struct complaint *complaint)
{
    static const char *const single[] = {"key", "new", "victim", "holder"};
    static const char *const lists[] = {"has", "only", "lacks"};
    uint64_t key;

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        const char *name = document_text(step, single[i]);

        if (document_object(step, single[i]) && (!name || !keys_find(keys, name, &key)))
            return profile_complain(complaint, "%s: '%s' is not the name of a key", where,
                                    single[i]);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (document_object(step, lists[i]) &&
            !json_object_is_type(document_object(step, lists[i]), json_type_array))
            return profile_complain(complaint, "%s: '%s' is not a list of keys", where, lists[i]);
        for (size_t j = 0; j < document_count(step, lists[i]); j++) {
            struct json_object *item = document_item(step, lists[i], j);

            if (!json_object_is_type(item, json_type_string) ||
                !keys_find(keys, json_object_get_string(item), &key))
                return profile_complain(complaint,
                                        "%s: '%s' has an entry that is not the name of a key",
                                        where, lists[i]);
        }
    }
    return true;
}

static bool profile_check_step(struct json_object *step, const char *where, struct keys *keys,
                               bool nested, struct complaint *complaint)
{
    const struct profile_verb *verb = profile_find_verb(document_text(step, "do"));
    const char *nexus = document_text(step, "nexus");
    int64_t type = document_number(step, "type");

    if (!profile_check_members(step, of_step, where, complaint))
        return false;
    if (!verb || (nested && verb->action != PROFILE_COMMAND))
        return profile_complain(complaint, "%s: 'do' is not a known command", where);
    if (verb->action == PROFILE_RACE) {
        if (document_count(step, "steps") != 2)
            return profile_complain(complaint, "%s: a race needs two steps", where);
        for (size_t i = 0; i < 2; i++) {
            if (!profile_check_step(document_item(step, "steps", i), where, keys, true, complaint))
                return false;
        }
    } else if (!nexus || (strcmp(nexus, "A") != 0 && strcmp(nexus, "B") != 0)) {
        return profile_complain(complaint, "%s: 'nexus' is neither A nor B", where);
    }
    if (document_object(step, "expect") &&
        !profile_is_one_of(document_text(step, "expect"), expectations))
        return profile_complain(complaint, "%s: 'expect' is not a known answer", where);
    if (document_object(step, "if") && !profile_is_one_of(document_text(step, "if"), conditions))
        return profile_complain(complaint, "%s: 'if' is not a known condition", where);
    if (document_object(step, "evidence") &&
        !profile_is_one_of(document_text(step, "evidence"), evidence))
        return profile_complain(complaint, "%s: 'evidence' is not S, D, C or M", where);
    if (verb->takes & PROFILE_TAKES_KEY && verb->command != NEXUS_REGISTER &&
        !document_text(step, "key"))
        return profile_complain(complaint, "%s: missing 'key'", where);
    if ((verb->takes & PROFILE_TAKES_NEW && !document_text(step, "new")) ||
        (verb->takes & PROFILE_TAKES_VICTIM && !document_text(step, "victim")))
        return profile_complain(complaint, "%s: missing 'new' key or 'victim'", where);
    if (type < 0 || type > 15)
        return profile_complain(complaint, "%s: invalid 'type'", where);
    return profile_check_keys(step, where, keys, complaint);
}

static bool profile_check_sequence(struct json_object *sequence, struct keys *keys,
                                   struct complaint *complaint)
{
    const char *name = document_text(sequence, "name");
    int64_t nexuses = document_number(sequence, "nexuses");

    if (!name)
        return profile_complain(complaint, "a sequence has no name");
    if (!profile_check_members(sequence, of_sequence, name, complaint))
        return false;
    if (nexuses < 1 || nexuses > 2)
        return profile_complain(complaint, "%s: 'nexuses' is neither 1 nor 2", name);
    if (document_count(sequence, "steps") == 0)
        return profile_complain(complaint, "%s has no steps", name);
    for (size_t i = 0; i < document_count(sequence, "steps"); i++) {
        struct json_object *step = document_item(sequence, "steps", i);
        char where[128];

        snprintf(where, sizeof(where), "%s, step %zu", name, i + 1);
        if (!document_text(step, "id"))
            return profile_complain(complaint, "%s has no 'id'", where);
        if (!profile_check_step(step, where, keys, false, complaint))
            return false;
        if (nexuses == 1 && document_text(step, "nexus") &&
            strcmp(document_text(step, "nexus"), "B") == 0)
            return profile_complain(complaint, "%s uses nexus B, but there is only one nexus",
                                    where);
    }
    return true;
}

void profile_keys(struct json_object *profile, struct keys *keys)
{
    struct json_object *own = document_object(profile, "keys");

    keys->count = 0;
    if (!json_object_is_type(own, json_type_object))
        return;
    json_object_object_foreach(own, name, value)
    {
        uint64_t key;

        if (json_object_is_type(value, json_type_string) &&
            parse_hex(json_object_get_string(value), UINT64_MAX, &key))
            keys_set(keys, name, key);
    }
}

/* Puts the steps of its parts in their places, too. */
static bool profile_check(struct json_object *profile, struct complaint *complaint)
{
    struct json_object *own = document_object(profile, "keys");
    struct keys keys;

    if (!profile_check_members(profile, of_profile, "the profile", complaint) ||
        !parts_expand(profile, complaint->text, complaint->size))
        return false;
    if (document_number(profile, "format") != PROFILE_FORMAT)
        return profile_complain(complaint, "its format is not %d", PROFILE_FORMAT);
    if (!document_text(profile, "name") || !document_text(profile, "title"))
        return profile_complain(complaint, "it has no name or no title");
    profile_keys(profile, &keys);
    if (own && (!json_object_is_type(own, json_type_object) ||
                keys.count != (size_t)json_object_object_length(own)))
        return profile_complain(complaint, "one of its keys is not a hexadecimal number");
    for (size_t i = 0; i < document_count(profile, "sequences"); i++) {
        if (!profile_check_sequence(document_item(profile, "sequences", i), &keys, complaint))
            return false;
    }
    return true;
}

struct json_object *profile_load(const char *directory, const char *name, char *error, size_t size)
{
    char path[PATH_MAX], text[512];
    struct complaint complaint = {text, sizeof(text)};
    struct json_object *profile;

    if (strchr(name, '/'))
        snprintf(path, sizeof(path), "%s", name);
    else
        snprintf(path, sizeof(path), "%s/%s.json", directory, name);
    profile = json_object_from_file(path);
    if (!profile) {
        snprintf(error, size, "%s: %s", path,
                 access(path, R_OK) < 0 ? strerror(errno) : "it is not JSON");
        return NULL;
    }
    if (profile_check(profile, &complaint))
        return profile;
    snprintf(error, size, "%s: %s", path, text);
    json_object_put(profile);
    return NULL;
}

static int profile_is_name(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && isalnum((unsigned char)entry->d_name[0]) &&
           strcmp(entry->d_name + length - 5, ".json") == 0 &&
           strcmp(entry->d_name, "quirks.json") != 0;
}

struct json_object *profile_names(const char *directory, char *error, size_t size)
{
    struct json_object *names;
    struct dirent **list;
    int n = scandir(directory, &list, profile_is_name, alphasort);

    if (n <= 0) {
        snprintf(error, size, "%s: %s", directory, n < 0 ? strerror(errno) : "no profile found");
        if (n == 0)
            free(list);
        return NULL;
    }
    names = json_object_new_array();
    for (int i = 0; i < n; i++) {
        json_object_array_add(
            names, json_object_new_string_len(list[i]->d_name, (int)strlen(list[i]->d_name) - 5));
        free(list[i]);
    }
    free(list);
    return names;
}

struct nexus_call profile_call(const struct profile_verb *verb, struct json_object *step,
                               struct keys *keys)
{
    struct nexus_call call = {.action = verb->command,
                              .type = (unsigned)document_number(step, "type")};

    if (verb->takes & PROFILE_TAKES_KEY && document_text(step, "key"))
        keys_find(keys, document_text(step, "key"), &call.key);
    if (verb->takes & PROFILE_TAKES_NEW)
        keys_find(keys, document_text(step, "new"), &call.other);
    if (verb->takes & PROFILE_TAKES_VICTIM)
        keys_find(keys, document_text(step, "victim"), &call.other);
    if (verb->takes & PROFILE_TAKES_APTPL && document_flag(step, "aptpl"))
        call.flags = PRHELPER_APTPL;
    return call;
}
