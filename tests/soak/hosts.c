// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What befalls a helper is counted twice, before and after: a connection may have been lost to
 * all that had not ended when it was made.
 */
#include "hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "device.h"

#define EXIT_MS   15000 /* the stop timeout, and what a busy machine adds to it */
#define PASSED_FD 3
#define QUEUE     128

/* Each kind of end, begun and finished. */
struct tally {
    _Atomic unsigned begun, finished;
};

static struct host {
    pid_t pid;
    int listener; /* HOST_ACTIVATED */
    char path[HOST_PATH_MAX];
    struct tally kills, stops;
    _Atomic int64_t stopped_ms, stopped_before_ms; /* the last SIGTERM, and the one before it */
} hosts[MAILBOX_HOSTS];

static struct host_options hosts_options;
extern char **environ;

/* Options beside the socket's path. Auditing an hour of commands would fill a disk. */
static const char *const host_arguments[MAILBOX_HOSTS][4] = {
    [HOST_VETERAN] = {"-q"},
    [HOST_RESTARTED] = {"-q", "--audit=on"},
    [HOST_ACTIVATED] = {"-q", "--max-threads=6"},
};

static int host_listen(struct host *host)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", host->path);
    host->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (host->listener < 0 ||
        bind(host->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(host->listener, QUEUE) < 0)
        return -errno;
    return 0;
}

/* By way of a shell, since LISTEN_PID has to be the helper's own. */
static int host_spawn(unsigned number)
{
    struct host *host = &hosts[number];
    const char *argv[12] = {"/bin/sh", "-c", NULL, "sh", hosts_options.helper};
    char script[512], log[256], status[256];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults, blocked;
    unsigned n = 5;
    int r;

    snprintf(script, sizeof(script),
             "export LD_PRELOAD='%s' SOAK_MAILBOX='%s' SOAK_HOST=%u%s; exec \"$@\"",
             hosts_options.library, hosts_options.mailbox, number,
             host->listener >= 0 ? " LISTEN_PID=$$ LISTEN_FDS=1" : "");
    snprintf(log, sizeof(log), "%s/stderr.%u", hosts_options.directory, number);
    argv[2] = script;
    if (host->listener < 0) {
        argv[n++] = "-k";
        argv[n++] = host->path;
    }
    for (unsigned i = 0; host_arguments[number][i]; i++)
        argv[n++] = host_arguments[number][i];
    if (number == HOST_VETERAN) {
        snprintf(status, sizeof(status), "--status-socket=%s/status", hosts_options.directory);
        argv[n++] = status;
    }
    if (!hosts_options.sandbox)
        argv[n++] = "--sandbox=off";

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (host->listener >= 0)
        posix_spawn_file_actions_adddup2(&actions, host->listener, PASSED_FD);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* which main() ignores */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    /* On a busy machine SIGTERM may come before main(): it waits until it is heard. */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    posix_spawnattr_setsigmask(&attributes, &blocked);
    r = posix_spawn(&host->pid, argv[0], &actions, &attributes, (char **)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

int hosts_start(const struct host_options *options)
{
    hosts_options = *options;
    for (unsigned i = 0; i < MAILBOX_HOSTS; i++) {
        int r = 0;

        hosts[i].listener = -1;
        snprintf(hosts[i].path, sizeof(hosts[i].path), "%s/socket.%u", options->directory, i);
        if (i == HOST_ACTIVATED)
            r = host_listen(&hosts[i]);
        if (r == 0)
            r = host_spawn(i);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The wait status, or -1 if it does not end in time, when it is killed. */
static int host_reap(unsigned number)
{
    int64_t deadline = clock_now_ms() + EXIT_MS;
    int status;

    while (waitpid(hosts[number].pid, &status, WNOHANG) == 0) {
        if (clock_now_ms() > deadline) {
            kill(hosts[number].pid, SIGKILL);
            waitpid(hosts[number].pid, &status, 0);
            return -1;
        }
        poll(NULL, 0, 1);
    }
    return status;
}

/* What a helper has left on standard error. */
static void host_show_log(unsigned number)
{
    char path[256], line[256];
    FILE *log;

    snprintf(path, sizeof(path), "%s/stderr.%u", hosts_options.directory, number);
    log = fopen(path, "re");
    for (unsigned n = 0; log && n < 20 && fgets(line, sizeof(line), log); n++)
        printf("#     %s%s", line, strchr(line, '\n') ? "" : "\n");
    if (log)
        fclose(log);
}

static void host_end(unsigned number, bool by_force)
{
    struct host *host = &hosts[number];
    struct tally *tally = by_force ? &host->kills : &host->stops;
    int status;

    tally->begun++;
    if (!by_force) {
        host->stopped_before_ms = host->stopped_ms;
        host->stopped_ms = clock_now_ms();
    }
    kill(host->pid, by_force ? SIGKILL : SIGTERM);
    status = host_reap(number);
    device_forget(number);
    tally->finished++;
    if (status != (by_force ? SIGKILL : 0)) {
        books_wrong(COUNT_WRONG_HELPER, "%d: wait status %x after SIG%s", host->pid,
                    (unsigned)status, by_force ? "KILL" : "TERM");
        host_show_log(number);
    }
}

void host_restart(unsigned number, bool by_force)
{
    host_end(number, by_force);
    count(by_force ? COUNT_KILL : COUNT_TERM);
    if (host_spawn(number) < 0)
        books_wrong(COUNT_WRONG_HELPER, "cannot be started again");
    else if (number == HOST_ACTIVATED)
        count(COUNT_ACTIVATED);
}

void hosts_look_after(void)
{
    for (unsigned i = 0; i < MAILBOX_HOSTS; i++) {
        int status;

        if (waitpid(hosts[i].pid, &status, WNOHANG) == 0)
            continue;
        /* Those that lose their connections are not to blame for it. */
        hosts[i].kills.begun++;
        books_wrong(COUNT_WRONG_HELPER, "%d: ended by itself, wait status %x", hosts[i].pid,
                    (unsigned)status);
        host_show_log(i);
        device_forget(i);
        hosts[i].kills.finished++;
        host_spawn(i);
    }
}

void hosts_stop(void)
{
    for (unsigned i = 0; i < MAILBOX_HOSTS; i++)
        host_end(i, false);
}

pid_t host_pid(unsigned number)
{
    return hosts[number].pid;
}

const char *host_path(unsigned number)
{
    return hosts[number].path;
}

bool host_has_few_threads(unsigned number)
{
    return number == HOST_ACTIVATED;
}

struct host_mark host_mark(unsigned number)
{
    return (struct host_mark){hosts[number].kills.finished, hosts[number].stops.finished};
}

struct books_excuse host_excuse(unsigned number, const struct host_mark *mark)
{
    const struct host *host = &hosts[number];
    unsigned stops = host->stops.begun - mark->stops;
    struct books_excuse excuse = {.killed = host->kills.begun != mark->kills};

    if (stops > 0) /* of several the one that is the better excuse */
        excuse.stopped_ms = stops > 1 ? host->stopped_before_ms : host->stopped_ms;
    return excuse;
}
