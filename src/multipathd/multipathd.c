// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A message is a size_t in the machine's own byte order, then so many bytes of text with the NUL
 * that ends it; the answer is the same.
 */
#include "multipathd/multipathd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define MULTIPATHD_ASK_MS      10000
#define MULTIPATHD_ANSWER_MAX  (8u << 20) /* its configuration is some 100 kB */
#define MULTIPATHD_COMMAND_MAX 1024       /* bytes; a list of 64 paths has 600 */

static const char *const multipathd_names[MULTIPATHD_SOCKETS] = {
    [MULTIPATHD_ABSTRACT] = "@/org/kernel/linux/storage/multipathd",
    [MULTIPATHD_FILE] = "/run/multipathd.socket",
};

const char *multipathd_name(enum multipathd_socket where)
{
    return multipathd_names[where];
}

int multipathd_connect(const char *name, int timeout_ms)
{
    const struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    CLEANUP_CLOSE int fd = -1;

    if (length == 0 || length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0'; /* and no NUL at the end, which would belong to the name */
    else
        length++;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* While the queue of the listener is full connect() waits; this is the limit of that. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
        connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return steal_fd(&fd);
}

static int multipathd_wait(int fd, short events, int64_t deadline_ms)
{
    struct pollfd one = {.fd = fd, .events = events};
    int64_t left = deadline_ms - clock_now_ms();
    int n;

    if (left <= 0)
        return -ETIMEDOUT;
    n = poll(&one, 1, left < INT_MAX ? (int)left : INT_MAX);
    if (n < 0 && errno != EINTR)
        return -errno;
    return 0;
}

static int multipathd_send(int fd, const uint8_t *bytes, size_t size, int64_t deadline_ms)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        int r = 0;

        if (n >= 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            r = multipathd_wait(fd, POLLOUT, deadline_ms);
        } else if (errno != EINTR) {
            r = -errno;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int multipathd_receive(int fd, void *data, size_t size, int64_t deadline_ms)
{
    uint8_t *bytes = data;

    while (size > 0) {
        ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);
        int r = 0;

        if (n == 0)
            return -EPROTO;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            r = multipathd_wait(fd, POLLIN, deadline_ms);
        } else if (errno != EINTR) {
            r = -errno;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

int multipathd_exchange(int fd, const char *command, int timeout_ms, size_t max, char **ret_answer)
{
    int64_t deadline_ms = clock_now_ms() + timeout_ms;
    uint8_t message[sizeof(size_t) + MULTIPATHD_COMMAND_MAX];
    size_t size = strlen(command) + 1;
    CLEANUP_FREE char *answer = NULL;
    int r;

    if (size > MULTIPATHD_COMMAND_MAX)
        return -EMSGSIZE;
    memcpy(message, &size, sizeof(size));
    memcpy(message + sizeof(size), command, size);
    r = multipathd_send(fd, message, sizeof(size) + size, deadline_ms);
    if (r == 0)
        r = multipathd_receive(fd, &size, sizeof(size), deadline_ms);
    if (r < 0)
        return r;
    if (size > max)
        return -EPROTO;
    answer = malloc(size + 1);
    if (!answer)
        return -ENOMEM;
    r = multipathd_receive(fd, answer, size, deadline_ms);
    if (r < 0)
        return r;
    answer[size] = '\0';
    for (size_t length = strlen(answer); length > 0 && answer[length - 1] == '\n';)
        answer[--length] = '\0';
    *ret_answer = steal_pointer(&answer);
    return 0;
}

bool multipathd_is_quiet(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int multipathd_ask(enum multipathd_socket where, const char *command, char **ret_answer)
{
    CLEANUP_CLOSE int fd = multipathd_connect(multipathd_names[where], MULTIPATHD_ASK_MS);

    if (fd < 0)
        return fd;
    return command ? multipathd_exchange(fd, command, MULTIPATHD_ASK_MS, MULTIPATHD_ANSWER_MAX,
                                         ret_answer)
                   : 0;
}
