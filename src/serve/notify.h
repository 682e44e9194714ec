// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The service manager's notification protocol (sd_notify(3)), from our side. Without NOTIFY_SOCKET
 * in the environment every call does nothing.
 *
 * Thread rule: the main thread's alone.
 */
#ifndef SERVE_NOTIFY_H
#define SERVE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int sock; /* -1: no service manager */
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_ms; /* how often the manager wants a sign of life; 0: never */
};

/*
 * Make the socket, ahead of a sandbox, and unset the variables. Returns 0, or a negative errno with
 * the struct usable as "no service manager".
 */
int notify_init(struct notify *notify);
void notify_deinit(struct notify *notify);

/* Send assignments such as "READY=1\nSTATUS=...". What cannot be sent at once is not sent. */
void notify_send(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
