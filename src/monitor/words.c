// SPDX-License-Identifier: LGPL-2.1-or-later
/* None of these escapes anything: that is for the caller that prints. */
#include "monitor/words.h"

#include <inttypes.h>
#include <stdio.h>

#include "node/document.h"

const char *words_age(double seconds, char text[WORDS_AGE_MAX])
{
    if (seconds < 1)
        snprintf(text, WORDS_AGE_MAX, "%.0f ms", seconds * 1000);
    else if (seconds < 120)
        snprintf(text, WORDS_AGE_MAX, "%.0f s", seconds);
    else if (seconds < 120 * 60)
        snprintf(text, WORDS_AGE_MAX, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(text, WORDS_AGE_MAX, "%.0f h", seconds / 3600);
    else
        snprintf(text, WORDS_AGE_MAX, "%.0f d", seconds < 1e9 ? seconds / 86400 : 99999);
    return text;
}

const char *words_latency(int64_t us, char text[WORDS_AGE_MAX])
{
    if (us < 1000)
        snprintf(text, WORDS_AGE_MAX, "%" PRId64 " us", us);
    else
        words_age((double)us / 1e6, text);
    return text;
}

const char *words_text(struct json_object *object, const char *name, const char *otherwise)
{
    const char *text = document_text(object, name);

    return text && *text ? text : otherwise;
}

const char *words_vm(struct json_object *object)
{
    return words_text(object, "vm", "unknown");
}

void words_device(struct json_object *device, char *text, size_t size)
{
    const char *name = words_text(device, "map", words_text(device, "name", ""));

    snprintf(text, size, "%s%s%s", words_text(device, "device", "?"), *name ? " " : "", name);
}

const char *words_key_state(struct json_object *key)
{
    if (document_flag(key, "replaced"))
        return "replaced";
    if (!document_flag(key, "verified"))
        return "unverified";
    if (!document_flag(key, "stale"))
        return "registered";
    return document_text(key, "vm") ? "stale" : "left";
}
