// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_CLIENT_PEER_H
#define TESTS_CLIENT_PEER_H

/*
 * A helper that is played by the test itself, in the same thread: no matter what the library does
 * in between cannot wait for it, or the test would never end.
 */

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdio.h"
#include "session.h"

static inline void peer_say(int sock, const void *bytes, size_t size)
{
    assert_int_equal(send(sock, bytes, size, MSG_NOSIGNAL), size);
}

/* Exactly `size` bytes, which are there; *ret_fd, unless NULL, is the fd that came with them, -1:
 * none. */
static inline void peer_take(int sock, uint8_t *bytes, size_t size, int *ret_fd)
{
    struct fdio_message message;
    size_t done = 0;

    if (ret_fd)
        *ret_fd = -1;
    while (done < size) {
        ssize_t n = fdio_receive(sock, bytes + done, size - done, MSG_DONTWAIT, &message);

        assert_true(n > 0);
        assert_true(message.n_fds <= 1);
        if (message.n_fds == 1 && ret_fd)
            *ret_fd = message.fds[0];
        else if (message.n_fds == 1)
            close(message.fds[0]);
        done += (size_t)n;
    }
}

static inline void peer_finds_nothing(int sock)
{
    uint8_t byte;

    assert_int_equal(recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
}

static inline void peer_reply(int sock, uint32_t status, uint32_t size)
{
    struct reply_bytes reply = make_reply(status, size);

    peer_say(sock, reply.bytes, HEAD_BYTES + size);
}

static inline void peer_shake_hands(int sock, struct prhelper *helper)
{
    uint8_t answer[4];

    peer_say(sock, "\0\0\0\1", 4);
    assert_int_equal(prhelper_continue(helper), 0);
    peer_take(sock, answer, sizeof(answer), NULL);
}

/* A connection that is ready, and its other end. */
static inline struct prhelper *peer_adopt(int *ret_sock)
{
    struct prhelper *helper = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(prhelper_start_adopt(pair[1], PRHELPER_FEATURES, LONG_MS, &helper),
                     PRHELPER_PENDING);
    peer_shake_hands(pair[0], helper);
    *ret_sock = pair[0];
    return helper;
}

static inline int peer_listen(const char *path, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    assert_true(sock >= 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(sock, backlog), 0);
    return sock;
}

static inline int peer_accept(int listener)
{
    int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    assert_true(sock >= 0);
    return sock;
}

/* What a caller waits for. */
static inline void assert_waits(const struct prhelper *helper, int events, bool has_timeout)
{
    assert_int_equal(prhelper_events(helper), events);
    assert_int_equal(prhelper_fd(helper) >= 0, events != 0);
    assert_int_equal(prhelper_timeout(helper) >= 0, has_timeout);
}

static inline int start_prin(struct prhelper *helper, int device, struct prhelper_result *result)
{
    return prhelper_start_execute(helper, device, prin_cdb, sizeof(prin_cdb), NULL, 0, result);
}

static inline int start_prout(struct prhelper *helper, int device, struct prhelper_result *result)
{
    return prhelper_start_execute(helper, device, prout_cdb, sizeof(prout_cdb), parameters,
                                  sizeof(parameters), result);
}

/* Nothing of a command can leave any more; returns the number of bytes that are in the way. */
static inline size_t peer_block(int sock)
{
    static const uint8_t rubbish[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = send(sock, rubbish, sizeof(rubbish), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        total += (size_t)n;
    return total;
}

static inline void peer_drain(int sock, size_t size)
{
    uint8_t bytes[4096];

    while (size > 0) {
        ssize_t n = recv(sock, bytes, size < sizeof(bytes) ? size : sizeof(bytes), 0);

        assert_true(n > 0);
        size -= (size_t)n;
    }
}

#endif
