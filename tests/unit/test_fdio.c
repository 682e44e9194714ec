// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "await.h"
#include "base/fdio.h"
#include "passing.h"
#include "scratch.h"

static int pair[2]; /* a connected stream: the sender's end, the receiver's end */

static int pair_set_up(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int pair_tear_down(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void test_receive_every_number_of_fds(void **state)
{
    static const unsigned counts[] = {0, 1, 2, 3, 7, 252, 253};
    struct fdio_message message;
    struct stat sent, received;
    char bytes[16];

    (void)state;
    assert_int_equal(fstat(pair[0], &sent), 0);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        unsigned before = count_fds();

        memset(&message, 0xff, sizeof(message));
        assert_int_equal(send_fds(pair[0], "12345", 5, pair[0], counts[i]), 5);
        assert_int_equal(fdio_receive(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT, &message), 5);
        assert_memory_equal(bytes, "12345", 5);
        assert_uint_equal(message.n_fds, counts[i] < 2 ? counts[i] : 2);
        assert_int_equal(message.fds_lost, counts[i] > 2);
        assert_uint_equal(count_fds(), before + message.n_fds); /* never more in our table */
        for (unsigned n = 0; n < message.n_fds; n++) {
            assert_int_equal(fcntl(message.fds[n], F_GETFD), FD_CLOEXEC);
            assert_int_equal(fstat(message.fds[n], &received), 0);
            assert_true(received.st_ino == sent.st_ino);
            assert_int_equal(close(message.fds[n]), 0);
        }
        assert_uint_equal(count_fds(), before);
    }
}

static void test_receive_takes_no_more_than_size(void **state)
{
    struct fdio_message message;
    char bytes[4] = {'.', '.', '.', '.'};

    (void)state;
    assert_int_equal(send_fds(pair[0], "12345", 5, pair[0], 1), 5);
    assert_int_equal(fdio_receive(pair[1], bytes, 3, 0, &message), 3);
    assert_memory_equal(bytes, "123.", 4);
    assert_uint_equal(message.n_fds, 1);
    close(message.fds[0]);
    assert_int_equal(fdio_receive(pair[1], bytes, 3, 0, &message), 2);
    assert_memory_equal(bytes, "453.", 4);
    assert_uint_equal(message.n_fds, 0);
}

/* Bytes come without what they carry, or not at all. */
static void test_receive_plain(void **state)
{
    struct traced_fd traced = traced_fd_open();
    struct fdio_message message;
    char bytes[16] = "";
    unsigned before;

    (void)state;
    assert_int_equal(fdio_receive_plain(pair[1], bytes, sizeof(bytes)), -EAGAIN);
    assert_int_equal(send_fds(pair[0], "12", 2, -1, 0), 2);
    assert_int_equal(send_fds(pair[0], "34", 2, -1, 0), 2);
    assert_int_equal(fdio_receive_plain(pair[1], bytes, 1), 1);
    assert_int_equal(bytes[0], '1');
    assert_int_equal(fdio_receive_plain(pair[1], bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "234", 3);
    assert_int_equal(send_fds(pair[0], "5", 1, traced.fd, 1), 1);
    assert_int_equal(send_fds(pair[0], "6", 1, -1, 0), 1);
    close(traced.fd);
    before = count_fds();
    for (int i = 0; i < 3; i++)
        assert_int_equal(fdio_receive_plain(pair[1], bytes, sizeof(bytes)), -EBUSY);
    assert_false(is_readable(traced.read_end));
    assert_uint_equal(count_fds(), before);
    assert_int_equal(fdio_receive(pair[1], bytes, 1, 0, &message), 1);
    assert_uint_equal(message.n_fds, 1);
    close(message.fds[0]);
    assert_true(is_readable(traced.read_end));
    assert_int_equal(fdio_receive_plain(pair[1], bytes, sizeof(bytes)), 1);
    assert_int_equal(bytes[0], '6');
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(fdio_receive_plain(pair[1], bytes, sizeof(bytes)), 0);
    close(traced.read_end);
}

/* Send three fds while there is room for `room` of them. */
static void receive_with_room_for(unsigned room)
{
    struct fdio_message message;
    unsigned before = count_fds();
    char byte;

    assert_int_equal(send_fds(pair[0], "x", 1, pair[0], 3), 1);
    fd_room_limit(room);
    message.n_fds = 99;
    assert_int_equal(fdio_receive(pair[1], &byte, 1, 0, &message), 1);
    fd_room_restore();
    assert_uint_equal(message.n_fds, room < 2 ? room : 2);
    assert_true(message.fds_lost);
    for (unsigned i = 0; i < message.n_fds; i++)
        close(message.fds[i]);
    assert_uint_equal(count_fds(), before);
}

static void test_receive_at_the_fd_limit(void **state)
{
    (void)state;
    for (unsigned room = 0; room <= 3; room++)
        receive_with_room_for(room);
}

static void test_receive_without_bytes(void **state)
{
    struct fdio_message message;
    char byte;

    (void)state;
    message.n_fds = 99;
    message.fds_lost = true;
    assert_int_equal(fdio_receive(pair[1], &byte, 1, MSG_DONTWAIT, &message), -EAGAIN);
    assert_uint_equal(message.n_fds, 0);
    assert_false(message.fds_lost);
    message.n_fds = 99;
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(fdio_receive(pair[1], &byte, 1, 0, &message), 0);
    assert_uint_equal(message.n_fds, 0);
    assert_int_equal(fdio_receive(-1, &byte, 1, 0, &message), -EBADF);
}

/* Ends the wait of a system call with EINTR, and lets the next one find what it waits for. */
static int alarm_fd;

static void alarm_handler(int number)
{
    ssize_t n = write(alarm_fd, "c", 1);

    (void)number;
    (void)n;
}

static void alarm_start(int fd)
{
    const struct sigaction action = {.sa_handler = alarm_handler}; /* no SA_RESTART */
    const struct itimerval soon = {.it_value.tv_usec = 20000};

    alarm_fd = fd;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

static void test_receive_interrupted(void **state)
{
    struct fdio_message message;
    char byte;

    (void)state;
    alarm_start(pair[0]);
    assert_int_equal(fdio_receive(pair[1], &byte, 1, 0, &message), 1);
    assert_int_equal(byte, 'c');
}

static void test_read_full(void **state)
{
    char bytes[8] = ".......";

    (void)state;
    assert_int_equal(write(pair[0], "ab", 2), 2);
    alarm_start(pair[0]);
    assert_int_equal(fdio_read_full(pair[1], bytes, 3), 3);
    assert_string_equal(bytes, "abc....");
    assert_int_equal(write(pair[0], "xy", 2), 2);
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(fdio_read_full(pair[1], bytes, 8), 2);
    assert_string_equal(bytes, "xyc....");
    assert_int_equal(fdio_read_full(pair[1], bytes, 8), 0);
    assert_int_equal(fdio_read_full(pair[1], bytes, 0), 0);
    assert_int_equal(fdio_read_full(-1, bytes, 1), -EBADF);
}

static void test_write_full(void **state)
{
    const size_t size = 1 << 20;
    char *sent = malloc(size);
    char *read_back = malloc(size);
    int status;
    pid_t pid;

    (void)state;
    assert_non_null(sent);
    assert_non_null(read_back);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 7 + i / 256);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[1]);
        _exit(fdio_write_full(pair[0], sent, size) == 0 ? 0 : 1);
    }
    assert_int_equal(fdio_read_full(pair[1], read_back, size), size);
    assert_memory_equal(read_back, sent, size);
    status = await_child(pid);
    assert_int_equal(status, 0);
    free(read_back);
    free(sent);
}

static void test_write_full_fails(void **state)
{
    char *bytes = calloc(1, 1 << 20);

    (void)state;
    assert_non_null(bytes);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fdio_write_full(pair[0], bytes, 1 << 20), -EAGAIN);
    shutdown(pair[1], SHUT_RD);
    assert_int_equal(fdio_write_full(pair[0], "x", 1), -EPIPE);
    assert_int_equal(fdio_write_full(pair[0], "", 0), 0);
    free(bytes);
}

static void test_read_text(void **state)
{
    static const struct {
        const char *content;
        size_t size; /* of the buffer */
        const char *expected;
    } rows[] = {
        {"mpath-36001\n", 64, "mpath-36001"},
        {"no newline", 64, "no newline"},
        {"", 64, ""},
        {"\n", 64, ""},
        {"two\n\n", 64, "two\n"},
        {"a\nb\n", 64, "a\nb"},
        {"12345", 6, "12345"},
        {"12345\n", 6, "12345"},
        {"12345\n", 7, "12345"},
        {"123456", 6, "12345"},
        {"1234\n6", 6, "1234"},
        {"123456", 1, ""},
    };
    int directory = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    unsigned before = count_fds();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];

        table_row = rows[i].content;
        memset(text, 'z', sizeof(text));
        scratch_write("text", rows[i].content);
        assert_int_equal(fdio_read_text(directory, "text", text, rows[i].size),
                         strlen(rows[i].expected));
        assert_string_equal(text, rows[i].expected);
        for (size_t j = rows[i].size; j < sizeof(text); j++)
            assert_int_equal(text[j], 'z');
    }
    table_row = NULL;
    assert_uint_equal(count_fds(), before);
    close(directory);
}

static void test_read_text_of_no_file(void **state)
{
    unsigned before = count_fds();
    char text[64];

    (void)state;
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    assert_int_equal(fdio_read_text(AT_FDCWD, scratch_path("none"), text, sizeof(text)), -ENOENT);
    assert_int_equal(fdio_read_text(AT_FDCWD, scratch, text, sizeof(text)), -EISDIR);
    /* One without a writer is empty; to wait for a writer would be a hang. */
    assert_int_equal(fdio_read_text(AT_FDCWD, scratch_path("fifo"), text, sizeof(text)), 0);
    assert_uint_equal(count_fds(), before);
}

/* What a child has done with fds 0 to 2 closed as `closed` says; its exit code. */
static int open_standard_with(unsigned closed)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct stat null, status;

        for (int fd = 0; fd <= 2; fd++) {
            if (closed & 1u << fd)
                close(fd);
        }
        if (fdio_open_standard() != 0 || stat("/dev/null", &null) != 0)
            _exit(1);
        for (int fd = 0; fd <= 2; fd++) {
            if (fstat(fd, &status) != 0)
                _exit(2);
            if (closed & 1u << fd && status.st_rdev != null.st_rdev)
                _exit(3);
        }
        _exit(0);
    }
    return await_child(pid);
}

static void test_open_standard(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 8; closed++)
        assert_int_equal(open_standard_with(closed), 0);
}

static void test_null_standard(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        unsigned before = count_fds();
        struct stat null, status;

        if (fdio_null_standard() != 0 || stat("/dev/null", &null) != 0)
            _exit(1);
        for (int fd = 0; fd <= 2; fd++) {
            if (fstat(fd, &status) != 0 || status.st_rdev != null.st_rdev)
                _exit(2);
        }
        _exit(count_fds() == before ? 0 : 3);
    }
    assert_int_equal(await_child(pid), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A lock of a file, as fcntl(2) takes it: it belongs to the process. */
static bool lock_file(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};

    return fcntl(fd, F_SETLK, &lock) == 0;
}

/* In a process of its own, as it closes all fds. locked: a file that the parent has a
 * lock of. Returns 0 or where it failed. */
static int close_strays_child(int locked)
{
    int read_lock = open(scratch_write("read", "x"), O_RDONLY);
    int write_lock = open(scratch_write("write", "x"), O_RDWR);
    int plain = open(scratch_write("plain", "x"), O_RDWR);
    int path = open(scratch, O_PATH);
    int far = fcntl(pair[0], F_DUPFD, 1000);

    if (read_lock < 0 || write_lock < 0 || plain < 0 || path < 0 || far < 1000 ||
        !lock_file(read_lock, F_RDLCK) || !lock_file(write_lock, F_WRLCK))
        return 1;
    fdio_close_strays(3);
    if (fcntl(read_lock, F_GETFD) != FD_CLOEXEC || fcntl(write_lock, F_GETFD) != FD_CLOEXEC)
        return 2;
    if (is_open(plain) || is_open(path) || is_open(far) || is_open(locked) || is_open(pair[1]))
        return 3;
    if (!is_open(0) || !is_open(1) || !is_open(2) || count_fds() != 5)
        return 4;
    return 0;
}

static void test_close_strays(void **state)
{
    int locked, first;
    pid_t pid;

    (void)state;
    assert_int_equal(pair_set_up(state), 0);
    locked = open(scratch_write("locked", "x"), O_RDWR);
    assert_true(lock_file(locked, F_WRLCK));
    pid = fork();
    if (pid == 0)
        _exit(close_strays_child(locked));
    assert_int_equal(await_child(pid), 0);

    first = locked + 1;
    pid = fork();
    if (pid == 0) {
        bool moved = fcntl(pair[0], F_DUPFD, first) >= first;

        fdio_close_strays(first);
        _exit(moved && !is_open(first) && is_open(locked) && is_open(pair[0]) ? 0 : 1);
    }
    assert_int_equal(await_child(pid), 0);
    close(locked);
    pair_tear_down(state);
}

/* What is kept is really still locked, no matter what is closed, and until the process ends: not
 * longer, although the parent has a copy of the fd. */
static void test_close_strays_keeps_the_lock(void **state)
{
    const char *path = scratch_write("pid", "1\n");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int ready[2], done[2];
    char byte = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid = fork();
    if (pid == 0) {
        /* As the standard fds, so that they stay. */
        if (!lock_file(fd, F_WRLCK) || dup2(done[0], 0) != 0 || dup2(ready[1], 1) != 1)
            _exit(1);
        fdio_close_strays(3);
        close(open(path, O_RDONLY | O_CLOEXEC)); /* as one that a client has passed */
        close(open(path, O_RDWR | O_CLOEXEC));
        _exit(write(1, "", 1) == 1 && read(0, &byte, 1) == 1 ? 0 : 2);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_false(lock_file(fd, F_WRLCK));
    assert_int_equal(write(done[1], "", 1), 1);
    assert_int_equal(await_child(pid), 0);
    assert_true(lock_file(fd, F_WRLCK));
    close(fd);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
}

#define pair_test(function) cmocka_unit_test_setup_teardown(function, pair_set_up, pair_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(test_receive_every_number_of_fds),
        pair_test(test_receive_takes_no_more_than_size),
        pair_test(test_receive_plain),
        pair_test(test_receive_at_the_fd_limit),
        pair_test(test_receive_without_bytes),
        pair_test(test_receive_interrupted),
        pair_test(test_read_full),
        pair_test(test_write_full),
        pair_test(test_write_full_fails),
        scratch_test(test_read_text),
        scratch_test(test_read_text_of_no_file),
        cmocka_unit_test(test_open_standard),
        scratch_test(test_close_strays),
        scratch_test(test_close_strays_keeps_the_lock),
        cmocka_unit_test(test_null_standard),
    };

    return cmocka_run_group_tests_name("fdio", tests, NULL, NULL);
}
