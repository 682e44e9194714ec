// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the libraries have in common that are preloaded in the place of ioctl(2): the function
 * itself, and memory that they share with the process that started the program. The includer
 * defines preload_ioctl(); there is one for each library.
 *
 * The program may run under a system call filter, so an ioctl makes no other call here than itself.
 */
#ifndef STANDIN_PRELOAD_H
#define STANDIN_PRELOAD_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PRELOAD_LOOP_MAJOR 7 /* Documentation/admin-guide/devices.txt of the kernel */

/* In the place of the kernel. Returns an errno; or 0, with what ioctl(2) returns in *ret_result. */
static int preload_ioctl(int fd, unsigned int request, void *argument, int *ret_result);

/* By the kernel. The same. */
static inline int preload_pass(int fd, unsigned int request, void *argument, int *ret_result)
{
    *ret_result = (int)syscall(SYS_ioctl, fd, (unsigned long)request, argument);
    return *ret_result < 0 ? errno : 0;
}

static inline bool preload_is_loop(const struct stat *status)
{
    return S_ISBLK(status->st_mode) && major(status->st_rdev) == PRELOAD_LOOP_MAJOR;
}

/*
 * Before main(): the file, which begins with these eight bytes, for reading and writing. Without it
 * the program ends, since going on would send commands of a test to any device that the fd is.
 */
static inline void *preload_map(const char *path, size_t size, uint64_t magic, const char *what)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED || *(uint64_t *)map != magic) {
        fprintf(stderr, "%s: not to be had from %s\n", what, path);
        _exit(127);
    }
    close(fd);
    return map;
}

/* The two C libraries disagree about the type of a request. */
#ifdef __GLIBC__
int ioctl(int fd, unsigned long request, ...);
int ioctl(int fd, unsigned long request, ...)
#else
int ioctl(int fd, int request, ...);
int ioctl(int fd, int request, ...)
#endif
{
    va_list arguments;
    void *argument;
    int result, error;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    error = preload_ioctl(fd, (unsigned int)request, argument, &result);
    if (error) {
        errno = error;
        return -1;
    }
    return result;
}

#endif
