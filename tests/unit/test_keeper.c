// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The keeper: what it removes, and when, and who it is. It is a child of the test, which plays the
 * helper's part; where the helper has to die, that is a child in between.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "await.h"
#include "daemon/keeper.h"
#include "daemon/pidfile.h"
#include "passing.h"
#include "scratch.h"

#define NOBODY 65534

/* A socket under this name, and its inode. It has no listener: to the keeper it is all one. */
static struct inode_id make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct inode_id inode;

    assert_true(sock >= 0);
    assert_true(strlen(scratch_path(name)) < sizeof(address.sun_path));
    strcpy(address.sun_path, scratch_path(name));
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    close(sock);
    assert_int_equal(inode_identify(scratch_path(name), &inode), 0);
    return inode;
}

static bool exists(const char *name)
{
    return access(scratch_path(name), F_OK) == 0;
}

static int lock(void)
{
    char error[256];
    int fd = pidfile_lock(scratch_path("pid"), error, sizeof(error));

    assert_true(fd >= 0);
    return fd;
}

static int start(struct keeper *keeper, const char *socket_name, const struct inode_id *socket,
                 const char *pidfile_name, int pidfile)
{
    char *socket_path = socket_name ? strdup(scratch_path(socket_name)) : NULL;
    char *pidfile_path = pidfile_name ? strdup(scratch_path(pidfile_name)) : NULL;
    const struct keeper_options options = {
        .socket_path = socket_path,
        .socket = socket,
        .pidfile_path = pidfile_path,
        .pidfile_fd = pidfile,
    };
    int r = keeper_start(keeper, &options);

    free(socket_path); /* the keeper has its own, since the fork */
    free(pidfile_path);
    return r;
}

/* The helper's end has gone; wait for the keeper's. */
static void end(struct keeper *keeper)
{
    pid_t pid = keeper->pid;

    keeper_deinit(keeper);
    assert_int_equal(await_child(pid), 0);
}

static void test_remove_on_request(void **state)
{
    unsigned before = count_fds();
    struct keeper keeper;
    struct inode_id inode;
    int pidfile = lock();

    (void)state;
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, "pid", pidfile), 0);
    assert_int_equal(keeper_remove_socket(&keeper), 0);
    assert_false(exists("sock"));
    assert_true(exists("pid"));
    assert_int_equal(keeper_remove_pidfile(&keeper), 0);
    assert_false(exists("pid"));

    /* What has been removed is not ours any more, no matter who makes it anew. */
    make_socket("sock");
    scratch_write("pid", "1\n");
    assert_int_equal(keeper_remove_socket(&keeper), 0);
    assert_int_equal(keeper_remove_pidfile(&keeper), 0);
    pidfile_unlock(pidfile);
    end(&keeper);
    assert_true(exists("sock"));
    assert_true(exists("pid"));
    assert_uint_equal(count_fds(), before);
}

static void test_remove_at_the_end(void **state)
{
    struct keeper keeper;
    struct inode_id inode;
    int pidfile = lock();

    (void)state;
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, "pid", pidfile), 0);
    pidfile_unlock(pidfile); /* as a death does */
    end(&keeper);
    assert_uint_equal(scratch_count(), 0);
}

static void test_foreign_socket(void **state)
{
    struct keeper keeper;
    struct inode_id inode;

    (void)state;
    for (int at_the_end = 0; at_the_end <= 1; at_the_end++) {
        unlink(scratch_path("sock"));
        inode = make_socket("sock");
        assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
        /* The first one still exists, so the second one has another number. */
        assert_int_equal(rename(scratch_path("sock"), scratch_path("moved")), 0);
        make_socket("sock");
        if (!at_the_end)
            assert_int_equal(keeper_remove_socket(&keeper), 0);
        end(&keeper);
        assert_true(exists("sock"));
        assert_true(exists("moved"));
    }
}

/* A number that is given anew is told from the old one by its time of birth. */
static void test_inode_number_used_again(void **state)
{
    struct inode_id first, second;
    struct keeper keeper;

    (void)state;
    first = make_socket("sock");
    if (first.born.tv_sec == 0) {
        print_message("# test_inode_number_used_again: the file system keeps no time of birth\n");
        skip();
    }
    assert_int_equal(start(&keeper, "sock", &first, NULL, -1), 0);
    do { /* as long as the clock of the file system has not ticked */
        await_pause();
        unlink(scratch_path("sock"));
        second = make_socket("sock");
    } while (first.born.tv_sec == second.born.tv_sec && first.born.tv_nsec == second.born.tv_nsec);
    end(&keeper);
    assert_true(exists("sock"));
}

static void test_foreign_pidfile(void **state)
{
    struct keeper keeper;
    int pidfile = lock();

    (void)state;
    assert_int_equal(start(&keeper, NULL, NULL, "pid", pidfile), 0);
    assert_int_equal(rename(scratch_path("pid"), scratch_path("moved")), 0);
    scratch_write("pid", "1\n");
    assert_int_equal(keeper_remove_pidfile(&keeper), 0);
    pidfile_unlock(pidfile);
    end(&keeper);
    assert_true(exists("pid"));
    assert_true(exists("moved"));
}

/* We have died, and a new instance was faster: it has the very same file, and its lock. */
static void test_pidfile_of_a_new_instance(void **state)
{
    struct keeper keeper;
    int pidfile = lock();

    (void)state;
    assert_int_equal(start(&keeper, NULL, NULL, "pid", pidfile), 0);
    end(&keeper); /* the lock is held on */
    assert_true(exists("pid"));
    pidfile_unlock(pidfile);
}

/* A helper is killed; nothing of it stays behind. */
static void test_helper_killed(void **state)
{
    struct inode_id inode;
    struct keeper keeper;
    pid_t helper, keeper_pid;
    int pair[2];

    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    helper = fork();
    assert_true(helper >= 0);
    if (helper == 0) {
        int pidfile = lock();

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail and end */
        inode = make_socket("sock");
        if (start(&keeper, "sock", &inode, "pid", pidfile) < 0)
            _exit(1);
        if (write(pair[1], &keeper.pid, sizeof(keeper.pid)) < 0)
            _exit(2);
        for (;;)
            pause();
    }
    assert_int_equal(read(pair[0], &keeper_pid, sizeof(keeper_pid)), sizeof(keeper_pid));
    assert_uint_equal(scratch_count(), 2);
    kill(helper, SIGKILL);
    assert_int_equal(await_child(helper), -SIGKILL);
    assert_int_equal(await_child(keeper_pid), 0);
    assert_uint_equal(scratch_count(), 0);
    close(pair[0]);
    close(pair[1]);
}

/* systemd signals all processes of a service; the keeper is needed until the helper has gone. */
static void test_signals(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct inode_id inode;
    struct keeper keeper;

    (void)state;
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    assert_int_equal(keeper_remove_pidfile(&keeper), 0); /* it has answered, so it is set up */
    assert_int_equal(getsid(keeper.pid), keeper.pid);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        assert_int_equal(kill(keeper.pid, signals[i]), 0);
    assert_int_equal(keeper_remove_socket(&keeper), 0);
    assert_false(exists("sock"));
    end(&keeper);
}

/* No matter what comes over the channel, nothing but our files is touched, and the keeper stays. */
static void test_malformed_requests(void **state)
{
    struct inode_id inode;
    uint8_t bytes[64] = {0};
    struct keeper keeper;
    int32_t answer[2];

    (void)state;
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    for (unsigned verb = 0; verb < 256; verb++) {
        size_t size = 1 + verb % sizeof(bytes);

        if (size == 16) /* a whole question */
            size++;
        bytes[0] = (uint8_t)verb;
        assert_int_equal(send(keeper.channel, bytes, size, MSG_NOSIGNAL), size);
        assert_int_equal(recv(keeper.channel, answer, sizeof(answer), 0), sizeof(answer));
        assert_int_equal(answer[0], -EINVAL);
        if (verb >= 1 && verb <= 3)
            continue;
        /* The fourth has no process with number 0. */
        assert_int_equal(send(keeper.channel, bytes, 16, MSG_NOSIGNAL), 16);
        assert_int_equal(recv(keeper.channel, answer, sizeof(answer), 0), sizeof(answer));
        assert_int_equal(answer[0], -EINVAL);
    }
    assert_int_equal(keeper_start_worker(&keeper), -ENOSYS); /* it was told of none */
    assert_true(exists("sock"));
    end(&keeper);
    assert_false(exists("sock"));
}

/* Three files of any process, and nothing else that /proc has. */
static void test_open_proc(void **state)
{
    static const char *const files[] = {"cgroup", "cmdline", "stat"};
    static const char *const others[] = {"mem",      "environ",         "maps", "", "stat/",
                                         "../kcore", "root/etc/shadow", "fd/0"};
    struct inode_id inode = make_socket("sock");
    unsigned before = count_fds();
    struct keeper keeper;
    char ours[64], path[64], link[64];
    ssize_t n;

    (void)state;
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = keeper_open_proc(&keeper, getpid(), files[i]);

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        snprintf(ours, sizeof(ours), "/proc/%d/%s", (int)getpid(), files[i]);
        n = readlink(path, link, sizeof(link) - 1);
        assert_true(n > 0);
        link[n] = '\0';
        assert_string_equal(link, ours);
        close(fd);
        assert_int_equal(keeper_open_proc(&keeper, 0, files[i]), -EINVAL);
        assert_int_equal(keeper_open_proc(&keeper, -1, files[i]), -EINVAL);
        assert_int_equal(keeper_open_proc(&keeper, INT_MAX, files[i]), -ENOENT);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(keeper_open_proc(&keeper, getpid(), others[i]), -EINVAL);
    fd_room_limit(0); /* it is open, and there is no room for it here */
    n = keeper_open_proc(&keeper, getpid(), files[0]);
    fd_room_restore();
    assert_int_equal(n, -EMFILE);
    end(&keeper);
    assert_uint_equal(count_fds(), before);
}

static void test_keeper_killed(void **state)
{
    struct inode_id inode = make_socket("sock");
    struct keeper keeper;

    (void)state;
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    kill(keeper.pid, SIGKILL);
    assert_int_equal(await_child(keeper.pid), -SIGKILL);
    assert_int_equal(keeper_remove_socket(&keeper), -EPIPE);
    keeper_deinit(&keeper);
    assert_int_equal(keeper_remove_socket(&keeper), -ENOTCONN);
}

static void test_no_pidfile_there(void **state)
{
    struct keeper keeper;

    (void)state;
    assert_int_equal(start(&keeper, NULL, NULL, "pid", -1), -ENOENT);
    assert_int_equal(keeper.channel, -1);
}

/* A line of /proc/PID/status, behind its name. */
static const char *status_of(pid_t pid, const char *name)
{
    static char text[8192];
    char path[64];
    char *line;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    assert_true(fdio_read_text(AT_FDCWD, path, text, sizeof(text)) > 0);
    line = strstr(text, name);
    assert_non_null(line);
    line += strlen(name) + 2;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void require_root(const char *test)
{
    if (geteuid() != 0) {
        print_message("# %s: only root has something to drop\n", test);
        skip();
    }
}

static void test_privileges(void **state)
{
    static const char none[] = "0000000000000000";
    struct inode_id inode;
    struct keeper keeper;
    char path[64];
    DIR *directory;
    unsigned n = 0;
    int pidfile;

    (void)state;
    require_root("test_privileges");
    pidfile = lock();
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, "pid", pidfile), 0);
    assert_int_equal(keeper_remove_socket(&keeper), 0); /* set up */
    assert_string_equal(status_of(keeper.pid, "CapInh"), none);
    assert_string_equal(status_of(keeper.pid, "CapPrm"), none);
    assert_string_equal(status_of(keeper.pid, "CapEff"), none);
    assert_string_equal(status_of(keeper.pid, "CapBnd"), none);
    assert_string_equal(status_of(keeper.pid, "CapAmb"), none);
    assert_string_equal(status_of(keeper.pid, "NoNewPrivs"), "1");
    assert_string_equal(status_of(keeper.pid, "Uid"), "0\t0\t0\t0");

    /* Channel and PID file, and nothing else: not even standard error. */
    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)keeper.pid);
    directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    assert_uint_equal(n - 2, 2);
    pidfile_unlock(pidfile);
    end(&keeper);
}

/* libvirt's directories belong to the machine's user, and root without capabilities may do nothing
 * there. */
static void test_root_in_a_foreign_directory(void **state)
{
    struct inode_id inode;
    struct keeper keeper;
    char expected[32];

    (void)state;
    require_root("test_root_in_a_foreign_directory");
    assert_int_equal(chmod(scratch, 0700), 0);
    assert_int_equal(chown(scratch, NOBODY, NOBODY), 0);
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    assert_int_equal(keeper_remove_socket(&keeper), 0);
    assert_false(exists("sock"));
    snprintf(expected, sizeof(expected), "%016llx", 1ULL << CAP_DAC_OVERRIDE);
    assert_string_equal(status_of(keeper.pid, "CapEff"), expected);
    assert_string_equal(status_of(keeper.pid, "CapPrm"), expected);
    assert_string_equal(status_of(keeper.pid, "CapBnd"), "0000000000000000");
    end(&keeper);
}

/* The directory is taken away later: that cannot be helped, but it is not kept quiet. */
static void test_failing_removal(void **state)
{
    struct inode_id inode;
    struct keeper keeper;

    (void)state;
    require_root("test_failing_removal");
    inode = make_socket("sock");
    assert_int_equal(start(&keeper, "sock", &inode, NULL, -1), 0);
    assert_int_equal(keeper_remove_pidfile(&keeper), 0); /* set up */
    assert_int_equal(chmod(scratch, 0755), 0);
    assert_int_equal(chown(scratch, NOBODY, NOBODY), 0);
    assert_int_equal(keeper_remove_socket(&keeper), -EACCES);
    assert_true(exists("sock"));
    end(&keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_remove_on_request),  scratch_test(test_remove_at_the_end),
        scratch_test(test_foreign_socket),     scratch_test(test_inode_number_used_again),
        scratch_test(test_foreign_pidfile),    scratch_test(test_pidfile_of_a_new_instance),
        scratch_test(test_helper_killed),      scratch_test(test_signals),
        scratch_test(test_malformed_requests), scratch_test(test_open_proc),
        scratch_test(test_keeper_killed),      scratch_test(test_no_pidfile_there),
        scratch_test(test_privileges),         scratch_test(test_root_in_a_foreign_directory),
        scratch_test(test_failing_removal),
    };

    return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
