// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <errno.h>
#include <string.h>

#include "logged.h"
#include "scratch.h"
#include "serve/tracepoints.h"

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
        {"a,b", -EINVAL, UNKNOWN("a") "test: --trace=a,b: 'b' is not enable=, events= or file=\n"},
        {"nosuch=a", -EINVAL,
         "test: --trace=nosuch=a: 'nosuch=a' is not enable=, events= or file=\n"},
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

static void set_enabled(enum trace_id id, bool enabled)
{
    trace_events[id].enabled = enabled;
    *trace_events[id].users = enabled;
}

/* Every event once; then a line each with the arguments that the list names, in that order. */
static void test_lines(void **state)
{
    const char *text, *rest;

    (void)state;
    for (size_t i = 0; i < trace_n_events; i++)
        set_enabled(i, true);
    trace_connect(7);
    trace_handshake(7, 1);
    trace_peer(7, 4711, 107, "node-a");
    trace_request(7, 0x5f, 6, 24);
    trace_route(7, makedev(8, 16), "block", "issue");
    trace_device_result(7, 0, 2, 3, 0x18);
    trace_reply(7, 2, 0);
    trace_disconnect(7);
    trace_thread_start(3);
    trace_thread_end(2);
    trace_worker_start(4712);
    trace_worker_end(32);
    trace_limit(-1, "max-clients");

    text = rest = strdup(logged());
    for (size_t i = 0; i < trace_n_events; i++) {
        char name[32], wanted[128] = "";
        const char *value;
        int pid, seconds, microseconds, length;

        table_row = trace_events[i].name;
        assert_int_equal(
            sscanf(rest, "test: %d@%d.%6d %31s%n", &pid, &seconds, &microseconds, name, &length),
            4);
        assert_int_equal(pid, getpid());
        assert_string_equal(name, trace_events[i].name);
        rest += length;
        while (*rest == ' ' && (value = strchr(rest, '='))) {
            sprintf(wanted + strlen(wanted), "%s%.*s", *wanted ? " " : "", (int)(value - rest - 1),
                    rest + 1);
            rest = value + strcspn(value, " \n");
        }
        assert_string_equal(wanted, trace_events[i].arguments);
        assert_int_equal(*rest++, '\n');
    }
    assert_string_equal(rest, "");
    table_row = NULL;
    free((void *)text);
    for (size_t i = 0; i < trace_n_events; i++)
        set_enabled(i, false);
}

/* Off, or wanted by a tracer alone: no line. */
static void test_no_line(void **state)
{
    (void)state;
    set_enabled(trace_id_connect, false);
    trace_connect(7);
    *trace_events[trace_id_connect].users = 1;
    trace_connect(7);
    assert_string_equal(logged(), "");
    set_enabled(trace_id_connect, false);
}

/* A file takes the place of the log; %d in its name is the pid; what was there stays. */
static void test_file(void **state)
{
    char name[64], wanted[64], text[256];

    (void)state;
    assert_int_equal(trace_parse("connect,file=trace-%d-%d%%"), 0);
    assert_int_equal(trace_open(), 0);
    trace_connect(12);
    trace_close();
    set_enabled(trace_id_connect, false);
    assert_string_equal(logged(), "");
    sprintf(name, "trace-%d-%d%%%%", getpid(), getpid());
    assert_true(fdio_read_text(AT_FDCWD, scratch_path(name), text, sizeof(text)) > 0);
    sprintf(wanted, "%d@", getpid());
    assert_ptr_equal(strstr(text, wanted), text);
    assert_non_null(strstr(text, " connect connection=12"));

    scratch_write("kept", "before\n");
    assert_int_equal(trace_parse("connect,file=other,file=kept"), 0);
    assert_int_equal(trace_open(), 0);
    trace_connect(1);
    trace_close();
    set_enabled(trace_id_connect, false);
    assert_true(fdio_read_text(AT_FDCWD, scratch_path("kept"), text, sizeof(text)) > 0);
    assert_ptr_equal(strstr(text, "before\n"), text);
    assert_non_null(strstr(text, " connect connection=1"));
    assert_int_equal(scratch_count(), 2);
}

static void test_file_that_is_none(void **state)
{
    (void)state;
    assert_int_equal(trace_parse("file=."), 0);
    assert_int_equal(trace_open(), -EISDIR);
    assert_string_equal(logged(), "test: cannot open trace file .: Is a directory\n");
    trace_close();
    assert_int_equal(trace_open(), 0); /* none was named since */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        table_test(test_apply),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_that_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_events_file, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
