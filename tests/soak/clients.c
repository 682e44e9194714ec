// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A client's life: a connection to some host, for a while a burst of requests and their replies
 * (nearly always a burst of one), an end of file that must come with nothing before it. Now and
 * then it dies in between, and begins anew.
 */
#include "clients.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "books.h"
#include "connection.h"
#include "death.h"
#include "device.h"
#include "hosts.h"
#include "request.h"

#define BURST         4
#define BURST_PERCENT 5
#define DEATH_PERCENT 15 /* of connections */
#define REQUESTS_MAX  40 /* on a connection */
#define REPLY_HEAD    (8 + SENSE_SIZE)
#define STREAM_MAX    (REQUEST_CDB_SIZE + REQUEST_DATA_MAX)
#define OVERHEADS     160 /* steps of a fourth of an octave */
#define RECONNECT_MS  2
#define CDB_LAST      (REQUEST_CDB_SIZE - 1)

struct client {
    unsigned number;
    struct dice dice;
    pthread_t thread;
    int fd;
    unsigned host;
    struct host_mark mark;
    struct request request[BURST];
    uint16_t entry[BURST];
    uint8_t stream[STREAM_MAX];
    struct books_reply reply;
};

static struct client clients[BOOKS_CLIENTS];
static struct clients_options options;
static _Atomic bool stopping;
static _Atomic unsigned long overheads[OVERHEADS];

/* -- how long the helper took */

static void overhead_count(int64_t us)
{
    unsigned step = 0;

    for (uint64_t limit = 16; us > 0 && (uint64_t)us > limit && step < OVERHEADS - 1; step++)
        limit += limit / 4;
    atomic_fetch_add(&overheads[step], 1);
}

uint64_t clients_overhead_us(double percent)
{
    unsigned long all = 0, seen = 0;
    uint64_t limit = 16;

    for (unsigned i = 0; i < OVERHEADS; i++)
        all += overheads[i];
    for (unsigned i = 0; i < OVERHEADS; i++, limit += limit / 4) {
        seen += overheads[i];
        if ((double)seen >= (double)all * percent / 100)
            break;
    }
    return limit;
}

/* -- sending */

/* The fds for a request, of which as many are sent as its kind says. */
static unsigned client_fds(const struct request *request, int fds[2])
{
    fds[0] = fds[1] = request->fd == REQUEST_FD_NO_DISK     ? options.no_disk
                      : request->fd == REQUEST_FD_READ_ONLY ? options.read_only[request->disk]
                                                            : options.disk[request->disk];
    return request->fd == REQUEST_FD_NONE ? 0 : request->fd == REQUEST_FD_TWO ? 2 : 1;
}

/* Where the bytes of a request are cut into messages; ends with their number. */
static unsigned client_cut(struct client *client, size_t total, size_t *cuts)
{
    unsigned n = 0;
    size_t at;

    switch (dice_below(&client->dice, 4)) {
    case 0: /* not at all */
        break;
    case 1: /* anywhere */
        at = dice_between(&client->dice, 1, CDB_LAST);
        cuts[n++] = at;
        if (total > REQUEST_CDB_SIZE) {
            cuts[n++] = dice_between(&client->dice, REQUEST_CDB_SIZE, (unsigned)total - 1);
            if (cuts[n - 1] + 1 < total)
                cuts[n++] = total - 1;
        }
        break;
    default: /* as QEMU does it */
        if (total > REQUEST_CDB_SIZE)
            cuts[n++] = REQUEST_CDB_SIZE;
        break;
    }
    cuts[n++] = total;
    return n;
}

/* Send a request whole. An end of the connection before its last byte leaves it incomplete. */
static enum connection_result client_send(struct client *client, unsigned index)
{
    struct request *request = &client->request[index];
    size_t total = REQUEST_CDB_SIZE + request->list_size, cuts[4], from = 0;
    enum connection_result result = CONNECTION_OK;
    unsigned n, with_fds = 0, n_fds;
    int fds[2];

    client->entry[index] = books_open(client->number, client->host, request);
    memcpy(client->stream, request->cdb, REQUEST_CDB_SIZE);
    memcpy(client->stream + REQUEST_CDB_SIZE, request->list, request->list_size);
    n_fds = client_fds(request, fds);
    n = client_cut(client, total, cuts);
    if (cuts[0] < REQUEST_CDB_SIZE && dice_chance(&client->dice, 50))
        with_fds = 1; /* the fd comes with the rest of the CDB */

    for (unsigned i = 0; i < n && result == CONNECTION_OK; i++) {
        /* An fd that comes with the parameter list belongs to nothing. */
        bool stray = from >= REQUEST_CDB_SIZE && dice_chance(&client->dice, 5);

        if (cuts[i] == total)
            books_complete(client->number, client->entry[index]);
        result = connection_send(client->fd, client->stream + from, cuts[i] - from, fds,
                                 i == with_fds ? n_fds
                                 : stray       ? 1
                                               : 0);
        if (result != CONNECTION_OK && cuts[i] == total)
            books_cut_off(client->number, client->entry[index]);
        else if (result != CONNECTION_OK)
            count(COUNT_CUT_OFF);
        from = cuts[i];
        if (i + 1 < n && dice_chance(&client->dice, 10))
            poll(NULL, 0, 1);
    }
    return result;
}

/* -- receiving */

static enum connection_result client_receive(struct client *client)
{
    struct books_reply *reply = &client->reply;
    enum connection_result result;
    uint8_t head[REPLY_HEAD];
    size_t received;

    result = connection_receive(client->fd, head, sizeof(head), &received);
    if (result != CONNECTION_OK)
        return result;
    reply->status = load_be32(head);
    reply->size = load_be32(head + 4);
    memcpy(reply->sense, head + 8, sizeof(reply->sense));
    if (reply->size > sizeof(reply->data)) {
        books_wrong(COUNT_WRONG_EXTRA, "a reply says that %u bytes follow", reply->size);
        return CONNECTION_ENDED;
    }
    return connection_receive(client->fd, reply->data, reply->size, &received);
}

/* The replies to the first n requests of the burst. False: the connection is over. */
static bool client_replies(struct client *client, unsigned n)
{
    struct books_excuse excuse = {0};

    for (unsigned i = 0; i < n; i++) {
        enum connection_result result = client_receive(client);

        if (result == CONNECTION_OK) {
            books_judge(client->number, client->entry[i], &client->reply,
                        host_has_few_threads(client->host));
            continue;
        }
        if (result == CONNECTION_TIMEOUT) {
            books_wrong(COUNT_WRONG_STUCK, "client %u of host %u, request %u: nothing within %u s",
                        client->number, client->host, client->entry[i], options.patience_s);
            return false;
        }
        excuse = host_excuse(client->host, &client->mark);
        books_unanswered(client->number, client->entry[i], &excuse);
        excuse.killed = true; /* those behind it go with it */
        for (i++; i < n; i++)
            books_unanswered(client->number, client->entry[i], &excuse);
        return false;
    }
    return true;
}

/* -- a connection's life */

static void client_make_request(struct client *client, struct request *request)
{
    unsigned disk = dice_below(&client->dice, MAILBOX_DISKS);

    request_make(&client->dice, disk, device_key(disk, client->host), request);
}

/* Some requests at once, nearly always one. False: the connection is over. */
static bool client_burst(struct client *client)
{
    unsigned wanted = dice_chance(&client->dice, BURST_PERCENT) ? BURST : 1, sent = 0;
    int64_t began = clock_now_us();
    bool goes_on = true;

    while (sent < wanted && goes_on) {
        client_make_request(client, &client->request[sent]);
        if (client_send(client, sent) != CONNECTION_OK)
            break;
        goes_on = client->request[sent++].fate != REQUEST_CLOSED;
    }
    if (sent > 1)
        count(COUNT_PIPELINED);
    if (!client_replies(client, sent) || sent < wanted)
        return false;
    if (wanted == 1)
        overhead_count(clock_now_us() - began - books_disk_us(client->number, client->entry[0]));
    return true;
}

static bool client_connect(struct client *client)
{
    uint8_t greeting[CONNECTION_HANDSHAKE];
    size_t received;

    client->mark = host_mark(client->host);
    client->fd = connection_open(host_path(client->host), options.patience_s);
    if (client->fd < 0) {
        poll(NULL, 0, RECONNECT_MS);
        return false;
    }
    count(COUNT_CONNECTIONS);
    if (connection_receive(client->fd, greeting, sizeof(greeting), &received) == CONNECTION_OK &&
        connection_send(client->fd, (uint8_t[CONNECTION_HANDSHAKE]){0}, CONNECTION_HANDSHAKE, NULL,
                        0) == CONNECTION_OK)
        return true;
    close(client->fd);
    return false;
}

/* Nothing more will be sent, so nothing more may come. */
static void client_leave(struct client *client)
{
    size_t received;
    char byte;

    shutdown(client->fd, SHUT_WR);
    if (connection_receive(client->fd, &byte, 1, &received) == CONNECTION_OK)
        books_wrong(COUNT_WRONG_EXTRA, "client %u of host %u: %02x after the last reply",
                    client->number, client->host, (uint8_t)byte);
    close(client->fd);
}

static void client_die(struct client *client)
{
    struct request *request = &client->request[0];
    struct death death;
    uint16_t entry;
    int fds[2];

    client_make_request(client, request);
    client_fds(request, fds);
    entry = books_open(client->number, client->host, request);
    death = death_plan(&client->dice, request);
    if (death_completes(&death))
        books_complete(client->number, entry);
    death_die(&death, host_path(client->host), options.patience_s, request, fds);
}

static void *client_main(void *pointer)
{
    struct client *client = pointer;

    while (!atomic_load(&stopping)) {
        unsigned left = dice_between(&client->dice, 1, REQUESTS_MAX);

        client->host = dice_below(&client->dice, MAILBOX_HOSTS);
        if (dice_chance(&client->dice, DEATH_PERCENT)) {
            client_die(client);
            continue;
        }
        if (!client_connect(client))
            continue;
        while (left > 0 && !atomic_load(&stopping) && client_burst(client)) {
            left--;
            if (dice_chance(&client->dice, 10))
                poll(NULL, 0,
                     (int)dice_below(&client->dice, dice_chance(&client->dice, 10) ? 200 : 8));
        }
        client_leave(client);
    }
    return NULL;
}

int clients_start(const struct clients_options *wanted)
{
    options = *wanted;
    for (unsigned i = 0; i < options.clients; i++) {
        int r;

        clients[i].number = i;
        clients[i].dice = dice_make(options.seed, i);
        r = pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
        if (r)
            return -r;
    }
    return 0;
}

void clients_stop(void)
{
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < options.clients; i++)
        pthread_join(clients[i].thread, NULL);
}
