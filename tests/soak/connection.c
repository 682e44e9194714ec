// SPDX-License-Identifier: LGPL-2.1-or-later
/* Blocking, with the time-outs of the socket. */
#include "connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 2

int connection_open(const char *path, unsigned patience_s)
{
    const struct timeval patience = {.tv_sec = patience_s};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

enum connection_result connection_send(int fd, const void *bytes, size_t size, const int *fds,
                                       unsigned n)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (n > 0) {
        struct cmsghdr *header;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    }
    while (part.iov_len > 0) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

        if (sent < 0)
            return errno == EAGAIN ? CONNECTION_TIMEOUT : CONNECTION_ENDED;
        part.iov_base = (char *)part.iov_base + sent;
        part.iov_len -= (size_t)sent;
        message.msg_control = NULL; /* fds go with the first byte */
        message.msg_controllen = 0;
    }
    return CONNECTION_OK;
}

enum connection_result connection_receive(int fd, void *bytes, size_t size, size_t *ret_received)
{
    *ret_received = 0;
    while (*ret_received < size) {
        ssize_t got = recv(fd, (char *)bytes + *ret_received, size - *ret_received, 0);

        if (got < 0 && errno == EAGAIN)
            return CONNECTION_TIMEOUT;
        if (got <= 0)
            return CONNECTION_ENDED;
        *ret_received += (size_t)got;
    }
    return CONNECTION_OK;
}
