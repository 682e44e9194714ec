// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The limit on the size of files is the child's own (RLIMIT_FSIZE). It also keeps the library from
 * filling a disk. What is beyond it is lost, with an error that nobody looks at.
 */
#include "mpath/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define OUTPUT_MAX  65536
#define OUTPUT_TAIL 1024 /* bytes in which the last line is looked for */

int output_new(void)
{
    int fd = memfd_create("output", MFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int output_use(int fd)
{
    const struct rlimit limit = {.rlim_cur = OUTPUT_MAX, .rlim_max = OUTPUT_MAX};

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
        dup2(fd, STDERR_FILENO) < 0)
        return -errno;
    return 0;
}

/* "Nov 22 22:10:11 | " or "1234.567890 | ", as the library's version has it. */
static const char *output_skip_time(const char *line)
{
    const char *bar = strstr(line, " | ");

    return bar && strspn(line, "ADFJMNOSabceglnoprtuvy0123456789:. ") == (size_t)(bar - line + 1)
               ? bar + 3
               : line;
}

void output_last_line(int fd, char ret_line[OUTPUT_LINE_SIZE])
{
    char tail[OUTPUT_TAIL + 1];
    off_t size = lseek(fd, 0, SEEK_END);
    off_t start = size > OUTPUT_TAIL ? size - OUTPUT_TAIL : 0;
    ssize_t n = size > 0 ? pread(fd, tail, OUTPUT_TAIL, start) : 0;
    const char *line;

    ret_line[0] = '\0';
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' ' || tail[n - 1] == '\0'))
        n--;
    if (n <= 0)
        return;
    tail[n] = '\0';
    line = memrchr(tail, '\n', (size_t)n);
    line = output_skip_time(line ? line + 1 : tail);
    snprintf(ret_line, OUTPUT_LINE_SIZE, "%.*s", OUTPUT_LINE_SIZE - 1, line);
}
