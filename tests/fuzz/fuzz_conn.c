// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whole connections: the real table and state machine over real sockets, with a backend that does
 * what byte 2 of the CDB says. This thread is clients and pool at once, so a run is a function of
 * its input: it takes events from the pool's epoll itself, as a pool thread would.
 *
 * Input: a byte of flags, then steps: send bytes in any pieces, with any number of fds; send a
 * request cut in two; serve; read some; half-close; close; take the threads away; stop the server;
 * let deadlines expire. conn_oracle.h says what must have come back at the end. After it all
 * connections are gone, no deadline is left, and every fd that was passed is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "conn_oracle.h"
#include "scsi/sense.h"
#include "serve/conn.h"
#include "serve/conns.h"
#include "serve/identify.h"
#include "serve/turn.h"

#define CLIENTS      2
#define SLOTS        1024
#define STEPS_MAX    200
#define THREADS      8
#define RECEIVED_MAX (1 << 20)

#define FLAG_EXPIRED 0x01 /* deadlines are over as soon as they are set */
#define FLAG_NARROW  0x02 /* a reply does not fit into the socket at once */

struct client {
    int sock;
    struct backend backend;
    bool half_closed;
    bool cut; /* closed before its time, by whomever: the last replies may be missing */
    bool ended;
    struct oracle_stream stream;
    uint8_t *received;
    size_t n_received;
    size_t n_executed; /* index of the oracle's request behind the last one that was executed */
};

static struct pool pool;
static struct conns conns;
static struct client clients[CLIENTS];
static struct oracle oracle;
static int device; /* what clients pass: the writing end of a pipe */
static bool was_busy;

/* What a backend can come up with, by byte 2 of the CDB. */
enum act {
    ACT_FILL,     /* GOOD, with byte 9 all over the answer */
    ACT_LEAVE,    /* GOOD, with the room for the answer left as it was */
    ACT_CONFLICT, /* RESERVATION CONFLICT */
    ACT_SENSE,    /* CHECK CONDITION 5/24/00 */
    ACT_TOO_MUCH, /* GOOD, and claim more than there is room for */
    ACT_STATUS,   /* byte 9 as status, with a size */
    ACT_SHORT,    /* GOOD, with half of the answer */
    N_ACTS
};

static void act(const uint8_t *cdb, uint32_t length, uint8_t *data, struct reply *reply)
{
    switch ((enum act)(cdb[2] % N_ACTS)) {
    case ACT_FILL:
    case N_ACTS:
        memset(data, cdb[9], length);
        reply_status(reply, SPC_STATUS_GOOD, length);
        break;
    case ACT_LEAVE:
        reply_status(reply, SPC_STATUS_GOOD, length);
        break;
    case ACT_CONFLICT:
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
        break;
    case ACT_SENSE:
        reply_sense(reply, SPC_INVALID_FIELD_IN_CDB);
        break;
    case ACT_TOO_MUCH:
        reply_status(reply, SPC_STATUS_GOOD, UINT32_MAX);
        break;
    case ACT_STATUS:
        reply_status(reply, cdb[9], length);
        break;
    case ACT_SHORT:
        memset(data, cdb[9], length);
        reply_status(reply, SPC_STATUS_GOOD, length / 2);
        break;
    }
}

/* The request is one that this client sent, with its data, and none of them comes twice. */
static void check_sent(struct client *client, const struct request *request)
{
    oracle_judge(&client->stream, &oracle);
    while (client->n_executed < oracle.n_requests) {
        const struct oracle_request *sent = &oracle.request[client->n_executed++];

        if (memcmp(sent->cdb, request->cdb, WIRE_CDB_SIZE) == 0 &&
            (!sent->parameters || memcmp(sent->parameters, request->data, sent->length) == 0)) {
            fuzz_check(sent->length == request->length);
            return;
        }
        fuzz_check(was_busy); /* else none is left out */
    }
    fuzz_check(false);
}

static void execute(void *context, const struct request *request, struct reply *reply)
{
    fuzz_check(request->length <= WIRE_DATA_MAX && fcntl(request->fd, F_GETFD) == FD_CLOEXEC);
    check_sent(context, request);
    if (request->opcode == SPC_PERSISTENT_RESERVE_IN) {
        for (uint32_t i = 0; i < request->length; i++)
            fuzz_check(request->data[i] == 0);
    }
    act(request->cdb, request->opcode == SPC_PERSISTENT_RESERVE_IN ? request->length : 0,
        request->data, reply);
}

static void client_open(struct client *client, uint8_t flags)
{
    int pair[2], narrow = 1;

    client->half_closed = client->cut = client->ended = false;
    client->stream.size = client->stream.n_messages = 0;
    client->n_received = client->n_executed = 0;
    if (!client->received)
        client->received = malloc(RECEIVED_MAX);
    fuzz_check(client->received);
    client->backend = (struct backend){"fuzz", client, execute};
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    client->sock = pair[0];
    if (flags & FLAG_NARROW)
        fuzz_check(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &narrow, sizeof(narrow)) == 0);
    fuzz_check(conns_open(&conns, pair[1], &client->backend) == 0);
}

static void client_send(struct client *client, const uint8_t *bytes, size_t size, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 253)];
    } control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct oracle_stream *stream = &client->stream;
    ssize_t n;

    if (client->sock < 0 || size == 0 || stream->size + size > ORACLE_STREAM_MAX ||
        stream->n_messages == ORACLE_MESSAGES_MAX)
        return;
    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &device, sizeof(device));
    }
    n = sendmsg(client->sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
        return;
    stream->message[stream->n_messages].at = stream->size;
    stream->message[stream->n_messages++].n_fds = n_fds;
    memcpy(stream->bytes + stream->size, bytes, (size_t)n);
    stream->size += (size_t)n;
}

/* Returns whether something came. */
static bool client_receive(struct client *client, size_t size)
{
    size_t room = RECEIVED_MAX - client->n_received;
    ssize_t n;

    if (client->sock < 0 || client->ended || room == 0)
        return false;
    n = recv(client->sock, client->received + client->n_received, size < room ? size : room,
             MSG_DONTWAIT);
    client->ended = n == 0 || (n < 0 && errno != EAGAIN);
    if (n <= 0)
        return client->ended;
    client->n_received += (size_t)n;
    return true;
}

static void client_close(struct client *client)
{
    if (client->sock >= 0)
        close(client->sock);
    client->sock = -1;
    client->cut = true;
}

/* A request that is right but for what the input says, in up to two pieces. */
static void client_request(struct client *client, uint8_t selector, struct reader *input)
{
    static const uint8_t opcodes[] = {0x5e, 0x5f, 0xff, 0x12};
    uint8_t bytes[WIRE_CDB_SIZE + 512] = {opcodes[selector & 3], 0, reader_u8(input)};
    uint32_t length = reader_be16(input) % 8200;
    size_t cut = reader_u8(input);
    size_t size = WIRE_CDB_SIZE;
    bool late = selector & 4; /* the fd is with the second piece */

    store_be16(bytes + 7, (uint16_t)length);
    bytes[9] = (uint8_t)(length + cut);
    if (bytes[0] == 0x5f && !(selector & 8)) { /* else the list is for raw bytes to bring */
        store_be16(bytes + 7, (uint16_t)(length % 500));
        for (size_t i = 0; i < length % 500; i++)
            bytes[size++] = (uint8_t)(i * 7 + cut);
    }
    if (cut >= size)
        cut = 0;
    client_send(client, bytes, cut, !late);
    client_send(client, bytes + cut, size - cut, cut == 0 || late);
}

/* What pool threads do, until there is nothing to do. No client sends meanwhile, so there is an
 * end.
 */
static void serve(void)
{
    struct epoll_event event;

    for (unsigned i = 0; epoll_wait(pool.epoll_fd, &event, 1, 0) == 1; i++) {
        fuzz_check(i < CLIENTS * (ORACLE_MESSAGES_MAX + 64));
        conn_serve(&conns, event.data.fd, event.events);
    }
}

/*
 * busy: no thread may be taken for a command. alone: none stands by, so what is passed is not
 * received, and the connection waits. Threads that may not block leave what they should close to
 * others; that is us.
 */
static void set_busy(bool busy, bool alone)
{
    was_busy = was_busy || busy || alone;
    conns.budget.limit[BUDGET_THREADS] = busy ? 0 : THREADS;
    atomic_store(&pool.idle, !alone);
    while (!alone && pool.n_discard > 0)
        close(pool.discard[--pool.n_discard]);
    while (!alone && conns.crowd.n > 0)
        turn_tick(&conns);
    identify_tick(&conns);
}

static void cut_all(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i].cut = true;
}

static void step(struct client *client, uint8_t code, struct reader *input)
{
    uint8_t high = code >> 4;
    uint8_t bytes[256];
    unsigned n_fds;
    size_t size;

    switch (code & 15) {
    case 0:
        n_fds = high & 3;
        size = reader_u8(input);
        if (n_fds == 3)
            n_fds = reader_u8(input) % 254;
        for (size_t i = 0; i < size; i++)
            bytes[i] = reader_u8(input);
        client_send(client, bytes, size, n_fds);
        break;
    case 1:
        client_request(client, high, input);
        break;
    case 2:
        serve();
        break;
    case 3:
        client_receive(client, 1 + (size_t)reader_u8(input) * 32);
        break;
    case 4:
        if (client->sock >= 0)
            shutdown(client->sock, SHUT_WR);
        client->half_closed = true;
        break;
    case 5:
        client_close(client);
        break;
    case 6:
        set_busy(high & 1, high & 2);
        break;
    case 7:
        cut_all();
        conns_stop(&conns);
        break;
    case 8:
        cut_all();
        conns_shutdown_idle(&conns);
        break;
    case 9:
        cut_all();
        conns_shutdown_all(&conns);
        break;
    case 10:
        if (conns.client_timeout_ms < 0)
            cut_all();
        conns_tick(&conns);
        break;
    case 11:
        client_send(client, (const uint8_t *)"\0\0\0\0", 4, high & 1);
        break;
    default: /* a piece of a longer parameter list */
        memset(bytes, code, sizeof(bytes));
        client_send(client, bytes, sizeof(bytes), 0);
        break;
    }
}

/* The replies are those to the client's requests, in order, byte for byte. */
static void check_received(const struct client *client)
{
    struct reader reader = reader_over(client->received, client->n_received);
    uint8_t data[WIRE_DATA_MAX], head[WIRE_REPLY_SIZE];
    static const uint8_t blank[SENSE_SIZE];

    reader_take(&reader, WIRE_FEATURES_SIZE);
    for (size_t i = 0; i < oracle.n_requests; i++) {
        const struct oracle_request *sent = &oracle.request[i];
        bool in = sent->cdb[0] == 0x5e;
        const uint8_t *got, *payload;
        struct reply reply = {0};
        uint32_t size;

        if (client->cut && reader_left(&reader) < WIRE_REPLY_SIZE)
            return;
        got = reader_take(&reader, WIRE_REPLY_SIZE);
        fuzz_check(got);
        if (was_busy && load_be32(got) == SPC_STATUS_BUSY && load_be32(got + 4) == 0 &&
            memcmp(got + 8, blank, SENSE_SIZE) == 0)
            continue;
        memset(data, 0, sizeof(data));
        act(sent->cdb, in ? sent->length : 0, data, &reply);
        size = reply.size < sent->length ? reply.size : sent->length;
        if (!in || reply.status != 0)
            size = 0;
        store_be32(head, reply.status);
        store_be32(head + 4, size);
        memcpy(head + 8, reply.sense, SENSE_SIZE);
        fuzz_check(memcmp(got, head, sizeof(head)) == 0);
        if (client->cut && reader_left(&reader) < size)
            return;
        payload = reader_take(&reader, size);
        fuzz_check(payload && memcmp(payload, data, size) == 0);
    }
    fuzz_check(reader_left(&reader) == 0);
}

/* Let all clients finish, and look at what has come. */
static void settle(void)
{
    bool progress = true;

    set_busy(false, false);
    while (progress) {
        progress = false;
        serve();
        for (size_t i = 0; i < CLIENTS; i++)
            progress = client_receive(&clients[i], RECEIVED_MAX) || progress;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];

        if (client->sock < 0)
            continue;
        oracle_judge(&client->stream, &oracle);
        check_received(client);
        if (!client->cut)
            fuzz_check(client->ended == (client->half_closed || oracle.fate == ORACLE_CLOSED));
        shutdown(client->sock, SHUT_WR);
        serve();
        while (client_receive(client, RECEIVED_MAX))
            serve();
        fuzz_check(client->ended);
        client_close(client);
    }
    serve();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int null_fd = -1;
    struct reader input = reader_over(data, size);
    uint8_t flags = reader_u8(&input);
    const struct budget_limits limits = {
        .connections = SLOTS, .threads = THREADS, .bytes = 1 << 20};
    struct pollfd end = {.events = POLLIN};
    int ends[2];

    if (null_fd < 0) {
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        log_to_fd(null_fd);
    }
    fuzz_check(pipe2(ends, O_CLOEXEC) == 0);
    device = ends[1];
    was_busy = false;
    fuzz_check(pool_init(&pool, 1, conn_serve, &conns) == 0);
    fuzz_check(epoll_ctl(pool.epoll_fd, EPOLL_CTL_DEL, pool.stop_fd, NULL) == 0);
    fuzz_check(conns_init(&conns, &pool, SLOTS, flags & FLAG_EXPIRED ? -1 : 3600000, &limits) == 0);
    pool.threads = 1; /* this one */
    pool.idle = 1;    /* and one that stands by */

    for (size_t i = 0; i < CLIENTS; i++)
        client_open(&clients[i], flags);
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&input) > 0; i++) {
        uint8_t which = reader_u8(&input);

        step(&clients[which & 128 ? 1 : 0], which & 127, &input);
    }
    settle();
    fuzz_check(conns.n_open == 0 && conns.n_timed == 0);
    end.fd = conns.drained_fd;
    fuzz_check(!conns.stopping || poll(&end, 1, 0) == 1);
    for (unsigned i = 0; i < conns.n_used; i++)
        fuzz_check(!conns.slots[i].open && !conns.slots[i].owned && !conns.slots[i].buffer);

    conns_deinit(&conns);
    pool.threads = 0;
    pool_deinit(&pool);
    close(device);
    end.fd = ends[0]; /* the pipe ends when all copies of the other end have gone */
    fuzz_check(poll(&end, 1, 0) == 1 && end.revents == POLLHUP);
    close(ends[0]);
    return 0;
}
