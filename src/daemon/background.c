// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pipe carries the child's log lines as text, and a NUL byte as its last word if all is well.
 */
#include "daemon/background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"

static void background_wait(int fd) __attribute__((noreturn));

static void background_wait(int fd)
{
    bool ready = false;
    sigset_t none;
    char text[512];
    ssize_t n;

    /* It is the parent that the terminal's user interrupts. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    while ((n = read(fd, text, sizeof(text))) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0 && text[n - 1] == '\0') {
            ready = true;
            n--;
        }
        if (n > 0)
            fdio_write_full(STDERR_FILENO, text, (size_t)n);
    }
    _exit(ready ? EXIT_SUCCESS : EXIT_FAILURE);
}

int background_start(void)
{
    CLEANUP_CLOSE int from_child = -1;
    CLEANUP_CLOSE int to_parent = -1;
    int pair[2];
    pid_t pid;
    int r;

    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    from_child = pair[0];
    to_parent = pair[1];
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0) {
        close(steal_fd(&to_parent));
        background_wait(from_child);
    }
    setsid();
    if (chdir("/") < 0)
        return -errno;
    r = fdio_null_standard();
    if (r < 0)
        return r;
    log_to_fd(to_parent);
    return steal_fd(&to_parent);
}

void background_ready(int fd)
{
    fdio_write_full(fd, "", 1);
    close(fd);
}
