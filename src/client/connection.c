// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The event loop's side of a connection, and the one loop of the library's own, which waits for a
 * single connection: blocking calls are those that start something, and this.
 *
 * A caller watches an fd, and learns of a new one by asking. If the old one was closed and the new
 * one got the same number in between, asking would not tell, and an epoll set had silently lost it.
 * So whenever a socket is given up for another one, the caller sees a state without any.
 */
#include <errno.h>
#include <poll.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/connection.h"
#include "client/stream.h"

void connection_drop(struct prhelper *helper)
{
    if (!helper->borrowed)
        cleanup_close(&helper->sock);
    helper->sock = -1;
    helper->state = CONNECTION_DEAD;
}

static bool connection_is_busy(const struct prhelper *helper)
{
    return helper->state > CONNECTION_IDLE;
}

/*
 * Whether to try again after this failure, as QEMU's client does: only while not all of the command
 * has been sent, since a helper carries out nothing but whole ones.
 */
static bool connection_retries(struct prhelper *helper, int r)
{
    bool was_connected = helper->state == CONNECTION_SENDING;

    if (helper->tries_left == 0 || helper->state == CONNECTION_IDLE ||
        helper->state == CONNECTION_RECEIVING || (was_connected && r != PRHELPER_CLOSED))
        return false;
    helper->tries_left--;
    connection_drop(helper);
    helper->sent = 0;
    helper->wake = clock_now_ms() + (was_connected ? 0 : helper->interval_ms);
    helper->state = CONNECTION_PAUSED;
    return true;
}

static int connection_step(struct prhelper *helper)
{
    switch (helper->state) {
    case CONNECTION_PAUSED:
        return connect_dial(helper);
    case CONNECTION_GREETING:
        return connect_receive_greeting(helper);
    case CONNECTION_ANSWERING:
        return connect_answer(helper);
    case CONNECTION_SENDING:
        return execute_send(helper);
    case CONNECTION_RECEIVING:
        return execute_receive(helper);
    case CONNECTION_DEAD:
    case CONNECTION_IDLE:
        break;
    }
    return 0;
}

/* It is over: `r` is what came of it. */
static int connection_end(struct prhelper *helper, int r)
{
    bool is_fit = helper->state == CONNECTION_IDLE;

    helper->deadline = STREAM_NEVER;
    if (helper->result)
        execute_end(helper, r);
    if (!is_fit)
        connection_drop(helper);
    return r;
}

int connection_advance(struct prhelper *helper)
{
    int r = 0;

    while (r == 0 && connection_is_busy(helper))
        r = connection_step(helper);
    if (r != 0 && r != PRHELPER_PENDING && connection_retries(helper, r))
        r = PRHELPER_PENDING;
    if (r == PRHELPER_PENDING && stream_time_left(helper->deadline) == 0)
        r = -ETIMEDOUT;
    return r == PRHELPER_PENDING ? r : connection_end(helper, r);
}

/* Nothing is under way, so nothing may come: not even the end, which is told once. */
static int connection_look(struct prhelper *helper)
{
    ssize_t n;

    if (helper->state == CONNECTION_DEAD)
        return PRHELPER_DEAD;
    if (helper->sock < 0)
        return 0;
    n = stream_peek(helper->sock);
    if (n == -EAGAIN)
        return 0;
    connection_drop(helper);
    if (n < 0)
        return (int)n;
    return n == 0 ? PRHELPER_CLOSED : PRHELPER_UNEXPECTED;
}

int prhelper_continue(struct prhelper *helper)
{
    return connection_is_busy(helper) ? connection_advance(helper) : connection_look(helper);
}

int prhelper_cancel(struct prhelper *helper)
{
    if (!connection_is_busy(helper))
        return 0;
    if (helper->state == CONNECTION_SENDING && helper->sent == 0)
        helper->state = CONNECTION_IDLE;
    return connection_end(helper, PRHELPER_CANCELLED);
}

int prhelper_fd(const struct prhelper *helper)
{
    return helper->sock;
}

int prhelper_events(const struct prhelper *helper)
{
    switch (helper->state) {
    case CONNECTION_IDLE:
    case CONNECTION_GREETING:
    case CONNECTION_RECEIVING:
        return helper->sock < 0 ? 0 : POLLIN;
    case CONNECTION_ANSWERING:
    case CONNECTION_SENDING:
        return POLLOUT;
    case CONNECTION_DEAD:
    case CONNECTION_PAUSED:
        break;
    }
    return 0;
}

int prhelper_timeout(const struct prhelper *helper)
{
    int64_t next = helper->deadline;

    if (!connection_is_busy(helper))
        return -1;
    if (helper->state == CONNECTION_PAUSED && helper->wake < next)
        next = helper->wake;
    return stream_time_left(next);
}

int connection_wait(struct prhelper *helper, int r)
{
    while (r == PRHELPER_PENDING) {
        struct pollfd pollfd = {.fd = prhelper_fd(helper),
                                .events = (short)prhelper_events(helper)};
        int n = poll(&pollfd, 1, prhelper_timeout(helper));

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return connection_end(helper, -errno);
        r = prhelper_continue(helper);
    }
    return r;
}
