// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A message is a size_t in the machine's own byte order, then so many bytes of text with the NUL
 * that ends it; the answer is the same. A connection for each question: there are few.
 *
 * src/mpath has a client of its own. What that one wants is any multipathd that answers, one line,
 * in a fixed buffer and in a time that its command allows. The doctor asks each socket by itself,
 * since which of them answers is what it is after, and for a configuration of any size.
 */
#include "doctor/multipathd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdio.h"

#define MULTIPATHD_SECONDS    10
#define MULTIPATHD_ANSWER_MAX (8u << 20) /* its configuration is some 100 kB */

static const char *const names[MULTIPATHD_SOCKETS] = {
    [MULTIPATHD_ABSTRACT] = "@/org/kernel/linux/storage/multipathd",
    [MULTIPATHD_FILE] = "/run/multipathd.socket",
};

const char *multipathd_name(enum multipathd_socket where)
{
    return names[where];
}

static int multipathd_open(const char *name, int *ret_fd)
{
    static const struct timeval limit = {.tv_sec = MULTIPATHD_SECONDS};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    memcpy(address.sun_path, name, length + 1);
    if (name[0] == '@')
        address.sun_path[0] = '\0'; /* and no NUL at the end, which would belong to the name */
    else
        length++;
    if (connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
        r = errno == EAGAIN ? -ETIMEDOUT : -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int multipathd_receive(int fd, void *data, size_t size)
{
    ssize_t n = fdio_read_full(fd, data, size);

    if (n == -EAGAIN)
        return -ETIMEDOUT;
    return n < 0 ? (int)n : (size_t)n < size ? -EPROTO : 0;
}

static int multipathd_send(int fd, const void *data, size_t size)
{
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return (size_t)n < size ? -EPROTO : 0;
}

static int multipathd_exchange(int fd, const char *command, char **ret_answer)
{
    size_t size = strlen(command) + 1;
    char *answer;
    int r = multipathd_send(fd, &size, sizeof(size));

    if (r == 0)
        r = multipathd_send(fd, command, size);
    if (r == 0)
        r = multipathd_receive(fd, &size, sizeof(size));
    if (r < 0)
        return r;
    if (size > MULTIPATHD_ANSWER_MAX)
        return -EPROTO;
    answer = malloc(size + 1);
    if (!answer)
        return -ENOMEM;
    r = multipathd_receive(fd, answer, size);
    if (r < 0) {
        free(answer);
        return r;
    }
    answer[size] = '\0';
    for (size_t length = strlen(answer); length > 0 && answer[length - 1] == '\n';)
        answer[--length] = '\0';
    *ret_answer = answer;
    return 0;
}

int multipathd_ask(enum multipathd_socket where, const char *command, char **ret_answer)
{
    int fd = -1, r = multipathd_open(names[where], &fd);

    if (r < 0)
        return r;
    if (command)
        r = multipathd_exchange(fd, command, ret_answer);
    close(fd);
    return r;
}
