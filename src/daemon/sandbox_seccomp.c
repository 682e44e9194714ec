// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A list of what may be called, each with its caller. A few calls that no version of the C library
 * would try, and that only an attacker's code can want, kill the process.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <scsi/sg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/memory.h"
#include "base/thread.h"
#include "filter/filter.h"

/* clone(2): which argument the flags are differs on one architecture. */
#ifdef __s390__
#define SANDBOX_CLONE_FLAGS 1
#else
#define SANDBOX_CLONE_FLAGS 0
#endif
#define SANDBOX_THREAD (CLONE_VM | CLONE_THREAD) /* a thread, never a process */

/* clang-format off */
/*
 * Each with its caller in the form FILE: FUNCTION: CALL, which a test holds against the source: the
 * function is there and makes that call of the C library, in which the system call is made. Several
 * for one place are those of other architectures and C libraries.
 */
static const char *const sandbox_allowed[] = {
    "epoll_wait",              /* serve/pool.c: pool_thread_main: epoll_wait */
    "epoll_pwait",             /* serve/pool.c: pool_thread_main: epoll_wait */
    "epoll_ctl",               /* serve/pool.c: pool_arm: epoll_ctl */
    "close",                   /* serve/pool.c: pool_close: close */
    "futex",                   /* base/futex.h: futex_wait: syscall */
    "futex_time64",            /* base/futex.h: futex_wait: syscall */
    "rt_sigprocmask",          /* base/thread.c: thread_start: pthread_create */
    "rseq",                    /* base/thread.c: thread_start: pthread_create */
    "set_robust_list",         /* base/thread.c: thread_start: pthread_create */
    "exit",                    /* base/thread.c: thread_start: pthread_create */
    "munmap",                  /* base/thread.c: thread_free: munmap */
    "madvise",                 /* base/memory.h: memory_give_back: malloc_trim */
    "brk",                     /* base/memory.h: memory_give_back: malloc_trim */
    "poll",                    /* serve/server.c: server_serve: poll */
    "ppoll",                   /* serve/server.c: server_serve: poll */
    "ppoll_time64",            /* serve/server.c: server_serve: poll */
    "restart_syscall",         /* serve/server.c: server_serve: poll */
    "accept4",                 /* serve/server.c: server_accept_one: accept4 */
    "read",                    /* serve/server.c: server_take_signal: read */
    "write",                   /* base/fdio.c: fdio_write_full: write */
    "timerfd_settime",         /* serve/conns.c: conns_set_tick: timerfd_settime */
    "timerfd_settime64",       /* serve/conns.c: conns_set_tick: timerfd_settime */
    "clock_gettime",           /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_gettime64",         /* base/clock.h: clock_now_ms: clock_gettime */
    "recvmsg",                 /* base/fdio.c: fdio_receive_plain: recvmsg */
    "sendmsg",                 /* base/fdio.c: fdio_send_fds: sendmsg */
    "recvfrom",                /* helper/backend_mpath.c: mpath_receive: recv */
    "recv",                    /* helper/backend_mpath.c: mpath_receive: recv */
    "sendto",                  /* serve/conn.c: conn_send_rest: send */
    "send",                    /* serve/conn.c: conn_send_rest: send */
    "setsockopt",              /* helper/backend_mpath.c: mpath_set_timeout: setsockopt */
    "getsockopt",              /* serve/peer.c: peer_read_label: getsockopt */
    "shutdown",                /* serve/conn.c: conn_handshake: shutdown */
    "fstat",                   /* sg/device.c: device_classify: fstat */
    "fstat64",                 /* sg/device.c: device_classify: fstat */
    "newfstatat",              /* sg/device.c: device_has: fstatat */
    "fstatat64",               /* sg/device.c: device_has: fstatat */
    "statx",                   /* sg/device.c: device_has: fstatat */
    "readlinkat",              /* sg/device.c: device_read_link: readlinkat */
    "clock_nanosleep",         /* sg/issue.c: sg_try_again: nanosleep */
    "clock_nanosleep_time64",  /* sg/issue.c: sg_try_again: nanosleep */
    "nanosleep",               /* sg/issue.c: sg_try_again: nanosleep */
    "getpid",                  /* base/log.c: log_send_syslog: getpid */
    "time",                    /* base/log.c: log_send_syslog: time */
    "exit_group",              /* helper/main.c: helper_finish: _exit */
};

/*
 * Those that are allowed with certain arguments only. Of an int the kernel does not look at the upper
 * half of the register, so neither do we. clone3 hides its flags in memory: ENOSYS makes the C
 * library use clone.
 */
static const struct filter_rule sandbox_conditional[] = {
    /* sg/issue.c: sg_issue: ioctl */
    {"ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, SG_IO)},
    /* helper/backend_mpath.c: mpath_execute: socketpair */
    {"socketpair", SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX)},
    /* base/fdio.c: fdio_read_text: openat */
    {"openat", SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)},
    /* base/thread.c: thread_start: pthread_create */
    {"clone", SCMP_CMP(SANDBOX_CLONE_FLAGS, SCMP_CMP_MASKED_EQ, SANDBOX_THREAD, SANDBOX_THREAD)},
    /* base/thread.c: thread_new: mmap */
    {"mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* base/thread.c: thread_new: mmap */
    {"mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* base/thread.c: thread_new: mprotect */
    {"mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
};

/*
 * The commands of fcntl, and of fcntl64, where there is one. With F_SETOWN, F_SETSIG and O_ASYNC a
 * process has the kernel send any signal to any process of its user.
 */
static const int sandbox_fcntls[] = {
    F_GETFL,     /* helper/route.c: route_is_writable: fcntl */
    F_OFD_SETLK, /* base/fdio.c: fdio_set_lock: fcntl */
    F_GET_SEALS, /* helper/backend_mpath.c: mpath_is_table: fcntl */
};

static const char *const sandbox_fatal[] = {
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd",
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
    "fsmount", "setns", "unshare",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key", "request_key",
    "iopl", "ioperm", "swapon", "swapoff", "quotactl", "acct", "settimeofday", "clock_settime",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
    "setgroups", "capset",
};
/* clang-format on */

static void sandbox_allow_fcntls(struct filter *filter)
{
    for (size_t i = 0; i < FILTER_COUNT(sandbox_fcntls); i++) {
        const struct scmp_arg_cmp command = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff,
                                                    (scmp_datum_t)sandbox_fcntls[i]);
        const struct filter_rule rules[] = {{"fcntl", command}, {"fcntl64", command}};

        filter_allow_if(filter, rules, FILTER_COUNT(rules));
    }
}

/* Build the filter and load it into all threads. Returns 0 or a negative errno. */
static int sandbox_load(void)
{
    struct filter filter;

    filter_begin(&filter);
    filter_set(&filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* As a binary tree. The kernel remembers which calls need no look at their arguments, and to
     * learn that it runs the filter for every call there is. Of the others, each request makes an
     * ioctl, which is not to be found behind all others either. */
    filter_set(&filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    filter_add(&filter, SCMP_ACT_ALLOW, sandbox_allowed, FILTER_COUNT(sandbox_allowed));
    filter_add(&filter, SCMP_ACT_KILL_PROCESS, sandbox_fatal, FILTER_COUNT(sandbox_fatal));
    filter_allow_if(&filter, sandbox_conditional, FILTER_COUNT(sandbox_conditional));
    sandbox_allow_fcntls(&filter);
    return filter_load(&filter);
}

struct sandbox_thread {
    struct thread thread; /* first: thread.h */
    int result;
};

static void sandbox_thread_main(struct thread *thread)
{
    ((struct sandbox_thread *)thread)->result = sandbox_load();
}

/*
 * The filter is built by a thread of its own, which is gone afterwards: what libseccomp allocates
 * for it in small pieces is more than serving ever needs, and only when a thread ends does the C
 * library let go of the pieces that it keeps for it.
 */
int sandbox_enter_seccomp(char *ret_error, size_t error_size)
{
    struct thread *thread = thread_new(sizeof(struct sandbox_thread));
    int r = -ENOMEM;
    pthread_t id;

    if (thread) {
        r = thread_start(thread, sandbox_thread_main, &id);
        if (r == 0) {
            pthread_join(id, NULL);
            r = ((struct sandbox_thread *)thread)->result;
        }
        thread_free(thread);
        memory_give_back();
    }
    if (r < 0) {
        snprintf(ret_error, error_size, "cannot enter the seccomp sandbox: %s", strerror(-r));
        return r;
    }
    return 0;
}
