// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exporter/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "exporter/page.h"

#define HTTP_BACKLOG      64
#define HTTP_MEMORY_BYTES 8192 /* of a client's request */
#define HTTP_RUNS         4    /* at a time */
#define HTTP_DEAF_MS      100  /* before it checks again for room for clients */

static const struct http_path {
    const char *path, *type;
    enum http_page page;
} http_paths[] = {
    {"/", "text/html; charset=utf-8", HTTP_NODE},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", HTTP_METRICS},
    {"/status.json", "application/json", HTTP_STATUS},
};

#define HTTP_OPENMETRICS "application/openmetrics-text"

/* The weight of a media type in an Accept header, -1: it is not there (RFC 9110, 12.5.1). */
static double http_weight_of(const char *accept, const char *type)
{
    double best = -1;

    while (*accept) {
        size_t length = strcspn(accept, ",");
        const char *at = accept + strspn(accept, " \t"), *weight;
        double q = 1;

        if (strncasecmp(at, type, strlen(type)) == 0 && strchr(";, \t", at[strlen(type)])) {
            weight = memmem(accept, length, "q=", 2);
            if (weight)
                q = strtod(weight + 2, NULL);
            best = q > best ? q : best;
        }
        accept += length + (accept[length] == ',');
    }
    return best;
}

bool http_wants_openmetrics(const char *accept)
{
    double openmetrics = accept ? http_weight_of(accept, HTTP_OPENMETRICS) : -1;

    return openmetrics > 0 && openmetrics >= http_weight_of(accept, "text/plain");
}

/* NULL: one too many, which the library does not let happen. */
static struct client *http_client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static enum MHD_Result http_send(struct http *http, struct MHD_Connection *connection,
                                 unsigned status, const char *type, char *text, size_t size)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text,
                                                                    MHD_RESPMEM_MUST_FREE);
    struct client *client = http_client_of(connection);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Content-Security-Policy",
                                  "default-src 'none'; style-src 'unsafe-inline'; "
                                  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    if (client)
        clients_owe(&http->clients, client, size);
    return result;
}

static enum MHD_Result http_fail(struct http *http, struct MHD_Connection *connection,
                                 unsigned status)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return MHD_NO;
    if (status == MHD_HTTP_NOT_FOUND)
        page_write_missing(file);
    else
        fprintf(file, "%u\n", status);
    fclose(file);
    return http_send(http, connection, status,
                     status == MHD_HTTP_NOT_FOUND ? "text/html; charset=utf-8" : "text/plain", text,
                     size);
}

static enum MHD_Result http_answer(void *context, struct MHD_Connection *connection,
                                   const char *url, const char *method, const char *version,
                                   const char *upload, size_t *upload_size, void **state)
{
    static int seen; /* the headers are complete at the first call, the body at the last */
    struct http *http = context;
    const struct http_path *path = http_paths;
    enum expose_format format = EXPOSE_CLASSIC;
    const char *type;
    char *text = NULL;
    size_t size = 0;
    bool written;
    FILE *file;

    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return http_fail(http, connection, MHD_HTTP_METHOD_NOT_ALLOWED);
    while (path < http_paths + sizeof(http_paths) / sizeof(http_paths[0]) &&
           strcmp(path->path, url) != 0)
        path++;
    if (path == http_paths + sizeof(http_paths) / sizeof(http_paths[0]))
        return http_fail(http, connection, MHD_HTTP_NOT_FOUND);
    if (!clients_may_owe(&http->clients))
        return http_fail(http, connection, MHD_HTTP_SERVICE_UNAVAILABLE);
    type = path->type;
    if (path->page == HTTP_METRICS && http_wants_openmetrics(MHD_lookup_connection_value(
                                          connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT))) {
        format = EXPOSE_OPENMETRICS;
        type = HTTP_OPENMETRICS "; version=1.0.0; charset=utf-8";
    }
    file = open_memstream(&text, &size);
    if (!file)
        return MHD_NO;
    written = http->write(http->context, file, path->page, format);
    if (fclose(file) != 0 || !written) {
        free(text);
        return http_fail(http, connection, MHD_HTTP_SERVICE_UNAVAILABLE);
    }
    return http_send(http, connection, MHD_HTTP_OK, type, text, size);
}

/* A client comes or goes. */
static void http_connected(void *context, struct MHD_Connection *connection, void **client,
                           enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        *client = info ? clients_add(&http->clients, info->connect_fd) : NULL;
    } else if (*client) {
        clients_remove(&http->clients, *client);
        *client = NULL;
    }
}

/* It has its answer, or will not have it. */
static void http_completed(void *context, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode code)
{
    struct http *http = context;
    struct client *client = http_client_of(connection);

    (void)state;
    (void)code;
    if (client)
        clients_settle(&http->clients, client);
}

/* HOST:PORT into two texts. */
static bool http_split(const char *address, char *host, size_t size, const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t length = colon ? (size_t)(colon - address) : 0;

    if (!colon || !colon[1])
        return false;
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    snprintf(host, size, "%.*s", (int)length, address);
    *ret_port = colon + 1;
    return length < size;
}

static int http_listen(const char *address, int *ret_fd)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found = NULL;
    const char *port;
    char host[64];
    int fd = -1, one = 1, r = -EINVAL;
    uint64_t number;

    if (!http_split(address, host, sizeof(host), &port) ||
        !parse_number(port, UINT16_MAX, &number) ||
        getaddrinfo(*host ? host : NULL, port, &hints, &found) != 0)
        return -EINVAL;
    for (struct addrinfo *info = found; info && fd < 0; info = info->ai_next) {
        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
            bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, HTTP_BACKLOG) == 0)
            break;
        r = -errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd < 0)
        return r;
    *ret_fd = fd;
    return 0;
}

/* Messages of the library, mostly about single clients. */
__attribute__((format(printf, 2, 0))) static void http_log(void *context, const char *format,
                                                           va_list arguments)
{
    char line[256];

    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_client("HTTP: %s", line);
}

/* What it listens on in the end. */
static void http_tell_address(const struct http *http, char *address, size_t size)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char host[64], port[16];

    if (getsockname(http->listener, (struct sockaddr *)&name, &length) < 0 ||
        getnameinfo((struct sockaddr *)&name, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        *address = '\0';
    else
        snprintf(address, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int http_start(struct http *http, const char *address, http_write_fn *write, void *context,
               char *ret_error, size_t error_size)
{
    const union MHD_DaemonInfo *info;
    int r;

    *http = (struct http){.listener = -1, .write = write, .context = context};
    r = http_listen(address, &http->listener);
    if (r < 0) {
        snprintf(ret_error, error_size, "cannot listen on %s: %s", address,
                 r == -EINVAL ? "not a numeric address and a port" : strerror(-r));
        return r;
    }
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_answer, http,
        MHD_OPTION_EXTERNAL_LOGGER, http_log, NULL, MHD_OPTION_LISTEN_SOCKET, http->listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_CLIENT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, http_connected, http, MHD_OPTION_NOTIFY_COMPLETED,
        http_completed, http, MHD_OPTION_END);
    info = http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        snprintf(ret_error, error_size, "cannot start the web server");
        http_stop(http);
        return -ENOMEM;
    }
    http->events = info->epoll_fd;
    http_tell_address(http, http->address, sizeof(http->address));
    return 0;
}

static bool http_is_full(const struct http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon,
                                                           MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return !info || info->num_connections >= CLIENTS_MAX;
}

/* Whether there is one that has not been accepted. */
static bool http_is_waited_for(const struct http *http)
{
    struct pollfd fd = {.fd = http->listener, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/*
 * At its client limit the library stops listening, and it listens again in a run that begins with
 * fewer clients; closed ones are forgotten at the end of a run. No event says that such a run is
 * due.
 */
void http_run(struct http *http)
{
    for (unsigned i = 0; i < HTTP_RUNS; i++) {
        bool full = http_is_full(http);

        clients_cut_overdue(&http->clients, full && http_is_waited_for(http));
        (void)MHD_run(http->daemon);
        http->deaf = full || http_is_full(http);
        if (!http->deaf && i > 0)
            return;
    }
}

int http_timeout(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (MHD_get_timeout(http->daemon, &ms) != MHD_YES)
        return http->deaf ? HTTP_DEAF_MS : -1;
    if (http->deaf && ms > HTTP_DEAF_MS)
        return HTTP_DEAF_MS;
    return ms > HTTP_CLIENT_S * 1000 ? HTTP_CLIENT_S * 1000 : (int)ms;
}

void http_stop(struct http *http)
{
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    else if (http->listener >= 0)
        close(http->listener);
    http->daemon = NULL;
    http->listener = -1;
}
