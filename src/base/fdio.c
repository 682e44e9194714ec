// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls here retry on EINTR and do nothing else on their own. A message may carry more fds than
 * the receiver wants to have in its table: there is room for two, and the kernel drops the others,
 * which MSG_CTRUNC tells. (Room for one would be room for two where the padding of a control
 * message holds a second int, on 64-bit.) To drop an fd may be to close a file, so a receive may
 * block; it cannot if the bytes carry none, and to learn that they are looked at first without
 * taking them: a look has references of its own to what is passed, and never drops the last one.
 */
#include "base/fdio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

ssize_t fdio_receive(int sock, void *bytes, size_t size, int flags, struct fdio_message *ret)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDIO_MESSAGE_FDS_MAX)];
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof(control.space),
    };
    ssize_t n;

    ret->n_fds = 0;
    ret->fds_lost = false;

    do
        n = FDIO_RECVMSG(sock, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        if (c->cmsg_len == CMSG_LEN(sizeof(int)) && ret->n_fds == 0) { /* the usual */
            memcpy(ret->fds, CMSG_DATA(c), sizeof(int));
            ret->n_fds = 1;
            continue;
        }
        size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (n_fds > FDIO_MESSAGE_FDS_MAX - ret->n_fds)
            n_fds = FDIO_MESSAGE_FDS_MAX - ret->n_fds; /* cannot be: the buffer has no more room */
        memcpy(ret->fds + ret->n_fds, CMSG_DATA(c), n_fds * sizeof(int));
        ret->n_fds += (unsigned)n_fds;
    }
    ret->fds_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    return n;
}

ssize_t fdio_receive_plain(int sock, void *bytes, size_t size)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    do
        n = recvmsg(sock, &message, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    if (message.msg_flags & MSG_CTRUNC)
        return -EBUSY;
    /* The kernel looks on behind the last byte, up to the first fds. What has come since may carry
     * some: no more is taken than was looked at. */
    do
        n = recv(sock, bytes, (size_t)n, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int fdio_send_fds(int sock, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * FDIO_SEND_FDS_MAX)];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (n_fds > FDIO_SEND_FDS_MAX)
        return -EINVAL;
    if (n_fds > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
    }
    do
        n = sendmsg(sock, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

ssize_t fdio_read_full(int fd, void *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, (char *)bytes + done, size - done);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    return (ssize_t)done;
}

int fdio_write_full(int fd, const void *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    return 0;
}

ssize_t fdio_read_text(int dir, const char *path, char *text, size_t size)
{
    CLEANUP_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    return fd < 0 ? -errno : fdio_read_text_of(fd, text, size);
}

ssize_t fdio_read_text_of(int fd, char *text, size_t size)
{
    ssize_t n = fdio_read_full(fd, text, size - 1);

    if (n < 0)
        return n;
    if (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    return n;
}

int fdio_open_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* The lowest free number is the one just found closed: those below it are open. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            return -errno;
    }
    return 0;
}

static int fdio_set_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

int fdio_lock(int fd)
{
    return fdio_set_lock(fd, F_WRLCK);
}

int fdio_unlock(int fd)
{
    return fdio_set_lock(fd, F_UNLCK);
}

/*
 * Closing any fd of a file gives up all of a process's locks of it (fcntl(2)), and clients may pass
 * one. So the process's lock becomes one of an open file description, and of a new one, since the
 * parent may have a copy of this. For an instant between the two there is none: they exclude each
 * other even within a process. Where the file cannot be opened again, the lock stays what it was.
 */
static void fdio_adopt_lock(int fd, struct flock lock)
{
    struct flock released = lock;
    char path[32];
    int flags = fcntl(fd, F_GETFL);
    int own;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = flags < 0 ? -1 : open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    released.l_type = F_UNLCK;
    lock.l_pid = 0;
    if (fcntl(fd, F_SETLK, &released) == 0 && fcntl(own, F_OFD_SETLK, &lock) == 0) {
        dup3(own, fd, O_CLOEXEC);
        close(own);
        return;
    }
    close(own); /* and with that any lock of the process */
    (void)fcntl(fd, F_SETLK, &lock);
}

/* To an open file description the locks of its own process are those of another owner, so
 * F_OFD_GETLK tells them. */
static bool fdio_is_locked_by_us(int fd, struct flock *ret_lock)
{
    *ret_lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, ret_lock) == 0 && ret_lock->l_type != F_UNLCK &&
           ret_lock->l_pid == getpid();
}

/* Not every C library has it. */
static int fdio_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

void fdio_close_strays(int first)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (!directory) {
        fdio_close_range((unsigned)first, UINT_MAX, 0);
        return;
    }
    while ((entry = readdir(directory))) {
        int fd = atoi(entry->d_name); /* 0 for . and .. */
        struct flock lock;

        if (fd < first || fd == dirfd(directory))
            continue;
        if (fdio_is_locked_by_us(fd, &lock)) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            fdio_adopt_lock(fd, lock);
        } else {
            close(fd);
        }
    }
    closedir(directory);
}

void fdio_part(int keep, int keep_too)
{
    const int kept[] = {keep < keep_too ? keep : keep_too, keep < keep_too ? keep_too : keep};
    unsigned from = STDERR_FILENO + 1;

    for (size_t i = 0; i < 2; i++) {
        if (kept[i] < (int)from)
            continue;
        if (kept[i] > (int)from)
            fdio_close_range(from, (unsigned)kept[i] - 1, CLOSE_RANGE_UNSHARE);
        from = (unsigned)kept[i] + 1;
    }
    fdio_close_range(from, UINT_MAX, CLOSE_RANGE_UNSHARE);
}

int fdio_null_standard(void)
{
    CLEANUP_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return -errno;
    for (int fd = 0; fd <= 2; fd++) {
        if (dup2(null, fd) < 0)
            return -errno;
    }
    return 0;
}
