// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sockets from the service manager: its variables, and whether what it passes is what we serve. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "await.h"
#include "passing.h"
#include "serve/listen.h"

static char error[512];

static void test_inherited(void **state)
{
    char own_pid[32], parent_pid[32];
    const struct {
        const char *pid, *fds;
        int expected;
        const char *message;
    } rows[] = {
        {NULL, NULL, 0, ""},
        {own_pid, NULL, 0, ""},
        {NULL, "1", 0, ""},
        {own_pid, "0", 0, ""},
        {own_pid, "1", 1, ""},
        {own_pid, "2", 2, ""},
        {own_pid, "2147483647", INT32_MAX, ""},
        {own_pid, "2147483648", -EINVAL, "LISTEN_FDS is not a number: 2147483648"},
        {own_pid, "-1", -EINVAL, "LISTEN_FDS is not a number: -1"},
        {own_pid, "", -EINVAL, "LISTEN_FDS is not a number: "},
        {own_pid, "one", -EINVAL, "LISTEN_FDS is not a number: one"},
        {parent_pid, "1", 0, ""}, /* not meant for us */
        {parent_pid, "one", 0, ""},
        {"0", "1", 0, ""},
        {"", "1", 0, ""},
        {"99999999999999999999", "1", 0, ""},
    };

    (void)state;
    snprintf(own_pid, sizeof(own_pid), "%ld", (long)getpid());
    snprintf(parent_pid, sizeof(parent_pid), "%ld", (long)getppid());
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        if (rows[i].pid)
            setenv("LISTEN_PID", rows[i].pid, 1);
        if (rows[i].fds)
            setenv("LISTEN_FDS", rows[i].fds, 1);
        setenv("LISTEN_FDNAMES", "x", 1);
        error[0] = '\0';
        assert_int_equal(listen_inherited(error, sizeof(error)), rows[i].expected);
        assert_string_equal(error, rows[i].message);
        assert_null(getenv("LISTEN_PID"));
        assert_null(getenv("LISTEN_FDS"));
        assert_null(getenv("LISTEN_FDNAMES"));
    }
}

/* What a child makes of `passed` as its fd 3, if that is an fd. 0: it was adopted, and set up. */
static int adopt(int passed)
{
    socklen_t size = sizeof(int);
    pid_t child = fork();
    int passes = 1;

    if (child == 0) {
        setsockopt(passed, SOL_SOCKET, SO_PASSCRED, &passes, size); /* as a unit may wish */
        close(3);
        if (passed >= 0 && passed != 3 && dup2(passed, 3) != 3)
            _exit(2);
        error[0] = '\0';
        if (listen_adopt(error, sizeof(error)) != 3)
            _exit(strstr(error, "not a listening AF_UNIX stream socket") ? 1 : 3);
        if (getsockopt(3, SOL_SOCKET, SO_PASSCRED, &passes, &size) < 0 || passes)
            _exit(5);
        if (fcntl(3, F_GETFD) != FD_CLOEXEC || !(fcntl(3, F_GETFL) & O_NONBLOCK) || error[0])
            _exit(4);
        _exit(0);
    }
    if (passed >= 0)
        close(passed);
    return await_child(child);
}

/* A socket with an address of its own, above the number that the child uses. */
static int make_socket(int family, int type, bool listening)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in loopback = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int sock = socket(family, type, 0), moved;

    assert_true(sock >= 0);
    if (family == AF_UNIX) /* no more than the family: the kernel picks an abstract name */
        assert_int_equal(bind(sock, (struct sockaddr *)&local, sizeof(sa_family_t)), 0);
    else
        assert_int_equal(bind(sock, (struct sockaddr *)&loopback, sizeof(loopback)), 0);
    if (listening)
        assert_int_equal(listen(sock, 1), 0);
    moved = fcntl(sock, F_DUPFD_CLOEXEC, 4);
    close(sock);
    return moved;
}

static void test_adopt(void **state)
{
    unsigned before = count_fds();

    (void)state;
    assert_int_equal(adopt(make_socket(AF_UNIX, SOCK_STREAM, true)), 0);
    assert_int_equal(adopt(make_socket(AF_UNIX, SOCK_STREAM, false)), 1);
    assert_int_equal(adopt(make_socket(AF_UNIX, SOCK_SEQPACKET, true)), 1);
    assert_int_equal(adopt(make_socket(AF_UNIX, SOCK_DGRAM, false)), 1);
    assert_int_equal(adopt(make_socket(AF_INET, SOCK_STREAM, true)), 1); /* never over a network */
    assert_int_equal(adopt(open("/dev/null", O_RDWR | O_CLOEXEC)), 1);
    assert_int_equal(adopt(-1), 1);
    assert_uint_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_adopt),
    };

    return cmocka_run_group_tests_name("listen_inherited", tests, NULL, NULL);
}
