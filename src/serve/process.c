// SPDX-License-Identifier: LGPL-2.1-or-later
/* Signals are heard by signalfd in one place; there are no handlers and nothing is restarted. */
#include "serve/process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PROCESS_FDS_MAX 65536

int process_block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    static const int endings[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t blocked, heard;
    int fd;

    sigfillset(&blocked);
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    if (sigprocmask(SIG_SETMASK, &blocked, NULL) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);

    sigemptyset(&heard);
    for (unsigned i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        sigaddset(&heard, endings[i]);
    fd = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int process_raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max < PROCESS_FDS_MAX ? limit.rlim_max : PROCESS_FDS_MAX;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    return (int)limit.rlim_cur;
}

unsigned process_client_room(unsigned n_fds)
{
    return n_fds > PROCESS_FDS_RESERVED + 2 ? (n_fds - PROCESS_FDS_RESERVED) / 2 : 1;
}

/* A pid alone would not do: each PID namespace has its own, and a directory may be shared. */
static void process_own_name(char *name, size_t size)
{
    uint32_t random = 0;

    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    snprintf(name, size, "%d-%08" PRIx32, (int)getpid(), random);
}

char *process_path(const char *text)
{
    char pid[16], name[32] = "";
    size_t length = (size_t)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    /* More than what two letters become. */
    char *path = malloc(strlen(text) * length + sizeof(name));
    char *to = path;

    if (*text && text[strlen(text) - 1] == '/')
        process_own_name(name, sizeof(name));

    while (path && *text) {
        if (text[0] == '%' && text[1] == 'd') {
            memcpy(to, pid, length);
            to += length;
            text += 2;
        } else {
            *to++ = *text++;
        }
    }
    if (path)
        memcpy(to, name, strlen(name) + 1);
    return path;
}
