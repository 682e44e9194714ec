// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-mpath: executes PERSISTENT RESERVE OUT on multipath maps for qemu-pr-helper, whose keeper
 * starts it with a channel as fd 3 (proto/worker.h), or the service manager for a connection to
 * qemu-pr-mpath.socket. Not for people: it has no options.
 *
 * Its first message says whether it can work and, if not, what is missing; then it exits.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/memory.h"
#include "mpath/channel.h"
#include "mpath/host.h"
#include "mpath/journal.h"
#include "mpath/opener.h"
#include "mpath/sandbox.h"
#include "mpath/worker.h"
#include "proto/worker.h"

#define MAIN_CHANNEL 3

/* What would end us goes to a whole control group, and is not for us: our end is that of the
 * channel.
 */
static void main_ignore_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
}

/* All that is needed, or what is missing in hello->text. */
static bool main_prepare(struct worker *worker, bool is_beside, struct worker_hello *hello)
{
    bool is_service = channel_is_service(MAIN_CHANNEL);
    char problem[WORKER_TEXT_SIZE];

    if (is_service && channel_check_peer(MAIN_CHANNEL, hello->text, sizeof(hello->text)) < 0)
        return false;
    if (host_take_rights(hello->text, sizeof(hello->text)) < 0)
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    main_ignore_signals();
    memory_init();
    worker->shared.journal = journal_open_directory(problem, sizeof(problem));
    /* A service's worker does not know about earlier ones. */
    if (worker->shared.journal < 0 && (is_beside || is_service)) {
        hello->later = true;
        snprintf(hello->text, sizeof(hello->text),
                 "an earlier worker may still be executing a command, and the journal that names "
                 "its map cannot be used: %.300s",
                 problem);
        return false;
    }
    worker->shared.opener = opener_start();
    if (worker->shared.opener < 0) {
        snprintf(hello->text, sizeof(hello->text), "cannot start the process that opens paths: %s",
                 strerror(-worker->shared.opener));
        return false;
    }
    return sandbox_enter(SANDBOX_WORKER, worker->shared.journal, hello->text,
                         sizeof(hello->text)) == 0;
}

int main(int argc, char **argv)
{
    uint8_t bytes[WORKER_HELLO_SIZE];
    struct worker_hello hello = {.pid = (uint32_t)getpid()};
    struct worker worker = {.channel = MAIN_CHANNEL};
    bool is_beside;
    int table;

    if (fdio_open_standard() < 0 || !channel_is_one(MAIN_CHANNEL)) {
        fprintf(stderr, "qemu-pr-mpath is started by qemu-pr-helper, not by hand\n");
        return EXIT_FAILURE;
    }
    fdio_close_strays(MAIN_CHANNEL + 1);
    is_beside = argc > 1 && strcmp(argv[1], WORKER_BESIDE) == 0;
    shared_init(&worker.shared);

    table = shared_make_table(&worker.shared);
    hello.ready = main_prepare(&worker, is_beside, &hello);
    worker_encode_hello(bytes, &hello);
    if (fdio_send_fds(worker.channel, bytes, sizeof(bytes), &table, table >= 0) < 0 || !hello.ready)
        return EXIT_FAILURE;
    if (table >= 0)
        close(table);
    /* No exit(): threads that hang may still be there. */
    _exit(worker_run(&worker) ? EXIT_SUCCESS : EXIT_FAILURE);
}
