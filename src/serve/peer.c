// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the kernel says of a socket's peer (SO_PEERCRED, SO_PEERSEC) dates from the moment when it
 * connected. What /proc says of a pid is current, and by now the pid may belong to another process.
 * So after reading we check, by a pidfd of the process that connected, that it still exists: if so,
 * the pid was its own throughout. On a kernel without SO_PEERPIDFD connections are identified soon
 * after their handshake, and nothing is believed of the pid of one that has been closed by then.
 *
 * A process is known by the inode of its pidfd, which is unique as long as the system runs (pidfs,
 * Linux 6.9), also where its pid is hidden by a PID namespace; before that, by its pid and the time
 * when it began.
 *
 * A machine's name is for people to read, and nothing is decided by it: a process chooses its own
 * arguments. Its control group it does not choose, hence the order.
 */
#include "serve/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "serve/tracepoints.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

#define PEER_CGROUP_MAX    4096
#define PEER_ARGUMENTS_MAX 131072 /* bytes of a command line that are looked at */
#define PEER_STAT_MAX      1024

const char *const peer_source_word[] = {
    [PEER_UNNAMED] = NULL,
    [PEER_CGROUP] = "cgroup",
    [PEER_ARGUMENT] = "argument",
    [PEER_LABEL] = "label",
};

void peers_init(struct peers *peers, bool all)
{
    int pair[2], pidfd;
    socklen_t size = sizeof(pidfd);
    struct statfs fs;

    memset(peers, 0, sizeof(*peers));
    pthread_mutex_init(&peers->lock, NULL);
    peers->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    peers->all = all;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    if (getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
        peers->pidfs = fstatfs(pidfd, &fs) == 0 && fs.f_type == PID_FS_MAGIC;
        close(pidfd);
    } else {
        peers->early = true;
    }
    close(pair[0]);
    close(pair[1]);
}

void peers_deinit(struct peers *peers)
{
    cleanup_close(&peers->proc);
    pthread_mutex_destroy(&peers->lock);
}

void peers_open_by(struct peers *peers, peers_open_fn open, void *context)
{
    peers->open = open;
    peers->context = context;
}

/* /proc/PID/FILE. Returns an fd or a negative errno. */
static int peers_open(const struct peers *peers, pid_t pid, const char *file)
{
    char path[32];
    int fd;

    if (peers->open)
        return peers->open(peers->context, pid, file);
    snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
    fd = openat(peers->proc, path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Is this negative errno a shortage of ours, which says nothing of the process? */
static bool peer_is_shortage(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS;
}

static bool peer_vm_from_arguments(const struct peers *peers, pid_t pid, char *vm, size_t size,
                                   bool *ret_short)
{
    struct vm_arguments arguments = {.vm = vm, .size = size};
    CLEANUP_CLOSE int fd = peers_open(peers, pid, "cmdline");
    char piece[1024];
    ssize_t n = 1;

    *vm = '\0';
    for (size_t seen = 0; fd >= 0 && n > 0 && seen < PEER_ARGUMENTS_MAX; seen += (size_t)n) {
        n = fdio_read_full(fd, piece, sizeof(piece));
        if (n > 0 && !vm_arguments_feed(&arguments, piece, (size_t)n))
            break;
    }
    *ret_short = *ret_short || peer_is_shortage(fd < 0 ? fd : (int)n);
    return *vm;
}

static enum peer_source peer_read_name(const struct peers *peers, pid_t pid, char *vm, size_t size,
                                       bool *ret_short)
{
    CLEANUP_CLOSE int fd = peers_open(peers, pid, "cgroup");
    char text[PEER_CGROUP_MAX];
    ssize_t n = fd < 0 ? fd : fdio_read_text_of(fd, text, sizeof(text));

    *ret_short = *ret_short || peer_is_shortage((int)n);
    if (n > 0 && vm_name_from_cgroup(text, vm, size))
        return PEER_CGROUP;
    return peer_vm_from_arguments(peers, pid, vm, size, ret_short) ? PEER_ARGUMENT : PEER_UNNAMED;
}

/* When the process with this pid began: field 22 of its stat, behind a name that may have anything
 * in it (proc(5)). 0: unknown. */
static uint64_t peer_read_start(const struct peers *peers, pid_t pid, bool *ret_short)
{
    CLEANUP_CLOSE int fd = peers_open(peers, pid, "stat");
    char text[PEER_STAT_MAX];
    ssize_t n = fd < 0 ? fd : fdio_read_text_of(fd, text, sizeof(text));
    const char *rest;

    *ret_short = *ret_short || peer_is_shortage((int)n);
    if (n < 0)
        return 0;
    rest = strrchr(text, ')');
    for (unsigned field = 2; rest && field < 22; field++)
        rest = strchr(rest + 1, ' ');
    return rest ? strtoull(rest + 1, NULL, 10) : 0;
}

/*
 * What was found out for another connection of the process: so one with a thousand of them costs
 * little more than one with one, and does not keep others waiting. False: there is none.
 */
static bool peers_find_name(struct peers *peers, struct peer *peer, char *vm, size_t size)
{
    const struct peer *other;

    pthread_mutex_lock(&peers->lock);
    other = peers->first;
    while (other && other->process != peer->process)
        other = other->next;
    if (other && (other->source == PEER_CGROUP || other->source == PEER_ARGUMENT)) {
        snprintf(vm, size, "%s", other->vm);
        peer->source = other->source;
    }
    pthread_mutex_unlock(&peers->lock);
    return other;
}

/*
 * What is known of the process that connected, and of no other that has its pid now. Returns false
 * if fds or memory were short, and so something may be missing.
 */
static bool peers_read_process(struct peers *peers, int sock, struct peer *peer, char *vm,
                               size_t size)
{
    CLEANUP_CLOSE int pidfd = -1;
    socklen_t pidfd_size = sizeof(pidfd);
    bool is_short = false;
    enum peer_source source;
    struct pollfd still;
    struct stat status;
    uint64_t started = 0;

    if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_size) < 0) {
        pidfd = -1;
        if (errno != ENOPROTOOPT)
            return !peer_is_shortage(-errno); /* it is gone */
    }
    if (peers->pidfs && pidfd >= 0 && fstat(pidfd, &status) == 0)
        peer->process = status.st_ino;
    if (peer->pid <= 0 || (peers->proc < 0 && !peers->open) ||
        (peer->process && peers_find_name(peers, peer, vm, size)))
        return true;
    if (!peer->process) /* which says it all */
        started = peer_read_start(peers, peer->pid, &is_short);
    source = peer_read_name(peers, peer->pid, vm, size, &is_short);
    /* A pidfd is readable when its process has ended, which also hangs up the socket. */
    still = (struct pollfd){.fd = pidfd >= 0 ? pidfd : sock, .events = pidfd >= 0 ? POLLIN : 0};
    if (poll(&still, 1, 0) != 0)
        return true;
    peer->started = started;
    peer->source = source;
    return !is_short;
}

/* "" if there is none, or one that says nothing. */
static void peer_read_label(int sock, char *label, size_t size)
{
    socklen_t length = (socklen_t)size - 1;

    if (getsockopt(sock, SOL_SOCKET, SO_PEERSEC, label, &length) < 0)
        length = 0; /* ENOPROTOOPT: no such module; ERANGE: longer than any that we could show */
    label[length] = '\0';
}

uint64_t peers_process(const struct peers *peers, int sock)
{
    CLEANUP_CLOSE int pidfd = -1;
    socklen_t size = sizeof(pidfd);
    struct stat status;

    if (!peers->pidfs || getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
        return 0;
    return fstat(pidfd, &status) == 0 ? status.st_ino : 0;
}

struct peer *peers_identify(struct peers *peers, int sock, uint64_t connection)
{
    struct ucred credentials = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t size = sizeof(credentials);
    char vm[PEER_TEXT_SIZE] = "", label[PEER_TEXT_SIZE];
    struct peer found = {.source = PEER_UNNAMED};
    size_t n_vm, n_label;
    struct peer *peer;

    (void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    found.pid = credentials.pid;
    peer_read_label(sock, label, sizeof(label));
    if (!peers_read_process(peers, sock, &found, vm, sizeof(vm)))
        return NULL;
    if (found.source == PEER_UNNAMED && *label && strcmp(label, "unconfined")) {
        memcpy(vm, label, sizeof(vm));
        found.source = PEER_LABEL;
    }
    n_vm = found.source == PEER_UNNAMED ? 0 : strlen(vm) + 1;
    n_label = *label ? strlen(label) + 1 : 0;

    peer = calloc(1, sizeof(*peer) + n_vm + n_label);
    if (!peer)
        return NULL;
    atomic_store(&peer->references, 1);
    atomic_store(&peer->connected, true);
    peer->connection = connection;
    peer->pid = credentials.pid;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    peer->process = found.process;
    peer->started = found.started;
    peer->source = found.source;
    if (n_vm)
        peer->vm = memcpy(peer->text, vm, n_vm);
    if (n_label)
        peer->label = memcpy(peer->text + n_vm, label, n_label);
    trace_peer(connection, peer->pid, peer->uid, peer->vm ? peer->vm : "");

    pthread_mutex_lock(&peers->lock);
    peer->next = peers->first;
    if (peers->first)
        peers->first->previous = peer;
    peers->first = peer;
    pthread_mutex_unlock(&peers->lock);
    return peer;
}

void peers_disconnect(struct peers *peers, struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    atomic_store(&peer->connected, false);
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        peers->first = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
    pthread_mutex_unlock(&peers->lock);
    peer_unref(peer);
}

struct peer *peer_ref(struct peer *peer)
{
    atomic_fetch_add(&peer->references, 1);
    return peer;
}

void peer_unref(struct peer *peer)
{
    if (atomic_fetch_sub(&peer->references, 1) == 1)
        free(peer);
}

bool peer_is_known(const struct peer *peer)
{
    return peer->process || peer->pid > 0;
}

/* Of two that are known. */
static bool peer_is_same_process(const struct peer *a, const struct peer *b)
{
    if (a->process && b->process)
        return a->process == b->process;
    return a->pid > 0 && a->pid == b->pid && a->started == b->started;
}

bool peer_is_same(const struct peer *a, const struct peer *b)
{
    return a == b || (peer_is_known(a) && peer_is_known(b) && peer_is_same_process(a, b));
}

bool peer_is_other(const struct peer *a, const struct peer *b)
{
    return a != b && peer_is_known(a) && peer_is_known(b) && !peer_is_same_process(a, b);
}

bool peers_is_connected(struct peers *peers, const struct peer *peer)
{
    bool found = atomic_load(&peer->connected);

    if (found)
        return true;
    pthread_mutex_lock(&peers->lock);
    for (const struct peer *other = peers->first; other && !found; other = other->next)
        found = peer_is_same(peer, other);
    pthread_mutex_unlock(&peers->lock);
    return found;
}
