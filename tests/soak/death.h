// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_DEATH_H
#define SOAK_DEATH_H

/* Clients that connect in order to die. */

#include <stdbool.h>

#include "dice.h"
#include "request.h"

enum death_point {
    DEATH_GREETING, /* connected */
    DEATH_HANDSHAKE,
    DEATH_CDB,
    DEATH_LIST,
    DEATH_SENT,    /* all is sent */
    DEATH_WAITING, /* for a while */
    DEATH_REPLY,   /* some of it is read */
};

struct death {
    enum death_point point;
    bool by_signal; /* a process of its own dies by SIGKILL; else a connection is closed */
    unsigned bytes; /* of what is being sent or received then */
    unsigned fds;   /* sent with the CDB */
    unsigned wait_ms;
};

/* How a client with this request might die. */
struct death death_plan(struct dice *dice, const struct request *request);

/* Has it sent all of its request by then? */
bool death_completes(const struct death *death);

/* Connect to path and die. */
void death_die(const struct death *death, const char *path, unsigned patience_s,
               const struct request *request, const int *fds);

#endif
