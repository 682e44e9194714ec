// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * `multipath -h` begins with "multipath-tools v0.9.4 (12/19, 2022)", on standard error, and does
 * nothing. The faults are those that matter to persistent reservations; the helper steers around
 * them, mpathpersist(8) and other programs that use the library do not.
 */
#include "doctor/mpath_library.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MPATH_LIBRARY_ANSWER_MS 10000

static const struct {
    unsigned first, last;
    const char *fault;
} faults[] = {
    {MPATH_LIBRARY_VERSION(0, 7, 0), MPATH_LIBRARY_VERSION(0, 9, 9),
     "RELEASE by a host that does not hold the reservation clears that of another host"},
    {MPATH_LIBRARY_VERSION(0, 10, 0), MPATH_LIBRARY_VERSION(0, 10, 5),
     "RELEASE by a host that does not hold the reservation clears that of another host"},
    {MPATH_LIBRARY_VERSION(0, 11, 0), MPATH_LIBRARY_VERSION(0, 11, 1),
     "RELEASE by a host that does not hold the reservation clears that of another host"},
    {MPATH_LIBRARY_VERSION(0, 9, 4), MPATH_LIBRARY_VERSION(0, 9, 4),
     "PREEMPT of its own key leaves one path of several registered"},
};

/* All it says, until it ends, as far as there is room. */
static void mpath_library_read_answer(int fd, char *text, size_t size)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    size_t used = 0;

    while (used < size - 1 && poll(&poller, 1, MPATH_LIBRARY_ANSWER_MS) > 0) {
        ssize_t n = read(fd, text + used, size - 1 - used);

        if (n <= 0)
            break;
        used += (size_t)n;
    }
    text[used] = '\0';
}

static int mpath_library_ask(char *text, size_t size)
{
    char program[] = "multipath", option[] = "-h", *argv[] = {program, option, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], r;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    r = -posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (r == 0) {
        mpath_library_read_answer(ends[0], text, size);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    return r;
}

int mpath_library_version(unsigned *ret_version)
{
    unsigned major, minor, patch = 0;
    const char *found;
    char text[512];
    int r = mpath_library_ask(text, sizeof(text));

    if (r < 0)
        return r;
    found = strstr(text, "multipath-tools v");
    if (!found || sscanf(found, "multipath-tools v%3u.%3u.%3u", &major, &minor, &patch) < 2 ||
        major > 255 || minor > 255 || patch > 255)
        return -EPROTO;
    *ret_version = MPATH_LIBRARY_VERSION(major, minor, patch);
    return 0;
}

const char *mpath_library_fault(unsigned version, unsigned *cursor)
{
    while (*cursor < sizeof(faults) / sizeof(faults[0])) {
        unsigned i = (*cursor)++;

        if (version >= faults[i].first && version <= faults[i].last)
            return faults[i].fault;
    }
    return NULL;
}
