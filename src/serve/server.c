// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The loop polls a handful of fds: listeners, signals, the connections' tick. Its stop has three
 * steps. First the names are removed, so no new client can connect, and each connection ends with
 * the request that it is about to serve. After a moment's grace those without a request are told to
 * go. Then it waits for the rest, until a second signal or the stop time-out cuts it short.
 */
#include "serve/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/conn.h"
#include "serve/identify.h"
#include "serve/turn.h"

#define SERVER_ACCEPT_BATCH    16
#define SERVER_QUEUE_MAX       4096 /* net.core.somaxconn, longer than our own */
#define SERVER_ACCEPT_PAUSE_MS 250
#define SERVER_STATUS_MS       1000
#define SERVER_WATCHDOG_SIGNS  4   /* signs of life in each period that the manager grants */
#define SERVER_WATCHDOG_RETRY  100 /* ms, when the pool was not seen turning */
#define SERVER_GRACE_MS        20  /* a client that is in the middle of something goes on by then */
#define SERVER_LEAVE_MS        1000 /* threads without a client need no time at all */

/* To be closed without waiting for a client, a listener must have an empty queue: server_stop. */
static void server_close_listeners(struct server *server)
{
    for (unsigned i = 0; i < server->options.n_endpoints; i++) {
        if (server->options.endpoints[i].listener >= 0)
            close(server->options.endpoints[i].listener);
        server->options.endpoints[i].listener = -1;
    }
}

int server_init(struct server *server, const struct server_options *options, int signal_fd)
{
    const struct budget_limits limits = {
        .connections = options->max_clients,
        .threads = options->max_threads - 1,
        .bytes = options->max_buffer_bytes,
    };
    int r;

    memset(server, 0, sizeof(*server));
    server->options = *options;
    server->signal_fd = signal_fd;
    if (options->notify->watchdog_ms)
        server->next_watchdog_ms = clock_now_ms();
    r = pool_init(&server->pool, options->max_threads + TURN_SPARE_THREADS, conn_serve,
                  &server->conns);
    if (r == 0) {
        r = conns_init(&server->conns, &server->pool, options->n_slots, options->client_timeout_ms,
                       &limits);
        if (r == 0 && options->peers)
            conns_set_peers(&server->conns, options->peers);
        if (r == 0)
            return 0;
        conns_deinit(&server->conns);
    }
    pool_deinit(&server->pool);
    server_close_listeners(server);
    close(server->signal_fd);
    return r;
}

void server_deinit(struct server *server)
{
    conns_deinit(&server->conns);
    pool_deinit(&server->pool);
    server_close_listeners(server);
    close(server->signal_fd);
}

static void server_pause_accept(struct server *server, int error)
{
    log_client("accept failed, pausing: %s", strerror(error));
    server->accept_paused_until_ms = clock_now_ms() + SERVER_ACCEPT_PAUSE_MS;
}

/* Accept one client. False: there is none left, or not now. */
static bool server_accept_one(struct server *server, const struct server_endpoint *endpoint)
{
    int sock, r;

    sock = accept4(endpoint->listener, NULL, NULL, SOCK_CLOEXEC);
    if (sock < 0) {
        /* EINVAL: it is shut down, and its queue is empty. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED && errno != EINVAL)
            server_pause_accept(server, errno);
        return errno == ECONNABORTED;
    }
    server->n_accepted++;
    r = conns_open(&server->conns, sock, endpoint->backend);
    if (r < 0)
        server_pause_accept(server, -r);
    return r == 0;
}

static void server_accept(struct server *server, const struct server_endpoint *endpoint,
                          unsigned most)
{
    /* The first thread of all is started here. If it cannot be had, clients had better wait in the
     * listener's queue than on a connection that no thread reads. */
    if (!pool_ensure(&server->pool) && atomic_load(&server->conns.n_open) == 0) {
        server_pause_accept(server, EAGAIN);
        return;
    }
    while (most-- > 0 && server_accept_one(server, endpoint))
        ;
}

/* Tell the service manager how many clients there are, at most once a second. */
static void server_notify_status(struct server *server, int64_t now)
{
    unsigned clients = atomic_load(&server->conns.n_open);

    if (clients == server->notified_clients || now < server->notify_at_ms)
        return;
    server->notified_clients = clients;
    server->notify_at_ms = now + SERVER_STATUS_MS;
    notify_send(server->options.notify, "STATUS=Serving %u client%s", clients,
                clients == 1 ? "" : "s");
}

/* A sign of life means that requests are taken, not only that this loop turns. */
static void server_feed_watchdog(struct server *server, int64_t now)
{
    int64_t period = server->options.notify->watchdog_ms;

    if (!server->next_watchdog_ms || now < server->next_watchdog_ms)
        return;
    if (atomic_load(&server->conns.n_open) > 0 && !pool_ensure(&server->pool)) {
        server->next_watchdog_ms = now + SERVER_WATCHDOG_RETRY;
        return;
    }
    notify_send(server->options.notify, "WATCHDOG=1");
    server->next_watchdog_ms = now + (period + SERVER_WATCHDOG_SIGNS - 1) / SERVER_WATCHDOG_SIGNS;
}

/* Milliseconds until there is something to do without an event; -1: never. */
static int server_timeout(const struct server *server, int64_t now)
{
    int64_t next = INT64_MAX;

    if (server->accept_paused_until_ms)
        next = server->accept_paused_until_ms;
    if (server->next_watchdog_ms && server->next_watchdog_ms < next)
        next = server->next_watchdog_ms;
    if (server->options.notify->sock >= 0 &&
        server->notified_clients != atomic_load(&server->conns.n_open) &&
        server->notify_at_ms < next)
        next = server->notify_at_ms;
    if (server->options.status && status_deadline(server->options.status) < next)
        next = status_deadline(server->options.status);
    if (next == INT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

/* Take one signal. False: there is none. */
static bool server_take_signal(struct server *server)
{
    struct signalfd_siginfo signal;

    if (read(server->signal_fd, &signal, sizeof(signal)) != (ssize_t)sizeof(signal))
        return false;
    log_info("%s: stopping", strsignal((int)signal.ssi_signo));
    return true;
}

static void server_tick(struct server *server)
{
    turn_tick(&server->conns);
    identify_tick(&server->conns);
    conns_tick(&server->conns);
}

static void server_serve(struct server *server)
{
    const unsigned n_endpoints = server->options.n_endpoints;
    struct status *status = server->options.status;
    struct pollfd fds[2 + STATUS_POLL_MAX + SERVER_ENDPOINTS_MAX] = {
        {.fd = server->signal_fd, .events = POLLIN},
        {.fd = server->conns.tick_fd, .events = POLLIN},
    };
    struct pollfd *status_fds = fds + 2;
    struct pollfd *endpoint_fds = status_fds + (status ? STATUS_POLL_MAX : 0);
    const unsigned n_others = (unsigned)(endpoint_fds - fds);

    for (unsigned i = 0; i < n_endpoints; i++)
        endpoint_fds[i] = (struct pollfd){.fd = server->options.endpoints[i].listener,
                                          .events = POLLIN};
    for (;;) {
        int64_t now = clock_now_ms();

        if (server->accept_paused_until_ms && now >= server->accept_paused_until_ms)
            server->accept_paused_until_ms = 0;
        server_feed_watchdog(server, now);
        if (server->options.notify->sock >= 0)
            server_notify_status(server, now);
        if (status)
            status_poll(status, status_fds);
        if (poll(fds, server->accept_paused_until_ms ? n_others : n_others + n_endpoints,
                 server_timeout(server, now)) < 0)
            continue;
        if (fds[0].revents && server_take_signal(server))
            return;
        if (fds[1].revents)
            server_tick(server);
        for (unsigned i = 0; i < n_endpoints && !server->accept_paused_until_ms; i++) {
            if (endpoint_fds[i].revents)
                server_accept(server, &server->options.endpoints[i], SERVER_ACCEPT_BATCH);
        }
        if (status)
            status_serve(status, status_fds, &server->conns, clock_now_ms());
    }
}

/* Wait for the last connection to go. False: the time is over, or a further signal has come. */
static bool server_await_drained(struct server *server, int64_t until_ms, bool take_signals)
{
    for (;;) {
        int64_t left = until_ms - clock_now_ms();
        struct pollfd fds[] = {
            {.fd = server->conns.drained_fd, .events = POLLIN},
            {.fd = server->conns.tick_fd, .events = POLLIN},
            {.fd = take_signals ? server->signal_fd : -1, .events = POLLIN},
        };

        if (left <= 0)
            return false;
        if (poll(fds, 3, (int)left) < 0)
            continue;
        if (fds[0].revents)
            return true;
        if (fds[1].revents)
            server_tick(server);
        if (fds[2].revents && server_take_signal(server))
            return false;
    }
}

static enum server_end server_stop(struct server *server)
{
    int64_t now = clock_now_ms();
    int64_t deadline = now + server->options.stop_timeout_ms;

    notify_send(server->options.notify, "STOPPING=1");
    if (server->options.remove_names)
        server->options.remove_names(server->options.context);
    /* Who had found us in time is a client like any other. No other client comes once the listener
     * is shut down: so its queue is empty then, and closing it closes nothing that clients have
     * sent there. One that was passed to us stays open elsewhere. */
    for (unsigned i = 0; i < server->options.n_endpoints && !server->options.passed; i++) {
        shutdown(server->options.endpoints[i].listener, SHUT_RDWR);
        server_accept(server, &server->options.endpoints[i], SERVER_QUEUE_MAX);
    }
    server_close_listeners(server);
    if (server->options.status)
        status_stop(server->options.status, &server->conns);

    conns_stop(&server->conns);
    if (!server_await_drained(
            server, now + SERVER_GRACE_MS < deadline ? now + SERVER_GRACE_MS : deadline, false)) {
        conns_shutdown_idle(&server->conns);
        if (!server_await_drained(server, deadline, true)) {
            log_warning("stopped with %u request(s) still in progress",
                        atomic_load(&server->conns.n_open));
            conns_shutdown_all(&server->conns);
            return SERVER_CUT;
        }
    }
    if (!pool_stop(&server->pool, clock_now_ms() + SERVER_LEAVE_MS))
        return SERVER_CUT;
    /* The kernel closes what is left, and waits for nothing when a process ends. */
    return server->pool.n_discard || server->conns.doomed.n ? SERVER_CUT : SERVER_DRAINED;
}

enum server_end server_run(struct server *server)
{
    server_serve(server);
    return server_stop(server);
}
