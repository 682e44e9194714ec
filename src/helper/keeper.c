// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A request is one byte and carries no path: the keeper knows both paths from before the fork, and
 * whoever may have taken over the helper can at most have removed what is removed at its end
 * anyway. End of file on the channel means that the helper is gone, however it went.
 *
 * After a crash a new instance may already have begun: the PID file is removed only under its lock,
 * which the new instance would hold, and the socket only if it is the very inode that was ours.
 *
 * Rights: the starter's user, no capability. Only where that would not do to remove the files (root
 * in a directory of somebody else, as libvirt's) CAP_DAC_OVERRIDE stays.
 */
#include "helper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "helper/capabilities.h"

#define KEEPER_REPLY_S 2 /* how long a removal may take before the helper goes on without it */

/* What the helper may ask for, in one byte. The answer is an int32_t, 0 or a negative errno. */
enum keeper_verb {
    KEEPER_REMOVE_SOCKET = 1,
    KEEPER_REMOVE_PIDFILE,
};

/* What the keeper process knows. */
struct keeper_state {
    int channel;
    int pidfile_fd;
    const char *socket_path;
    const char *pidfile_path;
    bool has_socket;
    bool has_pidfile;
    struct listen_inode socket;
    struct listen_inode pidfile;
};

static void keeper_close_others(int channel, int pidfile_fd)
{
    int last = channel > pidfile_fd ? channel : pidfile_fd;
    long limit = sysconf(_SC_OPEN_MAX);

    for (int fd = 0; fd < last; fd++) {
        if (fd != channel && fd != pidfile_fd)
            close(fd);
    }
    if (syscall(SYS_close_range, last + 1, UINT_MAX, 0) < 0) {
        for (int fd = last + 1; fd < limit; fd++)
            close(fd);
    }
}

/* Could the directory of this path be written to with effective rights as they are? */
static bool keeper_can_write(const char *path)
{
    char copy[PATH_MAX];

    if (!path || strlen(path) >= sizeof(copy))
        return true;
    strcpy(copy, path);
    return faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) == 0;
}

static void keeper_drop_privileges(const struct keeper_state *state)
{
    const uint32_t override = CAPABILITY(CAP_DAC_OVERRIDE);

    capabilities_clear_bounding(); /* where it may not, no_new_privs has to do */
    if (capabilities_set(override, 0) == 0 &&
        (!keeper_can_write(state->socket_path) || !keeper_can_write(state->pidfile_path)))
        capabilities_set(override, override);
    else
        capabilities_set(0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int keeper_remove(const char *path, bool *ours, const struct listen_inode *inode)
{
    if (!*ours)
        return 0;
    *ours = false;
    return listen_remove(path, inode);
}

static int keeper_obey(struct keeper_state *state, uint8_t verb)
{
    switch (verb) {
    case KEEPER_REMOVE_SOCKET:
        return keeper_remove(state->socket_path, &state->has_socket, &state->socket);
    case KEEPER_REMOVE_PIDFILE:
        return keeper_remove(state->pidfile_path, &state->has_pidfile, &state->pidfile);
    default:
        return -EINVAL;
    }
}

/* The helper is gone: clean up after it. */
static void keeper_finish(struct keeper_state *state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    keeper_remove(state->socket_path, &state->has_socket, &state->socket);
    if (state->has_pidfile && fcntl(state->pidfile_fd, F_SETLK, &lock) == 0)
        keeper_remove(state->pidfile_path, &state->has_pidfile, &state->pidfile);
}

static void keeper_main(struct keeper_state *state)
{
    sigset_t none;

    keeper_close_others(state->channel, state->pidfile_fd);
    setsid();
    prctl(PR_SET_NAME, "qemu-pr-keeper", 0, 0, 0);
    signal(SIGTERM, SIG_IGN); /* systemd signals the whole control group */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir("/") < 0)
        _exit(1);
    keeper_drop_privileges(state);

    for (;;) {
        uint8_t verb;
        ssize_t n = recv(state->channel, &verb, sizeof(verb), 0);
        int32_t r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        r = keeper_obey(state, verb);
        (void)!send(state->channel, &r, sizeof(r), MSG_NOSIGNAL);
    }
    keeper_finish(state);
    _exit(0);
}

int keeper_start(struct keeper *keeper, const char *socket_path, const struct listen_inode *socket,
                 const char *pidfile_path, int pidfile_fd)
{
    const struct timeval patience = {.tv_sec = KEEPER_REPLY_S};
    struct keeper_state state = {
        .pidfile_fd = pidfile_fd,
        .socket_path = socket_path,
        .pidfile_path = pidfile_path,
    };
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    int pair[2];
    int r;

    keeper->channel = -1;
    if (socket_path) {
        state.socket = *socket;
        state.has_socket = true;
    }
    if (pidfile_path) {
        r = listen_identify(pidfile_path, &state.pidfile);
        if (r < 0)
            return r;
        state.has_pidfile = true;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    if (setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;

    keeper->pid = fork();
    if (keeper->pid < 0)
        return -errno;
    if (keeper->pid == 0) {
        state.channel = theirs;
        keeper_main(&state); /* does not return */
    }
    keeper->channel = steal_fd(&ours);
    return 0;
}

static int keeper_ask(const struct keeper *keeper, enum keeper_verb verb)
{
    uint8_t request = (uint8_t)verb;
    int32_t reply;
    ssize_t n;

    if (keeper->channel < 0)
        return -ENOTCONN;
    if (send(keeper->channel, &request, sizeof(request), MSG_NOSIGNAL) < 0)
        return -errno;
    n = recv(keeper->channel, &reply, sizeof(reply), 0);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return n == (ssize_t)sizeof(reply) ? reply : -EPIPE;
}

int keeper_remove_socket(const struct keeper *keeper)
{
    return keeper_ask(keeper, KEEPER_REMOVE_SOCKET);
}

int keeper_remove_pidfile(const struct keeper *keeper)
{
    return keeper_ask(keeper, KEEPER_REMOVE_PIDFILE);
}

void keeper_deinit(struct keeper *keeper)
{
    if (keeper->channel >= 0)
        close(keeper->channel);
    keeper->channel = -1;
}
