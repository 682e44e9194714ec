// SPDX-License-Identifier: LGPL-2.1-or-later
/* From a path to a connection, and everything that may stand in between. */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "fake_helper.h"
#include "prhelper.h"

#define SOON_MS 40
#define LONG_MS 20000

static char directory[64], path[96];

static int make_directory(void **state)
{
    strcpy(directory, "/tmp/prhelper-test.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/socket", directory);
    return 0;
}

static int remove_directory(void **state)
{
    unlink(path);
    return rmdir(directory);
}

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strncpy(address.sun_path, name, sizeof(address.sun_path) - 1);
    return address;
}

/* A socket bound to `path`; with backlog >= 0 it listens. */
static int bind_socket(const char *name, int backlog)
{
    struct sockaddr_un address = address_of(name);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(sock >= 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    if (backlog >= 0)
        assert_int_equal(listen(sock, backlog), 0);
    return sock;
}

static void assert_fails(const char *name, uint32_t features, int timeout_ms, int wanted)
{
    struct prhelper *untouched = (struct prhelper *)&untouched, *helper = untouched;

    assert_int_equal(prhelper_connect(name, features, timeout_ms, &helper), wanted);
    assert_ptr_equal(helper, untouched);
}

static void test_no_helper(void **state)
{
    char too_long[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
    int sock;

    assert_fails(path, 0, LONG_MS, -ENOENT);
    assert_fails(path, 0, PRHELPER_FOREVER, -ENOENT);
    sock = bind_socket(path, -1);
    assert_fails(path, 0, LONG_MS, -ECONNREFUSED);
    close(sock);
    assert_fails(path, 0, LONG_MS, -ECONNREFUSED);
    unlink(path);

    memset(too_long, 'x', sizeof(too_long));
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    assert_fails(too_long, 0, LONG_MS, -ENAMETOOLONG);
    too_long[sizeof(too_long) - 2] = '\0';
    assert_fails(too_long, 0, LONG_MS, -ENOENT);
}

static void test_no_permission(void **state)
{
    bool is_root = geteuid() == 0;
    int sock = bind_socket(path, 1);

    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(directory, 0755), 0);
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    else
        assert_int_equal(chmod(path, 0), 0);
    assert_fails(path, 0, LONG_MS, -EACCES);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    close(sock);
    unlink(path);
}

static void test_bad_arguments(void **state)
{
    struct prhelper *helper;

    assert_fails(NULL, 0, LONG_MS, PRHELPER_BAD_ARGUMENT);
    assert_fails("", 0, LONG_MS, PRHELPER_BAD_ARGUMENT);
    assert_fails(path, 2, LONG_MS, PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_adopt(-1, 0, LONG_MS, &helper), PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_adopt(0, 0x80000000, LONG_MS, &helper), PRHELPER_BAD_ARGUMENT);
    assert_int_equal(prhelper_custom(NULL, NULL, &helper), PRHELPER_BAD_ARGUMENT);
    prhelper_close(NULL);
}

/* No process accepts and the queue is full. */
static void test_queue_is_full(void **state)
{
    struct sockaddr_un address = address_of(path);
    int listener = bind_socket(path, 0);
    int clients[8];
    unsigned n = 0;
    int64_t started;

    for (; n < 8; n++) {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(clients[n], (struct sockaddr *)&address, sizeof(address)) < 0) {
            assert_int_equal(errno, EAGAIN);
            n++;
            break;
        }
    }
    started = clock_now_ms();
    assert_fails(path, 0, SOON_MS, -ETIMEDOUT);
    assert_true(clock_now_ms() - started >= SOON_MS - 10); /* the kernel counts in ticks */
    assert_fails(path, 0, 0, -ETIMEDOUT);
    while (n > 0)
        close(clients[--n]);
    close(listener);
    unlink(path);
}

/* It listens, but never says a word: the kernel accepts on its behalf. */
static void test_no_greeting(void **state)
{
    int listener = bind_socket(path, 1);
    int64_t started = clock_now_ms();

    assert_fails(path, 0, SOON_MS, -ETIMEDOUT);
    assert_true(clock_now_ms() - started >= SOON_MS);
    close(listener);
    unlink(path);
}

static void test_handshakes(void **state)
{
    static const struct {
        const char *name;
        const char *greeting;
        size_t sent;
        bool closed;
        uint32_t wanted, asked;
        int r;
    } rows[] = {
        {"nothing offered", "\0\0\0\0", 4, false, PRHELPER_FEATURES, 0, 0},
        {"cleanup offered", "\0\0\0\1", 4, false, PRHELPER_FEATURES, 1, 0},
        {"cleanup offered, not wanted", "\0\0\0\1", 4, false, 0, 0, 0},
        {"all offered", "\xff\xff\xff\xff", 4, false, PRHELPER_FEATURES, 1, 0},
        {"others offered", "\xff\xff\xff\xfe", 4, false, PRHELPER_FEATURES, 0, 0},
        {"closed at once", "", 0, true, 0, 0, PRHELPER_CLOSED},
        {"cut", "\0\0\0", 3, true, 0, 0, PRHELPER_CUT},
        {"cut greeting, silence", "\0\0\0", 3, false, 0, 0, -ETIMEDOUT},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_step steps[] = {
            {FAKE_DRIP, rows[i].greeting, rows[i].sent},
            {rows[i].closed ? FAKE_CLOSE : FAKE_END, NULL, 0},
        };
        struct prhelper *helper = NULL;
        uint8_t notes[FAKE_NOTES_MAX];
        struct fake *fake;
        size_t taken;
        int sock;

        table_row = rows[i].name;
        fake = fake_start(steps, &sock);
        assert_int_equal(prhelper_adopt(sock, rows[i].wanted,
                                        rows[i].r == -ETIMEDOUT ? SOON_MS : LONG_MS, &helper),
                         rows[i].r);
        if (rows[i].r == 0) {
            assert_uint_equal(prhelper_features(helper), rows[i].asked);
            prhelper_close(helper);
        } else {
            assert_null(helper);
            /* It is still ours. */
            assert_true(fcntl(sock, F_GETFD) >= 0);
            close(sock);
        }
        taken = fake_end(fake, notes, NULL);
        assert_uint_equal(taken, rows[i].r == 0 ? 4 : 0);
        if (taken)
            assert_uint_equal(load_be32(notes), rows[i].asked);
    }
    table_row = NULL;
}

/* CLEANUP goes out only if both sides have agreed on it. */
static void test_cleanup_needs_the_feature(void **state)
{
    const struct fake_step steps[] = {
        {FAKE_SEND, "\0\0\0\0", 4},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct prhelper *helper = NULL;
    struct fake *fake;
    int sock;

    fake = fake_start(steps, &sock);
    assert_int_equal(prhelper_adopt(sock, PRHELPER_FEATURES, LONG_MS, &helper), 0);
    memset(&result, 0xee, sizeof(result));
    assert_int_equal(prhelper_cleanup(helper, STDIN_FILENO, &result), PRHELPER_NO_FEATURE);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    assert_false(result.outcome_unknown);
    prhelper_close(helper);
    assert_uint_equal(fake_end(fake, NULL, NULL), 4);
}

#define FDS_MAX 256

static void look_at_fds(bool open[FDS_MAX])
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        open[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* All are close-on-exec, and none is left when the connection is closed or could not be made. */
static void test_fds(void **state)
{
    const struct fake_step steps[] = {{FAKE_SEND, "\0\0\0\1", 4}, {FAKE_END, NULL, 0}};
    bool before[FDS_MAX], now[FDS_MAX];
    int listener = bind_socket(path, 4), accepted;
    struct prhelper *helper = NULL;
    struct fake *fake;
    unsigned made = 0;

    look_at_fds(before);
    assert_fails(path, 0, 0, -ETIMEDOUT);
    look_at_fds(now);
    assert_memory_equal(now, before, sizeof(now));
    accepted = accept(listener, NULL, NULL); /* the one that has given up */
    assert_true(accepted >= 0);
    close(accepted);

    fake = fake_start_at(listener, steps);
    assert_int_equal(prhelper_connect(path, 0, LONG_MS, &helper), 0);
    look_at_fds(now);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (now[fd] && !before[fd]) {
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            made++;
        }
    }
    assert_uint_equal(made, 2); /* its end and the fake's */
    prhelper_close(helper);
    fake_end(fake, NULL, NULL);
    look_at_fds(now);
    assert_memory_equal(now, before, sizeof(now));
    close(listener);
    unlink(path);
}

/* A socket that its owner made non-blocking stays that way, and works. */
static void test_adopt_leaves_flags_alone(void **state)
{
    static const uint8_t cdb[10] = {0x5e};
    static const uint8_t good[104];
    const struct fake_step steps[] = {
        {FAKE_SEND, "\0\0\0\0", 4},
        {FAKE_TAKE, NULL, 4 + 16},
        {FAKE_DRIP, good, sizeof(good)},
        {FAKE_END, NULL, 0},
    };
    struct prhelper_result result;
    struct prhelper *helper = NULL;
    struct fake *fake;
    int sock, flags;

    fake = fake_start(steps, &sock);
    flags = fcntl(sock, F_GETFL) | O_NONBLOCK;
    assert_int_equal(fcntl(sock, F_SETFL, flags), 0);
    assert_int_equal(prhelper_adopt(sock, 0, PRHELPER_FOREVER, &helper), 0);
    assert_int_equal(prhelper_execute(helper, STDIN_FILENO, cdb, sizeof(cdb), NULL, 0, &result), 0);
    assert_int_equal(fcntl(sock, F_GETFL), flags);
    prhelper_close(helper);
    fake_end(fake, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_helper),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_queue_is_full),
        cmocka_unit_test(test_no_greeting),
        table_test(test_handshakes),
        cmocka_unit_test(test_cleanup_needs_the_feature),
        cmocka_unit_test(test_fds),
        cmocka_unit_test(test_adopt_leaves_flags_alone),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
