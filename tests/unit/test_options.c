// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Command lines and configuration files, each with the options that it leads to (in words: only
 * what is not the default is named) or with the exact lines on standard error.
 */
#include "cmocka_compat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "build.h"
#include "helper/options.h"
#include "scratch.h"

#define ARGUMENTS_MAX 16

static char *seen_stdout, *seen_stderr;

/* Point fd at a file in memory; returns a copy of the old one. */
static int divert(int fd)
{
    int memory = memfd_create("output", MFD_CLOEXEC);
    int saved = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    assert_true(memory >= 0 && saved >= 0);
    assert_int_equal(dup2(memory, fd), fd);
    close(memory);
    return saved;
}

/* End that, and return what came. The caller frees it. */
static char *restore(int fd, int saved)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
    return text;
}

/* Parse a command line whose arguments are separated by blanks. */
static enum options_verdict parse(struct options *options, const char *line)
{
    static char copy[1024]; /* the options point into it */
    char *argv[ARGUMENTS_MAX + 1] = {(char *)"qemu-pr-helper"};
    enum options_verdict verdict;
    int saved_stdout, saved_stderr;
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = word;
    }
    free(seen_stdout);
    free(seen_stderr);
    fflush(NULL);
    saved_stdout = divert(STDOUT_FILENO);
    saved_stderr = divert(STDERR_FILENO);
    log_set_name("qemu-pr-helper");
    log_to_fd(STDERR_FILENO);
    verdict = options_parse(options, argc, argv);
    fflush(NULL);
    seen_stderr = restore(STDERR_FILENO, saved_stderr);
    seen_stdout = restore(STDOUT_FILENO, saved_stdout);
    return verdict;
}

static void say(char **text, bool changed, const char *format, const char *value, long long number)
{
    if (!changed)
        return;
    if (value)
        *text += sprintf(*text, format, value);
    else
        *text += sprintf(*text, format, number);
    *(*text)++ = ' ';
}

/* What is not as by default, in the order of the struct. */
static const char *describe(const struct options *options)
{
    static char description[1024];
    char *text = description;

    say(&text, options->socket_path, "socket=%s", options->socket_path, 0);
    say(&text, options->pidfile, "pidfile=%s", options->pidfile, 0);
    say(&text, options->daemon, "%s", "daemon", 0);
    say(&text, options->level != LOG_LEVEL_CLIENTS, "level=%lld", NULL, options->level);
    say(&text, options->syslog, "%s", "syslog", 0);
    say(&text, !options->sandbox, "%s", "no-sandbox", 0);
    say(&text, options->audit != (options->level != LOG_LEVEL_QUIET), "audit=%lld", NULL,
        options->audit);
    say(&text, options->status_path, "status=%s", options->status_path, 0);
    say(&text, options->hung_after_s != 60, "hung=%lld", NULL, options->hung_after_s);
    say(&text, options->status_mode != 0660, "status-mode=%llo", NULL, options->status_mode);
    say(&text, options->status_gid != (gid_t)-1, "status-gid=%lld", NULL, options->status_gid);
    say(&text, options->uid != (uid_t)-1, "uid=%lld", NULL, options->uid);
    say(&text, options->gid != (gid_t)-1, "gid=%lld", NULL, options->gid);
    say(&text, options->socket_mode != (mode_t)-1, "mode=%llo", NULL, options->socket_mode);
    say(&text, options->socket_uid != (uid_t)-1, "socket-uid=%lld", NULL, options->socket_uid);
    say(&text, options->socket_gid != (gid_t)-1, "socket-gid=%lld", NULL, options->socket_gid);
    say(&text, options->io_timeout_s != 30, "io=%lld", NULL, options->io_timeout_s);
    say(&text, options->client_timeout_s != 30, "client=%lld", NULL, options->client_timeout_s);
    say(&text, options->stop_timeout_s != 3, "stop=%lld", NULL, options->stop_timeout_s);
    say(&text, options->max_clients != 0, "clients=%lld", NULL, options->max_clients);
    say(&text, options->max_threads != 0, "threads=%lld", NULL, options->max_threads);
    say(&text, options->max_buffers_mib != 16, "buffers=%lld", NULL, options->max_buffers_mib);
    say(&text, options->mpath_socket, "mpath-socket=%s", options->mpath_socket, 0);
    if (text > description)
        text--;
    *text = '\0';
    return description;
}

static void assert_runs(const char *line, const char *description)
{
    struct options options;

    assert_int_equal(parse(&options, line), OPTIONS_RUN);
    assert_string_equal(describe(&options), description);
    assert_string_equal(seen_stderr, "");
    assert_string_equal(seen_stdout, "");
    options_deinit(&options);
}

static void assert_rejected(const char *line, const char *message)
{
    struct options options;

    assert_int_equal(parse(&options, line), OPTIONS_ERROR);
    assert_string_equal(seen_stderr, message);
    assert_string_equal(seen_stdout, "");
    options_deinit(&options);
}

static int set_up(void **state)
{
    if (access(BUILD_DEFAULT_CONFIG, F_OK) == 0) {
        print_message("# this machine has a " BUILD_DEFAULT_CONFIG ": it would be read\n");
        return -1;
    }
    return scratch_set_up(state) != 0 || chdir(scratch) < 0;
}

static int tear_down(void **state)
{
    free(seen_stdout);
    free(seen_stderr);
    seen_stdout = seen_stderr = NULL;
    log_to_fd(STDERR_FILENO);
    return chdir("/") < 0 || scratch_tear_down(state) != 0;
}

static void test_command_lines(void **state)
{
    static const struct {
        const char *line, *description;
    } rows[] = {
        {"", ""},
        {"-k /run/a.sock", "socket=/run/a.sock"},
        {"-k/run/a.sock", "socket=/run/a.sock"},
        {"--socket=/a", "socket=/a"},
        {"--socket /a", "socket=/a"},
        {"--s=/a", "socket=/a"}, /* the peer has no other option with an s */
        {"--sock=/a", "socket=/a"},
        {"-k /a -k /b", "socket=/b"},
        {"-f /a.pid", "pidfile=/a.pid"},
        {"--pidfile=/a.pid", "pidfile=/a.pid"},
        {"--pid=/a.pid", "pidfile=/a.pid"}, /* unambiguous prefixes do, as with the peer */
        {"-d", "pidfile=" BUILD_DEFAULT_PIDFILE " daemon syslog"},
        {"--daemon", "pidfile=" BUILD_DEFAULT_PIDFILE " daemon syslog"},
        {"-d -f /a.pid", "pidfile=/a.pid daemon syslog"},
        {"-d --log=stderr", "pidfile=" BUILD_DEFAULT_PIDFILE " daemon"},
        {"--log=stderr -d", "pidfile=" BUILD_DEFAULT_PIDFILE " daemon"},
        {"--log=syslog", "syslog"},
        {"--log=syslog --log=stderr", ""},
        {"-v", "level=2"},
        {"-vv", "level=3"},
        {"-v --verbose", "level=3"},
        {"-vvvvvv", "level=3"},
        {"-q", "level=0"},
        {"--quiet", "level=0"},
        {"-q -v", "level=0"}, /* as with the peer */
        {"-v -q", "level=0"},
        {"-u root", "uid=0 gid=0"},
        {"-u 0", "uid=0 gid=0"},
        {"--user=-", ""},
        {"--mpath-socket=/s", "mpath-socket=/s"},
        {"-u 4294967294", "uid=4294967294"},
        {"--user=root --group=4711", "uid=0 gid=4711"},
        {"-g 4711 -u root", "uid=0 gid=4711"},
        {"-g root", "gid=0"},
        {"-T *", ""},
        {"--trace=*,file=/nowhere", ""},
        {"--io-timeout=1", "io=1"},
        {"--io-timeout 86400", "io=86400"},
        {"--client-timeout=7", "client=7"},
        {"--stop-timeout=0", "stop=0"},
        {"--max-clients=1", "clients=1"},
        {"--max-clients=1000000", "clients=1000000"},
        {"--max-threads=2", "threads=2"},
        {"--max-buffers=8", "buffers=8"},
        {"--socket-mode=0600", "mode=600"},
        {"--socket-mode=0", "mode=0"},
        {"--socket-user=root --socket-group=root", "socket-uid=0 socket-gid=0"},
        {"--socket-user=0", "socket-uid=0"}, /* not its group as well */
        {"--audit=off", "audit=0"},
        {"--audit=on", ""},
        {"-q --audit=on", "level=0 audit=1"}, /* asked for, or -q would switch it off as well */
        {"--audit=on -q", "level=0 audit=1"},
        {"--status-socket=/run/%d", "status=/run/%d"},
        {"--status-socket=none", "status="},
        {"--status-mode=0600 --status-group=root", "status-mode=600 status-gid=0"},
        {"--hung-after=1", "hung=1"},
        {"--hung-after=86400", "hung=86400"},
        {"--sandbox=off", "no-sandbox"},
        {"--sandbox=off --sandbox=on", ""},
        {"-vdk/a", "socket=/a pidfile=" BUILD_DEFAULT_PIDFILE " daemon level=2 syslog"},
        {"--", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].line;
        assert_runs(rows[i].line, rows[i].description);
    }
    table_row = NULL;
}

#define TRY "Try 'qemu-pr-helper --help' for more information.\n"
#define PRH "qemu-pr-helper: "

static void test_rejected(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"-k a.sock", PRH "socket path must be absolute\n"},
        {"--socket=", PRH "socket path must be absolute\n"},
        {"--mpath-socket=s", PRH "--mpath-socket=s: not an absolute path\n"},
        {"-u nosuchuser", PRH "invalid user 'nosuchuser'\n"},
        {"-u 4294967295", PRH "invalid user '4294967295'\n"},
        {"-u -1", PRH "invalid user '-1'\n"},
        {"-g nosuchgroup", PRH "invalid group 'nosuchgroup'\n"},
        {"-g 4294967295", PRH "invalid group '4294967295'\n"},
        {"-x", PRH "invalid option -- 'x'\n" TRY},
        {"-xk /a", PRH "invalid option -- 'x'\n" TRY},
        {"-vxq", PRH "invalid option -- 'x'\n" TRY},
        {"-k", PRH "option requires an argument -- 'k'\n" TRY},
        {"--nosuch", PRH "unrecognized option '--nosuch'\n" TRY},
        {"--daemon=yes", PRH "option '--daemon' doesn't allow an argument\n" TRY},
        {"--io-timeout", PRH "option '--io-timeout' requires an argument\n" TRY},
        {"--max=1", PRH "option '--max=1' is ambiguous; possibilities: '--max-clients' "
                        "'--max-threads' '--max-buffers'\n" TRY},
        {"stray", PRH "unexpected argument 'stray'; see --help\n"},
        {"-v stray -v", PRH "unexpected argument 'stray'; see --help\n"},
        {"-v -- -v", PRH "unexpected argument '-v'; see --help\n"},
        {"--io-timeout=0", PRH "--io-timeout=0: not a number of seconds from 1 to 86400\n"},
        {"--io-timeout=86401", PRH "--io-timeout=86401: not a number of seconds from 1 to 86400\n"},
        {"--io-timeout=1s", PRH "--io-timeout=1s: not a number of seconds from 1 to 86400\n"},
        {"--client-timeout=0", PRH "--client-timeout=0: not a number of seconds from 1 to 86400\n"},
        {"--stop-timeout=-1", PRH "--stop-timeout=-1: not a number of seconds from 0 to 86400\n"},
        {"--max-clients=0", PRH "--max-clients=0: not a number from 1 to 1000000\n"},
        {"--max-clients=1000001", PRH "--max-clients=1000001: not a number from 1 to 1000000\n"},
        {"--max-clients=4294967297",
         PRH "--max-clients=4294967297: not a number from 1 to 1000000\n"},
        {"--max-buffers=0", PRH "--max-buffers=0: not a number of MiB from 1 to 1024\n"},
        {"--max-buffers=1025", PRH "--max-buffers=1025: not a number of MiB from 1 to 1024\n"},
        {"--max-threads=1", PRH "--max-threads=1: not a number from 2 to 1000000\n"},
        {"--socket-mode=888", PRH "--socket-mode=888: not an octal mode from 0 to 777\n"},
        {"--socket-mode=1777", PRH "--socket-mode=1777: not an octal mode from 0 to 777\n"},
        {"--socket-user=nosuch", PRH "--socket-user=nosuch: not a user\n"},
        {"--socket-group=nosuch", PRH "--socket-group=nosuch: not a group\n"},
        {"--log=file", PRH "--log=file: not stderr or syslog\n"},
        {"--audit=yes", PRH "--audit=yes: not off or on\n"},
        {"--exclusive=yes", PRH "option '--exclusive' doesn't allow an argument\n" TRY},
        {"--hung-after=0", PRH "--hung-after=0: not a number of seconds from 1 to 86400\n"},
        {"--status-socket=run", PRH "--status-socket=run: not an absolute path\n"},
        {"--status-mode=rw", PRH "--status-mode=rw: not an octal mode from 0 to 777\n"},
        {"--status-group=nosuch", PRH "--status-group=nosuch: not a group\n"},
        {"--sandbox=yes", PRH "--sandbox=yes: not off or on\n"},
        {"-T nosuch=1", PRH "--trace=nosuch=1: 'nosuch=1' is not enable=, events= or file=\n"},
        {"-T events=none", PRH "cannot read trace events file none: No such file or directory\n"},
        {"--config=none", PRH "cannot read configuration file none: No such file or directory\n"},
        {"--config=.", PRH "cannot read configuration file .: Is a directory\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].line;
        assert_rejected(rows[i].line, rows[i].message);
    }
    table_row = NULL;
}

/* Help and version are given at once, even if there is an error later on. */
static void test_exits(void **state)
{
    static const struct {
        const char *line, *start;
    } rows[] = {
        {"-h", "Usage: qemu-pr-helper"},
        {"--help", "Usage: qemu-pr-helper"},
        {"--help --nosuch", "Usage: qemu-pr-helper"},
        {"-vh", "Usage: qemu-pr-helper"},
        {"-V", "qemu-pr-helper " BUILD_VERSION "\n"},
        {"--version", "qemu-pr-helper " BUILD_VERSION "\n"},
        {"-T help", ""},
        {"-T ?", ""},
        {"--trace=help", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;

        table_row = rows[i].line;
        assert_int_equal(parse(&options, rows[i].line), OPTIONS_EXIT);
        assert_string_equal(seen_stderr, "");
        assert_memory_equal(seen_stdout, rows[i].start, strlen(rows[i].start));
        options_deinit(&options);
    }
    table_row = NULL;
    assert_rejected("--nosuch --help", PRH "unrecognized option '--nosuch'\n" TRY);
}

/* An unknown trace event is no reason not to serve. */
static void test_unknown_trace_event(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(parse(&options, "-T nosuch"), OPTIONS_RUN);
    assert_string_equal(seen_stderr, PRH "warning: trace event 'nosuch' does not exist\n");
    options_deinit(&options);
}

/* Relative to where it was typed: the process goes elsewhere. */
static void test_relative_pidfile(void **state)
{
    char expected[PATH_MAX + 64];

    (void)state;
    snprintf(expected, sizeof(expected), "pidfile=%s/a/b.pid daemon syslog", scratch);
    assert_runs("-d -f a/b.pid", expected);
    snprintf(expected, sizeof(expected), "pidfile=%s/b.pid", scratch);
    assert_runs("-f b.pid", expected);
}

static void test_config(void **state)
{
    static const struct {
        const char *content, *line, *description;
    } rows[] = {
        {"", "", ""},
        {"\n\n# comment\n   # another\n\t\n", "", ""},
        {"io-timeout=5\n", "", "io=5"},
        {"io-timeout=5", "", "io=5"},
        {"  io-timeout =\t5 \r\n", "", "io=5"},
        {"io-timeout=5\nio-timeout=6\n", "", "io=6"},
        {"io-timeout=5\nclient-timeout=6\n", "--io-timeout=7", "io=7 client=6"},
        {"socket=/a\n", "", "socket=/a"},
        {"socket=/a\n", "-k /b", "socket=/b"},
        {"socket = /with blank \n", "", "socket=/with blank"},
        {"socket=/a=b\n", "", "socket=/a=b"},
        {"pidfile=/a.pid\n", "", "pidfile=/a.pid"},
        {"daemon\npidfile=/a.pid\n", "", "pidfile=/a.pid daemon syslog"},
        {"verbose\n", "", "level=2"},
        {"verbose\n", "-v", "level=3"},
        {"verbose\n", "-q", "level=0"},
        {"quiet\n", "", "level=0"},
        {"quiet\n", "-v", "level=2"},
        {"quiet\n", "-v -q", "level=0"},
        {"user=root\ngroup=5\n", "", "uid=0 gid=5"},
        {"user=root\n", "-g 6", "uid=0 gid=6"},
        {"group=5\n", "-u root", "uid=0 gid=5"},
        {"user=root\ngroup=5\n", "--user=- --group=-", ""},
        {"user=root\n", "--user=-", ""},
        {"socket-mode=660\nsocket-user=0\nsocket-group=0\n", "",
         "mode=660 socket-uid=0 socket-gid=0"},
        {"log=syslog\n", "", "syslog"},
        {"log=syslog\n", "--log=stderr", ""},
        {"log=stderr\n", "-d -f /p", "pidfile=/p daemon"},
        {"sandbox=off\n", "", "no-sandbox"},
        {"max-clients=3\nmax-threads=4\nstop-timeout=0\n", "", "stop=0 clients=3 threads=4"},
        {"trace=*\n", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[128];

        table_row = rows[i].content;
        scratch_write("conf", rows[i].content);
        snprintf(line, sizeof(line), "%s --config=conf", rows[i].line);
        assert_runs(line, rows[i].description);
    }
    table_row = NULL;
}

static void test_config_rejected(void **state)
{
    static const struct {
        const char *content, *message;
    } rows[] = {
        {"nosuch\n", PRH "conf:1: unknown option 'nosuch'\n"},
        {"\n# c\nnosuch=1\n", PRH "conf:3: unknown option 'nosuch'\n"},
        {"=1\n", PRH "conf:1: unknown option ''\n"},
        {"k=/a\n", PRH "conf:1: unknown option 'k'\n"},
        {"--socket=/a\n", PRH "conf:1: unknown option '--socket'\n"},
        {"pid=/a\n", PRH "conf:1: unknown option 'pid'\n"},
        {"Socket=/a\n", PRH "conf:1: unknown option 'Socket'\n"},
        {"help\n", PRH "conf:1: unknown option 'help'\n"},
        {"version\n", PRH "conf:1: unknown option 'version'\n"},
        {"config=other\n", PRH "conf:1: unknown option 'config'\n"},
        {"daemon=yes\n", PRH "conf:1: daemon takes no value\n"},
        {"daemon=\n", PRH "conf:1: daemon takes no value\n"},
        {"socket\n", PRH "conf:1: socket needs a value\n"},
        {"socket=a\n", PRH "conf:1: socket path must be absolute\n"},
        {"io-timeout=5\nio-timeout=x\n",
         PRH "conf:2: --io-timeout=x: not a number of seconds from 1 to 86400\n"},
        {"user=nosuchuser\n", PRH "conf:1: invalid user 'nosuchuser'\n"},
        {"trace=nosuch=1\n",
         PRH "--trace=nosuch=1: 'nosuch=1' is not enable=, events= or file=\n" PRH
             "conf:1: invalid value of trace\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].content;
        scratch_write("conf", rows[i].content);
        assert_rejected("--config=conf", rows[i].message);
    }
    table_row = NULL;
}

/* The last --config counts, and only the file that it names is read. */
static void test_config_twice(void **state)
{
    (void)state;
    scratch_write("conf", "io-timeout=5\n");
    scratch_write("other", "client-timeout=5\n");
    assert_runs("--config=conf --config=other", "client=5");
    assert_runs("--config=none --config=conf", "io=5");
}

/* A file that would be cut is not half read. */
static void test_config_too_long(void **state)
{
    static const char message[] = PRH "cannot read configuration file conf: File too large\n";
    static char text[70000];

    (void)state;
    memset(text, '#', sizeof(text) - 1);
    memcpy(text, "io-timeout=5\n", 13);
    for (size_t size = 65530; size <= 65540; size++) {
        scratch_write_bytes("conf", text, size);
        if (size < 65534)
            assert_runs("--config=conf", "io=5");
        else
            assert_rejected("--config=conf", message);
    }
    memset(text, '\n', sizeof(text) - 1); /* of which the last one is not counted */
    for (size_t size = 65536; size <= 65540; size++) {
        scratch_write_bytes("conf", text, size);
        assert_rejected("--config=conf", message);
    }
}

#define options_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        options_test(test_command_lines),
        options_test(test_rejected),
        options_test(test_exits),
        options_test(test_unknown_trace_event),
        options_test(test_relative_pidfile),
        options_test(test_config),
        options_test(test_config_rejected),
        options_test(test_config_twice),
        options_test(test_config_too_long),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
