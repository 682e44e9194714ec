// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For user-mode-linux before 6.13 on processors with large extended state (AMX has 8 kB of it). Its
 * kernel keeps 2,696 bytes of a process's extended state, and the host's takes all of it or nothing
 * (xstateregs_set() of Linux: EFAULT), so that the first process of the virtual machine is its
 * last. Here what it sets is laid over what the process has. That is tried for any errno: a
 * signal's handler may have changed it since, for user-mode-linux's do not restore it always, and
 * without its registers the process would be killed.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define UMLREGS_SIZE_MAX 65536 /* bytes; a processor of 2023 has 11,008 */

#ifdef __GLIBC__
#define PTRACE_REQUEST enum __ptrace_request
#else
#define PTRACE_REQUEST int
#endif

typedef long ptrace_function(int request, pid_t pid, void *address, void *data);

static ptrace_function *umlregs_next(void)
{
    static ptrace_function *next;

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "ptrace");
    return next;
}

static long umlregs_set(pid_t pid, const struct iovec *given)
{
    static unsigned char state[UMLREGS_SIZE_MAX]; /* that kernel has one thread */
    struct iovec whole = {.iov_base = state, .iov_len = sizeof(state)};
    void *type = (void *)(long)NT_X86_XSTATE;

    if (umlregs_next()(PTRACE_GETREGSET, pid, type, &whole) < 0)
        return -1;
    if (given->iov_len > whole.iov_len) {
        errno = EFAULT;
        return -1;
    }
    memcpy(state, given->iov_base, given->iov_len);
    return umlregs_next()(PTRACE_SETREGSET, pid, type, &whole);
}

/* glibc declares the first parameter as an enumeration; it leaves the others open, as musl does. */
long ptrace(PTRACE_REQUEST request, ...)
{
    va_list arguments;
    void *address, *data;
    long result;
    pid_t pid;

    va_start(arguments, request);
    pid = va_arg(arguments, pid_t);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);
    result = umlregs_next()((int)request, pid, address, data);
    if (result < 0 && request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
        return umlregs_set(pid, data);
    return result;
}
