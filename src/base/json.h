// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Write JSON, piece by piece, into memory that grows. Commas, quotes and escapes are seen to; that
 * members have names and elements have none (NULL) is for the caller. When memory runs out the text
 * is marked as failed, and everything else does nothing.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *text; /* owned; not terminated */
    size_t length, size;
    bool failed;
    bool after_value; /* a comma has to come before the next one */
};

/* Begins with nothing: {0}. */
void json_deinit(struct json *json);

/* bracket: '{' or '['; then '}' or ']'. */
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);

/* Any bytes; NULL is null. What is no UTF-8 becomes U+FFFD. */
void json_text(struct json *json, const char *name, const char *text);
void json_format(struct json *json, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* the same of what it comes to, at most 127 bytes */
void json_integer(struct json *json, const char *name, int64_t value);
void json_bool(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);

/* Microseconds, as seconds with a fraction; below zero: zero. */
void json_seconds(struct json *json, const char *name, int64_t us);

#endif
