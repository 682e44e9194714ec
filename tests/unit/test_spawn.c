// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The keeper executes a worker: what the worker finds, and what it is told of one before it. The
 * workers here are shell scripts, which have their channel as fd 3.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "await.h"
#include "daemon/keeper.h"
#include "daemon/spawn.h"
#include "passing.h"
#include "proto/worker.h"
#include "scratch.h"

static struct keeper keeper;

static int tear_down(void **state)
{
    keeper_deinit(&keeper);
    return scratch_tear_down(state);
}

/* A keeper whose worker is this script. */
static void start(const char *script)
{
    char path[64], text[1024];
    struct keeper_options options = {.pidfile_fd = -1, .worker_path = path};

    snprintf(path, sizeof(path), "%s", scratch_path("worker"));
    snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    scratch_write("worker", text);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(keeper_start(&keeper, &options), 0);
}

/* The next message of the worker's, NUL-terminated; "" at its end. */
static const char *hear(int channel)
{
    static char text[8192];
    ssize_t n = recv(channel, text, sizeof(text) - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void test_channel_and_fds(void **state)
{
    int channel;

    (void)state;
    setenv("MULTIPATH_SOCKET_NAME", "/run/somewhere", 1);
    setenv("LD_LIBRARY_PATH", "/nowhere", 1);
    start("for fd in 0 1 2 3 4 5 6 7 8 9; do\n"
          "    [ -e /proc/$$/fd/$fd ] || continue\n"
          "    list=\"$list$fd\"\n"
          "    [ /proc/$$/fd/$fd -ef /dev/null ] && list=\"$list=null\"\n"
          "    list=\"$list \"\n"
          "done\n"
          "echo \"$list\" >&3\n"
          "tr '\\0' ' ' </proc/$$/environ >&3");
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("MULTIPATH_SOCKET_NAME");

    channel = keeper_start_worker(&keeper);
    assert_true(channel >= 0);
    /* The shell has its script open as 10 or above. */
    assert_string_equal(hear(channel), "0=null 1=null 2=null 3 \n");
    assert_string_equal(hear(channel), "MULTIPATH_SOCKET_NAME=/run/somewhere ");
    assert_string_equal(hear(channel), "");
    close(channel);
}

static void assert_line(const char *status, const char *name, const char *value)
{
    char line[128];

    snprintf(line, sizeof(line), "\n%s:\t%s\n", name, value);
    if (!strstr(status, line))
        fail_msg("no %s in: %s", line + 1, status);
}

static void test_rights(void **state)
{
    static const char one[] = "0000000000020000"; /* CAP_SYS_RAWIO */
    static const char none[] = "0000000000000000";
    const char *status;
    int channel;

    (void)state;
    if (geteuid() != 0) {
        print_message("# test_rights: only root has something to drop\n");
        skip();
    }
    start("exec cat /proc/self/status >&3");
    channel = keeper_start_worker(&keeper);
    assert_true(channel >= 0);
    status = hear(channel);
    assert_line(status, "CapPrm", one);
    assert_line(status, "CapEff", one);
    assert_line(status, "CapBnd", one);
    assert_line(status, "CapInh", none);
    assert_line(status, "CapAmb", none);
    assert_line(status, "NoNewPrivs", "1");
    assert_line(status, "Uid", "0\t0\t0\t0");
    assert_line(status, "SigBlk", none);
    close(channel);
}

/* It is told in the worker's place. */
static void test_cannot_be_executed(void **state)
{
    struct worker_hello hello;
    uint8_t bytes[WORKER_HELLO_SIZE + 1];
    int channel;
    ssize_t n;

    (void)state;
    start("exit 0");
    unlink(scratch_path("worker"));
    channel = keeper_start_worker(&keeper);
    assert_true(channel >= 0);
    n = recv(channel, bytes, sizeof(bytes), 0);
    assert_true(n > 0 && worker_decode_hello(bytes, (size_t)n, &hello));
    assert_false(hello.ready);
    assert_non_null(strstr(hello.text, "cannot execute"));
    assert_non_null(strstr(hello.text, scratch));
    assert_non_null(strstr(hello.text, "No such file"));
    assert_string_equal(hear(channel), "");
    close(channel);
}

/* A worker's argument; it ends then, its child does not. */
static const char *argument(pid_t *ret_child)
{
    static char text[64];
    int channel = keeper_start_worker(&keeper);

    assert_true(channel >= 0);
    snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, hear(channel));
    *ret_child = (pid_t)atoi(hear(channel));
    assert_true(*ret_child > 0);
    assert_string_equal(hear(channel), "");
    close(channel);
    return text;
}

/* It is told whether the last one has gone, and all that it has left behind. */
static void test_beside(void **state)
{
    pid_t first, second;

    (void)state;
    start("sleep 1000 3>&- & echo \"$@.\" >&3; echo $! >&3");
    assert_string_equal(argument(&first), ".\n");
    assert_string_equal(argument(&second), WORKER_BESIDE ".\n");
    assert_int_equal(kill(second, SIGKILL), 0);
    assert_string_equal(argument(&second), WORKER_BESIDE ".\n");
    assert_int_equal(kill(second, SIGKILL), 0);
    assert_int_equal(kill(first, SIGKILL), 0);
    for (;;) {
        bool alone = strcmp(argument(&first), ".\n") == 0;

        assert_int_equal(kill(first, SIGKILL), 0);
        if (alone)
            break;
        await_pause();
    }
}

/* The service manager's socket, instead of a program. */
static void test_service(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct keeper_options options = {.pidfile_fd = -1, .worker_socket = address.sun_path};
    int listener, accepted, channel;

    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", scratch_path("service"));
    assert_int_equal(keeper_start(&keeper, &options), 0);
    assert_int_equal(keeper_start_worker(&keeper), -ENOENT);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(keeper_start_worker(&keeper), -ECONNREFUSED);
    assert_int_equal(listen(listener, 0), 0);
    channel = keeper_start_worker(&keeper);
    assert_true(channel >= 0);
    assert_int_equal(fcntl(channel, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(keeper_start_worker(&keeper), -EAGAIN); /* its queue is full */
    accepted = accept(listener, NULL, NULL);
    assert_int_equal(send(accepted, "hello", 5, MSG_NOSIGNAL), 5);
    assert_string_equal(hear(channel), "hello");
    close(accepted);
    assert_string_equal(hear(channel), "");
    close(channel);
    close(listener);
}

/* Nothing stays behind in this process or the keeper. */
static void test_many(void **state)
{
    unsigned before;
    char path[64];

    (void)state;
    start("exit 0");
    before = count_fds();
    for (unsigned i = 0; i < 20; i++) {
        int channel = keeper_start_worker(&keeper);

        assert_true(channel >= 0);
        assert_string_equal(hear(channel), "");
        close(channel);
    }
    assert_uint_equal(count_fds(), before);
    assert_int_equal(keeper_remove_pidfile(&keeper), 0); /* it is done with the question before */
    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)keeper.pid);
    if (access(path, R_OK) == 0) {
        DIR *directory = opendir(path);
        unsigned n = 0;

        assert_non_null(directory);
        while (readdir(directory))
            n++;
        closedir(directory);
        assert_uint_equal(n - 2, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_channel_and_fds, scratch_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rights, scratch_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cannot_be_executed, scratch_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_service, scratch_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beside, scratch_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, scratch_set_up, tear_down),
    };

    return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
