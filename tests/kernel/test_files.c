// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names and locks: how a socket gets its name, and who holds a lock for how long. */
#include "probe.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char directory[] = "/tmp/pr-helper-probe.XXXXXX";

static int set_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &lock);
}

/* Whether another process, such as a child, can lock the file. */
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
    int fd = open("pid", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    need(fd >= 0 && set_lock(fd, F_WRLCK) == 0 && !others_can_lock("pid"));
    close(open("pid", O_RDONLY | O_CLOEXEC));
    probe(others_can_lock("pid"), "base/fdio.c",
          "closing any fd of the file releases a process's lock, so it has to become another kind");
    close(fd);
}

/* Locks of an open file description: of a file that is open for writing. */
static int set_own_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

static void probe_description_locks(void)
{
    int fd = open("pid", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int reader = open("pid", O_RDONLY | O_CLOEXEC);
    pid_t child;

    need(fd >= 0 && reader >= 0);
    probe(set_own_lock(reader, F_WRLCK) < 0 && errno == EBADF, "base/inode.c",
          "a file can be locked for writing only by who may write to it");
    need(set_own_lock(fd, F_WRLCK) == 0);
    close(reader);
    close(open("pid", O_RDWR | O_CLOEXEC));
    probe(!others_can_lock("pid"), "base/fdio.c",
          "closing another fd of the file leaves the lock of an open file description alone");
    child = fork();
    need(child >= 0);
    if (child == 0)
        _exit(set_own_lock(fd, F_WRLCK) == 0 ? 0 : 1);
    probe(probe_await(child) == 0, "daemon/keeper.c", "it is that of a child's copy as well");
    child = fork();
    need(child >= 0);
    if (child == 0)
        _exit(set_own_lock(open("pid", O_WRONLY), F_WRLCK) < 0 && errno == EAGAIN ? 1 : 0);
    probe(probe_await(child) == 1, "daemon/keeper.c", "but not of a file that it opens itself");
    need(set_own_lock(fd, F_UNLCK) == 0);
    probe(others_can_lock("pid"), "daemon/pidfile.c", "unlocking it counts for all copies at once");
    close(fd);
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
          "no listener any more: ECONNREFUSED, which tells a stale socket from a live one");

    sock = bind_to("temporary");
    probe(linkat(here, "temporary", here, "final", 0) < 0 && errno == EEXIST, "serve/listen.c",
          "linkat(2) does not replace: EEXIST");
    probe(renameat2(here, "temporary", here, "final", RENAME_NOREPLACE) < 0 && errno == EEXIST,
          "serve/listen.c", "nor does renameat2(2) with RENAME_NOREPLACE");
    close(sock);

    close(here);
}

/* Before it has a name, the mode of a socket is what fchmod(2) makes it. */
static void probe_mode(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "by-mode"};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0022);
    struct stat status;

    need(sock >= 0);
    probe(fchmod(sock, 0666) == 0 &&
              bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              stat("by-mode", &status) == 0 && (status.st_mode & 07777) == 0644,
          "serve/listen.c", "a socket's own mode, less the umask, is that of its name");
    umask(mask);
    close(sock);
}

int main(void)
{
    static const char *const names[] = {"pid", "temporary", "final", "by-mode"};

    need(mkdtemp(directory) && chdir(directory) == 0);
    probe_record_locks();
    probe_description_locks();
    probe_names();
    probe_mode();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(names[i]);
    rmdir(directory);
    return probe_end();
}
