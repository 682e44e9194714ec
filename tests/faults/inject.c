// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * inject CONTROL PROGRAM [ARGUMENT]...: run a program, count its system calls, and let one of them
 * fail as the control file says (inject.h).
 *
 * strace(1) could do that for one thread: it counts the calls of each thread apart, and for all
 * processes alike. Here the n-th call of a process is meant, whichever of its threads makes it, and
 * of one process in a chain: the helper, its keeper, the keeper's worker, a child of that. And it
 * is the test that says when, in the middle of a run.
 *
 * It is done by a seccomp filter that asks a supervisor about each call (seccomp_unotify(2)), who
 * lets it go on or answers in place of the kernel. Filters of the program itself come on top of it,
 * and what they refuse is not asked about. The program keeps the pid that inject was started with;
 * the supervisor is no process's child, and ends when the last process that has the filter is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"

#define MAX_THREADS 4096 /* that one run has, one after the other */

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1 /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6: twice as fast */

struct known {
    uint32_t tid, pid;
    unsigned depth;
};

static struct inject_control *control;
static struct known known[MAX_THREADS];
static unsigned n_known;
static bool counts[INJECT_DEPTHS];

static void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    _exit(125);
}

/* In shared memory: the number of the listener, once there is one. */
static int *make_mailbox(void)
{
    int *mailbox = mmap(NULL, sizeof(*mailbox), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);

    if (mailbox == MAP_FAILED)
        die("mmap");
    *mailbox = -1;
    return mailbox;
}

/* Thread group and parent of a thread that waits for an answer, and so is there. */
static void look_up(uint32_t tid, uint32_t *ret_pid, uint32_t *ret_parent)
{
    char path[32], text[2048];
    const char *line;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%u/status", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    line = strstr(text, "\nTgid:");
    *ret_pid = line ? (uint32_t)strtoul(line + 6, NULL, 10) : tid;
    line = strstr(text, "\nPPid:");
    *ret_parent = line ? (uint32_t)strtoul(line + 6, NULL, 10) : 0;
}

static const struct known *find(uint32_t pid)
{
    for (unsigned i = n_known; i > 0; i--) {
        if (known[i - 1].pid == pid)
            return &known[i - 1];
    }
    return NULL;
}

/* How far below the program the process is that this thread belongs to. */
static unsigned depth_of(uint32_t tid)
{
    const struct known *same, *above;
    uint32_t pid, parent;
    unsigned depth = 0;

    for (unsigned i = n_known; i > 0; i--) {
        if (known[i - 1].tid == tid)
            return known[i - 1].depth;
    }
    look_up(tid, &pid, &parent);
    same = find(pid);
    above = find(parent);
    if (same)
        depth = same->depth;
    else if (above)
        depth = above->depth + 1 < INJECT_DEPTHS ? above->depth + 1 : INJECT_DEPTHS - 1;
    if (!same) {
        counts[depth] = true;
        control->pid[depth] = pid;
    }
    if (n_known < MAX_THREADS)
        known[n_known++] = (struct known){tid, pid, depth};
    return depth;
}

/* The errno to answer with, 0: let it go on. */
static int judge(const struct seccomp_notif *call)
{
    unsigned depth = depth_of(call->pid);
    uint32_t number = (uint32_t)call->data.nr, n;

    if (number == control->begin)
        counts[depth] = true;
    if (!counts[depth] || number >= INJECT_CALLS)
        return 0;
    if (number == SYS_futex && (call->data.args[1] & FUTEX_CMD_MASK) != FUTEX_WAIT &&
        (call->data.args[1] & FUTEX_CMD_MASK) != FUTEX_WAIT_BITSET)
        return 0; /* waking does not fail: the C library aborts where it does */
    n = __atomic_add_fetch(&control->count[depth][number], 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&control->state, __ATOMIC_SEQ_CST) != INJECT_ARMED ||
        depth != control->depth || number != control->number || n < control->nth ||
        n - control->nth >= control->times) {
        if (number == SYS_execve)
            counts[depth] = false;
        return 0;
    }
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
    return (int)control->error;
}

__attribute__((noreturn)) static void supervise(int *mailbox)
{
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    struct pollfd listener;
    bool has_own_fds = false;

    /* Ignored, so that nothing ends this before the last process with the filter has gone. */
    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    while (__atomic_load_n(mailbox, __ATOMIC_SEQ_CST) == -1)
        sched_yield();
    listener = (struct pollfd){.fd = *mailbox, .events = POLLIN};
    if (listener.fd < 0)
        _exit(125);
    ioctl(listener.fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);

    for (;;) {
        int error;

        if (poll(&listener, 1, -1) < 0)
            continue;
        if (!(listener.revents & POLLIN)) { /* POLLHUP */
            __atomic_store_n(&control->running, 0, __ATOMIC_SEQ_CST);
            _exit(0);
        }
        memset(&call, 0, sizeof(call));
        if (ioctl(listener.fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
            continue; /* it was killed meanwhile */
        if (!has_own_fds && call.data.nr != SYS_execve) {
            /* The program has a table of its own since its execve. What it was given, a channel
             * for one, must not stay open because of us. */
            if (listener.fd > 3)
                syscall(SYS_close_range, 3, listener.fd - 1, 0);
            syscall(SYS_close_range, listener.fd + 1, ~0u, 0);
            has_own_fds = true;
        }
        error = judge(&call);
        answer = (struct seccomp_notif_resp){
            .id = call.id,
            .error = call.data.nr == SYS_brk ? 0 : -error, /* brk(2) fails by an address: 0 */
            .flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE,
        };
        ioctl(listener.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* or it was killed meanwhile */
    }
}

/* A grandchild that has our table of fds until we execute the program, and with it the listener. */
static void start_supervisor(int *mailbox)
{
    pid_t between = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0L);

    if (between < 0)
        die("clone");
    if (between == 0) {
        pid_t supervisor = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0L);

        if (supervisor == 0)
            supervise(mailbox);
        _exit(supervisor < 0 ? 125 : 0);
    }
    if (waitpid(between, NULL, 0) != between)
        die("waitpid");
}

static int install_filter(void)
{
#define ALLOW(number)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                           \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    /* What cannot fail, or belongs to the return from a signal. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_restart_syscall),
        ALLOW(SYS_exit),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

int main(int argc, char **argv)
{
    int *mailbox = make_mailbox();
    int fd, listener;

    if (argc < 3) {
        fprintf(stderr, "usage: inject CONTROL PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    fd = open(argv[1], O_RDWR | O_CLOEXEC);
    control = fd < 0 ? MAP_FAILED
                     : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED || control->magic != INJECT_MAGIC)
        die(argv[1]);
    close(fd);
    depth_of((uint32_t)getpid());
    counts[0] = false; /* the execve below is not the program's */
    control->running = 1;
    start_supervisor(mailbox);
    /* Who may not install filters otherwise has to promise this. */
    listener = install_filter();
    if (listener < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        listener = install_filter();
    if (listener < 0) {
        *mailbox = -2;
        die("seccomp");
    }
    __atomic_store_n(mailbox, listener, __ATOMIC_SEQ_CST);
    execvp(argv[2], argv + 2);
    die(argv[2]);
}
