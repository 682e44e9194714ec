// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the kernel says of a socket's peer (SO_PEERCRED, SO_PEERSEC) is of the moment when it
 * connected. What /proc says of a pid is of now, and by now the pid may be somebody else's. So,
 * having read, we ask a pidfd of the very process that connected whether it is still there: if so,
 * its pid was its own all the time. On a kernel without SO_PEERPIDFD connections are identified
 * when they complete their handshake, which the process has just sent.
 *
 * A machine's name is for people to read, and to tell machines apart that do not mean to deceive: a
 * process chooses its own arguments. Its control group it does not choose, hence the order.
 */
#include "serve/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "serve/tracepoints.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define PEER_CGROUP_MAX    4096
#define PEER_ARGUMENTS_MAX 131072 /* bytes of a command line that are looked at */

void peers_init(struct peers *peers, bool early)
{
    int pair[2], pidfd;
    socklen_t size = sizeof(pidfd);

    memset(peers, 0, sizeof(*peers));
    pthread_mutex_init(&peers->lock, NULL);
    peers->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    peers->early = early;
    if (early || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    if (getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
        close(pidfd);
    else
        peers->early = true;
    close(pair[0]);
    close(pair[1]);
}

void peers_deinit(struct peers *peers)
{
    cleanup_close(&peers->proc);
    pthread_mutex_destroy(&peers->lock);
}

static bool peer_vm_from_arguments(int proc, pid_t pid, char *vm, size_t size)
{
    struct vm_arguments arguments = {.vm = vm, .size = size};
    CLEANUP_CLOSE int fd = -1;
    char path[32], piece[1024];
    ssize_t n = 1;

    *vm = '\0';
    snprintf(path, sizeof(path), "%d/cmdline", (int)pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    for (size_t seen = 0; fd >= 0 && n > 0 && seen < PEER_ARGUMENTS_MAX; seen += (size_t)n) {
        n = fdio_read_full(fd, piece, sizeof(piece));
        if (n > 0 && !vm_arguments_feed(&arguments, piece, (size_t)n))
            break;
    }
    return *vm;
}

static enum peer_source peer_read_name(int proc, pid_t pid, char *vm, size_t size)
{
    char path[32], text[PEER_CGROUP_MAX];

    snprintf(path, sizeof(path), "%d/cgroup", (int)pid);
    if (fdio_read_text(proc, path, text, sizeof(text)) > 0 && vm_name_from_cgroup(text, vm, size))
        return PEER_CGROUP;
    return peer_vm_from_arguments(proc, pid, vm, size) ? PEER_ARGUMENT : PEER_UNNAMED;
}

/* The name of the process that connected, and of no other that has its pid now. */
static enum peer_source peers_read_name(const struct peers *peers, int sock, pid_t pid, char *vm,
                                        size_t size)
{
    CLEANUP_CLOSE int pidfd = -1;
    socklen_t pidfd_size = sizeof(pidfd);
    enum peer_source source;
    struct pollfd still;

    if (pid <= 0 || peers->proc < 0)
        return PEER_UNNAMED;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_size) < 0) {
        pidfd = -1;
        if (errno != ENOPROTOOPT)
            return PEER_UNNAMED; /* it is gone */
    }
    source = peer_read_name(peers->proc, pid, vm, size);
    still = (struct pollfd){.fd = pidfd, .events = POLLIN}; /* readable when it has ended */
    return pidfd >= 0 && poll(&still, 1, 0) != 0 ? PEER_UNNAMED : source;
}

/* "" if there is none, or one that says nothing. */
static void peer_read_label(int sock, char *label, size_t size)
{
    socklen_t length = (socklen_t)size - 1;

    if (getsockopt(sock, SOL_SOCKET, SO_PEERSEC, label, &length) < 0)
        length = 0; /* ENOPROTOOPT: no such module; ERANGE: longer than any that we could show */
    label[length] = '\0';
}

struct peer *peers_identify(struct peers *peers, int sock)
{
    struct ucred credentials = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t size = sizeof(credentials);
    char vm[PEER_TEXT_SIZE] = "", label[PEER_TEXT_SIZE];
    enum peer_source source;
    size_t n_vm, n_label;
    struct peer *peer;

    (void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    peer_read_label(sock, label, sizeof(label));
    source = peers_read_name(peers, sock, credentials.pid, vm, sizeof(vm));
    if (source == PEER_UNNAMED && *label && strcmp(label, "unconfined")) {
        memcpy(vm, label, sizeof(vm));
        source = PEER_LABEL;
    }
    n_vm = source == PEER_UNNAMED ? 0 : strlen(vm) + 1;
    n_label = *label ? strlen(label) + 1 : 0;

    peer = calloc(1, sizeof(*peer) + n_vm + n_label);
    if (!peer)
        return NULL;
    atomic_store(&peer->references, 1);
    atomic_store(&peer->connected, true);
    peer->connection = sock;
    peer->pid = credentials.pid;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    peer->source = source;
    peer->since_ms = clock_now_ms();
    if (n_vm)
        peer->vm = memcpy(peer->text, vm, n_vm);
    if (n_label)
        peer->label = memcpy(peer->text + n_vm, label, n_label);
    trace_peer(sock, peer->pid, peer->uid, peer->vm ? peer->vm : "");

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

bool peer_is_same(const struct peer *a, const struct peer *b)
{
    if (a == b)
        return true;
    if (a->vm || b->vm)
        return a->vm && b->vm && !strcmp(a->vm, b->vm);
    return a->pid > 0 && a->pid == b->pid && a->uid == b->uid;
}

bool peer_is_other_vm(const struct peer *a, const struct peer *b)
{
    return a->vm && b->vm && strcmp(a->vm, b->vm);
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
