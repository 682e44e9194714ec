// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whoever connects is sent one JSON document, then end of file. Whatever else listens at that path
 * is found out by the program that the document names, and cannot make us wait or swell.
 */
#include "ctl/document.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "build.h"

#define DOCUMENT_WAIT_MS 10000
#define DOCUMENT_MAX     (64u << 20)
#define DOCUMENT_CHUNK   65536
#define DOCUMENT_FORMAT  1

const char *document_socket(const struct options *options)
{
    return options->status_socket ? options->status_socket : BUILD_DEFAULT_STATUS_SOCKET;
}

static int document_open_socket(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, r;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        r = -errno; /* EAGAIN: its queue is full */
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Until end of file. The caller frees *ret_text on 0. */
static int document_read_all(int fd, int64_t deadline, char **ret_text)
{
    char *text = NULL, *more;
    size_t size = 0;

    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - clock_now_ms();
        int r = left > 0 ? poll(&poller, 1, left > INT_MAX ? INT_MAX : (int)left) : 0;
        ssize_t n;

        if (r < 0 && errno == EINTR)
            continue;
        more = r > 0 && size < DOCUMENT_MAX ? realloc(text, size + DOCUMENT_CHUNK + 1) : NULL;
        if (!more) {
            r = r == 0 ? -ETIMEDOUT : r < 0 ? -errno : size < DOCUMENT_MAX ? -ENOMEM : -EFBIG;
            free(text);
            return r;
        }
        text = more;
        n = recv(fd, text + size, DOCUMENT_CHUNK, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            r = -errno;
            free(text);
            return r;
        }
        size += (size_t)n;
        text[size] = '\0';
        if (n == 0)
            break;
    }
    *ret_text = text;
    return 0;
}

static int document_fetch_text(const struct options *options, char **ret_text)
{
    int timeout_ms = options->timeout_ms < 0 ? DOCUMENT_WAIT_MS : options->timeout_ms;
    int fd = -1, r = document_open_socket(document_socket(options), &fd);

    if (r < 0)
        return r;
    r = document_read_all(fd, clock_now_ms() + timeout_ms, ret_text);
    close(fd);
    return r;
}

static void document_advise(const struct options *options, int r, struct outcome *outcome)
{
    const char *path = document_socket(options);

    outcome_fail(outcome, r == -ENOMEM ? CTL_INTERNAL : CTL_HELPER,
                 "cannot read the status at %s: %s", path, strerror(-r));
    switch (-r) {
    case ENOENT:
    case ENOTDIR:
        outcome_hint(outcome,
                     "Start the helper with --status-socket=%s, or name the status socket of one "
                     "that runs with --status-socket.",
                     path);
        break;
    case ECONNREFUSED:
        outcome_hint(outcome, "The socket is there, but nobody listens: the helper has ended.");
        break;
    case EACCES:
    case EPERM:
        outcome_hint(outcome, "Only its owner may read it, unless the helper was started with "
                              "--status-mode or --status-group.");
        break;
    case EAGAIN:
    case ETIMEDOUT:
        outcome_hint(outcome, "It has as many readers as it takes, or is no status socket.");
        break;
    default:
        break;
    }
}

bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_document)
{
    struct json_object *document;
    const char *program;
    char *text = NULL;
    int r = document_fetch_text(options, &text);

    if (r < 0) {
        document_advise(options, r, outcome);
        return false;
    }
    document = json_tokener_parse(text);
    program = document_text(document, "program");
    if (!program || strcmp(program, "qemu-pr-helper") != 0) {
        outcome_fail(outcome, CTL_DATA, "what %s sends is no status of a helper",
                     document_socket(options));
        outcome_hint(outcome, "%s",
                     *text ? "Is it the socket of --status-socket, and not that for clients?"
                           : "It has as many readers as it takes: try again.");
    } else if (document_number(document, "format") != DOCUMENT_FORMAT) {
        outcome_fail(outcome, CTL_DATA, "the helper's status has format %lld",
                     (long long)document_number(document, "format"));
        outcome_hint(outcome, "This qemu-pr-ctl is older than the helper.");
    } else {
        free(text);
        *ret_document = document;
        return true;
    }
    json_object_put(document);
    free(text);
    return false;
}

struct json_object *document_object(struct json_object *object, const char *name)
{
    struct json_object *member;

    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, name, &member))
        return NULL;
    return member;
}

const char *document_text(struct json_object *object, const char *name)
{
    struct json_object *member = document_object(object, name);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

int64_t document_number(struct json_object *object, const char *name)
{
    return json_object_get_int64(document_object(object, name));
}

double document_seconds(struct json_object *object, const char *name)
{
    return json_object_get_double(document_object(object, name));
}

bool document_flag(struct json_object *object, const char *name)
{
    return json_object_get_boolean(document_object(object, name));
}

size_t document_count(struct json_object *object, const char *name)
{
    struct json_object *member = document_object(object, name);

    return json_object_is_type(member, json_type_array) ? json_object_array_length(member) : 0;
}

struct json_object *document_item(struct json_object *object, const char *name, size_t index)
{
    /* json-c asserts that it is an array. */
    if (index >= document_count(object, name))
        return NULL;
    return json_object_array_get_idx(document_object(object, name), index);
}
