// SPDX-License-Identifier: LGPL-2.1-or-later
/* Threads on stacks of our own: what is mapped for them, and that it is given back. */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await.h"
#include "base/thread.h"

struct worker {
    struct thread thread; /* first: thread.h */
    uint8_t content[100];
    uintptr_t stack;
    pthread_t seen_id;
};

static int create_error; /* errno for the next pthread_create; 0: let it be */

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*main)(void *),
                          void *argument)
{
    return create_error ? create_error : __real_pthread_create(id, attributes, main, argument);
}

static long least_stack; /* what sysconf says of the least stack; 0: the truth */

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
    return name == _SC_THREAD_STACK_MIN && least_stack ? least_stack : __real_sysconf(name);
}

/* The rights of the page at `address`, as in "rw-p", or "" if nothing is mapped there. */
static const char *mapped(uintptr_t address)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    static char rights[8];
    char line[512];

    assert_non_null(maps);
    rights[0] = '\0';
    while (fgets(line, sizeof(line), maps)) {
        unsigned long long start, end;
        char found[5];

        assert_int_equal(sscanf(line, "%llx-%llx %4s", &start, &end, found), 3);
        if (address >= start && address < end)
            strcpy(rights, found);
    }
    fclose(maps);
    return rights;
}

static void worker_main(struct thread *thread)
{
    struct worker *worker = (struct worker *)thread;
    char local;

    worker->stack = (uintptr_t)&local;
    worker->seen_id = pthread_self();
}

static void test_layout(void **state)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    static const uint8_t zeros[sizeof(struct worker)];
    struct worker *worker = (struct worker *)thread_new(sizeof(*worker));
    uintptr_t start, end;

    (void)state;
    assert_non_null(worker);
    start = (uintptr_t)worker->thread.mapping;
    end = start + worker->thread.mapping_size;
    assert_memory_equal(worker->content, zeros, sizeof(worker->content));
    assert_int_equal((uintptr_t)worker % 64, 0);
    /* At the very top, in the page that the thread's first frame is in as well. */
    assert_true((uintptr_t)worker + sizeof(*worker) <= end);
    assert_true((uintptr_t)worker + sizeof(*worker) > end - 64);
    assert_string_equal(mapped(start), "---p");
    assert_string_equal(mapped(start + page - 1), "---p");
    assert_string_equal(mapped(start + page), "rw-p");
    assert_string_equal(mapped(end - 1), "rw-p");
    thread_free(&worker->thread);
    assert_string_equal(mapped(start), "");
    assert_string_equal(mapped(end - 1), "");
}

static void test_start_and_reap(void **state)
{
    struct worker *worker = (struct worker *)thread_new(sizeof(*worker));
    uintptr_t start = (uintptr_t)worker->thread.mapping;
    uintptr_t end = start + worker->thread.mapping_size;
    pthread_t id;

    (void)state;
    assert_int_equal(thread_start(&worker->thread, worker_main, &id), 0);
    pthread_join(id, NULL);
    assert_true(pthread_equal(worker->seen_id, id));
#ifndef SANITIZED /* a sanitizer may keep variables elsewhere */
    assert_true(worker->stack > start && worker->stack < (uintptr_t)worker);
#endif
    thread_free(&worker->thread);
    assert_string_equal(mapped(start), "");
    assert_string_equal(mapped(end - 1), "");
}

/* Each one reaps the one before it, as the pool's do: nothing stays mapped. */
struct link {
    struct thread thread;
    struct link *before;
    atomic_bool ending; /* said as the pool's say it under a lock */
};

static void link_main(struct thread *thread)
{
    struct link *link = (struct link *)thread;

    atomic_store(&link->ending, true);
    if (link->before)
        thread_reap(&link->before->thread);
}

static void test_chain(void **state)
{
    static uintptr_t starts[200];
    struct link *before = NULL;
    pthread_t id;

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct link *link = (struct link *)thread_new(sizeof(*link));

        assert_non_null(link);
        starts[i] = (uintptr_t)link->thread.mapping;
        link->before = before;
        assert_int_equal(thread_start(&link->thread, link_main, &id), 0);
        await(atomic_load(&link->ending));
        before = link;
    }
    thread_reap(&before->thread);
    for (int i = 0; i < 200; i++)
        assert_string_equal(mapped(starts[i]), "");
}

struct measured {
    struct thread thread; /* first */
    size_t stack;
};

static void measure_main(struct thread *thread)
{
    pthread_attr_t attributes;
    void *low;

    assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
    pthread_attr_getstack(&attributes, &low, &((struct measured *)thread)->stack);
    pthread_attr_destroy(&attributes);
}

/*
 * A C library that wants more, as glibc does on aarch64, is given it; one that wants less or does
 * not say changes nothing, for memory's sake.
 */
static void test_least_stack(void **state)
{
    static const long rows[] = {131072, 131073, 1 << 20, 16384, -1, 0};
    size_t usual = 0;

    (void)state;
    for (size_t i = sizeof(rows) / sizeof(rows[0]); i-- > 0;) {
        struct measured *measured;
        pthread_t id;

        if (rows[i] > 0 && rows[i] < __real_sysconf(_SC_THREAD_STACK_MIN))
            continue; /* not true of this machine */
        least_stack = rows[i];
        measured = (struct measured *)thread_new(sizeof(*measured));
        least_stack = 0;
        assert_non_null(measured);
        if (i == sizeof(rows) / sizeof(rows[0]) - 1)
            usual = measured->thread.mapping_size;
        assert_int_equal(thread_start(&measured->thread, measure_main, &id), 0);
        pthread_join(id, NULL);
        assert_true((long)measured->stack >= rows[i]);
        assert_uint_in_range(measured->stack, (size_t)__real_sysconf(_SC_THREAD_STACK_MIN),
                             SIZE_MAX);
        if (rows[i] <= 16384)
            assert_uint_equal(measured->thread.mapping_size, usual);
        thread_free(&measured->thread);
    }
}

static void test_start_fails(void **state)
{
    struct worker *worker = (struct worker *)thread_new(sizeof(*worker));
    uintptr_t start = (uintptr_t)worker->thread.mapping;
    pthread_t id;

    (void)state;
    create_error = EAGAIN;
    assert_int_equal(thread_start(&worker->thread, worker_main, &id), -EAGAIN);
    create_error = 0;
    thread_free(&worker->thread);
    assert_string_equal(mapped(start), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),      cmocka_unit_test(test_start_and_reap),
        cmocka_unit_test(test_chain),       cmocka_unit_test(test_least_stack),
        cmocka_unit_test(test_start_fails),
    };

    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
