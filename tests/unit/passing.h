// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_PASSING_H
#define TESTS_UNIT_PASSING_H

/* The sender's side of fd passing, and ways to see what became of the fds. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fdio.h"
#include "cmocka_compat.h"

/* More than the kernel lets a message carry (SCM_MAX_FD, 253). */
#define PASSING_FDS_MAX 254

/* Send `size` bytes with fd attached n_fds times, in one message. sendmsg(2)'s result or -errno. */
static inline ssize_t send_fds(int sock, const void *bytes, size_t size, int fd, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * PASSING_FDS_MAX)];
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    memset(&control, 0, sizeof(control));
    if (n_fds > 0) {
        struct cmsghdr *header = &control.align;

        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(fd));
    }
    n = sendmsg(sock, &message, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* How many fds this process has open. */
static inline unsigned count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n - 3; /* . and .. and the directory itself */
}

static struct rlimit fd_room_before;

/* Let this process open `room` more fds and no more, until fd_room_restore(). */
static inline void fd_room_limit(unsigned room)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &fd_room_before), 0);
    limit = fd_room_before;
    /* The limit is on numbers, and below it there may be any number of free ones. */
    for (limit.rlim_cur = 0;; limit.rlim_cur++) {
        if (fcntl((int)limit.rlim_cur, F_GETFD) < 0 && room-- == 0)
            break;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static inline void fd_room_restore(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &fd_room_before), 0);
}

/*
 * An fd whose copies can be followed: the write end of a pipe. The read end is at end of file once
 * the last copy is closed, wherever it was.
 */
struct traced_fd {
    int fd;
    int read_end;
};

static inline struct traced_fd traced_fd_open(void)
{
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    return (struct traced_fd){.fd = pair[1], .read_end = pair[0]};
}

#endif
