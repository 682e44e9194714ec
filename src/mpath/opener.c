// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A message of one byte brings a map, which has been seen from then on. One that names a map and a
 * path brings a socket for the answer. Each is served by a thread of its own, since open(2) of a
 * path may wait for as long as the driver likes. The number of threads is limited: each is one path
 * of a map that the worker waits for.
 *
 * A map counts as seen by its uuid, since numbers are used again.
 */
#include "mpath/opener.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/thread.h"
#include "mpath/host.h"
#include "mpath/sandbox.h"
#include "mpath/sysfs.h"

#define OPENER_MAPS_MAX     1024 /* seen */
#define OPENER_THREADS_MAX  4096
#define OPENER_CHANNEL      3
#define OPENER_SHOW_SIZE    1
#define OPENER_REQUEST_SIZE (8 + SYSFS_PATH_NAME_SIZE)
#define OPENER_REPLY_SIZE   4 /* an errno, or 0 and an fd */

struct opener {
    unsigned n_seen;
    unsigned next_seen; /* the place of the next one, once all are taken */
    char seen[OPENER_MAPS_MAX][SYSFS_MAP_UUID_SIZE];
    _Atomic unsigned threads;
    struct opener_task *_Atomic last; /* the last thread that has left, still to be reaped */
};

/* One request, on the stack of its thread. */
struct opener_task {
    struct thread thread; /* first: thread.h */
    struct opener *opener;
    dev_t map;
    int reply;
    char name[SYSFS_PATH_NAME_SIZE];
};

static struct opener opener;

static bool opener_has_seen(const char *uuid)
{
    for (unsigned i = 0; i < opener.n_seen; i++) {
        if (strcmp(opener.seen[i], uuid) == 0)
            return true;
    }
    return false;
}

static void opener_see(const char *uuid)
{
    unsigned at = opener.n_seen;

    if (opener_has_seen(uuid))
        return;
    if (at == OPENER_MAPS_MAX) {
        at = opener.next_seen;
        opener.next_seen = (opener.next_seen + 1) % OPENER_MAPS_MAX;
    } else {
        opener.n_seen++;
    }
    snprintf(opener.seen[at], sizeof(opener.seen[at]), "%s", uuid);
}

/* Returns an fd or a negative errno. */
static int opener_open_path(const struct opener_task *task)
{
    dev_t number;
    int r = sysfs_find(task->map, task->name, &number);
    CLEANUP_CLOSE int fd = -1;
    char node[128];
    struct stat status;

    if (r < 0)
        return r == -ENOENT ? -EPERM : r;
    snprintf(node, sizeof(node), "%s/%s", host_dev, task->name);
    fd = open(node, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || !host_is_disk(&status) || status.st_rdev != number)
        return -ENOENT;
    return steal_fd(&fd);
}

static void opener_answer(int reply, int fd)
{
    uint8_t bytes[OPENER_REPLY_SIZE];

    store_be32(bytes, fd < 0 ? (uint32_t)-fd : 0);
    fdio_send_fds(reply, bytes, sizeof(bytes), &fd, fd < 0 ? 0 : 1);
}

static void opener_main(struct thread *thread)
{
    struct opener_task *task = (struct opener_task *)thread;
    int fd = opener_open_path(task);

    opener_answer(task->reply, fd);
    cleanup_close(&fd);
    close(task->reply);
    atomic_fetch_sub(&task->opener->threads, 1);
    /* A thread cannot unmap the stack it runs on: each reaps the one that left before it. */
    task = atomic_exchange(&task->opener->last, task);
    if (task)
        thread_reap(&task->thread);
}

static int opener_begin(dev_t map, const char *name, int reply)
{
    struct opener_task *task;
    int r;

    if (atomic_load(&opener.threads) >= OPENER_THREADS_MAX)
        return -EAGAIN;
    task = (struct opener_task *)thread_new(sizeof(*task));
    if (!task)
        return -ENOMEM;
    task->opener = &opener;
    task->map = map;
    task->reply = reply;
    snprintf(task->name, sizeof(task->name), "%s", name);
    atomic_fetch_add(&opener.threads, 1);
    r = thread_start(&task->thread, opener_main, NULL);
    if (r < 0) {
        atomic_fetch_sub(&opener.threads, 1);
        thread_free(&task->thread);
        return r;
    }
    return 0;
}

static void opener_take_map(int fd)
{
    struct sysfs_map map;

    if (sysfs_identify(fd, &map) == 0)
        opener_see(map.uuid);
    close(fd);
}

static void opener_take(const uint8_t *bytes, const struct fdio_message *message)
{
    dev_t number = makedev(load_be32(bytes), load_be32(bytes + 4));
    char name[SYSFS_PATH_NAME_SIZE];
    struct sysfs_map map;
    int r = -EPERM;

    memcpy(name, bytes + 8, sizeof(name));
    name[sizeof(name) - 1] = '\0';
    if (sysfs_identify_number(number, &map) == 0 && opener_has_seen(map.uuid))
        r = opener_begin(number, name, message->fds[0]);
    if (r < 0) {
        opener_answer(message->fds[0], r);
        close(message->fds[0]);
    }
}

/* Maps of which something is remembered: they are repaired before a client comes. */
static void opener_see_remembered(void)
{
    DIR *directory = opendir(host_journal);
    const struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory))) {
        if (strncmp(entry->d_name, "mpath-", 6) == 0 && strlen(entry->d_name) < SYSFS_MAP_UUID_SIZE)
            opener_see(entry->d_name);
    }
    closedir(directory);
}

__attribute__((noreturn)) static void opener_serve(void)
{
    uint8_t bytes[OPENER_REQUEST_SIZE + 1];
    struct fdio_message message;
    ssize_t n;

    while ((n = fdio_receive(OPENER_CHANNEL, bytes, sizeof(bytes), 0, &message)) > 0 ||
           n == -EINTR) {
        if (n == OPENER_REQUEST_SIZE && message.n_fds == 1) {
            opener_take(bytes, &message);
            continue;
        }
        if (n == OPENER_SHOW_SIZE && message.n_fds == 1) {
            opener_take_map(message.fds[0]);
            continue;
        }
        for (unsigned i = 0; i < message.n_fds; i++)
            close(message.fds[i]);
    }
    _exit(EXIT_SUCCESS);
}

int opener_start(void)
{
    char error[128], ready = 1;
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid = fork();
    if (pid < 0) {
        int r = -errno;

        close(pair[0]);
        close(pair[1]);
        return r;
    }
    if (pid == 0) {
        /* In the place of the worker's own channel, whose end of file must not wait for us. */
        if (dup2(pair[1], OPENER_CHANNEL) < 0)
            _exit(EXIT_FAILURE);
        fdio_close_strays(OPENER_CHANNEL + 1);
        opener_see_remembered();
        if (host_drop_rights() < 0 || sandbox_enter(SANDBOX_OPENER, -1, error, sizeof(error)) < 0)
            _exit(EXIT_FAILURE);
        if (send(OPENER_CHANNEL, &ready, 1, MSG_NOSIGNAL) != 1)
            _exit(EXIT_FAILURE);
        opener_serve();
    }
    close(pair[1]);
    /* Confined before the helper is told that there is a worker. */
    if (recv(pair[0], &ready, 1, 0) != 1) {
        close(pair[0]);
        return -ECHILD;
    }
    return pair[0];
}

void opener_show(int channel, int map_fd)
{
    const uint8_t show[OPENER_SHOW_SIZE] = {0};

    (void)!fdio_send_fds(channel, show, sizeof(show), &map_fd, 1);
}

int opener_open(int channel, dev_t map, const char *name)
{
    uint8_t request[OPENER_REQUEST_SIZE] = {0}, answer[OPENER_REPLY_SIZE + 1];
    struct fdio_message message;
    int pair[2], r;
    ssize_t n;

    store_be32(request, major(map));
    store_be32(request + 4, minor(map));
    snprintf((char *)request + 8, SYSFS_PATH_NAME_SIZE, "%s", name);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    r = fdio_send_fds(channel, request, sizeof(request), &pair[1], 1);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    do
        n = fdio_receive(pair[0], answer, sizeof(answer), 0, &message);
    while (n == -EINTR);
    close(pair[0]);
    if (n == OPENER_REPLY_SIZE && message.n_fds == 1)
        return message.fds[0];
    for (unsigned i = 0; i < message.n_fds; i++)
        close(message.fds[i]);
    if (n != OPENER_REPLY_SIZE || message.n_fds > 0 || load_be32(answer) == 0)
        return -EPIPE;
    return -(int)(load_be32(answer) & 0xfff);
}
