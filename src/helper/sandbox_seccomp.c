// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A list of what may be called, each with its caller. What is not on it fails with ENOSYS, which
 * makes a newer C library fall back to what it did before; a few that no version of it would try,
 * and that only somebody else's code can want, kill the process.
 */
#include "helper/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <scsi/sg.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/memory.h"
#include "serve/thread.h"

/* clone(2): which argument the flags are differs on one architecture. */
#ifdef __s390__
#define SANDBOX_CLONE_FLAGS 1
#else
#define SANDBOX_CLONE_FLAGS 0
#endif

/* clang-format off */
static const char *const sandbox_allowed[] = {
    /* serve/pool */
    "epoll_wait", "epoll_pwait", "epoll_ctl",
    "futex", "futex_time64",            /* parked threads; the C library's locks */
    "write",                            /* eventfd; also base/log to standard error */
    "close",                            /* conns_serve, pool_close; everything */
    /* serve/thread, and what pthread_create and a thread's end call in the C library */
    "munmap", "madvise", "brk",
    "rt_sigaction", "rt_sigprocmask",   /* pthread_create: the first one installs a handler */
    "rseq", "set_robust_list", "gettid",
    "exit", "exit_group",
    /* serve/conn */
    "recvmsg",
    "recvfrom", "recv",                 /* keeper_ask */
    "getsockopt",                       /* serve/peer: who is it? */
    "sendto", "send",                   /* conns_open, notify_send, base/log to syslog, keeper_ask */
    "shutdown", "setsockopt",           /* stop; linger */
    "timerfd_settime", "timerfd_settime64",
    /* serve/server */
    "poll", "ppoll", "ppoll_time64",    /* the loop; base/log */
    "accept4",
    "read",                             /* signalfd, timerfd; sysfs */
    "clock_gettime", "clock_gettime64", /* where the vDSO cannot serve it */
    "restart_syscall",                  /* a call with a time-out after SIGSTOP and SIGCONT */
    /* helper/backend_mpath */
    "sendmsg",
    /* helper/route, helper/device */
    "fstat", "fstat64", "newfstatat", "fstatat64", "statx",
    "readlinkat",                       /* device_describe */
    "fcntl", "fcntl64",                 /* F_GETFL; also pidfile_unlock */
    "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", /* sg_execute: a suspended map */
    /* base/log */
    "getpid",
    "time",
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

/* 0 for a name that this architecture, or this libseccomp, does not have. */
static int sandbox_add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names,
                             size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int r;

        if (number == __NR_SCMP_ERROR)
            continue;
        r = seccomp_rule_add(filter, action, number, 0);
        if (r < 0 && r != -EDOM)
            return r;
    }
    return 0;
}

/* The calls that are allowed with certain arguments only. */
static int sandbox_add_conditional(scmp_filter_ctx filter)
{
    const scmp_datum_t clone_wanted = CLONE_VM | CLONE_THREAD;
    int r;

    /* sg_execute. The command is an unsigned int; the upper half of the register is not looked at
     * by the kernel, so not by us. */
    r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                         SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, SG_IO));
    /* mpath_execute. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX));
    /* device_refine_block. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    /* pthread_create: a thread, never a process. clone3 hides its flags in memory: ENOSYS makes
     * the C library use clone. */
    if (r == 0)
        r = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
            SCMP_CMP(SANDBOX_CLONE_FLAGS, SCMP_CMP_MASKED_EQ, clone_wanted, clone_wanted));
    /* Stacks, malloc: memory that holds no code. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (r == 0) /* thread_new: the guard page */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (r == 0 && seccomp_syscall_resolve_name("mmap2") >= 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap2), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return r;
}

/* Build the filter and load it into all threads. Returns 0 or a negative errno. */
static int sandbox_load(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = filter ? 0 : -ENOMEM;

    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* By another architecture's numbers (i386 on x86-64): only the calling thread would end. */
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = sandbox_add_names(filter, SCMP_ACT_ALLOW, sandbox_allowed,
                              sizeof(sandbox_allowed) / sizeof(sandbox_allowed[0]));
    if (r == 0)
        r = sandbox_add_names(filter, SCMP_ACT_KILL_PROCESS, sandbox_fatal,
                              sizeof(sandbox_fatal) / sizeof(sandbox_fatal[0]));
    if (r == 0)
        r = sandbox_add_conditional(filter);
    /* The kernel remembers which calls need no look at their arguments. Of those that do, each
     * request makes this one: let it not be found behind all others. */
    if (r == 0)
        r = seccomp_syscall_priority(filter, SCMP_SYS(ioctl), UINT8_MAX);
    if (r == 0)
        r = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    return r;
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
