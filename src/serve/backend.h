// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a connection needs to know of the executor of commands. */
#ifndef SERVE_BACKEND_H
#define SERVE_BACKEND_H

#include "proto/request.h"

struct backend {
    const char *name;
    void *context;

    /*
     * Execute one request and fill in all of the reply; there is an answer for everything. May
     * block for as long as the device does. Called by many threads at once. The request's fd stays
     * the caller's, and its file status flags are shared with the client: not to be changed.
     */
    void (*execute)(void *context, const struct request *request, struct reply *reply);

    /*
     * The connection of this slot (struct request) has ended; the next one that is accepted may
     * have the same. NULL: not needed. Any thread; must not block.
     */
    void (*forget)(void *context, int slot);
};

#endif
