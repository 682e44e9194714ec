// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From a path to a connection. The time-out covers all of it, and each part has a wait of its own:
 * connect(2) waits while the helper's queue of new clients is full, the handshake waits for the
 * helper, which speaks first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "client/connection.h"
#include "proto/wire.h"

_Static_assert(PRHELPER_CDB_MAX == WIRE_CDB_SIZE && PRHELPER_DATA_MAX == WIRE_DATA_MAX &&
                   PRHELPER_SENSE_MAX == SENSE_SIZE &&
                   PRHELPER_FEATURE_CLEANUP == WIRE_FEATURE_CLEANUP,
               "the public header repeats the protocol's numbers");

/*
 * A unix socket that must not wait fails with EAGAIN, and poll(2) cannot tell when to try again. So
 * it is let wait, for as long as SO_SNDTIMEO says (unix_stream_connect() in net/unix/af_unix.c).
 */
static int connect_by(int sock, const struct sockaddr_un *address, int64_t deadline)
{
    for (;;) {
        int left_ms = stream_time_left(deadline);

        if (left_ms >= 0) {
            struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};

            if (left_ms == 0)
                left.tv_usec = 1; /* zero would mean for ever */
            if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
                return -errno;
        }
        if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno == EAGAIN)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* The helper says what it offers, we say what we want. */
static int connect_shake_hands(int sock, uint32_t wanted, int64_t deadline, uint32_t *ret_features)
{
    uint8_t bytes[WIRE_FEATURES_SIZE];
    size_t done = 0, sent;
    int r;

    while (done < sizeof(bytes)) {
        struct iovec iov = {.iov_base = bytes + done, .iov_len = sizeof(bytes) - done};
        ssize_t n = stream_receive(sock, &iov, 1, deadline);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return done == 0 ? PRHELPER_CLOSED : PRHELPER_CUT;
        done += (size_t)n;
    }
    wanted &= load_be32(bytes);
    wire_encode_features(bytes, wanted);
    r = stream_send(sock, bytes, sizeof(bytes), -1, deadline, &sent);
    if (r == 0)
        *ret_features = wanted;
    return r;
}

static int connect_adopt(int sock, uint32_t features, int64_t deadline,
                         struct prhelper **ret_helper)
{
    CLEANUP_FREE struct prhelper *helper = malloc(sizeof(*helper));
    int r;

    if (!helper)
        return -ENOMEM;
    *helper = (struct prhelper){.sock = sock, .timeout_ms = PRHELPER_FOREVER};
    r = connect_shake_hands(sock, features, deadline, &helper->features);
    if (r == 0)
        *ret_helper = steal_pointer(&helper);
    return r;
}

int prhelper_adopt(int socket_fd, uint32_t features, int timeout_ms, struct prhelper **ret_helper)
{
    if (socket_fd < 0 || (features & ~PRHELPER_FEATURES))
        return PRHELPER_BAD_ARGUMENT;
    return connect_adopt(socket_fd, features, stream_deadline(timeout_ms), ret_helper);
}

int prhelper_connect(const char *path, uint32_t features, int timeout_ms,
                     struct prhelper **ret_helper)
{
    int64_t deadline = stream_deadline(timeout_ms);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int sock = -1;
    int r;

    if (!path || !*path || (features & ~PRHELPER_FEATURES))
        return PRHELPER_BAD_ARGUMENT;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);

    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    r = connect_by(sock, &address, deadline);
    if (r == 0)
        r = connect_adopt(sock, features, deadline, ret_helper);
    if (r == 0)
        steal_fd(&sock);
    return r;
}

int prhelper_custom(prhelper_execute_function *execute, void *context, struct prhelper **ret_helper)
{
    struct prhelper *helper;

    if (!execute)
        return PRHELPER_BAD_ARGUMENT;
    helper = malloc(sizeof(*helper));
    if (!helper)
        return -ENOMEM;
    *helper = (struct prhelper){
        .sock = -1,
        .timeout_ms = PRHELPER_FOREVER,
        .features = PRHELPER_FEATURES,
        .execute = execute,
        .context = context,
    };
    *ret_helper = helper;
    return 0;
}

void prhelper_close(struct prhelper *helper)
{
    if (!helper)
        return;
    cleanup_close(&helper->sock);
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
