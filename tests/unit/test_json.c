// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static void expect(struct json *json, const char *wanted)
{
    assert_false(json->failed);
    assert_int_equal(json->length, strlen(wanted));
    assert_memory_equal(json->text, wanted, strlen(wanted));
    json_deinit(json);
}

static void test_structure(void **state)
{
    struct json json = {0};

    (void)state;
    json_open(&json, NULL, '{');
    json_integer(&json, "a", -9223372036854775807LL - 1);
    json_open(&json, "empty", '[');
    json_close(&json, ']');
    json_open(&json, "list", '[');
    json_bool(&json, NULL, true);
    json_bool(&json, NULL, false);
    json_null(&json, NULL);
    json_open(&json, NULL, '{');
    json_close(&json, '}');
    json_text(&json, NULL, NULL);
    json_close(&json, ']');
    json_format(&json, "f", "%u:%u", 8u, 16u);
    json_close(&json, '}');
    expect(&json, "{\"a\":-9223372036854775808,\"empty\":[],\"list\":[true,false,null,{},null],"
                  "\"f\":\"8:16\"}");
}

static void test_text(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"", ""},
        {"plain / text", "plain / text"},
        {"\"\\", "\\\"\\\\"},
        {"\n\t\x01\x1f\x7f", "\\u000a\\u0009\\u0001\\u001f\\u007f"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xe9", "\\ufffd"},                       /* Latin-1 */
        {"\xc3", "\\ufffd"},                       /* cut */
        {"\xe2\x82", "\\ufffd\\ufffd"},            /* cut */
        {"\xc3(", "\\ufffd("},                     /* not continued */
        {"\xc0\x80", "\\ufffd\\ufffd"},            /* longer than need be */
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"}, /* the same */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"}, /* half of a surrogate pair */
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},          /* the last one before */
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xff", "\\ufffd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json json = {0};
        char wanted[64];

        table_row = rows[i].wanted;
        json_text(&json, NULL, rows[i].text);
        snprintf(wanted, sizeof(wanted), "\"%s\"", rows[i].wanted);
        expect(&json, wanted);
    }
    table_row = NULL;
}

static void test_seconds(void **state)
{
    struct json json = {0};

    (void)state;
    json_open(&json, NULL, '[');
    json_seconds(&json, NULL, 0);
    json_seconds(&json, NULL, 1234567);
    json_seconds(&json, NULL, -5);
    json_seconds(&json, NULL, 3600000000LL);
    json_close(&json, ']');
    expect(&json, "[0.000000,1.234567,0.000000,3600.000000]");
}

/* It grows as far as it takes. */
static void test_growth(void **state)
{
    struct json json = {0};
    char text[300];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_open(&json, NULL, '[');
    for (int i = 0; i < 1000; i++)
        json_text(&json, NULL, text);
    json_close(&json, ']');
    assert_false(json.failed);
    assert_int_equal(json.length, 1000 * (sizeof(text) - 1 + 3) + 1);
    assert_int_equal(json.text[json.length - 1], ']');
    json_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        table_test(test_text),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_growth),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
