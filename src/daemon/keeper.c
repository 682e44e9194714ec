// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A request is a verb and carries no path: the keeper knows all paths from before the fork, and
 * an attacker who has taken over the helper can at most have removed what is removed at its end
 * anyway, have a worker started, as every guest with a multipath map can, and read three files of
 * any process, which everyone may read: with those the keeper spares the helper all of /proc, in
 * which there is the kernel's memory. End of file on the channel means that the helper is gone,
 * however it went.
 *
 * After a crash a new instance may already have begun: the PID file is removed only under its lock,
 * which the new instance would hold, and the socket only if it is the very inode that was ours.
 *
 * Rights: the starter's user, and no capability but the worker's if there is a worker to start: the
 * kernel gives a program that is executed nothing that the bounding set does not have. Only where
 * that would not do to remove the files (root in a directory of another user, as libvirt's)
 * CAP_DAC_OVERRIDE stays too, outside of the bounding set.
 */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "daemon/capabilities.h"
#include "daemon/spawn.h"

#define KEEPER_REPLY_S 2 /* how long a removal may take before the helper goes on without it */

#define KEEPER_LOCK_TRIES    1000
#define KEEPER_LOCK_PAUSE_MS 1

/* Commands of the helper. */
enum keeper_verb {
    KEEPER_REMOVE_SOCKET = 1,
    KEEPER_REMOVE_PIDFILE,
    KEEPER_START_WORKER, /* the answer has the worker's channel with it */
    KEEPER_OPEN_PROC,    /* the answer has a file of /proc/PID with it */
};

/* Files of another process that may be read, for its virtual machine's name. */
static const char *const keeper_proc_files[] = {"cgroup", "cmdline", "stat"};

#define KEEPER_PROC_FILES (sizeof(keeper_proc_files) / sizeof(keeper_proc_files[0]))

/* The serial number tells an answer from one that came too late for its question. */
struct keeper_question {
    uint32_t verb; /* enum keeper_verb */
    uint32_t serial;
    int32_t pid;   /* of KEEPER_OPEN_PROC */
    uint32_t file; /* the same: index into keeper_proc_files */
};

struct keeper_answer {
    int32_t result; /* 0 or a negative errno */
    uint32_t serial;
};

/* State of the keeper process. */
struct keeper_state {
    int channel;
    int pidfile_fd;
    const char *socket_path;
    const char *pidfile_path;
    const char *status_path;
    const char *worker_path;
    const char *worker_socket;
    bool has_socket;
    bool has_status;
    bool has_pidfile;
    struct inode_id socket;
    struct inode_id status;
    struct inode_id pidfile;
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

/* Could the directory of this path be written to with effective rights as they are? Only the
 * kernel's no is one: what else goes wrong is no reason to keep more of them. */
static bool keeper_can_write(const char *path)
{
    char copy[PATH_MAX];

    if (!path || strlen(path) >= sizeof(copy))
        return true;
    strcpy(copy, path);
    return faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) == 0 || errno != EACCES;
}

static void keeper_drop_privileges(const struct keeper_state *state)
{
    const uint32_t worker = state->worker_path ? spawn_capabilities : 0;
    const uint32_t override = CAPABILITY(CAP_DAC_OVERRIDE) | worker;

    capabilities_bound(worker); /* where it may not, no_new_privs has to do */
    if (capabilities_set(override, worker) == 0 &&
        (!keeper_can_write(state->socket_path) || !keeper_can_write(state->status_path) ||
         !keeper_can_write(state->pidfile_path)))
        capabilities_set(override, override);
    else
        capabilities_set(worker, worker);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Files that cannot be removed now are tried again when the helper has exited. */
static int keeper_remove(const char *path, bool *ours, const struct inode_id *inode)
{
    int r = *ours ? inode_remove(path, inode) : 0;

    if (r == 0)
        *ours = false;
    return r;
}

static int keeper_remove_sockets(struct keeper_state *state)
{
    int first = keeper_remove(state->socket_path, &state->has_socket, &state->socket);
    int second = keeper_remove(state->status_path, &state->has_status, &state->status);

    return first < 0 ? first : second;
}

/* Returns an fd or a negative errno. */
static int keeper_open_file_of(int32_t pid, uint32_t file)
{
    char path[64];
    int fd;

    if (pid <= 0 || file >= KEEPER_PROC_FILES)
        return -EINVAL;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, keeper_proc_files[file]);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Returns 0 or a negative errno; with *ret_fd set, that fd is part of the answer. */
static int keeper_handle(struct keeper_state *state, const struct keeper_question *question,
                         int *ret_fd)
{
    int r;

    switch (question->verb) {
    case KEEPER_REMOVE_SOCKET:
        return keeper_remove_sockets(state);
    case KEEPER_REMOVE_PIDFILE:
        return keeper_remove(state->pidfile_path, &state->has_pidfile, &state->pidfile);
    case KEEPER_START_WORKER:
        r = state->worker_socket ? spawn_connect(state->worker_socket)
            : state->worker_path ? spawn_worker(state->worker_path)
                                 : -ENOSYS;
        if (r < 0)
            return r;
        *ret_fd = r;
        return 0;
    case KEEPER_OPEN_PROC:
        r = keeper_open_file_of(question->pid, question->file);
        if (r < 0)
            return r;
        *ret_fd = r;
        return 0;
    default:
        return -EINVAL;
    }
}

/*
 * Open the PID file anew, instead of the copy that came by the fork: that one would hold the
 * helper's lock beyond its death, and a new instance could not start. Without an fd there is no
 * lock for us, and a file of a helper that was killed stays for the next one to take over.
 */
static void keeper_reopen_pidfile(struct keeper_state *state)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat ours, found;

    if (state->pidfile_fd < 0)
        return;
    fd = open(state->pidfile_path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(state->pidfile_fd, &ours) < 0 || fstat(fd, &found) < 0 ||
                    ours.st_dev != found.st_dev || ours.st_ino != found.st_ino))
        close(steal_fd(&fd));
    close(state->pidfile_fd);
    state->pidfile_fd = steal_fd(&fd);
}

/*
 * The end of file may come a moment before the kernel has let go of the helper's last file. If it
 * is a new instance that has the lock, all that is lost is the time of a process that is done.
 */
static int keeper_lock_pidfile(int fd)
{
    const struct timespec pause = {.tv_nsec = KEEPER_LOCK_PAUSE_MS * 1000000L};
    int r = fdio_lock(fd);

    for (int i = 1; r == -EAGAIN && i < KEEPER_LOCK_TRIES; i++) {
        nanosleep(&pause, NULL);
        r = fdio_lock(fd);
    }
    return r;
}

/* The helper is gone: clean up after it. */
static void keeper_finish(struct keeper_state *state)
{
    keeper_remove_sockets(state);
    if (state->has_pidfile && state->pidfile_fd >= 0 && keeper_lock_pidfile(state->pidfile_fd) == 0)
        keeper_remove(state->pidfile_path, &state->has_pidfile, &state->pidfile);
}

static void keeper_main(struct keeper_state *state)
{
    sigset_t none;

    keeper_close_others(state->channel, state->pidfile_fd);
    keeper_reopen_pidfile(state);
    setsid();
    prctl(PR_SET_NAME, "qemu-pr-keeper", 0, 0, 0);
    signal(SIGTERM, SIG_IGN); /* systemd signals the whole control group */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)!chdir("/"); /* so as to hold no mount; there is worse than holding one */
    keeper_drop_privileges(state);
    if (state->worker_path)
        spawn_init();

    for (;;) {
        CLEANUP_CLOSE int fd = -1;
        struct keeper_question question = {0};
        struct keeper_answer answer;
        ssize_t n = recv(state->channel, &question, sizeof(question), 0);

        /* Only the end of file says that the helper is gone: an error that is taken for it would
         * cost one that lives its socket. */
        if (n < 0)
            continue;
        if (n == 0)
            break;
        answer.serial = question.serial;
        answer.result = n == (ssize_t)sizeof(question) ? keeper_handle(state, &question, &fd)
                                                       : -EINVAL;
        (void)!fdio_send_fds(state->channel, &answer, sizeof(answer), &fd, fd >= 0);
    }
    keeper_finish(state);
    _exit(0);
}

int keeper_start(struct keeper *keeper, const struct keeper_options *options)
{
    const struct timeval patience = {.tv_sec = KEEPER_REPLY_S};
    struct keeper_state state = {
        .pidfile_fd = options->pidfile_fd,
        .socket_path = options->socket_path,
        .status_path = options->status_path,
        .pidfile_path = options->pidfile_path,
        .worker_path = options->worker_path,
        .worker_socket = options->worker_socket,
    };
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    int pair[2];
    int r;

    keeper->channel = -1;
    pthread_mutex_init(&keeper->lock, NULL);
    if (options->socket_path) {
        state.socket = *options->socket;
        state.has_socket = true;
    }
    if (options->status_path) {
        state.status = *options->status;
        state.has_status = true;
    }
    if (options->pidfile_path) {
        r = inode_identify(options->pidfile_path, &state.pidfile);
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

/* One answer, and the fd that comes with it, if there is one. */
static int keeper_receive(struct keeper *keeper, struct keeper_answer *ret, int *ret_fd)
{
    struct fdio_message message;
    ssize_t n = fdio_receive(keeper->channel, ret, sizeof(*ret), 0, &message);

    for (unsigned i = 1; i < message.n_fds; i++)
        close(message.fds[i]);
    if (message.n_fds > 0)
        *ret_fd = message.fds[0];
    if (n < 0)
        return n == -EAGAIN ? -ETIMEDOUT : (int)n;
    if (n != (ssize_t)sizeof(*ret))
        return -EPIPE;
    if (message.fds_lost && ret->result >= 0)
        ret->result = -EMFILE;
    return 0;
}

/* ret_fd: NULL, or where the fd goes that comes with the answer. */
static int keeper_ask(struct keeper *keeper, struct keeper_question question, int *ret_fd)
{
    struct keeper_answer answer;
    int r;

    if (keeper->channel < 0)
        return -ENOTCONN;
    pthread_mutex_lock(&keeper->lock);
    question.serial = ++keeper->serial;
    r = send(keeper->channel, &question, sizeof(question), MSG_NOSIGNAL) < 0 ? -errno : 0;
    while (r == 0) {
        CLEANUP_CLOSE int fd = -1;

        r = keeper_receive(keeper, &answer, &fd);
        if (r == 0 && answer.serial == question.serial) {
            if (ret_fd)
                *ret_fd = steal_fd(&fd);
            break;
        }
    }
    pthread_mutex_unlock(&keeper->lock);
    return r < 0 ? r : answer.result;
}

int keeper_remove_socket(struct keeper *keeper)
{
    return keeper_ask(keeper, (struct keeper_question){.verb = KEEPER_REMOVE_SOCKET}, NULL);
}

int keeper_remove_pidfile(struct keeper *keeper)
{
    return keeper_ask(keeper, (struct keeper_question){.verb = KEEPER_REMOVE_PIDFILE}, NULL);
}

int keeper_start_worker(struct keeper *keeper)
{
    CLEANUP_CLOSE int fd = -1;
    int r = keeper_ask(keeper, (struct keeper_question){.verb = KEEPER_START_WORKER}, &fd);

    if (r < 0)
        return r;
    return fd < 0 ? -EPROTO : steal_fd(&fd);
}

int keeper_open_proc(struct keeper *keeper, pid_t pid, const char *file)
{
    struct keeper_question question = {.verb = KEEPER_OPEN_PROC, .pid = pid};
    CLEANUP_CLOSE int fd = -1;
    int r;

    while (question.file < KEEPER_PROC_FILES && strcmp(keeper_proc_files[question.file], file))
        question.file++;
    r = keeper_ask(keeper, question, &fd);
    if (r < 0)
        return r;
    return fd < 0 ? -EPROTO : steal_fd(&fd);
}

void keeper_deinit(struct keeper *keeper)
{
    if (keeper->channel >= 0)
        close(keeper->channel);
    keeper->channel = -1;
}
