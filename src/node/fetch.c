// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/fetch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/document.h"

#define FETCH_CHUNK      65536
#define FETCH_FORMAT_NOW 1

int fetch_connect(const char *path, int *ret_fd)
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

int fetch_read(int fd, char **text, size_t *size, size_t max)
{
    for (;;) {
        char *more;
        ssize_t n;

        if (*size > max)
            return -EFBIG;
        more = realloc(*text, *size + FETCH_CHUNK + 1);
        if (!more)
            return -ENOMEM;
        *text = more;
        n = recv(fd, *text + *size, FETCH_CHUNK, MSG_DONTWAIT);
        (*text)[n > 0 ? *size + (size_t)n : *size] = '\0';
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (n == 0)
            return 1;
        *size += (size_t)n;
    }
}

/* Brackets and commas within texts are counted as well, and are few. */
static bool fetch_is_bloated(const char *text)
{
    size_t n_objects = 0, n_values = 0;

    for (; *text; text++) {
        n_objects += *text == '{' || *text == '[';
        n_values += *text == ',';
    }
    return n_objects > FETCH_OBJECTS_MAX || n_values > FETCH_VALUES_MAX;
}

int fetch_parse(const char *text, struct json_object **ret_document)
{
    struct json_object *document;
    const char *program;
    int r = 0;

    if (!text || !*text)
        return FETCH_EMPTY;
    if (fetch_is_bloated(text))
        return FETCH_BLOATED;
    document = json_tokener_parse(text);
    program = document_text(document, "program");
    if (!program ||
        (strcmp(program, "qemu-pr-helper") != 0 && strcmp(program, "qemu-pr-simulator") != 0))
        r = FETCH_FOREIGN;
    else if (document_number(document, "format") != FETCH_FORMAT_NOW)
        r = FETCH_FORMAT;
    if (r == 0)
        *ret_document = document;
    else
        json_object_put(document);
    return r;
}

/* Until end of file or the deadline. The caller frees *text in any case. */
static int fetch_read_all(int fd, int64_t deadline_ms, char **text)
{
    size_t size = 0;

    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - clock_now_ms();
        int r = left > 0 ? poll(&poller, 1, (int)left) : 0;

        if (r < 0 && errno != EINTR)
            return -errno;
        if (r == 0)
            return -ETIMEDOUT;
        r = r > 0 ? fetch_read(fd, text, &size, FETCH_MAX) : 0;
        if (r != 0)
            return r < 0 ? r : 0;
    }
}

int fetch_document(const char *path, int timeout_ms, struct json_object **ret_document)
{
    char *text = NULL;
    int fd = -1, r = fetch_connect(path, &fd);

    if (r < 0)
        return r;
    r = fetch_read_all(fd, clock_now_ms() + timeout_ms, &text);
    close(fd);
    if (r == 0)
        r = fetch_parse(text, ret_document);
    free(text);
    return r;
}
