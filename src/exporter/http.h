// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The web server: libmicrohttpd, driven by the program's own loop, in one thread.
 */
#ifndef EXPORTER_HTTP_H
#define EXPORTER_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "exporter/clients.h"
#include "node/expose.h"

#define HTTP_CLIENT_S 10 /* without a word, then it is cut off */

struct MHD_Daemon;

/* What is served. */
enum http_page { HTTP_METRICS, HTTP_NODE, HTTP_STATUS };

/*
 * Write a page. False: there is no memory. Called from within http_run.
 */
typedef bool http_write_fn(void *context, FILE *file, enum http_page page,
                           enum expose_format format);

struct http {
    struct MHD_Daemon *daemon; /* owned */
    int listener, events;      /* owned by the daemon */
    char address[96]; /* HOST:PORT that it listens on; a port that was 0 is what it became */
    http_write_fn *write;
    void *context;
    struct clients clients;
    bool deaf; /* there were too many clients, and it may not listen yet */
};

/*
 * Listen. address: HOST:PORT with a numeric host, in brackets if it is of IPv6; without a host all
 * addresses. Returns 0, and `events` is to be polled for reading; or a negative errno with a
 * message in ret_error.
 */
int http_start(struct http *http, const char *address, http_write_fn *write, void *context,
               char *ret_error, size_t error_size);

/* Serve what there is to serve, without waiting. */
void http_run(struct http *http);

/* Milliseconds until http_run has something to do without an event; -1: never. */
int http_timeout(struct http *http);

void http_stop(struct http *http);

/* Whether an Accept header prefers OpenMetrics to the classic text. NULL: no. */
bool http_wants_openmetrics(const char *accept);

#endif
