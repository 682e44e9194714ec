// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every call here tries first and waits only if it has to, and it never relies on the socket's file
 * status flags, which belong to whoever made the socket. Without a deadline a receiver blocks in
 * recvmsg(2) itself, so that the usual command costs two system calls and no poll(2).
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "client/connection.h"

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

/* Wait until the socket is ready for `events`, or has failed, which the next call will tell. */
static int stream_wait(int sock, short events, int64_t deadline)
{
    struct pollfd pollfd = {.fd = sock, .events = events};
    int n;

    do
        n = poll(&pollfd, 1, stream_time_left(deadline));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

static bool stream_is_closed(int error)
{
    /* ECONNRESET: it closed without having read all that we sent. */
    return error == EPIPE || error == ECONNRESET;
}

int stream_send(int sock, const void *bytes, size_t size, int fd, int64_t deadline,
                size_t *ret_sent)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    size_t sent = 0;
    int r = 0;

    while (sent < size) {
        struct iovec iov = {.iov_base = (char *)bytes + sent, .iov_len = size - sent};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0 && sent == 0) {
            message.msg_control = control.space;
            message.msg_controllen = sizeof(control.space);
            control.header.cmsg_level = SOL_SOCKET;
            control.header.cmsg_type = SCM_RIGHTS;
            control.header.cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        }
        n = sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            r = stream_is_closed(errno) ? PRHELPER_CLOSED : -errno;
            break;
        }
        r = stream_wait(sock, POLLOUT, deadline);
        if (r < 0)
            break;
    }
    *ret_sent = sent;
    return r;
}

ssize_t stream_receive(int sock, struct iovec *iov, size_t n_iov, int64_t deadline)
{
    /* Without room for control messages: fds that a helper sends are no use to anybody. */
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = n_iov};
    int flags = deadline == STREAM_NEVER ? 0 : MSG_DONTWAIT;

    for (;;) {
        ssize_t n = recvmsg(sock, &message, flags);
        int r;

        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        if (stream_is_closed(errno))
            return 0;
        if (errno != EAGAIN)
            return -errno;
        r = stream_wait(sock, POLLIN, deadline);
        if (r < 0)
            return r;
    }
}
