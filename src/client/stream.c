// SPDX-License-Identifier: LGPL-2.1-or-later
/* Nothing here relies on the socket's file status flags, which may belong to its maker. */
#include "client/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

int64_t stream_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? STREAM_NEVER : clock_now_ms() + timeout_ms;
}

int stream_time_left(int64_t deadline)
{
    int64_t left;

    if (deadline == STREAM_NEVER)
        return -1;
    left = deadline - clock_now_ms();
    if (left <= 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static bool stream_is_closed(int error)
{
    /* ECONNRESET: it closed without having read all that we sent. */
    return error == EPIPE || error == ECONNRESET;
}

ssize_t stream_send(int sock, const void *bytes, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof(control.space);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    do
        n = sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return stream_is_closed(errno) ? -EPIPE : -errno;
    return n;
}

static ssize_t stream_receive_with(int sock, struct iovec *iov, size_t n_iov, int flags)
{
    /* Without room for control messages: fds that a helper sends are of no use. */
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = n_iov};
    ssize_t n;

    do
        n = recvmsg(sock, &message, flags | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return stream_is_closed(errno) ? 0 : -errno;
    return n;
}

ssize_t stream_receive(int sock, struct iovec *iov, size_t n_iov)
{
    return stream_receive_with(sock, iov, n_iov, 0);
}

ssize_t stream_peek(int sock)
{
    uint8_t byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};

    return stream_receive_with(sock, &iov, 1, MSG_PEEK);
}
