// SPDX-License-Identifier: LGPL-2.1-or-later
#include "validate/judge.h"

#include <byteswap.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/output.h"
#include "node/document.h"
#include "scsi/spc.h"

#define JUDGE_KEYS_MAX (PRHELPER_DATA_MAX / 8)

__attribute__((format(printf, 2, 3))) static void judge_say(struct nexus_answer *answer,
                                                            const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(answer->got, NEXUS_GOT_MAX, format, arguments);
    va_end(arguments);
}

struct found {
    uint64_t key[JUDGE_KEYS_MAX];
    size_t count;
};

static bool judge_has(const struct found *found, uint64_t key)
{
    for (size_t i = 0; i < found->count; i++) {
        if (found->key[i] == key)
            return true;
    }
    return false;
}

/* Those of a list that must be there. False: one is not, and the answer says which. */
static bool judge_present(struct json_object *step, const char *list, struct keys *keys,
                          const struct found *found, struct nexus_answer *answer)
{
    for (size_t i = 0; i < document_count(step, list); i++) {
        const char *name = json_object_get_string(document_item(step, list, i));
        uint64_t key = 0;

        keys_find(keys, name, &key);
        if (judge_has(found, key))
            continue;
        if (judge_has(found, bswap_64(key)))
            judge_say(answer, "swapped");
        else
            judge_say(answer, "missing %s", name);
        return false;
    }
    return true;
}

static bool judge_is_listed(struct json_object *step, const char *list, struct keys *keys,
                            uint64_t key)
{
    for (size_t i = 0; i < document_count(step, list); i++) {
        uint64_t listed = 0;

        keys_find(keys, json_object_get_string(document_item(step, list, i)), &listed);
        if (listed == key)
            return true;
    }
    return false;
}

static void judge_keys(struct json_object *step, struct keys *keys, struct nexus_answer *answer)
{
    struct found found = {.count = 0};
    struct prhelper_list list;
    int r = prhelper_list_decode(answer->result.data, answer->result.size, &list);

    while (r == 0 && found.count < JUDGE_KEYS_MAX) {
        r = prhelper_key_next(&list, &found.key[found.count]);
        found.count += r == 0;
    }
    if (r != PRHELPER_END) {
        judge_say(answer, "malformed");
        return;
    }
    if (!judge_present(step, "has", keys, &found, answer) ||
        !judge_present(step, "only", keys, &found, answer))
        return;
    for (size_t i = 0; i < found.count; i++) {
        const char *name = keys_name(keys, found.key[i]);

        if (judge_is_listed(step, "lacks", keys, found.key[i]) ||
            (document_object(step, "only") && !judge_is_listed(step, "only", keys, found.key[i]))) {
            judge_say(answer, "extra %s", name ? name : "key");
            return;
        }
    }
    if (document_object(step, "count") && document_number(step, "count") != (int64_t)found.count)
        judge_say(answer, "count %zu", found.count);
}

static void judge_reservation(struct json_object *step, struct keys *keys,
                              struct nexus_answer *answer)
{
    const char *holder = document_text(step, "holder");
    struct prhelper_reservation reservation;
    uint64_t key = 0;

    if (prhelper_reservation_decode(answer->result.data, answer->result.size, &reservation) != 0) {
        judge_say(answer, "malformed");
    } else if (document_flag(step, "none")) {
        if (reservation.held)
            judge_say(answer, "held");
    } else if (!reservation.held) {
        judge_say(answer, "not held");
    } else if (holder && keys_find(keys, holder, &key) && reservation.key != key) {
        judge_say(answer,
                  reservation.key && reservation.key == bswap_64(key) ? "swapped" : "other holder");
    } else if (document_object(step, "type") && reservation.type != document_number(step, "type")) {
        judge_say(answer, "other type");
    }
}

/* Without a mask nothing is known of the types, and nothing is missing. */
static void judge_capabilities(struct json_object *step, struct nexus_answer *answer)
{
    struct prhelper_capabilities capabilities;
    unsigned type = (unsigned)document_number(step, "type");

    if (prhelper_capabilities_decode(answer->result.data, answer->result.size, &capabilities) != 0)
        judge_say(answer, "malformed");
    else if (type && capabilities.types_valid && !(capabilities.types & 1u << type))
        judge_say(answer, "type missing");
    else if (document_flag(step, "types") && !capabilities.types_valid)
        judge_say(answer, "no type mask");
    else if (document_flag(step, "power_loss") && !capabilities.persistent)
        judge_say(answer, "no power loss");
    else if (document_flag(step, "active") && !capabilities.persistent_active)
        judge_say(answer, "not active");
}

static void judge_full_status(struct json_object *step, struct nexus_answer *answer)
{
    struct prhelper_registrant registrant;
    struct prhelper_list list;
    int64_t count = 0;
    int r = prhelper_list_decode(answer->result.data, answer->result.size, &list);

    while (r == 0 && (r = prhelper_registrant_next(&list, &registrant)) == 0)
        count++;
    if (r != PRHELPER_END)
        judge_say(answer, "malformed");
    else if (document_object(step, "count") && document_number(step, "count") != count)
        judge_say(answer, "count %" PRId64, count);
}

void judge_answer(enum profile_action action, struct json_object *step, struct keys *keys,
                  struct nexus_answer *answer)
{
    switch (action) {
    case PROFILE_KEYS:
        judge_keys(step, keys, answer);
        break;
    case PROFILE_RESERVATION:
        judge_reservation(step, keys, answer);
        break;
    case PROFILE_CAPABILITIES:
        judge_capabilities(step, answer);
        break;
    case PROFILE_FULL_STATUS:
        judge_full_status(step, answer);
        break;
    default:
        break;
    }
}

void judge_designator(const struct nexus *nexus, struct nexus_answer *ret)
{
    static const char *const usable[] = {"naa.", "eui.", "scsi"};

    memset(ret, 0, sizeof(*ret));
    ret->result.status = PRHELPER_STATUS_NONE;
    judge_say(ret, nexus->is_file ? "skipped" : "no name");
    for (size_t i = 0; i < sizeof(usable) / sizeof(usable[0]); i++) {
        if (strncmp(nexus->identity, usable[i], strlen(usable[i])) == 0)
            judge_say(ret, "good");
    }
}

static size_t judge_list_names(char *text, size_t size, const char *word, struct json_object *step,
                               const char *list)
{
    size_t n = 0;

    for (size_t i = 0; i < document_count(step, list) && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i == 0 ? word : ", ",
                              json_object_get_string(document_item(step, list, i)));
    if (n > 0 && n < size)
        n += (size_t)snprintf(text + n, size - n, "; ");
    return n < size ? n : size;
}

void judge_expected(enum profile_action action, struct json_object *step,
                    struct json_object *record, const char *expect)
{
    const char *holder = document_text(step, "holder");
    char text[256] = "";
    size_t n = 0;

    if (action == PROFILE_KEYS) {
        n += judge_list_names(text + n, sizeof(text) - n, "key ", step, "has");
        n += judge_list_names(text + n, sizeof(text) - n, "no key ", step, "lacks");
        n += judge_list_names(text + n, sizeof(text) - n, "no keys but ", step, "only");
        if (document_object(step, "only") && document_count(step, "only") == 0)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "no keys; ");
        if (n > 1)
            text[n - 2] = '\0';
    } else if (action == PROFILE_RESERVATION && document_flag(step, "none")) {
        snprintf(text, sizeof(text), "no reservation");
    } else if (action == PROFILE_RESERVATION) {
        snprintf(text, sizeof(text), "a reservation%s%s", holder ? ", holder " : "",
                 holder ? holder : "");
        n = strlen(text);
        if (document_object(step, "type"))
            snprintf(text + n, sizeof(text) - n, ", type %u",
                     (unsigned)document_number(step, "type"));
    } else if (action == PROFILE_CAPABILITIES && document_object(step, "type")) {
        snprintf(text, sizeof(text), "type %u among those that it has",
                 (unsigned)document_number(step, "type"));
    } else {
        snprintf(text, sizeof(text), "%s",
                 expect                   ? expect
                 : action == PROFILE_RACE ? "one"
                                          : "good");
    }
    output_add_text(record, "expected", text);
}
