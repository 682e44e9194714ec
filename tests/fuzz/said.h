// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_FUZZ_SAID_H
#define TESTS_FUZZ_SAID_H

/*
 * For targets whose code asks a daemon by its socket: the process it connects to has already said
 * what the target puts here, and says nothing more. Linked with --wrap=connect.
 */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

static const uint8_t *said_bytes;
static size_t said_size;
static int said_end = -1; /* the daemon's, of the last connection */

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int pair[2];

    (void)address;
    (void)size;
    if (said_end >= 0)
        close(said_end);
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    fuzz_check(send(pair[1], said_bytes, said_size, 0) == (ssize_t)said_size);
    fuzz_check(shutdown(pair[1], SHUT_WR) == 0 && dup3(pair[0], fd, O_CLOEXEC) == fd);
    close(pair[0]);
    said_end = pair[1];
    return 0;
}

/* Bytes that stay the caller's. A socket has to take them at once, which it does to 64 kB. */
static inline void said_set(const uint8_t *bytes, size_t size)
{
    said_bytes = bytes;
    said_size = size;
}

/* What was asked by the connection, which is over now. Returns how many bytes. */
static inline size_t said_asked(uint8_t *bytes, size_t room)
{
    ssize_t n = recv(said_end, bytes, room, MSG_DONTWAIT);

    close(said_end);
    said_end = -1;
    return n > 0 ? (size_t)n : 0;
}

#endif
