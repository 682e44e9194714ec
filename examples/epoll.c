// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * epoll CONNECTIONS DISK SOCKET...: so many connections to the helpers at these sockets, by turns,
 * in one thread and one epoll loop; each reads the keys of DISK some times. At the end it says what
 * became of the commands of each helper. A helper that hangs, ends or answers with nonsense costs
 * its own commands and delays no others.
 *
 *     cc -o epoll epoll.c $(pkg-config --cflags --libs libprhelper)
 */
#include <fcntl.h>
#include <prhelper.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define COMMANDS   5 /* of each connection */
#define TIMEOUT_MS 1000
#define EVENTS     256

struct client {
    struct prhelper *helper; /* NULL: it has ended */
    struct prhelper_result result;
    unsigned peer; /* index of its helper */
    bool connected;
    unsigned commands; /* that have been started */
    int fd, events;    /* what is in the epoll set; -1: nothing */
};

static unsigned (*counts)[3]; /* of outcomes, for each helper */
static int epoll, disk;
static unsigned running;

/* After each call: what to wait for may have changed. A socket that was closed has left the set by
 * itself, and the library never puts another one in its place without having been without one. */
static void watch(struct client *client)
{
    int fd = prhelper_fd(client->helper), events = prhelper_events(client->helper);
    struct epoll_event event = {.events = (uint32_t)events, .data.ptr = client};

    if (fd >= 0 && fd != client->fd)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    else if (fd >= 0 && events != client->events)
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    client->fd = fd;
    client->events = events;
}

static void end(struct client *client)
{
    prhelper_close(client->helper);
    client->helper = NULL;
    running--;
}

/* `r` is what the last call returned: count what is over, start what comes next. */
static void follow(struct client *client, int r)
{
    while (r != PRHELPER_PENDING) {
        if (!client->connected && r != 0) {
            counts[client->peer][PRHELPER_OUTCOME_NOT_DONE] += COMMANDS;
            end(client);
            return;
        }
        if (!client->connected) {
            client->connected = true;
            prhelper_set_timeout(client->helper, TIMEOUT_MS);
            prhelper_set_reconnect(client->helper, 5, 100);
        } else {
            counts[client->peer][prhelper_outcome(r, &client->result)]++;
        }
        watch(client);
        if (client->commands == COMMANDS) {
            end(client);
            return;
        }
        client->commands++;
        r = prhelper_start_read_keys(client->helper, disk, &client->result);
    }
    watch(client);
}

/* Whose time is over goes on as well. Returns how long to wait for the next one, -1: for ever. */
static int look_at_the_clock(struct client *clients, unsigned n)
{
    int next = -1;

    for (unsigned i = 0; i < n; i++) {
        int timeout = clients[i].helper ? prhelper_timeout(clients[i].helper) : -1;

        if (timeout == 0) {
            follow(&clients[i], prhelper_continue(clients[i].helper));
            timeout = clients[i].helper ? prhelper_timeout(clients[i].helper) : -1;
        }
        if (timeout >= 0 && (next < 0 || timeout < next))
            next = timeout;
    }
    return next;
}

int main(int argc, char **argv)
{
    unsigned n = argc > 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0, n_peers = (unsigned)argc - 3;
    struct client *clients = calloc(n + 1, sizeof(*clients));
    struct rlimit limit;

    counts = calloc((size_t)argc, sizeof(*counts));
    if (n == 0 || !clients || !counts) {
        fprintf(stderr, "usage: %s CONNECTIONS DISK SOCKET...\n", argv[0]);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    disk = open(argv[2], O_RDONLY | O_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (disk < 0 || epoll < 0) {
        perror(argv[2]);
        return 1;
    }

    running = n;
    for (unsigned i = 0; i < n; i++) {
        struct client *client = &clients[i];
        int r;

        client->fd = -1;
        client->peer = i % n_peers;
        r = prhelper_start_connect(argv[3 + client->peer], 0, TIMEOUT_MS, &client->helper);
        follow(client, r);
    }
    while (running > 0) {
        struct epoll_event events[EVENTS];
        int timeout = look_at_the_clock(clients, n);
        int n_events = running > 0 ? epoll_wait(epoll, events, EVENTS, timeout) : 0;

        for (int i = 0; i < n_events; i++) {
            struct client *client = events[i].data.ptr;

            if (client->helper)
                follow(client, prhelper_continue(client->helper));
        }
    }
    for (unsigned peer = 0; peer < n_peers; peer++)
        printf("%s: %u done, %u not done, %u unknown\n", argv[3 + peer],
               counts[peer][PRHELPER_OUTCOME_DONE], counts[peer][PRHELPER_OUTCOME_NOT_DONE],
               counts[peer][PRHELPER_OUTCOME_UNKNOWN]);
    free(counts);
    free(clients);
    return 0;
}
