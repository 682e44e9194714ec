// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For LD_PRELOAD in qemu-pr-mpath: counts the points at which it has just done, or is about to do,
 * something that others can see, and at one of them kills the process, or stops the thread.
 *
 * Points: before and after each PERSISTENT RESERVE OUT, each write of a journal, and each message
 * to a socket that is not a channel of its own: multipathd's, and answers. struct points is the
 * file POINTS_FILE, shared with the test.
 *
 * No system call but those of the worker's filter.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define POINTS_PERSISTENT_RESERVE_OUT 0x5f
#define POINTS_TRACE_MAX              256

struct points {
    _Atomic uint32_t passed;              /* points so far */
    _Atomic uint32_t kill_at;             /* the number of a point, from 1; 0: never */
    _Atomic uint32_t stop_at_change;      /* the same of those before PERSISTENT RESERVE OUT */
    _Atomic uint32_t stopped;             /* a thread stands there ... */
    _Atomic uint32_t major, minor;        /* ... about to send to this device */
    _Atomic uint32_t goes_on;             /* set by the test */
    _Atomic char trace[POINTS_TRACE_MAX]; /* of each point: what it was */
};

static struct points nowhere, *points = &nowhere;
/* Looked up at the start: stacks of threads are small. */
static int (*points_ioctl)(int, unsigned long, ...);
static ssize_t (*points_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*points_send)(int, const void *, size_t, int);

static void points_forget(void)
{
    points = &nowhere;
}

__attribute__((constructor)) static void points_open(void)
{
    const char *file = getenv("POINTS_FILE");
    int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof(*points), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    *(void **)&points_ioctl = dlsym(RTLD_NEXT, "ioctl");
    *(void **)&points_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&points_send = dlsym(RTLD_NEXT, "send");
    if (fd >= 0)
        close(fd);
    if (shared == MAP_FAILED)
        return;
    points = shared;
    pthread_atfork(NULL, NULL, points_forget); /* the opener has none */
}

/* what: a letter, in capitals afterwards. */
static void points_pass(char what)
{
    uint32_t number = atomic_fetch_add(&points->passed, 1) + 1;

    if (number < POINTS_TRACE_MAX)
        atomic_store(&points->trace[number], what);
    if (number == atomic_load(&points->kill_at)) {
        atomic_store(&points->kill_at, 0);
        __builtin_trap();
    }
}

/* Before a change: to stand here, until the test lets the thread go on. */
static void points_stop(int fd)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint32_t left = atomic_load(&points->stop_at_change);
    struct stat status;

    if (left == 0 || atomic_fetch_sub(&points->stop_at_change, 1) != 1)
        return;
    if (fstat(fd, &status) == 0) {
        atomic_store(&points->major, major(status.st_rdev));
        atomic_store(&points->minor, minor(status.st_rdev));
    }
    atomic_store(&points->stopped, 1);
    while (!atomic_load(&points->goes_on))
        nanosleep(&pause, NULL);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    struct sg_io_hdr *io;
    int r, changes;

    va_start(arguments, request);
    io = va_arg(arguments, void *);
    va_end(arguments);
    changes = request == SG_IO && io->cmdp[0] == POINTS_PERSISTENT_RESERVE_OUT;
    if (changes)
        points_pass('o'), points_stop(fd);
    r = points_ioctl(fd, request, io);
    if (changes)
        points_pass('O');
    return r;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    ssize_t r;

    points_pass('j');
    r = points_pwrite(fd, bytes, size, offset);
    points_pass('J');
    return r;
}

ssize_t send(int sock, const void *bytes, size_t size, int flags)
{
    ssize_t r;

    if (!(flags & MSG_DONTWAIT)) /* the hello */
        return points_send(sock, bytes, size, flags);
    points_pass('m');
    r = points_send(sock, bytes, size, flags);
    points_pass('M');
    return r;
}
