// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipathd listens in the abstract name space, which a private network hides, and from 0.12 on
 * also at a path, which a container can be given. MULTIPATH_SOCKET_NAME, with '@' for an abstract
 * name, takes the place of both. Any other order than the library's own would be one more thing to
 * explain.
 *
 * Both ways the same: a size_t as this machine has it, of the string with its NUL, and the string.
 *
 * The doctor has a client of its own, for other questions: see doctor/multipathd.c.
 */
#include "mpath/multipathd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "mpath/host.h"

/* For each step. It answers at once unless it reconfigures. */
#define MULTIPATHD_TIMEOUT_S 10
#define MULTIPATHD_NEWS_S    1 /* where nothing hangs on what it says */

/* Returns an fd or a negative errno. */
static int multipathd_connect(const char *name, unsigned timeout_s)
{
    const struct timeval timeout = {.tv_sec = timeout_s};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    CLEANUP_CLOSE int fd = -1;

    if (length == 0 || length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0'; /* and no NUL at the end, which would belong to the name */
    else
        length++;

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
        connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        return -errno;
    return steal_fd(&fd);
}

/* The first that answers, of those that the library would try. */
static int multipathd_find(unsigned timeout_s, char ret_tried[MULTIPATHD_REPLY_SIZE])
{
    const char *wanted = getenv("MULTIPATH_SOCKET_NAME");
    size_t used = 0;
    int r = -ENOENT;

    for (size_t i = 0; i < (wanted ? 1 : HOST_MULTIPATHD_SOCKETS); i++) {
        const char *name = wanted ? wanted : host_multipathd[i];

        r = multipathd_connect(name, timeout_s);
        if (r >= 0)
            return r;
        used += (size_t)snprintf(ret_tried + used, MULTIPATHD_REPLY_SIZE - used, "%s%s: %s",
                                 used ? ", " : "", name, strerror(-r));
        if (used >= MULTIPATHD_REPLY_SIZE)
            break;
    }
    return r;
}

/* Returns 0 or a negative errno. */
static int multipathd_talk(int fd, const char *request, char ret_reply[MULTIPATHD_REPLY_SIZE])
{
    size_t size = strlen(request) + 1;
    ssize_t n;

    /* The daemon may be gone: EPIPE, not the signal, which is ignored here. */
    if (fdio_write_full(fd, &size, sizeof(size)) < 0 || fdio_write_full(fd, request, size) < 0)
        return -EPIPE;
    n = fdio_read_full(fd, &size, sizeof(size));
    if (n != (ssize_t)sizeof(size))
        return n < 0 ? (int)n : -EPIPE;
    if (size == 0 || size > MULTIPATHD_REPLY_SIZE)
        return -EMSGSIZE;
    n = fdio_read_full(fd, ret_reply, size);
    if (n != (ssize_t)size)
        return n < 0 ? (int)n : -EPIPE;
    ret_reply[size - 1] = '\0';
    ret_reply[strcspn(ret_reply, "\n")] = '\0';
    return 0;
}

static int multipathd_converse(unsigned timeout_s, const char *command, const char *map,
                               char ret_reply[MULTIPATHD_REPLY_SIZE])
{
    char request[128];
    CLEANUP_CLOSE int fd = multipathd_find(timeout_s, ret_reply);
    int r;

    if (fd < 0)
        return fd;
    snprintf(request, sizeof(request), "%s map %s", command, map);
    r = multipathd_talk(fd, request, ret_reply);
    if (r < 0)
        snprintf(ret_reply, MULTIPATHD_REPLY_SIZE, "%s: no answer: %s", request,
                 strerror(r == -EAGAIN ? ETIMEDOUT : -r));
    return r;
}

int multipathd_ask(const char *command, const char *map, char ret_reply[MULTIPATHD_REPLY_SIZE])
{
    return multipathd_converse(MULTIPATHD_TIMEOUT_S, command, map, ret_reply);
}

void multipathd_tell(const char *command, const char *map)
{
    char said[MULTIPATHD_REPLY_SIZE];

    (void)multipathd_converse(MULTIPATHD_NEWS_S, command, map, said);
}
