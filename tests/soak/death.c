// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To a helper a process that is killed is a connection that ends, and a pid that it may just be
 * looking up. Most deaths are played by closing the connection; some are a real process's.
 */
#include "death.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connection.h"
#include "counts.h"

#define BY_SIGNAL_PERCENT 15
#define WAIT_MAX_MS       60
#define REPLY_HEAD        104
#define FD_HIGH           512 /* above all fds of this program */

struct death death_plan(struct dice *dice, const struct request *request)
{
    struct death death = {
        .point = (enum death_point)dice_below(dice, DEATH_REPLY + 1),
        .by_signal = dice_chance(dice, BY_SIGNAL_PERCENT),
        .fds = request->fd == REQUEST_FD_NONE  ? 0
               : request->fd == REQUEST_FD_TWO ? 2
                                               : 1,
        .wait_ms = dice_below(dice, WAIT_MAX_MS),
    };

    if (death.point == DEATH_LIST && request->list_size == 0)
        death.point = DEATH_CDB;
    switch (death.point) {
    case DEATH_HANDSHAKE:
        death.bytes = dice_below(dice, CONNECTION_HANDSHAKE);
        break;
    case DEATH_CDB:
        death.bytes = dice_below(dice, REQUEST_CDB_SIZE);
        if (dice_chance(dice, 30))
            death.fds = 0;
        break;
    case DEATH_LIST:
        death.bytes = dice_below(dice, (unsigned)request->list_size);
        break;
    case DEATH_REPLY:
        death.bytes = dice_between(dice, 1, REPLY_HEAD);
        break;
    default:
        break;
    }
    return death;
}

bool death_completes(const struct death *death)
{
    return death->point >= DEATH_SENT;
}

/* Up to the point of death. */
static void death_live(const struct death *death, int fd, const struct request *request,
                       const int *fds)
{
    struct pollfd reply = {.fd = fd, .events = POLLIN};
    char buffer[REPLY_HEAD] = {0};
    size_t received;

    if (death->point == DEATH_GREETING ||
        connection_receive(fd, buffer, CONNECTION_HANDSHAKE, &received) != CONNECTION_OK)
        return;
    if (connection_send(fd, (char[CONNECTION_HANDSHAKE]){0},
                        death->point == DEATH_HANDSHAKE ? death->bytes : CONNECTION_HANDSHAKE, NULL,
                        0) != CONNECTION_OK ||
        death->point == DEATH_HANDSHAKE)
        return;
    if (connection_send(fd, request->cdb,
                        death->point == DEATH_CDB ? death->bytes : sizeof(request->cdb), fds,
                        death->fds) != CONNECTION_OK ||
        death->point == DEATH_CDB)
        return;
    if (connection_send(fd, request->list,
                        death->point == DEATH_LIST ? death->bytes : request->list_size, NULL,
                        0) != CONNECTION_OK)
        return;
    if (death->point == DEATH_WAITING)
        poll(&reply, 1, (int)death->wait_ms);
    else if (death->point == DEATH_REPLY)
        connection_receive(fd, buffer, death->bytes, &received);
}

/* In a child of a process with other threads, so by system calls alone. */
_Noreturn static void death_by_signal(const struct death *death, const char *path,
                                      unsigned patience_s, const struct request *request,
                                      const int *fds)
{
    int kept[2], fd;

    for (unsigned i = 0; i < 2; i++)
        kept[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_HIGH);
    close_range(STDERR_FILENO + 1, FD_HIGH - 1, 0); /* others' connections end when they do */
    fd = connection_open(path, patience_s);
    if (fd >= 0)
        death_live(death, fd, request, kept);
    kill(getpid(), SIGKILL);
    _exit(1);
}

void death_die(const struct death *death, const char *path, unsigned patience_s,
               const struct request *request, const int *fds)
{
    pid_t child = death->by_signal ? fork() : -1;
    int fd;

    count(COUNT_DEATH_GREETING + (enum count)death->point);
    if (child == 0)
        death_by_signal(death, path, patience_s, request, fds);
    if (child > 0) {
        count(COUNT_DEATH_PROCESS);
        waitpid(child, NULL, 0);
        return;
    }
    fd = connection_open(path, patience_s);
    if (fd >= 0) {
        death_live(death, fd, request, fds);
        close(fd);
    }
}
