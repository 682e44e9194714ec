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

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Undo systemd's escaping of unit names (systemd.unit(5)): \x2d for a byte, - for a slash. */
static void peer_unescape(const char *text, size_t length, char *name, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < length && n + 1 < size; i++) {
        if (text[i] == '\\' && i + 3 < length && text[i + 1] == 'x' &&
            hexadecimal(text[i + 2]) >= 0 && hexadecimal(text[i + 3]) >= 0) {
            name[n++] = (char)(hexadecimal(text[i + 2]) * 16 + hexadecimal(text[i + 3]));
            i += 3;
        } else {
            name[n++] = text[i] == '-' ? '/' : text[i];
        }
    }
    name[n] = '\0';
}

/* libvirt calls a machine qemu-ID-NAME; the id changes whenever it starts. */
static void peer_strip_id(char *name)
{
    size_t digits;

    if (strncmp(name, "qemu-", 5))
        return;
    digits = strspn(name + 5, "0123456789");
    if (digits && name[5 + digits] == '-' && name[6 + digits])
        memmove(name, name + 6 + digits, strlen(name + 6 + digits) + 1);
}

/* One component of a path. */
static bool peer_vm_from_group(const char *group, size_t length, char *vm, size_t size)
{
    static const char scope[] = ".scope", machine[] = "machine-", libvirt[] = ".libvirt-qemu";
    const size_t n_scope = sizeof(scope) - 1, n_machine = sizeof(machine) - 1,
                 n_libvirt = sizeof(libvirt) - 1;

    if (length > n_machine + n_scope && !strncmp(group, machine, n_machine) &&
        !strncmp(group + length - n_scope, scope, n_scope)) {
        peer_unescape(group + n_machine, length - n_machine - n_scope, vm, size);
    } else if (length > n_libvirt && !strncmp(group + length - n_libvirt, libvirt, n_libvirt)) {
        snprintf(vm, size, "%.*s", (int)(length - n_libvirt), group);
    } else {
        return false;
    }
    peer_strip_id(vm);
    return *vm;
}

bool peer_vm_from_cgroup(const char *text, char *vm, size_t size)
{
    while (*text) {
        size_t length = strcspn(text, "/\n");

        if (peer_vm_from_group(text, length, vm, size))
            return true;
        text += length + (text[length] != '\0');
    }
    return false;
}

/* The value of -name: NAME[,OPTION=...] or guest=NAME among options; ,, is a comma. */
static void peer_parse_name(const char *value, char *vm, size_t size)
{
    bool is_first = true;

    for (; *value; is_first = false) {
        bool is_guest = !strncmp(value, "guest=", 6);
        bool is_wanted = is_guest || (is_first && strcspn(value, ",") <= strcspn(value, "="));
        size_t n = 0;

        value += is_guest ? 6 : 0;
        for (; *value && (value[0] != ',' || value[1] == ','); value++) {
            value += *value == ',';
            if (is_wanted && n + 1 < size)
                vm[n++] = *value;
        }
        if (is_wanted)
            vm[n] = '\0';
        value += *value == ',';
    }
}

bool peer_arguments_feed(struct peer_arguments *arguments, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i]) {
            if (arguments->length + 1 < sizeof(arguments->argument))
                arguments->argument[arguments->length++] = bytes[i];
            continue;
        }
        arguments->argument[arguments->length] = '\0';
        arguments->length = 0;
        if (arguments->is_name) {
            peer_parse_name(arguments->argument, arguments->vm, arguments->size);
            return false;
        }
        arguments->is_name = !strcmp(arguments->argument, "-name") ||
                             !strcmp(arguments->argument, "--name");
    }
    return true;
}

static bool peer_vm_from_arguments(int proc, pid_t pid, char *vm, size_t size)
{
    struct peer_arguments arguments = {.vm = vm, .size = size};
    CLEANUP_CLOSE int fd = -1;
    char path[32], piece[1024];
    ssize_t n = 1;

    *vm = '\0';
    snprintf(path, sizeof(path), "%d/cmdline", (int)pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    for (size_t seen = 0; fd >= 0 && n > 0 && seen < PEER_ARGUMENTS_MAX; seen += (size_t)n) {
        n = fdio_read_full(fd, piece, sizeof(piece));
        if (n > 0 && !peer_arguments_feed(&arguments, piece, (size_t)n))
            break;
    }
    return *vm;
}

static enum peer_source peer_read_name(int proc, pid_t pid, char *vm, size_t size)
{
    char path[32], text[PEER_CGROUP_MAX];

    snprintf(path, sizeof(path), "%d/cgroup", (int)pid);
    if (fdio_read_text(proc, path, text, sizeof(text)) > 0 && peer_vm_from_cgroup(text, vm, size))
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
    tell_peer(sock, peer->pid, peer->uid, peer->vm ? peer->vm : "");

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
