// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The writer of the status document, given names of virtual machines and the like that any user may
 * have chosen. Input: texts, each ended by NUL. A second implementation of JSON reads it, and finds
 * in it what was put there.
 */
#define json_bool json_c_bool /* a type there, a function here */
#include <json.h>
#undef json_bool

#include "base/json.h"
#include "fuzz.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* NULL if it cannot be read. */
static struct json_object *parse_as(const char *text, size_t length, int flags)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *document;

    fuzz_check(tokener && length <= INT32_MAX);
    json_tokener_set_flags(tokener, flags);
    document = json_tokener_parse_ex(tokener, text, (int)length);
    if (json_tokener_get_error(tokener) != json_tokener_success) {
        json_object_put(document);
        document = NULL;
    }
    json_tokener_free(tokener);
    return document;
}

/* As a reader that insists on UTF-8 sees it. json-c 0.18 takes all but ASCII for control characters
 * if it is to be strict, where char is signed; then it need not be. */
static struct json_object *parse(const char *text, size_t length)
{
    static const char accent[] = "[\"\xc3\xa9\"]";
    struct json_object *strict = parse_as(accent, sizeof(accent) - 1, JSON_TOKENER_STRICT);
    int flags = JSON_TOKENER_VALIDATE_UTF8 | (strict ? JSON_TOKENER_STRICT : 0);

    json_object_put(strict);
    return parse_as(text, length, flags);
}

/* Is it UTF-8? By the code points: the bytes that are left of each, and whether it needs so many.
 */
static bool is_utf8(const char *text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    while (*text) {
        unsigned char lead = (unsigned char)*text++;
        unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
        uint32_t point = more ? lead & (0x3fu >> more) : lead;

        if (lead >= 0xf8 || (more == 0 && lead >= 0x80))
            return false;
        for (unsigned i = 0; i < more; i++, text++) {
            if ((*text & 0xc0) != 0x80)
                return false;
            point = point << 6 | (*text & 0x3f);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
    }
    return true;
}

static void check_text(struct json_object *value, const char *text)
{
    const char *read = json_object_get_string(value);
    size_t length = strlen(text), invalid = 0;

    if (strcmp(read, text) == 0)
        return;
    /* Only what is no UTF-8 is replaced, a byte at a time, and all else is in its place. */
    fuzz_check(!is_utf8(text));
    for (const char *at = read; (at = strstr(at, replacement)); at += sizeof(replacement) - 1)
        invalid++;
    fuzz_check(invalid > 0 && strlen(read) <= length + invalid * (sizeof(replacement) - 2));
    for (size_t i = 0; i < length; i++) {
        if ((signed char)text[i] >= 0)
            fuzz_check(strchr(read, text[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    struct json_object *document, *texts, *named, *last;
    size_t text_size, n = 0;
    struct json json = {0};
    char *text = (char *)fuzz_rest(&input, true, &text_size);

    json_open(&json, NULL, '{');
    json_seconds(&json, "seconds", (int64_t)text_size * 1000003);
    json_open(&json, "texts", '[');
    for (size_t at = 0; at <= text_size; at += strlen(text + at) + 1, n++) {
        json_text(&json, NULL, text + at);
        json_open(&json, NULL, '[');
        json_close(&json, ']');
    }
    json_close(&json, ']');
    json_open(&json, "named", '{');
    json_text(&json, text, text);
    json_close(&json, '}');
    json_null(&json, "null");
    json_close(&json, '}');
    fuzz_check(!json.failed);

    document = parse(json.text, json.length);
    fuzz_check(document && json_object_object_get_ex(document, "texts", &texts));
    fuzz_check(json_object_array_length(texts) == 2 * n);
    for (size_t at = 0, i = 0; at <= text_size; at += strlen(text + at) + 1, i += 2)
        check_text(json_object_array_get_idx(texts, i), text + at);
    fuzz_check(json_object_object_get_ex(document, "named", &named));
    fuzz_check(json_object_object_length(named) == 1);
    json_object_object_foreach(named, name, value)
    {
        fuzz_check(strcmp(name, json_object_get_string(value)) == 0);
    }
    fuzz_check(json_object_object_get_ex(document, "null", &last) && !last);
    json_object_put(document);
    json_deinit(&json);
    free(text);
    return 0;
}
