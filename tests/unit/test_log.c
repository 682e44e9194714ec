// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "await.h"
#include "base/log.h"

#define LINE_MAX_BYTES 1535 /* of text, as log.c cuts it */

static int pair[2]; /* the log's pipe: read end, write end */

/* What the last datagram for syslog was; with `error` set it is not sent. */
static struct {
    int calls;
    int error;
    int flags;
    char absent[108]; /* a path where nothing is */
    char path[108];   /* the last one tried */
    char text[2048];
} syslog_seen;

ssize_t __wrap_sendto(int sock, const void *bytes, size_t size, int flags,
                      const struct sockaddr *address, socklen_t address_size);

ssize_t __wrap_sendto(int sock, const void *bytes, size_t size, int flags,
                      const struct sockaddr *address, socklen_t address_size)
{
    (void)sock;
    (void)address_size;
    syslog_seen.calls++;
    snprintf(syslog_seen.path, sizeof(syslog_seen.path), "%s",
             ((const struct sockaddr_un *)(const void *)address)->sun_path);
    if (syslog_seen.error || strcmp(syslog_seen.path, syslog_seen.absent) == 0) {
        errno = syslog_seen.error ? syslog_seen.error : ENOENT;
        return -1;
    }
    syslog_seen.flags = flags;
    snprintf(syslog_seen.text, sizeof(syslog_seen.text), "%.*s", (int)size, (const char *)bytes);
    return (ssize_t)size;
}

static int pipe_set_up(void **state)
{
    (void)state;
    memset(&syslog_seen, 0, sizeof(syslog_seen));
    unsetenv("JOURNAL_STREAM");
    log_set_name("name");
    log_set_level(LOG_LEVEL_CLIENTS);
    if (pipe2(pair, O_CLOEXEC) < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        return -1;
    log_to_fd(pair[1]);
    return 0;
}

static int pipe_tear_down(void **state)
{
    table_report(state);
    log_deinit();
    log_to_fd(STDERR_FILENO);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

/* What is in the pipe. */
static const char *said(void)
{
    static char text[1 << 17];
    size_t length = 0;
    ssize_t n;

    while ((n = read(pair[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    return text;
}

/* Leave no room in the pipe. Returns the bytes that this takes. */
static size_t fill_pipe(void)
{
    static char bytes[4096];
    size_t size = 0;
    ssize_t n;

    memset(bytes, '.', sizeof(bytes));
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    while ((n = write(pair[1], bytes, sizeof(bytes))) > 0)
        size += (size_t)n;
    assert_int_equal(fcntl(pair[1], F_SETFL, 0), 0);
    return size;
}

static void test_line(void **state)
{
    (void)state;
    log_line(LOG_ERR, "%s %d", "number", 5);
    assert_string_equal(said(), "name: number 5\n");
    log_line(LOG_ERR, "%s", "");
    assert_string_equal(said(), "name: \n");
}

static void test_control_characters(void **state)
{
    (void)state;
    log_line(LOG_ERR, "a\nb\tc\033[2Jd\177e\001f\r");
    assert_string_equal(said(), "name: a?b?c?[2Jd?e?f?\n");
    log_line(LOG_ERR, "caf\303\251"); /* UTF-8 is no control character */
    assert_string_equal(said(), "name: caf\303\251\n");
}

static void test_long_lines(void **state)
{
    static char text[4000], expected[LINE_MAX_BYTES + 16];

    (void)state;
    for (size_t length = LINE_MAX_BYTES - 2; length <= LINE_MAX_BYTES + 2; length++) {
        size_t kept = length < LINE_MAX_BYTES ? length : LINE_MAX_BYTES;

        memset(text, 'x', length);
        text[length] = '\0';
        snprintf(expected, sizeof(expected), "name: %.*s\n", (int)kept, text);
        log_line(LOG_ERR, "%s", text);
        assert_string_equal(said(), expected);
    }
    memset(text, 'y', sizeof(text) - 1);
    log_line(LOG_ERR, "%s", text);
    assert_uint_equal(strlen(said()), strlen("name: ") + LINE_MAX_BYTES + 1);
}

static void test_levels(void **state)
{
    static const char *const expected[] = {
        [LOG_LEVEL_QUIET] = "name: error\nname: warning\nname: notice\n",
        [LOG_LEVEL_CLIENTS] = "name: error\nname: warning\nname: notice\nname: client\n",
        [LOG_LEVEL_INFO] = "name: error\nname: warning\nname: notice\nname: info\nname: client\n",
        [LOG_LEVEL_DEBUG] = ("name: error\nname: warning\nname: notice\nname: info\nname: debug\n"
                             "name: client\n"),
    };

    (void)state;
    for (unsigned level = LOG_LEVEL_QUIET; level <= LOG_LEVEL_DEBUG; level++) {
        log_set_level((enum log_level)level);
        log_error("error");
        log_warning("warning");
        log_notice("notice");
        log_info("info");
        log_debug("debug");
        log_client("client");
        assert_string_equal(said(), expected[level]);
    }
}

static void test_journal(void **state)
{
    struct stat status;
    char stream[64];

    (void)state;
    assert_int_equal(fstat(pair[1], &status), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_to_fd(pair[1]);
    log_error("text");
    assert_string_equal(said(), "<3>text\n");
    log_client("text");
    assert_string_equal(said(), "<4>text\n");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("text");
    assert_string_equal(said(), "<7>text\n");
}

static void test_not_the_journal(void **state)
{
    struct stat status;
    char other_inode[64], other_device[64];
    const char *const rows[] = {"", "journal", "1", "1:", other_inode, other_device};

    (void)state;
    assert_int_equal(fstat(pair[1], &status), 0);
    snprintf(other_inode, sizeof(other_inode), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino + 1);
    snprintf(other_device, sizeof(other_device), "%llu:%llu", (unsigned long long)status.st_dev + 1,
             (unsigned long long)status.st_ino);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i];
        setenv("JOURNAL_STREAM", rows[i], 1);
        log_to_fd(pair[1]);
        log_error("text");
        assert_string_equal(said(), "name: text\n");
    }
    table_row = NULL;
}

static void test_full_pipe(void **state)
{
    size_t filled = fill_pipe();

    (void)state;
    alarm((unsigned)await_limit_ms() / 1000); /* a write that blocks would block for ever */
    log_error("one");
    log_error("two");
    log_error("three");
    alarm(0);
    assert_uint_equal(strlen(said()), filled);
    log_error("four");
    assert_string_equal(said(),
                        "name: 3 log lines were lost: the reader is too slow\nname: four\n");
    log_error("five");
    assert_string_equal(said(), "name: five\n");
}

/* Without room for the report it is made later, with the line that it came before counted as well.
 */
static void test_lost_again(void **state)
{
    (void)state;
    fill_pipe();
    for (int i = 0; i < 5; i++)
        log_error("lost");
    said();
    fill_pipe();
    log_error("sixth");
    said();
    log_error("seen");
    assert_string_equal(said(),
                        "name: 6 log lines were lost: the reader is too slow\nname: seen\n");
}

/* A pipe whose last page is in use counts as full: the report still goes, its line does not. */
static void test_room_for_the_report(void **state)
{
    static char page[4096];
    size_t filled = fill_pipe();

    (void)state;
    log_error("one");
    log_error("two");
    assert_int_equal(read(pair[0], page, sizeof(page)), sizeof(page));
    log_error("three");
    assert_string_equal(said() + filled - sizeof(page),
                        "name: 2 log lines were lost: the reader is too slow\n");
    log_error("four");
    assert_string_equal(said(),
                        "name: 1 log lines were lost: the reader is too slow\nname: four\n");
}

/* A line of any length is written whole or not at all. */
static void test_nearly_full_pipe(void **state)
{
    static char text[2000], page[4096];
    size_t filled = fill_pipe();
    unsigned lost, written = 0;
    const char *left;

    (void)state;
    /* One page of room: poll(2) calls the pipe writable again, and not before. */
    assert_int_equal(read(pair[0], page, sizeof(page)), sizeof(page));
    memset(text, 'x', sizeof(text) - 1);
    alarm((unsigned)await_limit_ms() / 1000);
    for (int i = 0; i < 10; i++)
        log_error("%s", text);
    alarm(0);
    left = said() + filled - sizeof(page);
    for (size_t length = strlen(left); length > 0; length = strlen(left)) {
        assert_memory_equal(left, "name: xxx", 9);
        assert_true(length >= LINE_MAX_BYTES + 7);
        left += LINE_MAX_BYTES + 7;
        written++;
    }
    log_error("end");
    assert_int_equal(sscanf(said(), "name: %u log lines were lost", &lost), 1);
    assert_uint_equal(written + lost, 10);
}

static void test_broken_pipe(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    log_prepare_syslog();
    close(pair[0]);
    log_error("first");
    assert_int_equal(syslog_seen.calls, 1);
    assert_string_equal(syslog_seen.path, "/dev/log");
    assert_non_null(strstr(syslog_seen.text, "first"));
    /* From now on at once: not even a new reader brings the old way back. */
    log_error("second");
    assert_int_equal(syslog_seen.calls, 2);
    assert_non_null(strstr(syslog_seen.text, "second"));
    pair[0] = dup(pair[1]);
}

static void test_closed_fd(void **state)
{
    (void)state;
    log_prepare_syslog();
    log_to_fd(1000000);
    log_error("text");
    assert_int_equal(syslog_seen.calls, 1);
}

/* Without log_prepare_syslog there is nowhere to go; that is no reason to fall over. */
static void test_broken_pipe_without_syslog(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    close(pair[0]);
    log_error("first");
    log_error("second");
    assert_int_equal(syslog_seen.calls, 0);
    pair[0] = dup(pair[1]);
}

static void test_syslog(void **state)
{
    char pid[32], month[4];
    int day, hour, minute, second, priority, n = 0;

    (void)state;
    log_prepare_syslog();
    log_to_syslog();
    log_error("text %d", 7);
    assert_int_equal(syslog_seen.calls, 1);
    assert_true(syslog_seen.flags & MSG_NOSIGNAL);
    assert_int_equal(sscanf(syslog_seen.text, "<%d>%3s %d %d:%d:%d %n", &priority, month, &day,
                            &hour, &minute, &second, &n),
                     6);
    assert_int_equal(priority, LOG_DAEMON | LOG_ERR);
    snprintf(pid, sizeof(pid), "name[%d]: text 7", (int)getpid());
    assert_string_equal(syslog_seen.text + n, pid);
    assert_string_equal(said(), "");
}

static void test_syslog_full(void **state)
{
    (void)state;
    log_prepare_syslog();
    log_to_syslog();
    syslog_seen.error = EAGAIN;
    log_error("one");
    log_error("two");
    syslog_seen.error = 0;
    syslog_seen.calls = 0;
    log_error("three");
    assert_int_equal(syslog_seen.calls, 2);
    assert_non_null(strstr(syslog_seen.text, "three"));
    log_error("four");
    assert_int_equal(syslog_seen.calls, 3);
}

/* No client: nothing to count, none to tell. */
static void test_syslog_absent(void **state)
{
    (void)state;
    log_prepare_syslog();
    log_to_syslog();
    syslog_seen.error = ENOENT;
    log_error("one");
    assert_int_equal(syslog_seen.calls, 2);
    assert_string_equal(syslog_seen.path, "/run/systemd/journal/dev-log");
    syslog_seen.error = ECONNREFUSED;
    log_error("two");
    assert_int_equal(syslog_seen.calls, 3);
    assert_string_equal(syslog_seen.path, "/dev/log");
    syslog_seen.error = 0;
    log_error("three");
    assert_int_equal(syslog_seen.calls, 4);
    assert_non_null(strstr(syslog_seen.text, "three"));
}

/* As in a private /dev. */
static void test_syslog_elsewhere(void **state)
{
    (void)state;
    log_prepare_syslog();
    log_to_syslog();
    strcpy(syslog_seen.absent, "/dev/log");
    log_error("text");
    assert_string_equal(syslog_seen.path, "/run/systemd/journal/dev-log");
    assert_true(syslog_seen.flags & MSG_NOSIGNAL);
    assert_non_null(strstr(syslog_seen.text, ": text"));
    assert_int_equal(syslog_seen.calls, 2);
}

#define log_test(function) cmocka_unit_test_setup_teardown(function, pipe_set_up, pipe_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        log_test(test_line),
        log_test(test_control_characters),
        log_test(test_long_lines),
        log_test(test_levels),
        log_test(test_journal),
        log_test(test_not_the_journal),
        log_test(test_full_pipe),
        log_test(test_lost_again),
        log_test(test_room_for_the_report),
        log_test(test_nearly_full_pipe),
        log_test(test_broken_pipe),
        log_test(test_closed_fd),
        log_test(test_broken_pipe_without_syslog),
        log_test(test_syslog),
        log_test(test_syslog_full),
        log_test(test_syslog_absent),
        log_test(test_syslog_elsewhere),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
