// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "await.h"
#include "passing.h"
#include "scratch.h"
#include "serve/notify.h"

static struct notify notify;

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* A service manager listens on `path`, with @ for an abstract one. */
static int manager_open(const char *path)
{
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(bind(sock, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
                     0);
    return sock;
}

static const char *manager_heard(int sock)
{
    static char text[1024];
    ssize_t n = recv(sock, text, sizeof(text) - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void test_messages(void **state)
{
    const char *path = scratch_path("notify");
    int manager = manager_open(path);
    unsigned before = count_fds();

    (void)state;
    set("NOTIFY_SOCKET", path);
    assert_int_equal(notify_init(&notify), 0);
    notify_send(&notify, "READY=1\nSTATUS=Serving %d clients", 0);
    assert_string_equal(manager_heard(manager), "READY=1\nSTATUS=Serving 0 clients");
    notify_send(&notify, "WATCHDOG=1");
    assert_string_equal(manager_heard(manager), "WATCHDOG=1");
    notify_send(&notify, "%0255d", 1);
    assert_uint_equal(strlen(manager_heard(manager)), 255);
    notify_send(&notify, "%0256d", 1); /* half an assignment would be worse than none */
    assert_string_equal(manager_heard(manager), "");

    /* The manager has been restarted, and is there again. */
    close(manager);
    unlink(path);
    notify_send(&notify, "LOST=1");
    manager = manager_open(path);
    notify_send(&notify, "BACK=1");
    assert_string_equal(manager_heard(manager), "BACK=1");

    notify_deinit(&notify);
    notify_send(&notify, "LATE=1");
    assert_string_equal(manager_heard(manager), "");
    assert_uint_equal(count_fds(), before);
    close(manager);
}

static void test_abstract(void **state)
{
    char path[64];
    int manager;

    (void)state;
    snprintf(path, sizeof(path), "@pr-helper-test-%ld", (long)getpid());
    manager = manager_open(path);
    set("NOTIFY_SOCKET", path);
    assert_int_equal(notify_init(&notify), 0);
    notify_send(&notify, "READY=1");
    assert_string_equal(manager_heard(manager), "READY=1");
    notify_deinit(&notify);
    close(manager);
}

/* A manager that does not read must not hold us up. */
static void test_full(void **state)
{
    const char *path = scratch_path("notify");
    int manager = manager_open(path);

    (void)state;
    set("NOTIFY_SOCKET", path);
    assert_int_equal(notify_init(&notify), 0);
    alarm((unsigned)await_limit_ms() / 1000);
    for (int i = 0; i < 10000; i++)
        notify_send(&notify, "STATUS=%d", i);
    alarm(0);
    assert_string_equal(manager_heard(manager), "STATUS=0");
    notify_deinit(&notify);
    close(manager);
}

static void test_environment(void **state)
{
    char longest[108], too_long[109]; /* with a NUL */
    struct {
        const char *path;
        int expected;
        bool wanted;
    } rows[] = {
        {NULL, 0, false},
        {"", -EINVAL, false},
        {"/", -EINVAL, false},
        {"@", -EINVAL, false},
        {"relative", -EINVAL, false},
        {"vsock:2:1", -EINVAL, false},
        {"/x", 0, true},
        {"@x", 0, true},
        {longest, 0, true},
        {too_long, -EINVAL, false},
    };

    (void)state;
    memset(longest, '/', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memset(too_long, '/', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned before = count_fds();

        table_row = rows[i].path ? rows[i].path : "none";
        set("NOTIFY_SOCKET", rows[i].path);
        set("WATCHDOG_USEC", "1000000");
        set("WATCHDOG_PID", NULL);
        assert_int_equal(notify_init(&notify), rows[i].expected);
        assert_int_equal(notify.sock >= 0, rows[i].wanted);
        assert_int_equal(notify.watchdog_ms, rows[i].wanted ? 1000 : 0);
        /* For us alone: a child must not speak in our name. */
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_null(getenv("WATCHDOG_USEC"));
        assert_null(getenv("WATCHDOG_PID"));
        notify_send(&notify, "READY=1");
        notify_deinit(&notify);
        assert_uint_equal(count_fds(), before);
    }
    table_row = NULL;
}

static void test_watchdog(void **state)
{
    char own_pid[32], other_pid[32];
    const struct {
        const char *usec, *pid;
        int64_t expected;
    } rows[] = {
        {NULL, NULL, 0},
        {NULL, own_pid, 0},
        {"30000000", NULL, 30000},
        {"30000000", own_pid, 30000},
        {"30000000", other_pid, 0},
        {"30000000", "", 0},
        {"30000000", "x", 0},
        {"30000000", "0", 0},
        {"0", own_pid, 0},
        {"1", own_pid, 1}, /* not 0, which would mean "never" */
        {"999", own_pid, 1},
        {"1000", own_pid, 1},
        {"1999", own_pid, 1},
        {"2000", own_pid, 2},
        {"", own_pid, 0},
        {"-1", own_pid, 0},
        {"30s", own_pid, 0},
        {"99999999999999999999", own_pid, 0},
    };

    (void)state;
    snprintf(own_pid, sizeof(own_pid), "%ld", (long)getpid());
    snprintf(other_pid, sizeof(other_pid), "%ld", (long)getppid());
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].usec ? rows[i].usec : "none";
        set("NOTIFY_SOCKET", "/x");
        set("WATCHDOG_USEC", rows[i].usec);
        set("WATCHDOG_PID", rows[i].pid);
        assert_int_equal(notify_init(&notify), 0);
        assert_int_equal(notify.watchdog_ms, rows[i].expected);
        notify_deinit(&notify);
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_messages),  cmocka_unit_test(test_abstract), scratch_test(test_full),
        table_test(test_environment), table_test(test_watchdog),
    };

    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
