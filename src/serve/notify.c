// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The socket stays unconnected and each datagram is sent by address: the manager may be restarted
 * and bind its socket anew.
 */
#include "serve/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

/* WATCHDOG_USEC counts for us only if WATCHDOG_PID is absent or names us. */
static int64_t notify_read_watchdog(void)
{
    const char *usec_text = getenv("WATCHDOG_USEC");
    const char *pid_text = getenv("WATCHDOG_PID");
    uint64_t usec, pid;

    if (!usec_text || !parse_number(usec_text, INT64_MAX, &usec))
        return 0;
    if (pid_text && (!parse_number(pid_text, INT32_MAX, &pid) || pid != (uint64_t)getpid()))
        return 0;
    return usec > 0 && usec < 1000 ? 1 : (int64_t)(usec / 1000);
}

int notify_init(struct notify *notify)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    int r = 0;

    memset(notify, 0, sizeof(*notify));
    notify->sock = -1;
    if (path && (length < 2 || length >= sizeof(notify->address.sun_path) ||
                 (path[0] != '/' && path[0] != '@'))) {
        r = -EINVAL;
    } else if (path) {
        notify->address.sun_family = AF_UNIX;
        memcpy(notify->address.sun_path, path, length);
        if (path[0] == '@')
            notify->address.sun_path[0] = '\0';
        notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        notify->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (notify->sock < 0)
            r = -errno;
        else
            notify->watchdog_ms = notify_read_watchdog();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return r;
}

void notify_deinit(struct notify *notify)
{
    if (notify->sock >= 0)
        close(notify->sock);
    notify->sock = -1;
}

void notify_send(const struct notify *notify, const char *format, ...)
{
    char text[256];
    va_list arguments;
    int n;

    if (notify->sock < 0)
        return;
    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (n <= 0 || (size_t)n >= sizeof(text))
        return;
    (void)!sendto(notify->sock, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&notify->address, notify->address_size);
}
