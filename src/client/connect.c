// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From a path to a connection. connect(2) on a unix socket either succeeds or fails at once; with
 * EAGAIN if the helper's queue of new clients is full, and then poll(2) cannot tell when to try
 * again (unix_stream_connect() in net/unix/af_unix.c). So it is tried every now and then. Behind it
 * comes the handshake, in which the helper speaks first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/connection.h"
#include "client/stream.h"

_Static_assert(PRHELPER_CDB_MAX == WIRE_CDB_SIZE && PRHELPER_DATA_MAX == WIRE_DATA_MAX &&
                   PRHELPER_SENSE_MAX == SENSE_SIZE &&
                   PRHELPER_FEATURE_CLEANUP == WIRE_FEATURE_CLEANUP,
               "the public header repeats the protocol's numbers");

/* Pauses before another try while the queue is full: twice as long each time. */
#define BACKLOG_MIN_MS 1
#define BACKLOG_MAX_MS 64

/* Nothing of a handshake or an answer to it has been seen yet. */
static void connect_begin_handshake(struct prhelper *helper)
{
    helper->handshaken = 0;
    helper->state = CONNECTION_GREETING;
}

int connect_dial(struct prhelper *helper)
{
    CLEANUP_CLOSE int sock = -1;
    int64_t now = clock_now_ms();
    int r;

    if (now < helper->wake)
        return PRHELPER_PENDING;
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    do
        r = connect(sock, (const struct sockaddr *)&helper->address, sizeof(helper->address));
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) {
        helper->backlog_ms = helper->backlog_ms < BACKLOG_MAX_MS
                                 ? 2 * helper->backlog_ms + BACKLOG_MIN_MS
                                 : BACKLOG_MAX_MS;
        helper->wake = now + helper->backlog_ms;
        return PRHELPER_PENDING;
    }
    if (r < 0)
        return -errno;
    helper->backlog_ms = 0;
    helper->sock = steal_fd(&sock);
    connect_begin_handshake(helper);
    return 0;
}

int connect_receive_greeting(struct prhelper *helper)
{
    struct iovec iov = {.iov_base = helper->handshake + helper->handshaken,
                        .iov_len = sizeof(helper->handshake) - helper->handshaken};
    ssize_t n = stream_receive(helper->sock, &iov, 1);

    if (n == -EAGAIN)
        return PRHELPER_PENDING;
    if (n < 0)
        return (int)n;
    if (n == 0)
        return helper->handshaken == 0 ? PRHELPER_CLOSED : PRHELPER_CUT;
    helper->handshaken += (size_t)n;
    if (helper->handshaken == sizeof(helper->handshake)) {
        helper->features = helper->wanted & load_be32(helper->handshake);
        wire_encode_features(helper->handshake, helper->features);
        helper->handshaken = 0;
        helper->state = CONNECTION_ANSWERING;
    }
    return 0;
}

int connect_answer(struct prhelper *helper)
{
    ssize_t n = stream_send(helper->sock, helper->handshake + helper->handshaken,
                            sizeof(helper->handshake) - helper->handshaken, -1);

    if (n == -EAGAIN)
        return PRHELPER_PENDING;
    if (n < 0)
        return n == -EPIPE ? PRHELPER_CLOSED : (int)n;
    helper->handshaken += (size_t)n;
    if (helper->handshaken == sizeof(helper->handshake))
        helper->state = helper->result ? CONNECTION_SENDING : CONNECTION_IDLE;
    return 0;
}

static struct prhelper *connect_allocate(uint32_t features)
{
    struct prhelper *helper = malloc(sizeof(*helper));

    if (!helper)
        return NULL;
    memset(helper, 0, offsetof(struct prhelper, message));
    helper->sock = helper->device = -1;
    helper->wanted = features;
    helper->timeout_ms = PRHELPER_FOREVER;
    helper->deadline = STREAM_NEVER;
    return helper;
}

/* Make it and begin. *ret_helper is set for 0 and PENDING; its socket is borrowed still. */
static int connect_start_adopt(int socket_fd, uint32_t features, int timeout_ms,
                               struct prhelper **ret_helper)
{
    CLEANUP_FREE struct prhelper *helper = NULL;
    int r;

    if (socket_fd < 0 || (features & ~PRHELPER_FEATURES))
        return PRHELPER_BAD_ARGUMENT;
    helper = connect_allocate(features);
    if (!helper)
        return -ENOMEM;
    helper->sock = socket_fd;
    helper->borrowed = true;
    helper->deadline = stream_deadline(timeout_ms);
    connect_begin_handshake(helper);
    r = connection_advance(helper);
    if (r == 0 || r == PRHELPER_PENDING)
        *ret_helper = steal_pointer(&helper);
    return r;
}

int prhelper_start_adopt(int socket_fd, uint32_t features, int timeout_ms,
                         struct prhelper **ret_helper)
{
    struct prhelper *helper;
    int r = connect_start_adopt(socket_fd, features, timeout_ms, &helper);

    if (r == 0 || r == PRHELPER_PENDING) {
        helper->borrowed = false;
        *ret_helper = helper;
    }
    return r;
}

int prhelper_adopt(int socket_fd, uint32_t features, int timeout_ms, struct prhelper **ret_helper)
{
    struct prhelper *helper = NULL;
    int r = connect_start_adopt(socket_fd, features, timeout_ms, &helper);

    if (helper)
        r = connection_wait(helper, r);
    if (r != 0) {
        prhelper_close(helper);
        return r;
    }
    helper->borrowed = false;
    *ret_helper = helper;
    return 0;
}

int prhelper_start_connect(const char *path, uint32_t features, int timeout_ms,
                           struct prhelper **ret_helper)
{
    CLEANUP_FREE struct prhelper *helper = NULL;
    int r;

    if (!path || !*path || (features & ~PRHELPER_FEATURES))
        return PRHELPER_BAD_ARGUMENT;
    if (strlen(path) >= sizeof(helper->address.sun_path))
        return -ENAMETOOLONG;
    helper = connect_allocate(features);
    if (!helper)
        return -ENOMEM;
    helper->address.sun_family = AF_UNIX;
    strcpy(helper->address.sun_path, path);
    helper->deadline = stream_deadline(timeout_ms);
    helper->state = CONNECTION_PAUSED;
    r = connection_advance(helper);
    if (r == 0 || r == PRHELPER_PENDING)
        *ret_helper = steal_pointer(&helper);
    return r;
}

int prhelper_connect(const char *path, uint32_t features, int timeout_ms,
                     struct prhelper **ret_helper)
{
    struct prhelper *helper = NULL;
    int r = prhelper_start_connect(path, features, timeout_ms, &helper);

    if (helper)
        r = connection_wait(helper, r);
    if (r == 0)
        *ret_helper = helper;
    else
        prhelper_close(helper);
    return r;
}

int prhelper_custom(prhelper_execute_function *execute, void *context, struct prhelper **ret_helper)
{
    struct prhelper *helper;

    if (!execute)
        return PRHELPER_BAD_ARGUMENT;
    helper = connect_allocate(PRHELPER_FEATURES);
    if (!helper)
        return -ENOMEM;
    helper->state = CONNECTION_IDLE;
    helper->features = PRHELPER_FEATURES;
    helper->execute = execute;
    helper->context = context;
    *ret_helper = helper;
    return 0;
}

void prhelper_close(struct prhelper *helper)
{
    if (!helper)
        return;
    connection_drop(helper);
    if (helper->device_is_ours)
        cleanup_close(&helper->device);
    free(helper);
}

uint32_t prhelper_features(const struct prhelper *helper)
{
    return helper->features;
}

void prhelper_set_timeout(struct prhelper *helper, int timeout_ms)
{
    helper->timeout_ms = timeout_ms;
}

int prhelper_set_reconnect(struct prhelper *helper, unsigned tries, int interval_ms)
{
    if (interval_ms < 0 || helper->address.sun_path[0] == '\0')
        return PRHELPER_BAD_ARGUMENT;
    helper->tries = tries;
    helper->interval_ms = interval_ms;
    return 0;
}
