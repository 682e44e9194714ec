// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests have a fixed size and carry no path: the keeper knows both paths from before the fork,
 * and whoever may have taken over the helper can at most have removed what is removed at its end
 * anyway. End of file on the channel means that the helper is gone, however it went.
 *
 * After a crash a new instance may already have begun: the PID file is removed only under its lock,
 * which the new instance would hold, and the socket only if it is the very inode that was ours.
 *
 * Rights: the starter's user, no capability. Only where that would not do to remove the files (root
 * in a directory of somebody else, as libvirt's) CAP_DAC_OVERRIDE stays.
 */
#include "helper/keeper.h"

#include <cap-ng.h>
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

#define KEEPER_REPLY_S 2 /* how long a removal may take before the helper goes on without it */

enum keeper_verb {
    KEEPER_WATCH_SOCKET = 1,
    KEEPER_REMOVE_SOCKET,
    KEEPER_REMOVE_PIDFILE,
};

struct keeper_request {
    uint32_t verb;
    uint32_t reserved;
    struct listen_inode inode; /* KEEPER_WATCH_SOCKET */
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
    bool may_override = capng_have_capability(CAPNG_PERMITTED, CAP_DAC_OVERRIDE) > 0;

    capng_clear(CAPNG_SELECT_ALL);
    capng_apply(CAPNG_SELECT_BOUNDS); /* where it is not permitted, no_new_privs has to do */
    if (may_override) {
        capng_update(CAPNG_ADD, CAPNG_PERMITTED, CAP_DAC_OVERRIDE);
        capng_apply(CAPNG_SELECT_CAPS);
        if (keeper_can_write(state->socket_path) && keeper_can_write(state->pidfile_path))
            capng_clear(CAPNG_SELECT_CAPS);
        else
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_DAC_OVERRIDE);
    }
    capng_apply(CAPNG_SELECT_CAPS);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int keeper_remove(const char *path, bool *ours, const struct listen_inode *inode)
{
    struct listen_inode found;
    int r;

    if (!*ours)
        return 0;
    *ours = false;
    r = listen_identify(path, &found);
    if (r == -ENOENT || (r == 0 && !listen_same_inode(&found, inode)))
        return 0;
    if (r == 0 && unlink(path) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

static void keeper_obey(struct keeper_state *state, const struct keeper_request *request)
{
    int32_t r;

    switch (request->verb) {
    case KEEPER_WATCH_SOCKET:
        state->socket = request->inode;
        state->has_socket = state->socket_path != NULL;
        return; /* the helper does not wait for it: it is about to serve */
    case KEEPER_REMOVE_SOCKET:
        r = keeper_remove(state->socket_path, &state->has_socket, &state->socket);
        break;
    case KEEPER_REMOVE_PIDFILE:
        r = keeper_remove(state->pidfile_path, &state->has_pidfile, &state->pidfile);
        break;
    default:
        r = -EINVAL;
    }
    (void)!send(state->channel, &r, sizeof(r), MSG_NOSIGNAL);
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

    setsid();
    prctl(PR_SET_NAME, "qemu-pr-keeper", 0, 0, 0);
    signal(SIGTERM, SIG_IGN); /* systemd signals the whole control group */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    keeper_close_others(state->channel, state->pidfile_fd);
    if (chdir("/") < 0)
        _exit(1);
    keeper_drop_privileges(state);

    for (;;) {
        struct keeper_request request;
        ssize_t n = recv(state->channel, &request, sizeof(request), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (n == (ssize_t)sizeof(request))
            keeper_obey(state, &request);
    }
    keeper_finish(state);
    _exit(0);
}

int keeper_start(struct keeper *keeper, const char *socket_path, const char *pidfile_path,
                 int pidfile_fd)
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
        keeper_main(&state);
    }
    keeper->channel = steal_fd(&ours);
    return 0;
}

static int keeper_tell(const struct keeper *keeper, const struct keeper_request *request)
{
    if (keeper->channel < 0)
        return -ENOTCONN;
    return send(keeper->channel, request, sizeof(*request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int keeper_ask(const struct keeper *keeper, enum keeper_verb verb)
{
    int r = keeper_tell(keeper, &(struct keeper_request){.verb = verb});
    int32_t reply;
    ssize_t n;

    if (r < 0)
        return r;
    n = recv(keeper->channel, &reply, sizeof(reply), 0);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return n == (ssize_t)sizeof(reply) ? reply : -EPIPE;
}

int keeper_watch_socket(const struct keeper *keeper, const struct listen_inode *inode)
{
    return keeper_tell(keeper,
                       &(struct keeper_request){.verb = KEEPER_WATCH_SOCKET, .inode = *inode});
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
