// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The client half of the protocol for the load generator. Requests of 16 bytes never fill a socket
 * buffer, so sending is blocking; receiving is incremental, because a server is free to cut its
 * reply into pieces, and one with many clients is polled, not waited for.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PERSISTENT_RESERVE_IN  0x5e
#define READ_KEYS_HEADER       8 /* PRGENERATION and ADDITIONAL LENGTH */
#define PERSISTENT_RESERVE_OUT 0x5f
#define REGISTER_AND_IGNORE    0x06
#define PARAMETER_LIST         24
#define SERVICE_ACTION_KEY     8 /* its offset in the parameter list */

static uint32_t load_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t client_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int client_connect(struct client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    client->fd = -1;
    client->have = 0;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    client->fd = fd;
    return 0;
}

int client_handshake(struct client *client)
{
    static const uint8_t no_features[4];
    uint8_t offered[4];

    for (size_t have = 0; have < sizeof offered;) {
        ssize_t got = recv(client->fd, offered + have, sizeof offered - have, 0);
        if (got == 0)
            return -ECONNRESET;
        if (got < 0)
            return -errno;
        have += (size_t)got;
    }
    return send(client->fd, no_features, sizeof no_features, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int client_send(struct client *client, int device_fd)
{
    static const uint8_t cdb[CLIENT_CDB] = {
        [0] = PERSISTENT_RESERVE_IN, [7] = CLIENT_ALLOCATION >> 8, [8] = CLIENT_ALLOCATION & 0xff};

    return client_send_cdb(client, device_fd, cdb);
}

int client_send_cdb(struct client *client, int device_fd, const uint8_t cdb[static CLIENT_CDB])
{
    struct iovec data = {.iov_base = (void *)cdb, .iov_len = CLIENT_CDB};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &device_fd, sizeof device_fd);
    client->have = 0;
    client->sent_ns = client_now_ns();
    ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    return sent == CLIENT_CDB ? 0 : -EIO;
}

int client_send_register(struct client *client, int device_fd)
{
    static const uint8_t cdb[CLIENT_CDB] = {
        [0] = PERSISTENT_RESERVE_OUT, [1] = REGISTER_AND_IGNORE, [8] = PARAMETER_LIST};
    static const uint8_t parameters[PARAMETER_LIST] = {[SERVICE_ACTION_KEY] = 0xb0};
    int r = client_send_cdb(client, device_fd, cdb);

    if (r < 0)
        return r;
    return send(client->fd, parameters, sizeof parameters, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool client_is_good(const struct client *client)
{
    return load_be32(client->reply) == 0;
}

int client_receive(struct client *client, int flags, bool any_status)
{
    ssize_t got = recv(client->fd, client->reply + client->have,
                       sizeof client->reply - client->have, flags);
    if (got == 0)
        return -ECONNRESET;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    client->have += (size_t)got;
    if (client->have < CLIENT_REPLY_FIXED)
        return 0;

    uint32_t status = load_be32(client->reply);
    uint32_t size = load_be32(client->reply + 4);
    if (size > CLIENT_ALLOCATION || client->have > CLIENT_REPLY_FIXED + size)
        return -EPROTO;
    if (client->have < CLIENT_REPLY_FIXED + size)
        return 0;
    if (any_status)
        return 1;
    if (status != 0 || size < READ_KEYS_HEADER)
        return -EBADMSG;
    uint64_t claimed = (uint64_t)load_be32(client->reply + CLIENT_REPLY_FIXED + 4);
    claimed += READ_KEYS_HEADER;
    if (claimed > CLIENT_ALLOCATION)
        claimed = CLIENT_ALLOCATION;
    return size == claimed ? 1 : -EBADMSG;
}

int client_command(struct client *client, int device_fd, bool any_status, int timeout_ms)
{
    int result = client_send(client, device_fd);

    while (result == 0) {
        /* Without a limit the read itself waits: one system call less beside the measured server.
         */
        if (timeout_ms >= 0) {
            struct pollfd readable = {.fd = client->fd, .events = POLLIN};
            int left = timeout_ms - (int)((client_now_ns() - client->sent_ns) / 1000000);
            if (left < 0 || poll(&readable, 1, left) == 0)
                return -ETIMEDOUT;
        }
        result = client_receive(client, 0, any_status);
    }
    return result < 0 ? result : 0;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}
