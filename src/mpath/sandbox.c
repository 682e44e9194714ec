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

#define SANDBOX_NAMESPACES                                                                         \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* clang-format off */
static const char *const sandbox_allowed[] = {
    /* memory and the dynamic loader: children load the library */
    "brk", "mmap", "mmap2", "mprotect", "munmap", "mremap", "madvise",
    /* threads: the library has one for each path, its checkers others */
    "futex", "futex_time64", "set_robust_list", "rseq", "gettid", "set_tid_address", "membarrier",
    "sched_getaffinity", "sched_yield", "exit", "exit_group", "restart_syscall", "getcpu",
    /* signals: children that are killed; the library's wait for a lock on a file */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
    "sigaltstack", "tgkill", "kill", "alarm", "setitimer", "signalfd4", "wait4", "waitid",
    /* time */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep",
    "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time", "times", "timer_create",
    "timer_settime", "timer_delete",
    /* files: configuration, sysfs, udev's data base, plug-ins, the nodes of paths, what a child
     * prints */
    "openat", "open", "read", "pread64", "readv", "write", "pwrite64", "writev", "close",
    "close_range", "lseek", "_llseek", "fstat", "fstat64", "stat", "stat64", "lstat", "lstat64",
    "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "access",
    "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "fcntl",
    "fcntl64", "flock", "dup", "dup2", "dup3", "pipe2", "memfd_create", "ftruncate", "ftruncate64",
    "fsync", "fdatasync", "mkdir", "mkdirat", "umask",
    /* multipathd's socket; the channel and the sockets of replies */
    "connect", "sendto", "send", "sendmsg", "recvfrom", "recv", "recvmsg", "shutdown",
    "setsockopt", "getsockopt", "getsockname", "getpeername",
    "poll", "ppoll", "ppoll_time64", "select", "pselect6", "pselect6_time64",
    /* libdevmapper waits for udev by a semaphore */
    "semget", "semop", "semtimedop", "semctl", "ipc",
    /* the directio checker */
    "io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel", "io_destroy",
    /* who and where we are */
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getuid32", "geteuid32",
    "getgid32", "getegid32", "capget", "uname", "sysinfo", "getrandom", "getrlimit", "ugetrlimit",
    "setrlimit", "getrusage", "getpriority", "sched_getparam", "sched_getscheduler",
};
/* clang-format on */

static const unsigned sandbox_ioctls[] = {
    SG_IO,
    /* sizes, which the library's checkers ask for */
    BLKSSZGET,
    BLKBSZGET,
    BLKGETSIZE64,
    HDIO_GETGEO,
};

static const int sandbox_prctls[] = {
    PR_SET_PDEATHSIG, PR_SET_NAME, PR_CAPBSET_READ, /* libcap, when it is loaded */
};

/* 0, or a negative errno; a name that this architecture does not have is none. */
static int sandbox_allow(scmp_filter_ctx filter, const char *name, unsigned n_conditions,
                         struct scmp_arg_cmp condition)
{
    int number = seccomp_syscall_resolve_name(name);
    int r;

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, n_conditions, &condition);
    return r == -EDOM ? 0 : r;
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
