// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The document is put together when a client connects and given to its socket at once, which has
 * room for most: usually that is all. What does not fit is sent as the client takes it. One client
 * is taken in each turn of the loop, so that a crowd of them leaves all others their turn.
 *
 * Nothing can be sent to us once the receiving side is shut down. Only what came before the accept
 * may be in the socket, and closing that could block: it is left to conns_open, which closes what
 * cannot, and leaves the rest to the pool.
 */
#include "serve/status.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

/* Bytes of a document whose memory is given back at once. */
#define STATUS_LARGE 65536

#define STATUS_QUEUE_MAX 4096 /* net.core.somaxconn, longer than our own */

void status_init(struct status *status, int listener, status_write_fn *write, void *context)
{
    memset(status, 0, sizeof(*status));
    status->listener = listener;
    status->write = write;
    status->context = context;
    for (unsigned i = 0; i < STATUS_READERS_MAX; i++)
        status->readers[i].sock = -1;
}

void status_deinit(struct status *status)
{
    if (status->listener >= 0)
        close(status->listener);
    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        if (status->readers[i].sock >= 0)
            close(status->readers[i].sock);
        json_deinit(&status->readers[i].json);
    }
    status_init(status, -1, status->write, status->context);
}

static struct status_reader *status_free_reader(struct status *status)
{
    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        if (status->readers[i].sock < 0)
            return &status->readers[i];
    }
    return NULL;
}

void status_poll(const struct status *status, struct pollfd fds[STATUS_POLL_MAX])
{
    bool full = true;

    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        fds[1 + i] = (struct pollfd){.fd = status->readers[i].sock, .events = POLLOUT};
        full = full && status->readers[i].sock >= 0;
    }
    fds[0] = (struct pollfd){.fd = full || status->paused_until_ms ? -1 : status->listener,
                             .events = POLLIN};
}

int64_t status_deadline(const struct status *status)
{
    int64_t first = status->paused_until_ms ? status->paused_until_ms : INT64_MAX;

    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        if (status->readers[i].sock >= 0 && status->readers[i].deadline_ms < first)
            first = status->readers[i].deadline_ms;
    }
    return first;
}

static void status_close_reader(struct status_reader *reader, struct conns *conns)
{
    bool large = reader->json.size > STATUS_LARGE;

    (void)pool_ensure(conns->pool);
    (void)conns_open(conns, reader->sock, NULL);
    reader->sock = -1;
    json_deinit(&reader->json);
    if (large)
        memory_give_back();
}

/* Send on. The reader is closed when it has everything, or has gone. */
static void status_send(struct status_reader *reader, struct conns *conns)
{
    ssize_t n = 0;

    while (reader->sent < reader->json.length) {
        n = send(reader->sock, reader->json.text + reader->sent, reader->json.length - reader->sent,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            break;
        reader->sent += (size_t)n;
    }
    if (reader->sent == reader->json.length || (n < 0 && errno != EAGAIN && errno != EINTR))
        status_close_reader(reader, conns);
}

static void status_accept(struct status *status, struct conns *conns, int64_t now_ms)
{
    struct status_reader *reader = status_free_reader(status);

    if (!reader)
        return;
    reader->sock = accept4(status->listener, NULL, NULL, SOCK_CLOEXEC);
    if (reader->sock < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED)
            status->paused_until_ms = now_ms + STATUS_PAUSE_MS; /* out of fds: it has to wait */
        return;
    }
    shutdown(reader->sock, SHUT_RD);
    reader->sent = 0;
    reader->deadline_ms = now_ms + STATUS_READER_MS;
    status->write(status->context, &reader->json);
    if (reader->json.failed)
        reader->json.length = 0;
    status_send(reader, conns);
}

void status_serve(struct status *status, const struct pollfd fds[STATUS_POLL_MAX],
                  struct conns *conns, int64_t now_ms)
{
    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        struct status_reader *reader = &status->readers[i];

        if (reader->sock < 0)
            continue;
        if (fds[1 + i].fd == reader->sock && fds[1 + i].revents)
            status_send(reader, conns);
        if (reader->sock >= 0 && now_ms >= reader->deadline_ms)
            status_close_reader(reader, conns);
    }
    if (now_ms >= status->paused_until_ms)
        status->paused_until_ms = 0;
    if (fds[0].fd >= 0 && fds[0].revents)
        status_accept(status, conns, now_ms);
}

void status_stop(struct status *status, struct conns *conns)
{
    if (status->listener < 0)
        return;
    shutdown(status->listener, SHUT_RDWR); /* from here on no reader joins the queue */
    for (unsigned i = 0; i < STATUS_QUEUE_MAX; i++) {
        int sock = accept4(status->listener, NULL, NULL, SOCK_CLOEXEC);

        if (sock < 0)
            break;
        (void)conns_open(conns, sock, NULL);
    }
    for (unsigned i = 0; i < STATUS_READERS_MAX; i++) {
        if (status->readers[i].sock >= 0)
            status_close_reader(&status->readers[i], conns);
    }
    status_deinit(status);
}
