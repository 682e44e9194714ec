// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_FUZZ_FILES_H
#define TESTS_FUZZ_FILES_H

/*
 * For targets whose code opens files by names that are in the input: there is one file, called
 * FILES_NAME, which holds what the target puts there, and no other. Linked with --wrap=openat and
 * --wrap=openat64; on 32-bit machines the C library's headers turn the one into the other.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"

#define FILES_NAME "@"

static int files_fd = -1;

int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, ...);

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    int fd;

    (void)directory;
    (void)flags;
    if (strcmp(path, FILES_NAME) != 0) {
        errno = path[0] == '!' ? EACCES : ENOENT;
        return -1;
    }
    fd = fcntl(files_fd, F_DUPFD_CLOEXEC, 0);
    fuzz_check(fd >= 0 && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

int __wrap_openat64(int directory, const char *path, int flags, ...)
{
    return __wrap_openat(directory, path, flags);
}

/* The file has these bytes now. The log goes nowhere. */
static inline void files_set(const uint8_t *bytes, size_t size)
{
    if (files_fd < 0) {
        files_fd = memfd_create("file", MFD_CLOEXEC);
        log_to_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
        log_set_level(LOG_LEVEL_DEBUG);
    }
    fuzz_check(files_fd >= 0 && ftruncate(files_fd, 0) == 0);
    fuzz_check(pwrite(files_fd, bytes, size, 0) == (ssize_t)size);
}

/* The lowest free number: after a call that keeps no fd it is the same as before. */
static inline int files_next_fd(void)
{
    int fd = fcntl(files_fd, F_DUPFD_CLOEXEC, 0);

    fuzz_check(fd >= 0 && close(fd) == 0);
    return fd;
}

#endif
