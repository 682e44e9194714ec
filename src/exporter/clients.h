// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The clients of the web server: since when each has had its turn, and what it has been promised. A
 * client has so long for a request and for taking the answer; one that sends or takes a byte now
 * and then is cut off all the same, so that no number of them keeps others from being served.
 */
#ifndef EXPORTER_CLIENTS_H
#define EXPORTER_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENTS_MAX         64    /* connected at a time */
#define CLIENTS_TURN_MS     30000 /* from the last answer, or from connecting, to the next one */
#define CLIENTS_PATIENCE_MS 1000  /* for a request, while others wait to be accepted */
#define CLIENTS_OWED_MAX    (48u << 20) /* bytes of answers that all together have not taken yet */
#define CLIENTS_KEPT_MAX    (80u << 20) /* with those of clients that are cut off */

struct client {
    bool used, cut; /* cut: its socket is shut down, and the library has yet to see that */
    int fd;         /* the library's */
    int64_t since_ms;
    size_t owed; /* bytes of its answer; 0: it has not asked yet */
};

struct clients {
    struct client list[CLIENTS_MAX];
    size_t owed, kept; /* to all that are not cut off; with those that are */
};

/* A new one, or NULL: there are too many. */
struct client *clients_add(struct clients *clients, int fd);
void clients_remove(struct clients *clients, struct client *client);

/* It is to be sent so many bytes; if that is too much for all together, those that have been
 * taking theirs for longest are cut off. */
void clients_owe(struct clients *clients, struct client *client, size_t size);

/* Whether there is memory for another answer. */
bool clients_may_owe(const struct clients *clients);

/* It has its answer, and may ask again. */
void clients_settle(struct clients *clients, struct client *client);

/* Cut off those whose time is over; `others_wait`: for a place, so that there is less of it. */
void clients_cut_overdue(struct clients *clients, bool others_wait);

#endif
