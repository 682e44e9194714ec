// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The worker's opener ends with it, but a thread that hangs in the kernel keeps either of them. The
 * keeper inherits what is left (PR_SET_CHILD_SUBREAPER), and with SIGCHLD ignored the kernel
 * collects the dead, so waitpid(2) has one thing to tell: whether a child is left.
 */
#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/capabilities.h"
#include "proto/worker.h"

#define SPAWN_FAILED 127

const uint32_t spawn_capabilities = CAPABILITY(CAP_SYS_RAWIO);

bool spawn_is_possible(const char *path, char *ret_problem, size_t problem_size)
{
    if (geteuid() != 0) {
        snprintf(ret_problem, problem_size,
                 "the helper was not started as root, and multipathd accepts commands from root "
                 "only (-u and -g may still be used)");
        return false;
    }
    if ((capabilities_permitted() & spawn_capabilities) != spawn_capabilities) {
        snprintf(ret_problem, problem_size, "the helper was started without CAP_SYS_RAWIO");
        return false;
    }
    if (access(path, X_OK) < 0) {
        snprintf(ret_problem, problem_size,
                 "cannot execute %s: %s (is multipath support installed?)", path, strerror(errno));
        return false;
    }
    return true;
}

void spawn_init(void)
{
    signal(SIGCHLD, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* Speak for a worker that could not be executed. */
__attribute__((noreturn)) static void spawn_fail(int channel, const char *path, int error)
{
    struct worker_hello hello = {.ready = false};
    uint8_t bytes[WORKER_HELLO_SIZE];

    snprintf(hello.text, sizeof(hello.text), "cannot execute %s: %s", path, strerror(error));
    worker_encode_hello(bytes, &hello);
    (void)!send(channel, bytes, sizeof(bytes), MSG_NOSIGNAL);
    _exit(SPAWN_FAILED);
}

__attribute__((noreturn)) static void spawn_child(const char *path, bool is_beside, int channel)
{
    char *const argv[] = {(char *)path, is_beside ? (char *)WORKER_BESIDE : NULL, NULL};
    const char *daemon = getenv("MULTIPATH_SOCKET_NAME");
    char variable[PATH_MAX];
    char *environment[] = {NULL, NULL};

    if (daemon && snprintf(variable, sizeof(variable), "MULTIPATH_SOCKET_NAME=%s", daemon) <
                      (int)sizeof(variable))
        environment[0] = variable;

    /* The channel may be any number, but for 0 to 2 if those are closed. */
    if (channel != SPAWN_CHANNEL)
        channel = dup3(channel, SPAWN_CHANNEL, 0);
    else
        fcntl(channel, F_SETFD, 0);
    for (int fd = 0; fd < SPAWN_CHANNEL; fd++)
        close(fd);
    for (int fd = 0; fd < SPAWN_CHANNEL; fd++) {
        if (open("/dev/null", O_RDWR) != fd)
            spawn_fail(channel, path, errno);
    }
    syscall(SYS_close_range, SPAWN_CHANNEL + 1, UINT_MAX, 0);
    signal(SIGCHLD, SIG_DFL); /* a process that ignores it loses the status of its children */
    execve(path, argv, environment);
    spawn_fail(channel, path, errno);
}

int spawn_worker(const char *path)
{
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    int pair[2];
    bool is_beside = waitpid(-1, NULL, WNOHANG) >= 0;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        spawn_child(path, is_beside, theirs);
    return steal_fd(&ours);
}

int spawn_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int sock = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        fcntl(sock, F_SETFL, 0) < 0)
        return -errno;
    return steal_fd(&sock);
}
