// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The listening socket: what a client or a watcher of the directory can see of its making, what may
 * be in its way, and several that are made at once.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "await.h"
#include "passing.h"
#include "scratch.h"
#include "serve/listen.h"

#define NOBODY 65534

static char error[512];

/* connect(2) to a path that fits. 0 or -errno. */
static int client_connect(const char *path)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r;

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    r = connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    close(sock);
    return r;
}

static int open_at(const char *path, struct inode_id *ret_inode)
{
    const struct listen_options options = {
        .path = path, .mode = (mode_t)-1, .user = (uid_t)-1, .group = (gid_t)-1};

    strcpy(error, "untouched");
    return listen_open(&options, ret_inode, error, sizeof(error));
}

/* A socket of another kind than the one that is tested. */
static int make_socket(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    if (backlog >= 0)
        assert_int_equal(listen(sock, backlog), 0);
    return sock;
}

static struct inode_id identify(const char *path)
{
    struct inode_id inode;

    assert_int_equal(inode_identify(path, &inode), 0);
    return inode;
}

static void test_open(void **state)
{
    const char *path = scratch_path("sock");
    unsigned before = count_fds();
    struct inode_id inode, found;
    int value = 0, sock, client;
    socklen_t size = sizeof(value);
    struct stat status;

    (void)state;
    sock = open_at(path, &inode);
    assert_true(sock >= 0);
    assert_string_equal(error, "untouched");
    assert_int_equal(getsockopt(sock, SOL_SOCKET, SO_ACCEPTCONN, &value, &size), 0);
    assert_int_equal(value, 1);
    assert_int_equal(fcntl(sock, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(sock, F_GETFL) & O_NONBLOCK);
    found = identify(path);
    assert_true(inode_same(&inode, &found));
    assert_int_equal(stat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_nlink, 1);
    assert_uint_equal(scratch_count(), 1); /* no other name is left */
    assert_int_equal(accept(sock, NULL, NULL), -1);
    assert_int_equal(client_connect(path), 0);
    client = accept(sock, NULL, NULL);
    assert_true(client >= 0);
    close(client);
    close(sock);
    assert_uint_equal(count_fds(), before);
}

static void test_mode(void **state)
{
    static const struct {
        mode_t mode, mask, expected;
    } rows[] = {
        {(mode_t)-1, 0, 0777}, {(mode_t)-1, 022, 0755}, {(mode_t)-1, 0777, 0}, {0660, 022, 0660},
        {0, 022, 0},           {0777, 0777, 0777},      {0600, 0, 0600},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct listen_options options = {.path = scratch_path("sock"),
                                         .mode = rows[i].mode,
                                         .user = (uid_t)-1,
                                         .group = (gid_t)-1};
        mode_t mask = umask(rows[i].mask);
        struct inode_id inode;
        struct stat status;
        int sock = listen_open(&options, &inode, error, sizeof(error));

        umask(mask);
        assert_true(sock >= 0);
        assert_int_equal(stat(options.path, &status), 0);
        assert_int_equal(status.st_mode & 07777, rows[i].expected);
        close(sock);
        unlink(options.path);
    }
}

static void test_owner(void **state)
{
    struct listen_options options = {
        .path = scratch_path("sock"), .mode = 0660, .user = NOBODY, .group = NOBODY - 1};
    struct inode_id inode;
    struct stat status;
    int sock;

    (void)state;
    if (geteuid() != 0) {
        print_message("# test_owner: only root may give a file away\n");
        skip();
    }
    sock = listen_open(&options, &inode, error, sizeof(error));
    assert_true(sock >= 0);
    assert_int_equal(stat(options.path, &status), 0);
    assert_int_equal(status.st_uid, NOBODY);
    assert_int_equal(status.st_gid, NOBODY - 1);
    assert_int_equal(status.st_mode & 07777, 0660);
    close(sock);
    unlink(options.path);
    options.user = (uid_t)-1;
    sock = listen_open(&options, &inode, error, sizeof(error));
    assert_int_equal(stat(options.path, &status), 0);
    assert_int_equal(status.st_uid, 0);
    assert_int_equal(status.st_gid, NOBODY - 1);
    close(sock);
}

/*
 * Who watches the directory sees the name created, and nothing happens to it afterwards: no mode
 * and no owner that would come later.
 */
static void test_watched(void **state)
{
    struct listen_options options = {
        .path = scratch_path("sock"), .mode = 0600, .user = geteuid(), .group = getegid()};
    _Alignas(struct inotify_event) char events[4096];
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    unsigned created = 0;
    struct inode_id inode;
    ssize_t n;
    int sock;

    (void)state;
    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, scratch, IN_ALL_EVENTS) >= 0);
    sock = listen_open(&options, &inode, error, sizeof(error));
    assert_true(sock >= 0);
    n = read(watch, events, sizeof(events));
    assert_true(n > 0);
    for (char *at = events; at < events + n;) {
        const struct inotify_event *event = (const void *)at;

        at += sizeof(*event) + event->len;
        if (event->len == 0 || strcmp(event->name, "sock"))
            continue;
        assert_int_equal(event->mask, IN_CREATE);
        created++;
    }
    assert_uint_equal(created, 1);
    close(sock);
    close(watch);
}

/* A process that sees the name can connect. A child looks for it as fast as it can. */
static void test_seen_is_connectable(void **state)
{
    const char *path = scratch_path("sock");
    int pair[2];
    char byte;
    pid_t child;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail and end */
        close(pair[0]);
        while (read(pair[1], &byte, 1) == 1) {
            int r;

            do
                r = client_connect(path);
            while (r == -ENOENT);
            if (r != 0 || write(pair[1], "c", 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(pair[1]);
    for (int i = 0; i < 200; i++) {
        struct inode_id inode;
        int sock;

        assert_int_equal(write(pair[0], "g", 1), 1);
        sock = open_at(path, &inode);
        assert_true(sock >= 0);
        assert_int_equal(read(pair[0], &byte, 1), 1);
        unlink(path);
        close(sock);
    }
    close(pair[0]);
    assert_int_equal(await_child(child), 0);
}

static void test_remove(void **state)
{
    const char *path = scratch_path("sock");
    struct inode_id ours, found;

    (void)state;
    close(make_socket(path, SOCK_STREAM, 1));
    ours = identify(path);
    assert_int_equal(rename(path, scratch_path("moved")), 0);
    assert_int_equal(inode_remove(path, &ours), 0); /* gone already */
    close(make_socket(path, SOCK_STREAM, 1));
    assert_int_equal(inode_remove(path, &ours), 0); /* of another user */
    found = identify(path);
    assert_false(inode_same(&found, &ours));
    assert_int_equal(rename(scratch_path("moved"), path), 0);
    assert_int_equal(inode_remove(path, &ours), 0);
    assert_uint_equal(scratch_count(), 0);
    assert_int_equal(inode_remove(scratch_path("none/sock"), &ours), 0);
    scratch_write("file", "");
    assert_int_equal(inode_remove(scratch_path("file/sock"), &ours), -ENOTDIR);
}

static void test_stale(void **state)
{
    const char *path = scratch_path("sock");
    struct inode_id stale, inode;
    int sock;

    (void)state;
    close(make_socket(path, SOCK_STREAM, 1));
    stale = identify(path);
    sock = open_at(path, &inode);
    assert_true(sock >= 0);
    /* A process that still looks for the stale one by its inode does not find ours. */
    assert_false(inode_same(&stale, &inode));
    assert_true(stale.inode != inode.inode);
    assert_int_equal(client_connect(path), 0);
    assert_uint_equal(scratch_count(), 1);
    close(sock);
}

/* Left over by a process that had our number. */
static void test_stale_temporary_name(void **state)
{
    char name[64];
    struct inode_id inode;
    int sock;

    (void)state;
    snprintf(name, sizeof(name), ".pr-helper.%ld", (long)getpid());
    close(make_socket(scratch_path(name), SOCK_STREAM, 1));
    sock = open_at(scratch_path("sock"), &inode);
    assert_true(sock >= 0);
    assert_uint_equal(scratch_count(), 1);
    close(sock);
}

static void assert_left_alone(const char *path, int expected, const char *format)
{
    struct inode_id before = identify(path), after, unused;
    unsigned n_fds = count_fds(), n_files = scratch_count();
    char message[512];

    assert_int_equal(open_at(path, &unused), -expected);
    snprintf(message, sizeof(message), format, path, strerror(expected));
    assert_string_equal(error, message);
    after = identify(path);
    assert_true(inode_same(&before, &after));
    assert_uint_equal(scratch_count(), n_files);
    assert_uint_equal(count_fds(), n_fds);
}

static void test_live(void **state)
{
    const char *path = scratch_path("sock");
    int sock = make_socket(path, SOCK_STREAM, 0);

    (void)state;
    assert_left_alone(path, EADDRINUSE, "another process is listening on %s");
    assert_int_equal(client_connect(path), -EAGAIN); /* by now its queue is full */
    assert_left_alone(path, EADDRINUSE, "another process is listening on %s");
    close(sock);
}

static void test_live_of_another_type(void **state)
{
    static const char format[] = "cannot determine whether a process listens on %s: %s";
    int sock;

    (void)state;
    sock = make_socket(scratch_path("seqpacket"), SOCK_SEQPACKET, 1);
    assert_left_alone(scratch_path("seqpacket"), EPROTOTYPE, format);
    close(sock);
    sock = make_socket(scratch_path("dgram"), SOCK_DGRAM, -1);
    assert_left_alone(scratch_path("dgram"), EPROTOTYPE, format);
    close(sock);
}

static void test_no_socket(void **state)
{
    static const char format[] = "%s exists and is not a socket; it is left alone";

    (void)state;
    assert_left_alone(scratch_write("file", "content"), ENOTSOCK, format);
    assert_left_alone(scratch_write("empty", ""), ENOTSOCK, format);
    scratch_write("directory/file", "");
    assert_left_alone(scratch_path("directory"), ENOTSOCK, format);
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    assert_left_alone(scratch_path("fifo"), ENOTSOCK, format);
    assert_int_equal(symlink("nowhere", scratch_path("dangling")), 0);
    assert_left_alone(scratch_path("dangling"), ENOTSOCK, format);
    close(make_socket(scratch_path("sock"), SOCK_STREAM, 1));
    assert_int_equal(symlink("sock", scratch_path("link")), 0);
    assert_left_alone(scratch_path("link"), ENOTSOCK, format);
    if (geteuid() == 0) /* others may not write to its directory, and are told that first */
        assert_left_alone("/", ENOTSOCK, format);
}

static void test_no_directory(void **state)
{
    struct inode_id inode;
    char message[512];

    (void)state;
    assert_int_equal(open_at(scratch_path("none/sock"), &inode), -ENOENT);
    snprintf(message, sizeof(message), "cannot open the socket's directory %s/none: %s", scratch,
             strerror(ENOENT));
    assert_string_equal(error, message);
    scratch_write("file", "");
    assert_int_equal(open_at(scratch_path("file/sock"), &inode), -ENOTDIR);
}

/* A path of `length` bytes, whose last part has `name_length` of them. */
static const char *long_path(size_t length, size_t name_length)
{
    static char path[200];
    size_t start = strlen(scratch);

    memset(path, 'd', sizeof(path));
    memcpy(path, scratch, start);
    path[start] = '/';
    memset(path + length - name_length, 'n', name_length);
    path[length - name_length - 1] = '/';
    path[length] = '\0';
    if (length - name_length - 1 > start) {
        path[length - name_length - 1] = '\0';
        mkdir(path, 0755);
        path[length - name_length - 1] = '/';
    }
    return path;
}

static void test_long_paths(void **state)
{
    const size_t start = strlen(scratch) + 1;
    const size_t names[] = {1, 5, 20, 40, 107 - start};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t length = 106; length <= 109; length++) {
            size_t name = names[i] > 40 ? length - start : names[i];
            const char *path = long_path(length, name);
            struct inode_id inode;
            char message[512];
            int sock = open_at(path, &inode);

            if (length <= 107) {
                if (sock < 0)
                    fail_msg("%s: %s", path, error);
                assert_int_equal(client_connect(path), 0);
                close(sock);
                assert_int_equal(unlink(path), 0);
                continue;
            }
            assert_int_equal(sock, -ENAMETOOLONG);
            snprintf(message, sizeof(message), "socket path is longer than 107 bytes: %s", path);
            assert_string_equal(error, message);
        }
    }
}

/* What another user does to the directory between our bind and what comes next. */
static void (*after_bind)(const char *name);

int __real_bind(int sock, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int sock, const struct sockaddr *address, socklen_t size);

int __wrap_bind(int sock, const struct sockaddr *address, socklen_t size)
{
    void (*swap)(const char *name) = after_bind;
    int r = __real_bind(sock, address, size);
    char name[64];

    if (r == 0 && swap) {
        after_bind = NULL; /* once */
        snprintf(name, sizeof(name), ".pr-helper.%ld", (long)getpid());
        swap(scratch_path(name));
    }
    return r;
}

static unsigned n_pauses;

int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    n_pauses++;
    return __real_nanosleep(time, left);
}

static void put_link(const char *name)
{
    assert_int_equal(unlink(name), 0);
    assert_int_equal(symlink("secret", name), 0);
}

static void put_dangling_link(const char *name)
{
    assert_int_equal(unlink(name), 0);
    assert_int_equal(symlink("nothing", name), 0);
}

static void put_file(const char *name)
{
    assert_int_equal(unlink(name), 0);
    assert_int_equal(link(scratch_path("secret"), name), 0);
}

static void put_second_name(const char *name)
{
    assert_int_equal(link(name, scratch_path("second")), 0);
}

static void put_socket_of_theirs(const char *name)
{
    assert_int_equal(unlink(name), 0);
    close(make_socket(name, SOCK_STREAM, 1));
    assert_int_equal(chown(name, NOBODY, NOBODY), 0);
}

static void put_nothing(const char *name)
{
    assert_int_equal(unlink(name), 0);
}

/* A file put in the place of the socket keeps its mode and its owner. */
static void test_swapped(void **state)
{
    static const struct {
        const char *name;
        void (*swap)(const char *name);
        int error; /* where an owner is to be set */
    } rows[] = {
        {"link", put_link, ESTALE},
        {"dangling link", put_dangling_link, ESTALE},
        {"file", put_file, ESTALE},
        {"second name", put_second_name, ESTALE},
        {"socket of another user", put_socket_of_theirs, ESTALE},
        {"nothing", put_nothing, ENOENT},
    };

    (void)state;
    if (geteuid() != 0) {
        print_message("# test_swapped: only root can give a socket away\n");
        skip();
    }
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const bool gives = i % 2;
        const struct listen_options options = {
            .path = scratch_path("sock"),
            .mode = 0666,
            .user = gives ? NOBODY : (uid_t)-1,
            .group = gives ? NOBODY : (gid_t)-1,
        };
        struct inode_id inode;
        struct stat status;
        int sock;

        table_row = rows[i / 2].name;
        unlink(scratch_path("second"));
        unlink(scratch_path("secret"));
        assert_int_equal(chmod(scratch_write("secret", "content"), 0600), 0);
        after_bind = rows[i / 2].swap;
        sock = listen_open(&options, &inode, error, sizeof(error));
        after_bind = NULL;
        if (gives)
            assert_int_equal(sock, -rows[i / 2].error);
        assert_int_equal(stat(scratch_path("secret"), &status), 0);
        assert_int_equal(status.st_mode, S_IFREG | 0600);
        assert_int_equal(status.st_uid, 0);
        if (sock >= 0)
            close(sock);
        unlink(scratch_path("sock"));
    }
    table_row = NULL;
}

/* The name has its mode from the first moment, no matter what the umask is. */
static mode_t mode_after_bind;

static void look_at_mode(const char *name)
{
    struct stat status;

    assert_int_equal(lstat(name, &status), 0);
    mode_after_bind = status.st_mode;
}

static void test_mode_from_the_start(void **state)
{
    static const struct {
        mode_t mask, mode, expected;
    } rows[] = {
        {0077, 0666, 0666}, {0, 0600, 0600},          {0777, 0777, 0777},
        {0022, 0, 0},       {0027, (mode_t)-1, 0750}, {0, (mode_t)-1, 0777},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct listen_options options = {.path = scratch_path("sock"),
                                               .mode = rows[i].mode,
                                               .user = (uid_t)-1,
                                               .group = (gid_t)-1};
        mode_t before = umask(rows[i].mask), after;
        struct inode_id inode;
        int sock;

        after_bind = look_at_mode;
        sock = listen_open(&options, &inode, error, sizeof(error));
        after_bind = NULL;
        after = umask(before);
        assert_true(sock >= 0);
        assert_int_equal(after, rows[i].mask);
        assert_int_equal(mode_after_bind, S_IFSOCK | rows[i].expected);
        close(sock);
        assert_int_equal(unlink(scratch_path("sock")), 0);
    }
}

/* Where the process works does not matter. */
static void test_working_directory(void **state)
{
    char before[PATH_MAX], after[PATH_MAX];
    struct inode_id inode;
    int sock;

    (void)state;
    assert_non_null(getcwd(before, sizeof(before)));
    sock = open_at(scratch_path("sock"), &inode);
    assert_true(sock >= 0);
    assert_non_null(getcwd(after, sizeof(after)));
    assert_string_equal(before, after);
    assert_int_equal(open_at(scratch_path("sock"), &inode), -EADDRINUSE);
    assert_non_null(getcwd(after, sizeof(after)));
    assert_string_equal(before, after);
    close(sock);
}

/* Replace a stale socket, then remove the new one. Returns how often it had to wait. */
static unsigned replace_and_remove(void)
{
    struct inode_id inode;
    int sock;

    n_pauses = 0;
    close(make_socket(scratch_path("sock"), SOCK_STREAM, 1));
    sock = open_at(scratch_path("sock"), &inode);
    assert_true(sock >= 0);
    close(sock);
    assert_int_equal(inode_remove(scratch_path("sock"), &inode), 0);
    assert_int_equal(access(scratch_path("sock"), F_OK), -1);
    return n_pauses;
}

/* As another user, until *ret_channel is closed. */
static pid_t lock_as_nobody(void (*take)(void), int *ret_channel)
{
    char byte;
    int pair[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[0]);
        if (setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0)
            take();
        _exit(write(pair[1], "", 1) == 1 && read(pair[1], &byte, 1) == 0 ? 0 : 1);
    }
    close(pair[1]);
    *ret_channel = pair[0];
    assert_int_equal(read(pair[0], &byte, 1), 1);
    return pid;
}

/* Any lock that there is of the directory itself. */
static void take_directory(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        _exit(2);
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

/* The very file that helpers lock, in a directory that everyone may write to. */
static void take_lock_file(void)
{
    int fd = open(scratch_path(".pr-helper.lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0666);

    if (fd < 0 || fdio_lock(fd) < 0)
        _exit(2);
}

static void take_fifo(void)
{
    if (mkfifo(scratch_path(".pr-helper.lock"), 0666) < 0)
        _exit(2);
}

static void take_link(void)
{
    if (symlink("/dev/full", scratch_path(".pr-helper.lock")) < 0)
        _exit(2);
}

static void test_locks_of_others(void **state)
{
    void (*const takes[])(void) = {take_directory, take_lock_file, take_fifo, take_link};

    (void)state;
    if (geteuid() != 0) {
        print_message("# test_locks_of_others: only root can be another user\n");
        skip();
    }
    assert_int_equal(chmod(scratch, 0777), 0);
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
        int channel;
        pid_t pid = lock_as_nobody(takes[i], &channel);

        assert_uint_equal(replace_and_remove(), 0);
        close(channel);
        assert_int_equal(await_child(pid), 0);
        unlink(scratch_path(".pr-helper.lock"));
    }
    assert_uint_equal(replace_and_remove(), 0);
    assert_uint_equal(scratch_count(), 0);
}

/* A lock of a helper of the same user counts, and is given back. */
static void test_lock_of_names(void **state)
{
    int dir = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int lock = inode_lock_names(dir);

    (void)state;
    assert_true(lock >= 0);
    assert_uint_equal(scratch_count(), 1);
    assert_true(replace_and_remove() > 0); /* without it at last, for a second has passed */
    assert_uint_equal(scratch_count(), 1);
    inode_unlock_names(dir, lock);
    assert_uint_equal(scratch_count(), 0);
    assert_uint_equal(replace_and_remove(), 0);
    close(dir);
}

/*
 * Several processes at once. Each round: all of them start together, on a free name or on a stale
 * socket, and exactly one of them may serve; a client reaches that one. One more is what is left of
 * the instance that the stale socket was of, and removes that one, and no other.
 */
#define RACERS 3
#define ROUNDS 400

struct race {
    atomic_uint round;    /* counts up: start */
    atomic_uint finished; /* those that are done with listen_open */
    atomic_uint released; /* counts up: close it */
    atomic_uint closed;
    atomic_uint winners, others, strange;
    atomic_bool served;
    struct inode_id stale; /* of this round */
};

static void race_remove(struct race *race, const char *path)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&race->round) < round)
            sched_yield();
        if (inode_remove(path, &race->stale) != 0)
            race->strange++;
        race->finished++;
    }
    _exit(0);
}

static void race_run(struct race *race, const char *path)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct inode_id inode;
        int sock;

        while (atomic_load(&race->round) < round)
            sched_yield();
        sock = open_at(path, &inode);
        if (sock >= 0)
            race->winners++;
        else if (sock == -EADDRINUSE)
            race->others++;
        else
            race->strange++;
        race->finished++;
        while (atomic_load(&race->released) < round)
            sched_yield();
        if (sock >= 0) {
            int client = accept(sock, NULL, NULL);

            if (client >= 0)
                atomic_store(&race->served, true);
            close(client);
            close(sock);
        }
        race->closed++;
    }
    _exit(0);
}

static void test_race(void **state)
{
    const char *path = scratch_path("sock");
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[RACERS + 1];

    (void)state;
    assert_ptr_not_equal(race, MAP_FAILED);
    for (int i = 0; i <= RACERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail and end */
            if (i < RACERS)
                race_run(race, path);
            race_remove(race, path);
        }
    }
    for (unsigned round = 1; round <= ROUNDS; round++) {
        unlink(path);
        if (round % 4) {
            close(make_socket(path, SOCK_STREAM, 1));
            race->stale = identify(path);
        }
        race->finished = race->closed = race->winners = race->others = race->strange = 0;
        race->served = false;
        race->round++;
        await(race->finished == RACERS + 1);
        assert_int_equal(race->winners, 1);
        assert_int_equal(race->strange, 0);
        assert_int_equal(race->others, RACERS - 1);
        assert_int_equal(client_connect(path), 0);
        race->released++;
        await(race->closed == RACERS);
        assert_true(race->served);
        assert_uint_equal(scratch_count(), 1);
    }
    for (int i = 0; i <= RACERS; i++)
        assert_int_equal(await_child(children[i]), 0);
    munmap(race, sizeof(*race));
}

/* Stale names go, all under one lock. Who may live is not connected to; what else is there stays.
 */
static void test_sweep(void **state)
{
    const char *directory = scratch_path("sweep");
    char live[64], path[256], file[256];
    struct timespec start, end;
    int listener, other, lock;

    assert_int_equal(mkdir(directory, 0700), 0);
    snprintf(live, sizeof(live), "%d-1", (int)getpid());
    snprintf(path, sizeof(path), "%s/%s", directory, live);
    listener = make_socket(path, SOCK_STREAM, 1);
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    snprintf(path, sizeof(path), "%s/service", directory);
    other = make_socket(path, SOCK_STREAM, 1);
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof(path), "%s/%d-dead", directory, INT_MAX - i);
        close(make_socket(path, SOCK_STREAM, 1));
    }
    snprintf(file, sizeof(file), "%s/%d-file", directory, INT_MAX);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

    /* Locked by another process: it is waited for once, not for each name. */
    lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    clock_gettime(CLOCK_MONOTONIC, &start);
    {
        int names = inode_lock_names(lock);

        assert_true(names >= 0);
        listen_sweep(directory);
        inode_unlock_names(lock, names);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(access(path, F_OK), 0);
    assert_true(end.tv_sec - start.tv_sec < 10);
    close(lock);

    listen_sweep(directory);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(access(file, F_OK), 0);
    snprintf(path, sizeof(path), "%s/service", directory);
    assert_int_equal(access(path, F_OK), 0);
    close(listener);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_open),
        scratch_test(test_sweep),
        scratch_test(test_mode),
        scratch_test(test_owner),
        scratch_test(test_watched),
        scratch_test(test_seen_is_connectable),
        scratch_test(test_remove),
        scratch_test(test_stale),
        scratch_test(test_stale_temporary_name),
        scratch_test(test_live),
        scratch_test(test_live_of_another_type),
        scratch_test(test_no_socket),
        scratch_test(test_no_directory),
        scratch_test(test_long_paths),
        scratch_test(test_swapped),
        scratch_test(test_mode_from_the_start),
        scratch_test(test_working_directory),
        scratch_test(test_locks_of_others),
        scratch_test(test_lock_of_names),
        scratch_test(test_race),
    };

    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
