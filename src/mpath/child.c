// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A child is a copy of the worker from before it had run anything but its own code, so it may do
 * everything that a new process may. It gives up what is not its business: the fds of all others,
 * so that nobody's end of file waits for this child; and memory without bounds.
 *
 * SIGTERM, SIGINT and SIGHUP stay ignored, as in the worker: they go to the whole control group,
 * and the command in hand is to be finished.
 */
#include "mpath/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdio.h"
#include "mpath/command.h"
#include "mpath/dm.h"
#include "mpath/output.h"

/* The library needs some MB, and a stack of 8 MB for a thread for each of a map's paths. */
#define CHILD_DATA_MAX (1024UL * 1024 * 1024)

/* fds of a child beside the standard ones. */
#define CHILD_DEVICE  3
#define CHILD_REPLY   4
#define CHILD_N_FDS   5
#define CHILD_FAR_FDS 16 /* higher than any of them */

/* Keep these two, under these numbers, and the standard ones. */
static bool child_keep_fds(int device, int reply)
{
    int far_device = fcntl(device, F_DUPFD, CHILD_FAR_FDS);
    int far_reply = fcntl(reply, F_DUPFD, CHILD_FAR_FDS);

    if (far_device < 0 || far_reply < 0 ||
        dup3(far_device, CHILD_DEVICE, O_CLOEXEC) != CHILD_DEVICE ||
        dup3(far_reply, CHILD_REPLY, O_CLOEXEC) != CHILD_REPLY)
        return false;
    if (syscall(SYS_close_range, CHILD_N_FDS, ~0u, 0) < 0) /* before Linux 5.9 */
        fdio_close_strays(CHILD_N_FDS);
    return true;
}

/* The first thing in a child. */
static bool child_begin(pid_t worker)
{
    const struct rlimit data = {.rlim_cur = CHILD_DATA_MAX, .rlim_max = CHILD_DATA_MAX};
    sigset_t none;

    /* The signal comes when the worker ends. It may have ended before we asked for it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != worker)
        return false;
    prctl(PR_SET_NAME, "pr-mpath-child", 0, 0, 0);
#ifndef SANITIZED /* whose own maps are far beyond it */
    if (setrlimit(RLIMIT_DATA, &data) < 0)
        return false;
#else
    (void)data;
#endif
    /* The library waits for SIGALRM when it locks a file. */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

void child_answer(int reply, const struct worker_reply *answer, const uint8_t *data)
{
    static uint8_t message[WORKER_REPLY_SIZE];

    worker_encode_reply(message, answer, data);
    (void)!send(reply, message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void child_execute(const struct worker_request *request, const struct map *map)
{
    static uint8_t room[WIRE_DATA_MAX];
    static struct command command;

    command.map = *map;
    command.request = request->request;
    command.request.fd = CHILD_DEVICE;
    if (request->request.opcode == SPC_PERSISTENT_RESERVE_IN)
        command.request.data = room;
    command.io_timeout_ms = request->io_timeout_ms;
    command.output = STDERR_FILENO;
    cdb_decode(request->request.cdb, &command.cdb);
    command_execute(&command);
    child_answer(CHILD_REPLY, &command.answer, command.request.data);
}

/* Returns 0 in a child that has begun, elsewhere its pid or a negative errno. */
static pid_t child_fork(void)
{
    const pid_t worker = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0 && !child_begin(worker))
        _exit(EXIT_FAILURE);
    return pid;
}

pid_t child_start(const struct worker_request *request, const struct map *map, int device,
                  int reply, int output)
{
    pid_t pid = child_fork();

    if (pid != 0)
        return pid;
    if (output_use(output) < 0 || !child_keep_fds(device, reply))
        _exit(EXIT_FAILURE);
    child_execute(request, map);
    /* No exit(): what the library has registered with atexit() is not worth waiting for. */
    _exit(CHILD_ANSWERED);
}

pid_t child_start_resume(int control, const struct map *map)
{
    pid_t pid = child_fork();

    if (pid != 0)
        return pid;
    _exit(dm_resume(control, map->number) == 0 ? CHILD_ANSWERED : EXIT_FAILURE);
}
