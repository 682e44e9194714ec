// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <errno.h>
#include <string.h>

#include "logged.h"
#include "scratch.h"
#include "serve/trace.h"

static int set_up(void **state)
{
    return logged_set_up(state) || scratch_set_up(state) || chdir(scratch) < 0;
}

static int tear_down(void **state)
{
    return chdir("/") < 0 || scratch_tear_down(state);
}

static void test_help(void **state)
{
    (void)state;
    assert_true(trace_is_help("help"));
    assert_true(trace_is_help("?"));
    assert_false(trace_is_help(""));
    assert_false(trace_is_help("helper"));
    assert_false(trace_is_help("enable=help"));
    assert_false(trace_is_help("??"));
}

/* Patterns one after the other on a table where every second event is on; what is on then. */
static void test_apply(void **state)
{
    static const struct {
        const char *patterns, *expected;
        bool found; /* by the last pattern */
    } rows[] = {
        {"pr_in", "pr_in pr_out conn_open", true},
        {"-pr_out", "conn_open", true},
        {"pr_*", "pr_in pr_out conn_open", true},
        {"*", "pr_in pr_out conn_close conn_open", true},
        {"-*", "", true},
        {"conn_?????", "pr_out conn_close conn_open", true},
        {"conn_????", "pr_out conn_open", true},
        {"*_o*", "pr_out conn_open", true},
        {"-*_o*", "", true},
        {"-* pr_in", "pr_in", true},
        {"* -conn_*", "pr_in pr_out", true},
        {"nosuch", "pr_out conn_open", false},
        {"-nosuch", "pr_out conn_open", false},
        {"nosuch*", "pr_out conn_open", true}, /* a pattern may match nothing */
        {"pr", "pr_out conn_open", false},
        {"PR_IN", "pr_out conn_open", false},
        {"-", "pr_out conn_open", false},
        {"--pr_out", "pr_out conn_open", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct trace_event events[] = {
            {"pr_in", "", false},
            {"pr_out", "", true},
            {"conn_close", "", false},
            {"conn_open", "", true},
        };
        char patterns[64], enabled[64] = "";
        bool found = false;

        table_row = rows[i].patterns;
        strcpy(patterns, rows[i].patterns);
        for (char *pattern = strtok(patterns, " "); pattern; pattern = strtok(NULL, " "))
            found = trace_apply(events, 4, pattern);
        assert_int_equal(found, rows[i].found);
        for (size_t j = 0; j < 4; j++) {
            if (events[j].enabled)
                sprintf(enabled + strlen(enabled), "%s%s", *enabled ? " " : "", events[j].name);
        }
        assert_string_equal(enabled, rows[i].expected);
    }
    table_row = NULL;
}

#define UNKNOWN(name) "test: warning: trace event '" name "' does not exist\n"

/*
 * The words of a specification, told by what is said of them: exact names that no event has are
 * named, and so the way in which the text was cut into words can be seen.
 */
static void test_parse(void **state)
{
    static const struct {
        const char *spec;
        int expected;
        const char *said;
    } rows[] = {
        {"", 0, ""},
        {"*", 0, ""},
        {"-*", 0, ""},
        {"a", 0, UNKNOWN("a")},
        {"-a", 0, UNKNOWN("a")},
        {"enable=a", 0, UNKNOWN("a")},
        {"enable=-a", 0, UNKNOWN("a")},
        {"enable=a,enable=b", 0, UNKNOWN("a") UNKNOWN("b")},
        {"a,enable=b", 0, UNKNOWN("a") UNKNOWN("b")},
        {"a,,b", 0, UNKNOWN("a,b")},
        {"a,,,,b", 0, UNKNOWN("a,,b")},
        {"a,,", 0, UNKNOWN("a,")},
        {",,a", 0, UNKNOWN(",a")},
        {"enable=a,,b,enable=c", 0, UNKNOWN("a,b") UNKNOWN("c")},
        {"enable=a,,,enable=c", 0, UNKNOWN("a,") UNKNOWN("c")},
        {"file=/nowhere", 0, ""},
        {"a,file=/nowhere", 0, UNKNOWN("a")},
        {",file=/nowhere", 0, ""},
        {"file=", -EINVAL, "test: --trace=file=: file= needs a name\n"},
        {"a,b", -EINVAL,
         UNKNOWN("a") "test: --trace=a,b: 'b' is none of enable=, events= and file=\n"},
        {"nosuch=a", -EINVAL,
         "test: --trace=nosuch=a: 'nosuch=a' is none of enable=, events= and file=\n"},
        {"events=none", -ENOENT,
         "test: cannot read trace events file none: No such file or directory\n"},
        {"events=.", -EISDIR, "test: cannot read trace events file .: Is a directory\n"},
        {"events=list", 0, UNKNOWN("x") UNKNOWN("y")},
        {"events=li,,st", 0, UNKNOWN("comma")},
        {"a,events=list,enable=b", 0, UNKNOWN("a") UNKNOWN("x") UNKNOWN("y") UNKNOWN("b")},
    };

    (void)state;
    scratch_write("list", "x\n-y\n");
    scratch_write("li,st", "comma");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].spec;
        assert_int_equal(trace_parse(rows[i].spec), rows[i].expected);
        assert_string_equal(logged(), rows[i].said);
    }
    table_row = NULL;
}

static void test_events_file(void **state)
{
    static const struct {
        const char *content, *said;
    } rows[] = {
        {"", ""},
        {"\n\n \n\t\n\r\n", ""},
        {"# comment\n  # another\n", ""},
        {"abc\n", UNKNOWN("abc")},
        {"abc", UNKNOWN("abc")}, /* not "ab", as the peer has it */
        {"abc\r\n", UNKNOWN("abc")},
        {"abc\r\ndef\r\n", UNKNOWN("abc") UNKNOWN("def")},
        {"  abc \t\n", UNKNOWN("abc")},
        {"-abc\n", UNKNOWN("abc")},
        {"*\n-*\n", ""},
        {"a,b\n", UNKNOWN("a,b")}, /* commas mean nothing here */
        {"abc\n#x\n\ndef", UNKNOWN("abc") UNKNOWN("def")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].content;
        scratch_write("list", rows[i].content);
        assert_int_equal(trace_parse("events=list"), 0);
        assert_string_equal(logged(), rows[i].said);
    }
    table_row = NULL;
}

/* A file that would be cut is not half read. */
static void test_long_events_file(void **state)
{
    static char text[70000];

    (void)state;
    memset(text, '#', sizeof(text) - 1);
    text[65533] = '\n';
    text[65534] = '\n';
    for (size_t size = 65500; size <= 65537; size++) {
        scratch_write_bytes("list", text, size);
        assert_int_equal(trace_parse("events=list"), size < 65535 ? 0 : -EFBIG);
        assert_string_equal(
            logged(),
            size < 65535 ? "" : "test: cannot read trace events file list: File too large\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        table_test(test_apply),
        cmocka_unit_test_setup_teardown(test_parse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_events_file, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
