// SPDX-License-Identifier: LGPL-2.1-or-later
/* File descriptors: whole reads and writes, and receiving every fd that a message carries. */
#ifndef BASE_FDIO_H
#define BASE_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * recvmsg(2), send(2) and close(2) of each request. Those of the C library are cancellation points,
 * which is some thirty instructions each time in a program with threads, and no thread here is ever
 * cancelled. The sanitizers want to see the library's.
 */
#ifdef SANITIZED
#define FDIO_RECVMSG(sock, message, flags)  recvmsg(sock, message, flags)
#define FDIO_SEND(sock, bytes, size, flags) send(sock, bytes, size, flags)
#define FDIO_CLOSE(fd)                      close(fd)
#else
#define FDIO_RECVMSG(sock, message, flags)  syscall(SYS_recvmsg, sock, message, flags)
#define FDIO_SEND(sock, bytes, size, flags) syscall(SYS_sendto, sock, bytes, size, flags, NULL, 0)
#define FDIO_CLOSE(fd)                      syscall(SYS_close, fd)
#endif

/*
 * There is room for two fds: one more than a message is to have, so that more can be told from one.
 * The kernel would pass 253 (SCM_MAX_FD); those that do not fit it drops inside of the call.
 */
#define FDIO_MESSAGE_FDS_MAX 2

/* What came with the bytes of one recvmsg(2). */
struct fdio_message {
    unsigned n_fds; /* fds received; each is the caller's to close, all are close-on-exec */
    bool fds_lost;  /* the sender attached more, which did not fit or could not be installed here */
    int fds[FDIO_MESSAGE_FDS_MAX];
};

/*
 * Receive up to `size` bytes from stream socket `sock`. flags: MSG_DONTWAIT or 0.
 * Returns the number of bytes (0 = end of file) or a negative errno; ret is set in every case.
 */
ssize_t fdio_receive(int sock, void *bytes, size_t size, int flags, struct fdio_message *ret);

/*
 * Receive up to `size` bytes that come without fds, at once. This drops nothing of what a client
 * has passed, and so can never block. Returns the number of bytes (0 = end of file), -EBUSY if
 * there are fds among what waits to be received, -EAGAIN or another negative errno.
 */
ssize_t fdio_receive_plain(int sock, void *bytes, size_t size);

/* The most fds that fdio_send_fds sends. */
#define FDIO_SEND_FDS_MAX 2

/*
 * Send one message with fds attached on a socket that keeps messages whole. May wait for room, as
 * long as the socket's time-out for sending. Returns 0 or a negative errno.
 */
int fdio_send_fds(int sock, const void *bytes, size_t size, const int *fds, unsigned n_fds);

/* Read until `size` bytes or end of file. Returns the bytes read or a negative errno. */
ssize_t fdio_read_full(int fd, void *bytes, size_t size);

/* Write all of it, in as many calls as needed. Returns 0 or a negative errno. */
int fdio_write_full(int fd, const void *bytes, size_t size);

/*
 * Read a small text file below directory fd `dir` (AT_FDCWD allowed), NUL-terminated, without the
 * final newline; what does not fit is cut. Returns the length or a negative errno.
 */
ssize_t fdio_read_text(int dir, const char *path, char *text, size_t size);

/* The same of what is open already. */
ssize_t fdio_read_text_of(int fd, char *text, size_t size);

/*
 * Lock a file that is open for writing, or give the lock up. The lock belongs to what was opened
 * (F_OFD_SETLK, fcntl(2)), not to the process: closing another fd of the file, as one that a client
 * has passed, leaves it alone, and it goes with the last copy of this fd. Returns 0 or a negative
 * errno, -EAGAIN: another owner has it.
 */
int fdio_lock(int fd);
int fdio_unlock(int fd);

/* Make fds 0, 1 and 2 open, so that no later fd can be taken for standard output. 0 or -errno. */
int fdio_open_standard(void);

/*
 * Close every fd from `first` (above the standard ones) on, as a careless parent may have left some
 * open. What this process holds a lock of stays open, close-on-exec: libvirt starts its programs
 * with a lock of their PID file, and by that lock tells whether there is still one to be ended. It
 * becomes one as that of fdio_lock.
 */
void fdio_close_strays(int first);

/*
 * Give the calling thread a table of fds of its own, with the standard ones and two of `keep` in it
 * (-1: none). What the others of its process have open is closed by their end, then, though
 * this thread may hang in the kernel. Does nothing before Linux 5.9.
 */
void fdio_part(int keep, int keep_too);

/* Point the standard fds at /dev/null. 0 or a negative errno. */
int fdio_null_standard(void);

#endif
