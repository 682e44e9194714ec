// SPDX-License-Identifier: LGPL-2.1-or-later
/* File descriptors: what O_PATH forbids, and how they travel over a socket. */
#include "probe.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define MOST_FDS 253

/* An fd opened with O_PATH names a device, and no call gets through it to the driver. */
static void probe_o_path(void)
{
    struct winsize size = {.ws_row = 11}, other = {.ws_row = 22};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int unlock = 0, number, path, r, error;
    struct stat status;
    char name[32];

    if (master < 0) {
        probe_skip("helper/backend_sg.c", "ioctl(2) on an O_PATH fd fails with EBADF",
                   "no terminal to try it on");
        return;
    }
    need(ioctl(master, TIOCSPTLCK, &unlock) == 0 && ioctl(master, TIOCGPTN, &number) == 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", number);
    need(ioctl(master, TIOCSWINSZ, &size) == 0);
    path = open(name, O_PATH);
    need(path >= 0);
    r = ioctl(path, TIOCSWINSZ, &other);
    error = errno;
    need(ioctl(master, TIOCGWINSZ, &size) == 0);
    probe(r < 0 && error == EBADF && size.ws_row == 11, "helper/backend_sg.c",
          "ioctl(2) on an O_PATH fd fails with EBADF and does not reach the driver");
    probe(fstat(path, &status) == 0 && S_ISCHR(status.st_mode), "sg/device.c",
          "fstat(2) on an O_PATH fd tells the device");
    probe((fcntl(path, F_GETFL) & O_ACCMODE) == O_RDONLY, "helper/route.c",
          "the access mode of an O_PATH fd reads as O_RDONLY");
    close(path);
    close(master);
}

static ssize_t send_with_fds(int sock, const char *bytes, size_t size, unsigned n_fds)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * (MOST_FDS + 1))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &sock, sizeof(int));
    }
    return sendmsg(sock, &message, MSG_NOSIGNAL);
}

/* Receive up to `size` bytes; close the fds that come, and count them. */
static ssize_t receive(int sock, size_t size, unsigned *ret_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * MOST_FDS)];
    } control;
    char bytes[64];
    struct iovec iov = {bytes, size};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(sock, &message, MSG_DONTWAIT);

    *ret_fds = 0;
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&message); c;
         c = CMSG_NXTHDR(&message, c)) {
        *ret_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < *ret_fds; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            close(fd);
        }
    }
    return n;
}

static void probe_messages(void)
{
    unsigned first, second;
    int pair[2];

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    need(send_with_fds(pair[0], "a", 1, 1) == 1 && send_with_fds(pair[0], "b", 1, 2) == 1);
    probe(receive(pair[1], 64, &first) == 1 && first == 1 && receive(pair[1], 64, &second) == 1 &&
              second == 2,
          "base/fdio.c", "recvmsg(2) never merges two messages that carry fds");
    need(send_with_fds(pair[0], "a", 1, 1) == 1 && send_with_fds(pair[0], "b", 1, 0) == 1);
    probe(receive(pair[1], 64, &first) == 1 && first == 1 && receive(pair[1], 64, &second) == 1 &&
              second == 0,
          "serve/conn.c", "recvmsg(2) stops behind a message that carries fds");
    need(send_with_fds(pair[0], "abcd", 4, 3) == 4);
    probe(receive(pair[1], 2, &first) == 2 && first == 3 && receive(pair[1], 64, &second) == 2 &&
              second == 0,
          "serve/conn.c", "the fds of a message come with the first of its bytes that are read");
    probe(send_with_fds(pair[0], "a", 1, MOST_FDS) == 1 && receive(pair[1], 64, &first) == 1 &&
              first == MOST_FDS && send_with_fds(pair[0], "a", 1, MOST_FDS + 1) < 0 &&
              errno == EINVAL,
          "base/fdio.h", "a message carries at most 253 fds");
    close(pair[0]);
    close(pair[1]);
}

/* What a stop does to each connection. */
static void probe_shutdown(void)
{
    unsigned first, second;
    bool readable, end;
    int pair[2];

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    need(send_with_fds(pair[0], "a", 1, 1) == 1 && send_with_fds(pair[0], "bc", 2, 2) == 2);
    need(shutdown(pair[1], SHUT_RD) == 0);
    probe(send_with_fds(pair[0], "d", 1, 0) < 0 && errno == EPIPE, "serve/conns.c",
          "after shutdown(SHUT_RD) the peer's next send fails with EPIPE");
    readable = receive(pair[1], 64, &first) == 1 && first == 1 &&
               receive(pair[1], 64, &second) == 2 && second == 2;
    end = receive(pair[1], 64, &first) == 0;
    probe(readable && end, "serve/conns.c",
          "shutdown(SHUT_RD) leaves queued bytes and fds readable, and then there is the end");
    probe(send(pair[1], "e", 1, MSG_NOSIGNAL) == 1 && receive(pair[0], 64, &first) == 1,
          "serve/conn.c", "after shutdown(SHUT_RD) a reply can still be sent");
    close(pair[0]);
    close(pair[1]);
}

static void probe_receive_timeout(void)
{
    const struct timeval five_ms = {.tv_usec = 5000};
    unsigned n_fds;
    int pair[2];
    char byte;

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    need(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &five_ms, sizeof(five_ms)) == 0);
    alarm(10); /* ends this program if the next call waits for ever */
    probe(recv(pair[1], &byte, 1, 0) < 0 && errno == EAGAIN, "serve/conn.c",
          "SO_RCVTIMEO ends a blocking receive with EAGAIN");
    alarm(0);
    need(send(pair[0], "a", 1, 0) == 1);
    probe(receive(pair[1], 1, &n_fds) == 1, "serve/conn.c",
          "SO_RCVTIMEO leaves MSG_DONTWAIT what it is");
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    probe_o_path();
    probe_messages();
    probe_shutdown();
    probe_receive_timeout();
    return probe_end();
}
