// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/landlock.h"
#include "filter/filter.h"
#include "mpath/host.h"

/* clone(2): which argument the flags are differs on one architecture. */
#ifdef __s390__
#define SANDBOX_CLONE_FLAGS 1
#else
#define SANDBOX_CLONE_FLAGS 0
#endif
#define SANDBOX_THREAD (CLONE_VM | CLONE_THREAD) /* a thread, never a process */

/* clang-format off */
/*
 * Each with its caller in the form FILE: FUNCTION: CALL, which a test holds against the source.
 * Several for one are those of other architectures and C libraries.
 */
static const char *const sandbox_allowed[] = {
    /* memory and threads */
    "brk",                     /* mpath/map.c: map_new: calloc */
    "munmap",                  /* base/thread.c: thread_free: munmap */
    "madvise",                 /* base/thread.c: thread_start: pthread_create */
    "futex",                   /* mpath/map.c: map_sleep: pthread_cond_timedwait */
    "futex_time64",            /* mpath/map.c: map_sleep: pthread_cond_timedwait */
    "set_robust_list",         /* base/thread.c: thread_start: pthread_create */
    "rseq",                    /* base/thread.c: thread_start: pthread_create */
    "rt_sigprocmask",          /* base/thread.c: thread_start: pthread_create */
    "rt_sigaction",            /* base/thread.c: thread_start: pthread_create */
    "exit",                    /* base/thread.c: thread_start: pthread_create */
    "exit_group",              /* mpath/main.c: main: _exit */
    /* time */
    "clock_gettime",           /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_gettime64",         /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_nanosleep",         /* mpath/journal.c: journal_lock: nanosleep */
    "clock_nanosleep_time64",  /* mpath/journal.c: journal_lock: nanosleep */
    "nanosleep",               /* mpath/journal.c: journal_lock: nanosleep */
    /* sysfs, and the journal */
    "read",                    /* base/fdio.c: fdio_read_full: read */
    "pread64",                 /* mpath/journal.c: journal_read: pread */
    "pwrite64",                /* mpath/journal.c: journal_store: pwrite */
    "flock",                   /* mpath/journal.c: journal_lock: flock */
    "close",                   /* mpath/worker.c: worker_take: close */
    "close_range",             /* base/fdio.c: fdio_part: fdio_close_range */
    "fstat",                   /* mpath/sysfs.c: sysfs_identify: fstat */
    "fstat64",                 /* mpath/sysfs.c: sysfs_identify: fstat */
    "newfstatat",              /* mpath/sysfs.c: sysfs_list: fstatat */
    "fstatat64",               /* mpath/sysfs.c: sysfs_list: fstatat */
    "statx",                   /* mpath/sysfs.c: sysfs_list: fstatat */
    "readlinkat",              /* mpath/nexus.c: nexus_read: readlinkat */
    "getdents64",              /* mpath/sysfs.c: sysfs_list: readdir */
    /* multipathd's socket, the channels, the sockets of replies */
    "connect",                 /* multipathd/multipathd.c: multipathd_connect: connect */
    "setsockopt",              /* multipathd/multipathd.c: multipathd_connect: setsockopt */
    "sendto",                  /* mpath/map.c: work_answer: send */
    "send",                    /* mpath/map.c: work_answer: send */
    "recvfrom",                /* multipathd/multipathd.c: multipathd_receive: recv */
    "recv",                    /* multipathd/multipathd.c: multipathd_receive: recv */
    "sendmsg",                 /* base/fdio.c: fdio_send_fds: sendmsg */
    "recvmsg",                 /* base/fdio.c: fdio_receive: FDIO_RECVMSG */
    "poll",                    /* mpath/worker.c: worker_run: poll */
    "ppoll",                   /* mpath/worker.c: worker_run: poll */
    "ppoll_time64",            /* mpath/worker.c: worker_run: poll */
    "restart_syscall",         /* mpath/worker.c: worker_run: poll */
};

/* Those that are allowed with certain arguments only. */
static const struct filter_rule sandbox_conditional[] = {
    /* sg/issue.c: sg_issue: ioctl */
    {"ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, SG_IO)},
    /* mpath/sysfs.c: sysfs_identify: fcntl */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_GETFL)},
    /* mpath/sysfs.c: sysfs_identify: fcntl */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_GETFL)},
    /* mpath/hold.c: hold_take: fcntl */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_OFD_SETLK)},
    /* mpath/hold.c: hold_take: fcntl */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_OFD_SETLK)},
    /* mpath/hold.c: hold_is_taken: fcntl */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_OFD_GETLK)},
    /* mpath/hold.c: hold_is_taken: fcntl */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_OFD_GETLK)},
    /* multipathd/multipathd.c: multipathd_connect: socket */
    {"socket", SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX)},
    /* mpath/opener.c: opener_open: socketpair */
    {"socketpair", SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX)},
    /* base/thread.c: thread_start: pthread_create */
    {"clone", SCMP_CMP(SANDBOX_CLONE_FLAGS, SCMP_CMP_MASKED_EQ, SANDBOX_THREAD, SANDBOX_THREAD)},
    /* base/thread.c: thread_new: mmap */
    {"mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* base/thread.c: thread_new: mmap */
    {"mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* base/thread.c: thread_new: mprotect */
    {"mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
};

/* openat of each role. */
static const struct filter_rule sandbox_open[] = {
    /* mpath/journal.c: journal_open: openat */
    [SANDBOX_WORKER] = {"openat", SCMP_A2(SCMP_CMP_MASKED_EQ, O_TRUNC | O_APPEND, 0)},
    /* mpath/opener.c: opener_open_path: open */
    [SANDBOX_OPENER] = {"openat", SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
                                          O_RDONLY)},
};
/* clang-format on */

static int sandbox_enter_seccomp(enum sandbox_role role)
{
    struct filter filter;

    filter_begin(&filter);
    filter_add(&filter, SCMP_ACT_ALLOW, sandbox_allowed, FILTER_COUNT(sandbox_allowed));
    filter_allow_if(&filter, sandbox_conditional, FILTER_COUNT(sandbox_conditional));
    filter_allow_if(&filter, &sandbox_open[role], 1);
    return filter_load(&filter);
}

static int sandbox_enter_landlock(enum sandbox_role role, int journal)
{
    struct landlock landlock;
    int r = landlock_begin(&landlock);

    if (r == -ENOSYS || r == -EOPNOTSUPP)
        return 0;
    if (r == 0)
        r = landlock_allow(&landlock, host_landlock_sys, LANDLOCK_READ);
    if (r == 0 && role == SANDBOX_OPENER)
        r = landlock_allow(&landlock, host_dev,
                           LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_IOCTL_DEV);
    if (r == 0 && role == SANDBOX_WORKER && journal >= 0)
        r = landlock_allow_fd(&landlock, journal,
                              LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_REG);
    return r == 0 ? landlock_enter(&landlock) : r;
}

int sandbox_enter(enum sandbox_role role, int journal, char *ret_error, size_t error_size)
{
    int r = sandbox_enter_landlock(role, journal);

    if (r < 0) {
        snprintf(ret_error, error_size, "cannot enter the Landlock sandbox: %s", strerror(-r));
        return r;
    }
#ifdef SANITIZED
    return 0; /* a sanitizer's own system calls are not on the list */
#endif
    r = sandbox_enter_seccomp(role);
    if (r < 0)
        snprintf(ret_error, error_size, "cannot enter the seccomp sandbox: %s", strerror(-r));
    return r;
}
