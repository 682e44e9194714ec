// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A list of what may be called. It has to do for libmpathpersist and the libraries below it, in
 * versions that do not exist yet, so it is wider than the helper's, and what is not on it fails
 * with ENOSYS, which a library can handle; only a call by another architecture's numbers kills.
 * What it is for: no program is executed, no network is reached, no module, mount or name space
 * made, whatever a device or a file of configuration does to the code in a child; and of the many
 * ioctls that CAP_SYS_ADMIN opens, only those to disks and to the device-mapper are left.
 *
 * Found by strace with multipath-tools 0.9.4 (Debian 12), by reading in 0.14.
 */
#include "mpath/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <sched.h>
#include <scsi/sg.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* clone(2): which argument the flags are differs on one architecture. */
#ifdef __s390__
#define SANDBOX_CLONE_FLAGS 1
#else
#define SANDBOX_CLONE_FLAGS 0
#endif

/* On 32-bit machines locks with 64 bits have numbers of their own (asm-generic/fcntl.h). */
#define SANDBOX_GETLK64  12
#define SANDBOX_SETLK64  13
#define SANDBOX_SETLKW64 14

#define SANDBOX_NAMESPACES                                                                         \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* clang-format off */
/*
 * Each with its caller, which a test looks up: in our own source as FILE: FUNCTION: CALL, in a library
 * as LIBRARY: CALL, the function of the C library that it takes from there. Several for one are those
 * of other architectures and C libraries.
 */
static const char *const sandbox_allowed[] = {
    /* memory, the dynamic loader, threads */
    "brk",                     /* libmultipath: malloc */
    "mmap",                    /* mpath/library.c: library_open: dlopen */
    "mmap2",                   /* mpath/library.c: library_open: dlopen */
    "mprotect",                /* mpath/library.c: library_open: dlopen */
    "munmap",                  /* libmultipath: free */
    "mremap",                  /* libmultipath: realloc */
    "madvise",                 /* libmultipath: pthread_create */
    "futex",                   /* libmultipath: pthread_cond_wait */
    "futex_time64",            /* libmultipath: pthread_cond_wait */
    "set_robust_list",         /* libmultipath: pthread_create */
    "rseq",                    /* libmultipath: pthread_create */
    "set_tid_address",         /* libmultipath: pthread_create */
    "exit",                    /* libmultipath: pthread_create */
    "sched_getaffinity",       /* libmultipath: malloc */
    "sched_yield",             /* libcap: sched_yield */
    "membarrier",              /* liburcu: syscall */
    "getcpu",                  /* liburcu: sched_getcpu */
    "getrandom",               /* libmultipath: malloc */
    "restart_syscall",         /* mpath/worker.c: worker_run: poll */
    "exit_group",              /* mpath/child.c: child_start: _exit */
    /* signals */
    "rt_sigaction",            /* libmultipath: sigaction */
    "rt_sigprocmask",          /* mpath/child.c: child_begin: sigprocmask */
    "rt_sigreturn",            /* libmultipath: sigaction */
    "gettid",                  /* libmultipath: pthread_cancel */
    "tgkill",                  /* libmultipath: pthread_cancel */
    "kill",                    /* mpath/worker.c: worker_expire: kill */
    "alarm",                   /* libmultipath: alarm */
    "setitimer",               /* libmultipath: alarm */
    "wait4",                   /* mpath/worker.c: worker_reap: waitpid */
    /* time */
    "clock_gettime",           /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_gettime64",         /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_nanosleep",         /* libmultipath: sleep */
    "clock_nanosleep_time64",  /* libmultipath: sleep */
    "nanosleep",               /* libmultipath: sleep */
    "gettimeofday",            /* libpriorandom: gettimeofday */
    "time",                    /* libgcrypt: time */
    /* files: configuration, sysfs, udev's data base, plug-ins, the nodes of paths */
    "openat",                  /* libmultipath: openat */
    "open",                    /* libmultipath: open */
    "read",                    /* mpath/worker.c: worker_reap: read */
    "pread64",                 /* mpath/library.c: library_open: dlopen */
    "readv",                   /* libmultipath: fgets */
    "write",                   /* base/fdio.c: fdio_write_full: write */
    "writev",                  /* libmultipath: fwrite */
    "close",                   /* mpath/worker.c: worker_take: close */
    "close_range",             /* mpath/child.c: child_keep_fds: syscall */
    "lseek",                   /* mpath/output.c: output_last_line: lseek */
    "_llseek",                 /* mpath/output.c: output_last_line: lseek */
    "fstat",                   /* mpath/map.c: map_identify: fstat */
    "fstat64",                 /* mpath/map.c: map_identify: fstat */
    "stat",                    /* libmultipath: stat */
    "stat64",                  /* libmultipath: stat */
    "lstat",                   /* libmultipath: lstat */
    "lstat64",                 /* libmultipath: lstat */
    "newfstatat",              /* libmultipath: lstat */
    "fstatat64",               /* libmultipath: lstat */
    "statx",                   /* libudev: statx */
    "statfs",                  /* libselinux: statfs */
    "statfs64",                /* libselinux: statfs */
    "fstatfs",                 /* libdevmapper: fstatfs64 */
    "fstatfs64",               /* libdevmapper: fstatfs64 */
    "access",                  /* libselinux: access */
    "faccessat",               /* libselinux: access */
    "faccessat2",              /* libudev: faccessat */
    "readlink",                /* libdevmapper: readlink */
    "readlinkat",              /* libdevmapper: readlink */
    "getdents64",              /* libmultipath: readdir */
    "getcwd",                  /* mpath/library.c: library_open: dlopen */
    "flock",                   /* libmultipath: flock */
    "dup2",                    /* mpath/output.c: output_use: dup2 */
    "dup3",                    /* mpath/child.c: child_keep_fds: dup3 */
    "pipe2",                   /* mpath/library.c: library_probe: pipe2 */
    "memfd_create",            /* mpath/output.c: output_new: memfd_create */
    "ftruncate",               /* libmultipath: ftruncate */
    "ftruncate64",             /* libmultipath: ftruncate */
    "fsync",                   /* libmultipath: fsync */
    "mkdir",                   /* libmultipath: mkdir */
    "mkdirat",                 /* libmultipath: mkdir */
    "umask",                   /* libmultipath: umask */
    /* multipathd's socket; the channel and the sockets of replies */
    "connect",                 /* mpath/multipathd.c: multipathd_connect: connect */
    "sendto",                  /* mpath/child.c: child_answer: send */
    "send",                    /* mpath/child.c: child_answer: send */
    "sendmsg",                 /* libudev: sendmsg */
    "recvfrom",                /* libmpathcmd: recv */
    "recv",                    /* libmpathcmd: recv */
    "recvmsg",                 /* base/fdio.c: fdio_receive: recvmsg */
    "setsockopt",              /* mpath/multipathd.c: multipathd_connect: setsockopt */
    "getsockopt",              /* libudev: getsockopt */
    "poll",                    /* mpath/worker.c: worker_run: poll */
    "ppoll",                   /* mpath/worker.c: worker_run: poll */
    "ppoll_time64",            /* mpath/worker.c: worker_run: poll */
    "select",                  /* libpriopath_latency: select */
    "pselect6",                /* libpriopath_latency: select */
    "pselect6_time64",         /* libpriopath_latency: select */
    /* libdevmapper waits for udev by a semaphore */
    "semget",                  /* libdevmapper: semget */
    "semop",                   /* libdevmapper: semop */
    "semtimedop",              /* libdevmapper: semop */
    "semctl",                  /* libdevmapper: semctl */
    "ipc",                     /* libdevmapper: semop */
    /* the directio checker */
    "io_setup",                /* libcheckdirectio: io_setup */
    "io_submit",               /* libcheckdirectio: io_submit */
    "io_getevents",            /* libcheckdirectio: io_getevents */
    "io_cancel",               /* libcheckdirectio: io_cancel */
    "io_destroy",              /* libcheckdirectio: io_destroy */
    /* who and where we are */
    "getpid",                  /* mpath/child.c: child_fork: getpid */
    "getppid",                 /* mpath/child.c: child_begin: getppid */
    "getuid",                  /* libudev: getuid */
    "getuid32",                /* libudev: getuid */
    "geteuid",                 /* libdevmapper: geteuid */
    "geteuid32",               /* libdevmapper: geteuid */
    "capget",                  /* libcap: capget */
    "uname",                   /* libdevmapper: uname */
    "sysinfo",                 /* libmultipath: scandir */
    "getrlimit",               /* libmpathutil: getrlimit */
    "ugetrlimit",              /* libmpathutil: getrlimit */
    "setrlimit",               /* mpath/child.c: child_begin: setrlimit */
};
/* clang-format on */

static const unsigned sandbox_ioctls[] = {
    SG_IO,       /* sg/issue.c: sg_issue: ioctl */
    BLKBSZGET,   /* libcheckdirectio: ioctl */
    HDIO_GETGEO, /* libmultipath: ioctl */
};

/*
 * Commands of fcntl, and of fcntl64, where there is one; not F_SETOWN and F_SETSIG, with which the
 * kernel would send any signal to any process of root's. Those of locks with 64 bits have numbers
 * of their own on 32-bit machines.
 */
static const int sandbox_fcntls[] = {
    F_DUPFD,         /* mpath/child.c: child_keep_fds: fcntl */
    F_DUPFD_CLOEXEC, /* libudev: fcntl64 */
    F_GETFD,         /* libdevmapper: fcntl64 */
    F_SETFD,         /* libdevmapper: fcntl64 */
    F_GETFL,         /* mpath/map.c: map_is_writable: fcntl */
    F_GETLK,         /* libdevmapper: fcntl64 */
    F_SETLK,         /* libdevmapper: fcntl64 */
    F_SETLKW,        /* libmultipath: fcntl */
#if __WORDSIZE == 32
    SANDBOX_GETLK64,  /* libdevmapper: fcntl64 */
    SANDBOX_SETLK64,  /* libdevmapper: fcntl64 */
    SANDBOX_SETLKW64, /* libmultipath: fcntl */
#endif
};

static const int sandbox_prctls[] = {
    PR_SET_PDEATHSIG, /* mpath/child.c: child_begin: prctl */
    PR_SET_NAME,      /* mpath/child.c: child_begin: prctl */
    PR_CAPBSET_READ,  /* libcap: prctl */
};

/* 0, or a negative errno; a name that this architecture does not have is none. */
static int sandbox_allow_when(scmp_filter_ctx filter, const char *name, unsigned n_conditions,
                              const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);
    int r;

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, n_conditions, conditions);
    return r == -EDOM ? 0 : r;
}

static int sandbox_allow(scmp_filter_ctx filter, const char *name, unsigned n_conditions,
                         struct scmp_arg_cmp condition)
{
    return sandbox_allow_when(filter, name, n_conditions, &condition);
}

static int sandbox_allow_fcntl(scmp_filter_ctx filter, const char *name)
{
    /* libmultipath's checkers set flags, libudev too; but none that asks for signals. */
    const struct scmp_arg_cmp no_signals[] = {
        SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETFL),
        SCMP_A2(SCMP_CMP_MASKED_EQ, O_ASYNC, 0),
    };
    int r = sandbox_allow_when(filter, name, 2, no_signals);

    for (size_t i = 0; r == 0 && i < sizeof(sandbox_fcntls) / sizeof(sandbox_fcntls[0]); i++)
        r = sandbox_allow(filter, name, 1,
                          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, (scmp_datum_t)sandbox_fcntls[i]));
    return r;
}

static int sandbox_fill(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp none = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(sandbox_allowed) / sizeof(sandbox_allowed[0]); i++)
        r = sandbox_allow(filter, sandbox_allowed[i], 0, none);
    /* The kernel does not look at the upper half of the register. */
    for (size_t i = 0; r == 0 && i < sizeof(sandbox_ioctls) / sizeof(sandbox_ioctls[0]); i++)
        r = sandbox_allow(filter, "ioctl", 1,
                          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, sandbox_ioctls[i]));
    if (r == 0) /* every request of the device-mapper has its letter */
        r = sandbox_allow(filter, "ioctl", 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, DM_IOCTL << 8));
    for (size_t i = 0; r == 0 && i < sizeof(sandbox_prctls) / sizeof(sandbox_prctls[0]); i++)
        r = sandbox_allow(filter, "prctl", 1,
                          SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)sandbox_prctls[i]));
    if (r == 0)
        r = sandbox_allow_fcntl(filter, "fcntl");
    if (r == 0)
        r = sandbox_allow_fcntl(filter, "fcntl64");
    if (r == 0)
        r = sandbox_allow(filter, "socket", 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    if (r == 0) /* one's own limits */
        r = sandbox_allow(filter, "prlimit64", 1, SCMP_A0(SCMP_CMP_EQ, 0));
    if (r == 0) /* clone3 hides its flags in memory: ENOSYS makes the C library use clone */
        r = sandbox_allow(filter, "clone", 1,
                          SCMP_CMP(SANDBOX_CLONE_FLAGS, SCMP_CMP_MASKED_EQ, SANDBOX_NAMESPACES, 0));
    return r;
}

int sandbox_enter(char *ret_error, size_t error_size)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = filter ? sandbox_fill(filter) : -ENOMEM;

    /* By another architecture's numbers: a child without one of its threads would only hang. */
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (r < 0)
        snprintf(ret_error, error_size, "cannot enter the seccomp sandbox: %s", strerror(-r));
    return r;
}
