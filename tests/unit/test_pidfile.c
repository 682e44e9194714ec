// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PID file and its lock. The other holder of one is a child; what happens between the open and
 * the lock is done by a wrapped fcntl(2).
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "await.h"
#include "daemon/pidfile.h"
#include "passing.h"
#include "scratch.h"

/* How many of the next attempts to lock find the file replaced (or gone). */
static unsigned replace_times;
static bool replace_by_nothing;
static unsigned attempts;

static void replace(int command)
{
    if (command == F_OFD_SETLK && ++attempts <= replace_times) {
        unlink(scratch_path("pid"));
        if (!replace_by_nothing)
            scratch_write("pid", "of another\n");
    }
}

/* Which of the two a call of fcntl() becomes is up to the C library, and so are the numbers of some
 * commands: those of ppc64el are not the kernel's. Not every library has the second. */
int __real_fcntl(int fd, int command, ...);
int __real_fcntl64(int fd, int command, ...) __attribute__((weak));
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    replace(command);
    return __real_fcntl(fd, command, argument);
}

int __wrap_fcntl64(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    replace(command);
    return __real_fcntl64(fd, command, argument);
}

static int set_up(void **state)
{
    attempts = replace_times = 0;
    replace_by_nothing = false;
    return scratch_set_up(state);
}

static const char *content(void)
{
    static char text[64];

    assert_true(fdio_read_text(AT_FDCWD, scratch_path("pid"), text, sizeof(text)) >= 0);
    return text;
}

static const char *own_pid(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "%ld", (long)getpid());
    return text;
}

/* A child that takes the lock, until holder_end(). */
struct holder {
    pid_t pid;
    int channel;
};

static struct holder holder_start(void)
{
    struct holder holder;
    char error[256], byte;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    holder.channel = pair[0];
    holder.pid = fork();
    assert_true(holder.pid >= 0);
    if (holder.pid == 0) {
        close(pair[0]);
        if (pidfile_lock(scratch_path("pid"), error, sizeof(error)) < 0 ||
            write(pair[1], "l", 1) != 1 || read(pair[1], &byte, 1) != 0)
            _exit(1);
        _exit(0);
    }
    close(pair[1]);
    assert_int_equal(read(holder.channel, &byte, 1), 1);
    return holder;
}

static void holder_end(struct holder *holder)
{
    close(holder->channel);
    assert_int_equal(await_child(holder->pid), 0);
}

/* To a process that asks by a lock of its own, as libvirt does. */
static bool is_locked(void)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(scratch_path("pid"), O_WRONLY | O_CLOEXEC);

        _exit(fcntl(fd, F_SETLK, &lock) == 0 ? 0 : 1);
    }
    return await_child(child) == 1;
}

static void test_lock(void **state)
{
    unsigned before = count_fds();
    mode_t mask = umask(0);
    struct stat status;
    char error[256];
    int fd;

    (void)state;
    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    umask(mask);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD, NULL), FD_CLOEXEC);
    assert_int_equal(stat(scratch_path("pid"), &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_string_equal(content(), own_pid());
    assert_int_equal(status.st_size, strlen(own_pid()) + 1); /* and a newline */
    pidfile_unlock(fd);
    assert_uint_equal(count_fds(), before);
    assert_string_equal(content(), own_pid()); /* to remove it is for others */
}

/* Of an instance that has crashed: all that is in it is replaced. */
static void test_stale(void **state)
{
    char error[256];
    int fd;

    (void)state;
    scratch_write("pid", "123456789012345678901234567890\nand more\n");
    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    assert_true(fd >= 0);
    assert_string_equal(content(), own_pid());
    pidfile_unlock(fd);
}

static void test_busy(void **state)
{
    unsigned before = count_fds();
    char error[256], expected[PATH_MAX + 64], pid[32];
    struct holder holder = holder_start();
    int fd;

    (void)state;
    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    assert_true(fd == -EAGAIN || fd == -EACCES);
    snprintf(expected, sizeof(expected), "Cannot lock pid file %s: another instance is running",
             scratch_path("pid"));
    assert_string_equal(error, expected);
    snprintf(pid, sizeof(pid), "%ld", (long)holder.pid);
    assert_string_equal(content(), pid); /* nothing was touched */
    holder_end(&holder);

    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    assert_true(fd >= 0);
    pidfile_unlock(fd);
    assert_uint_equal(count_fds(), before);
}

/* The lock goes with pidfile_unlock, even while a child, as the keeper, has the file open. */
static void test_unlock(void **state)
{
    char error[256], byte;
    struct holder holder;
    int fd, pair[2];
    pid_t child;

    (void)state;
    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    assert_true(fd >= 0);
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pair[1]);
        _exit((int)read(pair[0], &byte, 1));
    }
    pidfile_unlock(fd);
    holder = holder_start();
    holder_end(&holder);
    close(pair[1]);
    assert_int_equal(await_child(child), 0);
    close(pair[0]);
}

/* A client may pass an fd of the file, which is closed like any other. */
static void test_another_fd_is_closed(void **state)
{
    char error[256];
    int fd;

    (void)state;
    fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
    assert_true(fd >= 0);
    close(open(scratch_path("pid"), O_RDONLY | O_CLOEXEC));
    close(open(scratch_path("pid"), O_RDWR | O_CLOEXEC));
    assert_true(is_locked());
    pidfile_unlock(fd);
    assert_false(is_locked());
}

/* An ending instance removes the file between our open and our lock. */
static void test_replaced(void **state)
{
    char error[256];
    struct stat locked, named;
    int fd;

    (void)state;
    for (int nothing = 0; nothing <= 1; nothing++) {
        replace_by_nothing = nothing;
        replace_times = 3;
        attempts = 0;
        fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));
        assert_true(fd >= 0);
        assert_uint_equal(attempts, 4);
        assert_int_equal(fstat(fd, &locked), 0);
        assert_int_equal(stat(scratch_path("pid"), &named), 0);
        assert_true(locked.st_ino == named.st_ino);
        assert_string_equal(content(), own_pid());
        pidfile_unlock(fd);
    }
}

static void test_replaced_for_ever(void **state)
{
    unsigned before = count_fds();
    char error[256], expected[PATH_MAX + 64];

    (void)state;
    replace_times = 1000;
    assert_int_equal(pidfile_lock(scratch_path("pid"), error, sizeof(error)), -ESTALE);
    snprintf(expected, sizeof(expected), "Cannot lock pid file %s: it keeps changing",
             scratch_path("pid"));
    assert_string_equal(error, expected);
    assert_true(attempts < 1000);
    assert_uint_equal(count_fds(), before);
}

static void assert_fails(const char *path, int error_number, const char *format)
{
    unsigned before = count_fds();
    char error[PATH_MAX + 64], expected[PATH_MAX + 64];

    assert_int_equal(pidfile_lock(path, error, sizeof(error)), -error_number);
    snprintf(expected, sizeof(expected), format, path, strerror(error_number));
    assert_string_equal(error, expected);
    assert_uint_equal(count_fds(), before);
}

static void test_errors(void **state)
{
    (void)state;
    assert_fails(scratch_path("none/pid"), ENOENT, "Cannot open pid file %s: %s");
    assert_fails(scratch, EISDIR, "Cannot open pid file %s: %s");
    /* Where others may write, a link could name any file of ours. */
    scratch_write("precious", "content\n");
    assert_int_equal(symlink("precious", scratch_path("pid")), 0);
    assert_fails(scratch_path("pid"), ELOOP, "Cannot open pid file %s: %s");
}

/* Such as /dev/null, named by mistake: not to be written, and not to be removed either. */
static void test_device(void **state)
{
    const char *path = scratch_path("device");

    (void)state;
    if (mknod(path, S_IFCHR | 0600, makedev(1, 7)) < 0 || access(path, W_OK) < 0)
        skip(); /* not root, or a file system without devices */
    assert_fails(path, EINVAL, "Cannot write pid file %s: %s");
    assert_int_equal(access(path, F_OK), 0);
}

/* No room for a single byte: what was made is gone again. */
static void test_full(void **state)
{
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_fails(scratch_path("pid"), EFBIG, "Cannot write pid file %s: %s");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_uint_equal(scratch_count(), 0);
}

#define pidfile_test(function) cmocka_unit_test_setup_teardown(function, set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pidfile_test(test_lock),     pidfile_test(test_stale),
        pidfile_test(test_busy),     pidfile_test(test_unlock),
        pidfile_test(test_replaced), pidfile_test(test_replaced_for_ever),
        pidfile_test(test_errors),   pidfile_test(test_device),
        pidfile_test(test_full),     pidfile_test(test_another_fd_is_closed),
    };

    return cmocka_run_group_tests_name("pidfile", tests, NULL, NULL);
}
