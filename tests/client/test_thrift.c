// SPDX-License-Identifier: LGPL-2.1-or-later
/* How little a call takes: at most 1 kB of stack, and no memory but a connection's own. */
#include "cmocka_compat.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <ucontext.h>

#include "peer.h"

/* Bytes, with all that is called. */
#ifdef __s390x__
#define STACK_MOST 2048 /* where the ABI has 160 bytes for every function that calls one */
#else
#define STACK_MOST 1024
#endif

static unsigned allocations;
static bool out_of_memory;

#if defined(__GLIBC__) && !defined(SANITIZED)
#define CAN_COUNT 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

/* In place of the C library's, for the shared library as well. */
void *malloc(size_t size)
{
    allocations++;
    if (out_of_memory) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    if (out_of_memory) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    if (out_of_memory) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
}
#else
#define CAN_COUNT 0
#endif

static struct prhelper *helper;
static struct prhelper_result result;
static struct prhelper_transportid ports[31];
static struct prhelper_list list;
static struct prhelper_registrant registrant;
static struct prhelper_reservation reservation;
static struct prhelper_capabilities capabilities;
static struct prhelper_sense sense;
static uint64_t key;
static uint8_t request[CDB_BYTES + PRHELPER_DATA_MAX];
static int sock, r;

static void nothing(void)
{
    r = 0;
}

/* One for each call that waits; with a time-out of 0 it does so without waiting long. */
#define CALL(name, ...)                                                                            \
    static void call_##name(void)                                                                  \
    {                                                                                              \
        r = prhelper_##name(helper, STDIN_FILENO, ##__VA_ARGS__, &result);                         \
    }

CALL(read_keys)
CALL(read_reservation)
CALL(report_capabilities)
CALL(read_full_status)
CALL(register, 1, 2, PRHELPER_APTPL)
CALL(register_ports, 1, 2, 0, ports, 31)
CALL(register_ignore, 2, 0)
CALL(register_move, 1, 2, 1, 0, 1, ports)
CALL(reserve, 1, 1)
CALL(release, 1, 1)
CALL(clear, 1)
CALL(preempt, 1, 2, 1)
CALL(preempt_abort, 1, 2, 1)
CALL(replace_lost, 1, 1)
CALL(cleanup)
CALL(execute, prout_cdb, sizeof(prout_cdb), parameters, sizeof(parameters))

static void call_continue(void)
{
    r = prhelper_continue(helper);
}

static void call_cancel(void)
{
    r = prhelper_cancel(helper);
}

static void call_connect(void)
{
    r = prhelper_connect("/nonexistent/socket", 0, LONG_MS, &helper);
}

static void call_decoders(void)
{
    r = 0;
    prhelper_list_decode(result.data, sizeof(result.data), &list);
    prhelper_key_next(&list, &key);
    prhelper_registrant_next(&list, &registrant);
    prhelper_reservation_decode(result.data, sizeof(result.data), &reservation);
    prhelper_capabilities_decode(result.data, sizeof(result.data), &capabilities);
    prhelper_sense_decode(result.sense, sizeof(result.sense), &sense);
    prhelper_outcome(0, &result);
}

static const struct {
    const char *name;
    void (*call)(void);
} commands[] = {
    {"read_keys", call_read_keys},
    {"read_reservation", call_read_reservation},
    {"report_capabilities", call_report_capabilities},
    {"read_full_status", call_read_full_status},
    {"register", call_register},
    {"register_ports", call_register_ports},
    {"register_ignore", call_register_ignore},
    {"register_move", call_register_move},
    {"reserve", call_reserve},
    {"release", call_release},
    {"clear", call_clear},
    {"preempt", call_preempt},
    {"preempt_abort", call_preempt_abort},
    {"replace_lost", call_replace_lost},
    {"cleanup", call_cleanup},
    {"execute", call_execute},
};

/* All that was sent. */
static void take_request(void)
{
    ssize_t n;

    while ((n = recv(sock, request, sizeof(request), MSG_DONTWAIT)) > 0)
        continue;
}

#ifndef SANITIZED
/* How deep `call` goes on a stack of its own. */
static size_t depth_of(void (*call)(void))
{
    static uint8_t stack[65536] __attribute__((aligned(64)));
    static ucontext_t here, there;
    size_t untouched = 0;

    memset(stack, 0xa5, sizeof(stack));
    assert_int_equal(getcontext(&there), 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof(stack);
    there.uc_link = &here;
    makecontext(&there, call, 0);
    assert_int_equal(swapcontext(&here, &there), 0);
    while (stack[untouched] == 0xa5)
        untouched++;
    return sizeof(stack) - untouched;
}

static void check_depth(const char *name, void (*call)(void))
{
    size_t own = depth_of(nothing), depth = depth_of(call) - own;

    table_row = name;
    print_message("# %s: %zu bytes of stack\n", name, depth);
    assert_true(depth <= STACK_MOST);
}
#endif

static void test_stack(void **state)
{
#ifdef SANITIZED
    print_message("# the sanitizers' own frames are larger than that\n");
    skip();
#else
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        helper = peer_adopt(&sock);
        prhelper_set_timeout(helper, 0);
        check_depth(commands[i].name, commands[i].call);
        assert_int_equal(r, -ETIMEDOUT);
        prhelper_close(helper);
        close(sock);
    }

    helper = peer_adopt(&sock);
    assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    check_depth("continue, no answer yet", call_continue);
    assert_int_equal(r, PRHELPER_PENDING);
    take_request();
    peer_reply(sock, 0, ALLOCATION);
    /* Twice: measuring is calling. */
    check_depth("continue, an answer", call_continue);
    assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
    check_depth("cancel", call_cancel);
    check_depth("decoders", call_decoders);
    prhelper_close(helper);
    close(sock);
    check_depth("connect", call_connect);
    assert_int_equal(r, -ENOENT);
    table_row = NULL;
#endif
}

/* After a connection is made, nothing is allocated: not for a command, nor for a new connection. */
static void test_no_allocation(void **state)
{
    static char path[64];
    char directory[] = "/tmp/prhelper-test.XXXXXX";
    unsigned before;
    int listener;

    if (!CAN_COUNT) {
        print_message("# allocations cannot be counted with this C library, or a sanitizer\n");
        skip();
    }
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    listener = peer_listen(path, 4);
    before = allocations;
    assert_int_equal(prhelper_start_connect(path, PRHELPER_FEATURES, LONG_MS, &helper),
                     PRHELPER_PENDING);
    assert_uint_equal(allocations - before, 1); /* or the counter does not count */
    sock = peer_accept(listener);
    peer_shake_hands(sock, helper);
    prhelper_set_reconnect(helper, 5, 0);
    before = allocations;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            table_row = commands[i].name;
            peer_reply(sock, PRHELPER_BUSY, 0);
            /* What was there before is no command's answer. */
            commands[i].call();
            assert_int_equal(r, PRHELPER_UNEXPECTED);
            close(sock);

            assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
            sock = peer_accept(listener);
            peer_say(sock, "\0\0\0\1", 4);
            assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
            take_request();
            peer_reply(sock, 0, ALLOCATION);
            assert_int_equal(prhelper_continue(helper), 0);
            prhelper_set_timeout(helper, 0);
            commands[i].call();
            assert_int_equal(r, -ETIMEDOUT);
            prhelper_set_timeout(helper, PRHELPER_FOREVER);
            close(sock);
            assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
            sock = peer_accept(listener);
            peer_say(sock, "\0\0\0\1", 4);
            assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
            assert_int_equal(prhelper_cancel(helper), PRHELPER_CANCELLED);
            close(sock);
            assert_int_equal(start_prin(helper, STDIN_FILENO, &result), PRHELPER_PENDING);
            sock = peer_accept(listener);
            peer_say(sock, "\0\0\0\1", 4);
            assert_int_equal(prhelper_continue(helper), PRHELPER_PENDING);
            take_request();
            peer_reply(sock, 0, 0);
            assert_int_equal(prhelper_continue(helper), 0);
        }
    }
    table_row = NULL;
    assert_uint_equal(allocations, before);
    prhelper_close(helper);
    close(sock);
    close(listener);
    unlink(path);
    rmdir(directory);
}

/* Without memory there is no new connection, and one that is there works as ever. */
static void test_out_of_memory(void **state)
{
    struct prhelper *untouched = (struct prhelper *)&untouched, *other = untouched;
    int made[4];

    if (!CAN_COUNT) {
        print_message("# allocations cannot be made to fail with this C library, or a sanitizer\n");
        skip();
    }
    helper = peer_adopt(&sock);
    out_of_memory = true;
    made[0] = prhelper_start_connect("/nonexistent/socket", 0, LONG_MS, &other);
    made[1] = prhelper_connect("/nonexistent/socket", 0, LONG_MS, &other);
    made[2] = prhelper_adopt(sock, 0, LONG_MS, &other);
    made[3] = prhelper_start_adopt(sock, 0, LONG_MS, &other);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        r = start_prout(helper, STDIN_FILENO, &result);
        if (r != PRHELPER_PENDING)
            break;
        take_request();
        peer_reply(sock, PRHELPER_BUSY, 0);
        r = prhelper_continue(helper);
        if (r != 0)
            break;
    }
    out_of_memory = false;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(made[i], -ENOMEM);
    assert_ptr_equal(other, untouched);
    assert_int_equal(r, 0);
    assert_uint_equal(result.status, PRHELPER_BUSY);
    prhelper_close(helper);
    /* Still the caller's. */
    assert_int_equal(close(sock), 0);
}

static int make_ports(void **state)
{
    for (unsigned i = 0; i < 31; i++) {
        ports[i].size = 256;
        memcpy(ports[i].bytes, "\x05\x00\x00\xfc", 4);
        memset(ports[i].bytes + 4, 'a', 251);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_stack),
        table_test(test_no_allocation),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, make_ports, NULL);
}
