// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-mpath: executes PERSISTENT RESERVE OUT on multipath maps for qemu-pr-helper, whose keeper
 * starts it with a channel as fd 3 (proto/worker.h). Not for people: it has no options.
 *
 * The first thing that it says is whether it can work; if not, what is missing, and that is all.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "mpath/dm.h"
#include "mpath/host.h"
#include "mpath/library.h"
#include "mpath/sandbox.h"
#include "mpath/worker.h"
#include "proto/worker.h"

#define MAIN_CHANNEL 3

static bool main_has_channel(void)
{
    int type;
    socklen_t size = sizeof(type);

    return getsockopt(MAIN_CHANNEL, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_SEQPACKET;
}

/* An fd for SIGCHLD, or a negative errno. What would end us goes to a whole control group, and is
 * not for us: our end is that of the channel. */
static int main_take_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    sigset_t heard;
    int fd;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    if (sigprocmask(SIG_SETMASK, &heard, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* All that is needed, or what is missing in hello->text. */
static bool main_prepare(struct worker *worker, struct worker_hello *hello)
{
    if (host_take_rights(hello->text, sizeof(hello->text)) < 0)
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

    worker->signal_fd = main_take_signals();
    if (worker->signal_fd < 0) {
        snprintf(hello->text, sizeof(hello->text), "signalfd: %s", strerror(-worker->signal_fd));
        return false;
    }
    worker->dm_control = dm_open();
    if (worker->dm_control < 0) {
        snprintf(hello->text, sizeof(hello->text), "/dev/mapper/control cannot be opened: %s",
                 strerror(-worker->dm_control));
        return false;
    }
#ifndef SANITIZED /* whose own system calls are not on the list */
    if (sandbox_enter(hello->text, sizeof(hello->text)) < 0)
        return false;
#endif
    return library_probe(hello->version, sizeof(hello->version), hello->text, sizeof(hello->text));
}

int main(int argc, char **argv)
{
    uint8_t bytes[WORKER_HELLO_SIZE];
    struct worker_hello hello = {.pid = (uint32_t)getpid()};
    struct worker worker = {.channel = MAIN_CHANNEL};

    if (fdio_open_standard() < 0 || !main_has_channel()) {
        fprintf(stderr, "qemu-pr-mpath is started by qemu-pr-helper, not by hand\n");
        return EXIT_FAILURE;
    }
    fdio_close_strays(MAIN_CHANNEL + 1);

    hello.ready = main_prepare(&worker, &hello);
    worker_encode_hello(bytes, &hello);
    if (send(worker.channel, bytes, sizeof(bytes), MSG_NOSIGNAL) < 0 || !hello.ready)
        return EXIT_FAILURE;
    worker_run(&worker);
    return EXIT_SUCCESS;
}
