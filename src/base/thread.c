// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Layout of a mapping, from low to high addresses: guard page, stack (growing down), the caller's
 * struct.
 */
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

/* 8 kB of data, a few kB of control message and log line, and what the C library wants to have for
 * itself and its printf. Sanitizers put red zones around all of it, and the thread sanitizer puts
 * most of a megabyte of its own on top. */
#ifdef SANITIZED
#define THREAD_STACK_SIZE (2 * 1024 * 1024)
#else
#define THREAD_STACK_SIZE (96 * 1024)
#endif

#define THREAD_ALIGNMENT 64

/*
 * The least that the C library starts a thread with: 16 kB on x86-64, but 128 kB on aarch64 and
 * ppc64le, and from glibc 2.34 on as much as the processor's registers ask for, which is known when
 * the program runs (pthread_attr_setstack(3): EINVAL for less).
 */
static size_t thread_least_stack(void)
{
    long least = sysconf(_SC_THREAD_STACK_MIN);

    return (size_t)(least > 0 ? least : PTHREAD_STACK_MIN);
}

struct thread *thread_new(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t top = (size + THREAD_ALIGNMENT - 1) / THREAD_ALIGNMENT * THREAD_ALIGNMENT;
    size_t least = thread_least_stack() + top; /* the struct is not the thread's to use */
    size_t wanted = least > THREAD_STACK_SIZE ? least : THREAD_STACK_SIZE;
    size_t stack = (wanted + page - 1) / page * page;
    struct thread *thread;
    char *mapping;

    mapping = mmap(NULL, page + stack, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    if (mprotect(mapping + page, stack, PROT_READ | PROT_WRITE) < 0) {
        munmap(mapping, page + stack);
        return NULL;
    }
    thread = (struct thread *)(mapping + page + stack - top);
    thread->mapping = mapping;
    thread->mapping_size = page + stack;
    return thread;
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;

    thread->id = pthread_self();
    thread->main(thread);
    return NULL;
}

int thread_start(struct thread *thread, void (*main)(struct thread *thread), pthread_t *ret_id)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *stack = (char *)thread->mapping + page;
    pthread_attr_t attributes;
    pthread_t id; /* not thread->id: the thread may have ended before pthread_create stores it */
    int r;

    thread->main = main;
    r = pthread_attr_init(&attributes);
    if (r)
        return -r;
    r = pthread_attr_setstack(&attributes, stack, (size_t)((char *)thread - stack));
    if (!r)
        r = pthread_create(&id, &attributes, thread_main, thread);
    pthread_attr_destroy(&attributes);
    if (!r && ret_id)
        *ret_id = id;
    return -r;
}

void thread_free(struct thread *thread)
{
    munmap(thread->mapping, thread->mapping_size);
}

void thread_reap(struct thread *thread)
{
    pthread_join(thread->id, NULL);
    thread_free(thread);
}
