// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exporter/clients.h"

#include <sys/socket.h>

#include "base/clock.h"

/* Its answer is no more. */
static void clients_forgive(struct clients *clients, struct client *client)
{
    if (!client->cut)
        clients->owed -= client->owed;
    clients->kept -= client->owed;
    client->owed = 0;
}

/* The library sees an end of file, or that it cannot send; it closes the socket then. */
static void clients_cut(struct clients *clients, struct client *client)
{
    (void)shutdown(client->fd, SHUT_RDWR);
    clients->owed -= client->owed;
    client->cut = true;
}

struct client *clients_add(struct clients *clients, int fd)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &clients->list[i];

        if (client->used)
            continue;
        *client = (struct client){.used = true, .fd = fd, .since_ms = clock_now_ms()};
        return client;
    }
    return NULL;
}

void clients_remove(struct clients *clients, struct client *client)
{
    clients_forgive(clients, client);
    client->used = false;
}

void clients_owe(struct clients *clients, struct client *client, size_t size)
{
    clients_forgive(clients, client);
    client->owed = size;
    clients->kept += size;
    if (!client->cut)
        clients->owed += size;
    while (clients->owed > CLIENTS_OWED_MAX) {
        struct client *oldest = NULL;

        for (unsigned i = 0; i < CLIENTS_MAX; i++) {
            struct client *one = &clients->list[i];

            if (one->used && !one->cut && one->owed > 0 && one != client &&
                (!oldest || one->since_ms < oldest->since_ms))
                oldest = one;
        }
        if (!oldest)
            return;
        clients_cut(clients, oldest);
    }
}

bool clients_may_owe(const struct clients *clients)
{
    return clients->kept <= CLIENTS_KEPT_MAX;
}

void clients_settle(struct clients *clients, struct client *client)
{
    clients_forgive(clients, client);
    client->since_ms = clock_now_ms();
}

void clients_cut_overdue(struct clients *clients, bool others_wait)
{
    int64_t now_ms = clock_now_ms();

    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &clients->list[i];
        int64_t most_ms = others_wait && client->owed == 0 ? CLIENTS_PATIENCE_MS : CLIENTS_TURN_MS;

        if (client->used && !client->cut && now_ms - client->since_ms > most_ms)
            clients_cut(clients, client);
    }
}
