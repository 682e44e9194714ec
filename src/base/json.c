// SPDX-License-Identifier: LGPL-2.1-or-later
/* RFC 8259. A text's bytes are looked at one character at a time: readers may refuse bad UTF-8. */
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_SIZE_MIN 4096

void json_deinit(struct json *json)
{
    free(json->text);
    memset(json, 0, sizeof(*json));
}

static void json_put(struct json *json, const char *bytes, size_t n)
{
    if (json->failed)
        return;
    if (n > json->size - json->length) {
        size_t size = json->size ? json->size * 2 : JSON_SIZE_MIN;
        char *text;

        while (size - json->length < n)
            size *= 2;
        text = realloc(json->text, size);
        if (!text) {
            json->failed = true;
            return;
        }
        json->text = text;
        json->size = size;
    }
    memcpy(json->text + json->length, bytes, n);
    json->length += n;
}

static void json_put_text(struct json *json, const char *text)
{
    json_put(json, text, strlen(text));
}

/* Bytes of the well-formed UTF-8 character at the start of text (Unicode, table 3-7), or 0. */
static size_t json_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        n = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        n = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0;
    else if (at[0] == 0xed)
        high = 0x9f;
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf) {
        if (at[i] < low || at[i] > high)
            return 0;
    }
    return n;
}

static void json_put_quoted(struct json *json, const char *text)
{
    json_put(json, "\"", 1);
    while (*text) {
        size_t n = json_utf8(text);
        char escape[8];

        if (n == 0) {
            json_put_text(json, "\\ufffd");
            n = 1;
        } else if (*text == '"' || *text == '\\') {
            json_put(json, "\\", 1);
            json_put(json, text, 1);
        } else if ((unsigned char)*text < ' ' || *text == 0x7f) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*text);
            json_put_text(json, escape);
        } else {
            json_put(json, text, n);
        }
        text += n;
    }
    json_put(json, "\"", 1);
}

static void json_begin(struct json *json, const char *name)
{
    if (json->after_value)
        json_put(json, ",", 1);
    json->after_value = true;
    if (name) {
        json_put_quoted(json, name);
        json_put(json, ":", 1);
    }
}

void json_open(struct json *json, const char *name, char bracket)
{
    json_begin(json, name);
    json_put(json, &bracket, 1);
    json->after_value = false;
}

void json_close(struct json *json, char bracket)
{
    json_put(json, &bracket, 1);
    json->after_value = true;
}

void json_null(struct json *json, const char *name)
{
    json_begin(json, name);
    json_put_text(json, "null");
}

void json_text(struct json *json, const char *name, const char *text)
{
    if (!text) {
        json_null(json, name);
        return;
    }
    json_begin(json, name);
    json_put_quoted(json, text);
}

void json_format(struct json *json, const char *name, const char *format, ...)
{
    char text[128];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_text(json, name, text);
}

void json_integer(struct json *json, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    json_begin(json, name);
    json_put_text(json, text);
}

void json_bool(struct json *json, const char *name, bool value)
{
    json_begin(json, name);
    json_put_text(json, value ? "true" : "false");
}

void json_seconds(struct json *json, const char *name, int64_t us)
{
    char text[32];

    if (us < 0)
        us = 0;
    snprintf(text, sizeof(text), "%lld.%06lld", (long long)us / 1000000, (long long)us % 1000000);
    json_begin(json, name);
    json_put_text(json, text);
}
