// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "base/quote.h"

static void test_quote(void **state)
{
    static const struct {
        const char *text, *quoted;
        size_t size;
    } rows[] = {
        {"", "", 4},
        {"node-a", "node-a", 32},
        {"a b", "a b", 32},
        {"x\" uid=0", "x\\\" uid=0", 32},
        {"\\", "\\\\", 32},
        {"a\nb\x1b[31m", "a\\x0ab\\x1b[31m", 32},
        {"\x7f\x80\x9b\xff", "\\x7f\\x80\\x9b\\xff", 32},
        {"12345", "12345", 6},
        {"123456", "12...", 6},
        {"1234", "...", 4},
        {"12\n45678", "12\\x0a...", 10},
        {"12\n45678", "12...", 9},
        {"\n\n", "\\x0a...", 8},
        {"\n\n", "...", 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];

        table_row = rows[i].text;
        memset(text, '#', sizeof(text));
        assert_uint_equal(quote_text(text, rows[i].size, rows[i].text), strlen(rows[i].quoted));
        assert_string_equal(text, rows[i].quoted);
        assert_int_equal(text[rows[i].size], '#');
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),
    };

    return cmocka_run_group_tests_name("quote", tests, NULL, NULL);
}
