// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names and locks: how a socket gets its name, and who holds a lock for how long. */
#include "probe.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char directory[] = "/tmp/pr-helper-probe.XXXXXX";

static int set_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &lock);
}

/* Whether somebody else, as which a child counts, can lock the file. */
static bool others_can_lock(const char *name)
{
    pid_t child = fork();

    need(child >= 0);
    if (child == 0) {
        int fd = open(name, O_WRONLY);

        _exit(fd < 0 ? 2 : (set_lock(fd, F_WRLCK) == 0 ? 0 : 1));
    }
    return probe_await(child) == 0;
}

static void probe_record_locks(void)
{
    int fd = open("pid", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), second;
    pid_t child;
    bool kept;

    need(fd >= 0 && set_lock(fd, F_WRLCK) == 0);
    probe(!others_can_lock("pid"), "daemon/pidfile.c", "a locked PID file cannot be locked twice");

    child = fork();
    need(child >= 0);
    if (child == 0) /* which has the fd, and not the lock */
        _exit(set_lock(fd, F_WRLCK) == 0 ? 0 : 1);
    probe(probe_await(child) == 1, "daemon/keeper.c, daemon/background.c",
          "the lock of a file does not pass a fork");
    child = fork();
    need(child >= 0);
    if (child == 0)
        _exit(close(fd));
    kept = probe_await(child) == 0 && !others_can_lock("pid");
    probe(kept, "daemon/keeper.c", "a child that closes its copy of the fd leaves the lock alone");

    need(set_lock(fd, F_UNLCK) == 0);
    probe(others_can_lock("pid"), "daemon/pidfile.c",
          "unlocking counts at once, before the fd is closed");
    need(set_lock(fd, F_WRLCK) == 0);
    second = open("pid", O_RDONLY | O_CLOEXEC);
    close(second);
    probe(others_can_lock("pid"), "daemon/pidfile.c",
          "closing any fd of the file releases the lock: nobody else may open it");
    close(fd);

    child = fork();
    need(child >= 0);
    if (child == 0) {
        fd = open("pid", O_WRONLY);
        _exit(set_lock(fd, F_WRLCK) == 0 ? 0 : 1);
    }
    probe(probe_await(child) == 0 && others_can_lock("pid"), "daemon/keeper.c",
          "the lock ends with its process");
}

static void probe_directory_lock(void)
{
    int first = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int second = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    need(first >= 0 && second >= 0);
    probe(flock(first, LOCK_EX | LOCK_NB) == 0 && flock(second, LOCK_EX | LOCK_NB) < 0 &&
              errno == EWOULDBLOCK && close(first) == 0 && flock(second, LOCK_EX | LOCK_NB) == 0,
          "serve/listen.c", "a directory can be locked by flock(2), until its fd is closed");
    close(second);
}

static int bind_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    need(sock >= 0 && strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    need(bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(sock, 1) == 0);
    return sock;
}

static bool can_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected;

    need(sock >= 0);
    memcpy(address.sun_path, path, strlen(path));
    connected = connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(sock);
    return connected;
}

static void probe_names(void)
{
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), sock;
    struct stat before, after;
    char path[64];

    need(here >= 0);
    sock = bind_to("temporary");
    need(stat("temporary", &before) == 0);
    probe(linkat(here, "temporary", here, "final", 0) == 0 && stat("final", &after) == 0 &&
              before.st_ino == after.st_ino,
          "serve/listen.c", "a bound socket can be given a second name");
    need(unlinkat(here, "temporary", 0) == 0);
    probe(can_connect("final"), "serve/listen.c", "it can be connected to by that name");
    close(sock);
    probe(!can_connect("final") && errno == ECONNREFUSED, "serve/listen.c",
          "nobody listens any more: ECONNREFUSED, which tells a stale socket from a live one");

    sock = bind_to("temporary");
    probe(linkat(here, "temporary", here, "final", 0) < 0 && errno == EEXIST, "serve/listen.c",
          "linkat(2) does not replace: EEXIST");
    probe(renameat2(here, "temporary", here, "final", RENAME_NOREPLACE) < 0 && errno == EEXIST,
          "serve/listen.c", "nor does renameat2(2) with RENAME_NOREPLACE");
    close(sock);

    snprintf(path, sizeof(path), "/proc/self/fd/%d/by-fd", here);
    sock = bind_to(path);
    probe(can_connect("by-fd"), "serve/listen.c",
          "a socket can be bound by way of /proc/self/fd, whatever the directory's path");
    close(sock);
    close(here);
}

int main(void)
{
    static const char *const names[] = {"pid", "temporary", "final", "by-fd"};

    need(mkdtemp(directory) && chdir(directory) == 0);
    probe_record_locks();
    probe_directory_lock();
    probe_names();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(names[i]);
    rmdir(directory);
    return probe_end();
}
