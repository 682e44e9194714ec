// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System calls of the helpers' side are not those of the library's, so that a test can let the
 * library's fail: recvmmsg(2) instead of recvmsg(2), sendto(2) instead of sendmsg(2).
 */
#include "zoo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cmocka_compat.h"

#define CDB_BYTES  16
#define LIST_BYTES 24
#define HEAD_BYTES 104
#define EVENTS     256
#define LIFETIME   3000 /* commands between two restarts */

/* What is to become of a connection. */
enum fate {
    FATE_ANSWER,
    /* Dying: where it ends. */
    FATE_ON_ACCEPT,
    FATE_IN_GREETING,
    FATE_ON_REQUEST,
    FATE_IN_REQUEST,
    FATE_BEFORE_EXECUTION,
    FATE_AFTER_EXECUTION,
    FATE_IN_REPLY,
    /* Hanging. */
    FATE_NO_GREETING,
    FATE_NO_ANSWER,
    /* Lying. */
    FATE_GREETING_AND_MORE,
    FATE_BAD_STATUS,
    FATE_BAD_SIZE,
    FATE_NEGATIVE_SIZE,
    FATE_REPLY_AND_MORE,
};

struct connection {
    struct connection *next;
    struct zoo *zoo;
    enum zoo_kind kind;
    enum fate fate;
    int sock;
    size_t features; /* bytes of the client's */
    uint8_t request[CDB_BYTES + LIST_BYTES];
    size_t received;
    unsigned fds;
    uint8_t rest[HEAD_BYTES + 16]; /* of a reply, to be sent at the next turn */
    size_t rest_size;
};

struct zoo {
    int epoll;
    uint32_t seed;
    struct zoo_command *commands;
    size_t n_commands;
    struct connection *connections;
    struct connection listeners[ZOO_KINDS];
    char paths[ZOO_KINDS][108];
    struct zoo_count counts[ZOO_KINDS];
    unsigned restarting; /* turns until the good helper listens again */
};

uint32_t zoo_dice(uint32_t *seed, uint32_t below)
{
    /* xorshift: Marsaglia, Xorshift RNGs. */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % below;
}

static uint32_t dice(struct zoo *zoo, uint32_t below)
{
    return zoo_dice(&zoo->seed, below);
}

static void watch(struct zoo *zoo, struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    assert_int_equal(epoll_ctl(zoo->epoll, EPOLL_CTL_ADD, connection->sock, &event), 0);
}

static void start_listening(struct zoo *zoo, enum zoo_kind kind)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, zoo->paths[kind]);
    unlink(zoo->paths[kind]);
    assert_true(sock >= 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    /* Shorter than the crowd is, so that it is full at times. */
    assert_int_equal(listen(sock, 64), 0);
    zoo->listeners[kind] = (struct connection){.zoo = zoo, .kind = kind, .sock = sock};
    watch(zoo, &zoo->listeners[kind]);
}

struct zoo *zoo_open(const char *directory, struct zoo_command *commands, size_t count,
                     uint32_t seed)
{
    static const char *const names[ZOO_KINDS] = {"good", "hanging", "dying", "lying"};
    struct zoo *zoo = calloc(1, sizeof(*zoo));

    assert_non_null(zoo);
    zoo->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(zoo->epoll >= 0);
    zoo->seed = seed;
    zoo->commands = commands;
    zoo->n_commands = count;
    for (unsigned kind = 0; kind < ZOO_KINDS; kind++) {
        snprintf(zoo->paths[kind], sizeof(zoo->paths[kind]), "%s/%s", directory, names[kind]);
        start_listening(zoo, kind);
    }
    return zoo;
}

const char *zoo_path(struct zoo *zoo, enum zoo_kind kind)
{
    return zoo->paths[kind];
}

int zoo_fd(const struct zoo *zoo)
{
    return zoo->epoll;
}

struct zoo_count zoo_count(const struct zoo *zoo, enum zoo_kind kind)
{
    return zoo->counts[kind];
}

static enum fate choose_fate(struct zoo *zoo, enum zoo_kind kind)
{
    switch (kind) {
    case ZOO_HANGING:
        return dice(zoo, 4) == 0 ? FATE_NO_GREETING : FATE_NO_ANSWER;
    case ZOO_DYING:
        return FATE_ON_ACCEPT + dice(zoo, FATE_IN_REPLY - FATE_ON_ACCEPT + 1);
    case ZOO_LYING:
        return FATE_GREETING_AND_MORE + dice(zoo, FATE_REPLY_AND_MORE - FATE_GREETING_AND_MORE + 1);
    default:
        return FATE_ANSWER;
    }
}

static void close_connection(struct connection *connection)
{
    struct zoo *zoo = connection->zoo;
    struct connection **link = &zoo->connections;

    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    close(connection->sock);
    free(connection);
}

static void say(struct connection *connection, const void *bytes, size_t size)
{
    /* The client may be gone. */
    send(connection->sock, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void accept_all(struct connection *listener)
{
    struct zoo *zoo = listener->zoo;
    int sock;

    while ((sock = accept4(listener->sock, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        enum fate fate = choose_fate(zoo, listener->kind);
        struct connection *connection;

        zoo->counts[listener->kind].accepted++;
        if (fate == FATE_ON_ACCEPT) {
            close(sock);
            continue;
        }
        connection = calloc(1, sizeof(*connection));
        assert_non_null(connection);
        *connection = (struct connection){
            .next = zoo->connections,
            .zoo = zoo,
            .kind = listener->kind,
            .fate = fate,
            .sock = sock,
        };
        zoo->connections = connection;
        watch(zoo, connection);
        if (fate == FATE_IN_GREETING) {
            say(connection, "\0\0\0", dice(zoo, 4));
            close_connection(connection);
        } else if (fate != FATE_NO_GREETING) {
            say(connection, "\0\0\0\1\0", fate == FATE_GREETING_AND_MORE ? 5 : 4);
        }
    }
}

/* Up to `size` bytes, and fds that come with them. 0: the end, or an error, which is the same. */
static size_t take(struct connection *connection, uint8_t *bytes, size_t size)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = {bytes, size};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov,
                                          .msg_iovlen = 1,
                                          .msg_control = &control,
                                          .msg_controllen = sizeof(control)}};
    struct cmsghdr *header;

    if (recvmmsg(connection->sock, &message, 1, MSG_DONTWAIT, NULL) != 1)
        return 0;
    header = CMSG_FIRSTHDR(&message.msg_hdr);
    if (header) {
        const int *fds = (const int *)CMSG_DATA(header);

        for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            close(fds[i]);
            connection->fds++;
        }
    }
    return message.msg_len;
}

/* What a device may answer, and whether it has done it, which only some answers tell. */
static void execute(struct connection *connection, struct zoo_command *command, uint8_t *head)
{
    static const struct {
        uint8_t status, key, asc, ascq;
        enum prhelper_outcome outcome;
    } answers[] = {
        {PRHELPER_GOOD, 0, 0, 0, PRHELPER_OUTCOME_DONE},
        {PRHELPER_RESERVATION_CONFLICT, 0, 0, 0, PRHELPER_OUTCOME_NOT_DONE},
        {PRHELPER_BUSY, 0, 0, 0, PRHELPER_OUTCOME_NOT_DONE},
        {PRHELPER_CHECK_CONDITION, 0x5, 0x24, 0x00, PRHELPER_OUTCOME_NOT_DONE},
        {PRHELPER_CHECK_CONDITION, 0x6, 0x2a, 0x03, PRHELPER_OUTCOME_NOT_DONE},
        {PRHELPER_CHECK_CONDITION, 0x6, 0x29, 0x00, PRHELPER_OUTCOME_UNKNOWN},
        {PRHELPER_CHECK_CONDITION, 0xb, 0x00, 0x06, PRHELPER_OUTCOME_UNKNOWN},
        {PRHELPER_CHECK_CONDITION, 0xb, 0x2e, 0x02, PRHELPER_OUTCOME_UNKNOWN},
        {0x40, 0, 0, 0, PRHELPER_OUTCOME_UNKNOWN},
    };
    struct zoo *zoo = connection->zoo;
    size_t n = dice(zoo, 2) ? 0 : dice(zoo, sizeof(answers) / sizeof(answers[0]));

    command->status = answers[n].status;
    command->outcome = answers[n].outcome;
    command->executed = answers[n].outcome == PRHELPER_OUTCOME_DONE ||
                        (answers[n].outcome == PRHELPER_OUTCOME_UNKNOWN && dice(zoo, 2));
    memset(head, 0, HEAD_BYTES);
    store_be32(head, answers[n].status);
    if (answers[n].status == PRHELPER_CHECK_CONDITION) {
        head[8] = 0x70;
        head[8 + 2] = answers[n].key;
        head[8 + 7] = 10;
        head[8 + 12] = answers[n].asc;
        head[8 + 13] = answers[n].ascq;
    }
}

/* False: the connection is gone. */
static bool serve(struct connection *connection)
{
    bool is_in = connection->request[0] == 0x5e;
    uint32_t id = is_in ? load_be32(connection->request + 10)
                        : (uint32_t)load_be64(connection->request + CDB_BYTES + 8);
    struct zoo *zoo = connection->zoo;
    struct zoo_command *command;
    uint8_t reply[HEAD_BYTES + 16];
    size_t size = HEAD_BYTES, first;

    assert_true(id < zoo->n_commands);
    command = &zoo->commands[id];
    /* All of a command comes at most once in its life, and with one fd. */
    assert_uint_equal(command->received, 0);
    assert_uint_equal(connection->fds, 1);
    command->received++;
    zoo->counts[connection->kind].commands++;
    connection->received = connection->fds = 0;

    if (connection->fate == FATE_BEFORE_EXECUTION) {
        close_connection(connection);
        return false;
    }
    execute(connection, command, reply);
    if (is_in && command->status == PRHELPER_GOOD) {
        store_be32(reply + 4, 8);
        store_be64(reply + HEAD_BYTES, id);
        size += 8;
    }
    switch (connection->fate) {
    case FATE_NO_ANSWER:
        return true;
    case FATE_BAD_STATUS:
        reply[dice(zoo, 3)] ^= 0x80;
        break;
    case FATE_BAD_SIZE:
        store_be32(reply + 4, 9 + dice(zoo, 10000));
        break;
    case FATE_NEGATIVE_SIZE:
        reply[4] ^= 0x80;
        break;
    case FATE_REPLY_AND_MORE:
        memset(reply + size, 0, 8);
        size += 8;
        break;
    case FATE_AFTER_EXECUTION:
        close_connection(connection);
        return false;
    case FATE_IN_REPLY:
        say(connection, reply, 1 + dice(zoo, (uint32_t)size - 1));
        close_connection(connection);
        return false;
    default:
        command->answered = true;
        break;
    }
    /* A lie is told in one piece, so that none of it is taken for the next answer. */
    first = command->answered && dice(zoo, 3) == 0 ? 1 + dice(zoo, (uint32_t)size - 1) : size;
    say(connection, reply, first);
    if (first < size) {
        struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};

        memcpy(connection->rest, reply + first, size - first);
        connection->rest_size = size - first;
        assert_int_equal(epoll_ctl(zoo->epoll, EPOLL_CTL_MOD, connection->sock, &event), 0);
    }
    return true;
}

static void say_rest(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    say(connection, connection->rest, connection->rest_size);
    connection->rest_size = 0;
    assert_int_equal(epoll_ctl(connection->zoo->epoll, EPOLL_CTL_MOD, connection->sock, &event), 0);
}

static void receive(struct connection *connection)
{
    uint8_t features[4];
    size_t wanted = CDB_BYTES, n;

    if (connection->rest_size > 0) {
        say_rest(connection);
        return;
    }
    if (connection->features < sizeof(features)) {
        n = take(connection, features, sizeof(features) - connection->features);
        if (n == 0)
            close_connection(connection);
        else
            connection->features += n;
        return;
    }
    if (connection->fate == FATE_ON_REQUEST) {
        close_connection(connection);
        return;
    }
    if (connection->received >= CDB_BYTES && connection->request[0] == 0x5f)
        wanted += LIST_BYTES;
    if (connection->fate == FATE_IN_REQUEST)
        wanted = 1 + dice(connection->zoo, CDB_BYTES - 1);
    n = take(connection, connection->request + connection->received, wanted - connection->received);
    if (n == 0 || connection->fate == FATE_IN_REQUEST) {
        close_connection(connection);
        return;
    }
    connection->received += n;
    if (connection->received == CDB_BYTES + LIST_BYTES ||
        (connection->received == CDB_BYTES && connection->request[0] == 0x5e))
        serve(connection);
}

/* As a helper ends: what it has been sent already it answers, but not who is in the queue. */
static void restart(struct zoo *zoo)
{
    for (struct connection *one = zoo->connections; one; one = one->next) {
        if (one->kind == ZOO_GOOD)
            shutdown(one->sock, SHUT_RD);
    }
    close(zoo->listeners[ZOO_GOOD].sock);
    zoo->listeners[ZOO_GOOD].sock = -1;
    if (dice(zoo, 2))
        unlink(zoo->paths[ZOO_GOOD]);
    zoo->counts[ZOO_GOOD].restarts++;
    zoo->restarting = 1 + dice(zoo, 3);
}

void zoo_turn(struct zoo *zoo)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(zoo->epoll, events, EVENTS, 0);

    for (int i = 0; i < n; i++) {
        struct connection *connection = events[i].data.ptr;

        if (connection >= zoo->listeners && connection < zoo->listeners + ZOO_KINDS)
            accept_all(connection);
        else
            receive(connection);
    }
    if (zoo->restarting > 0 && --zoo->restarting == 0)
        start_listening(zoo, ZOO_GOOD);
    else if (zoo->restarting == 0 &&
             zoo->counts[ZOO_GOOD].commands / LIFETIME > zoo->counts[ZOO_GOOD].restarts)
        restart(zoo);
}

void zoo_close(struct zoo *zoo)
{
    while (zoo->connections)
        close_connection(zoo->connections);
    for (unsigned kind = 0; kind < ZOO_KINDS; kind++) {
        if (zoo->listeners[kind].sock >= 0)
            close(zoo->listeners[kind].sock);
        unlink(zoo->paths[kind]);
    }
    close(zoo->epoll);
    free(zoo);
}
