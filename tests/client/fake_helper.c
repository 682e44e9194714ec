// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_helper.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fdio.h"
#include "cmocka_compat.h"

struct fake {
    pthread_t thread;
    int sock, listener;
    const struct fake_step *steps;
    unsigned fds;
    size_t taken;
    uint8_t notes[FAKE_NOTES_MAX];
};

static atomic_uint counted;

void fake_count(void)
{
    atomic_fetch_add(&counted, 1);
}

unsigned fake_counted(void)
{
    return atomic_load(&counted);
}

void fake_await(unsigned count)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    while (atomic_load(&counted) < count)
        nanosleep(&moment, NULL);
}

static void fake_send_fd(int sock, const void *bytes, size_t size)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec iov = {(void *)bytes, size};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};

    *(int *)CMSG_DATA(&control.header) = STDERR_FILENO;
    sendmsg(sock, &message, MSG_NOSIGNAL);
}

/* Up to `size` bytes; false at the end of what the client sends. */
static bool fake_take(struct fake *fake, size_t size)
{
    struct fdio_message message;
    uint8_t scratch[FAKE_NOTES_MAX];

    while (size > 0) {
        size_t piece = size < sizeof(scratch) ? size : sizeof(scratch);
        ssize_t n = fdio_receive(fake->sock, scratch, piece, 0, &message);

        for (unsigned i = 0; i < message.n_fds; i++)
            close(message.fds[i]);
        fake->fds += message.n_fds;
        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n && fake->taken < sizeof(fake->notes); i++)
            fake->notes[fake->taken++] = scratch[i];
        size -= (size_t)n;
    }
    return true;
}

static void *fake_run(void *argument)
{
    struct fake *fake = argument;
    struct pollfd readable = {.events = POLLIN};

    if (fake->listener >= 0)
        fake->sock = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
    readable.fd = fake->sock;
    for (const struct fake_step *step = fake->steps;; step++) {
        const uint8_t *bytes = step->bytes;

        switch (step->kind) {
        case FAKE_SEND:
            send(fake->sock, bytes, step->size, MSG_NOSIGNAL);
            break;
        case FAKE_DRIP:
            for (size_t i = 0; i < step->size; i++) {
                send(fake->sock, bytes + i, 1, MSG_NOSIGNAL);
                sched_yield();
            }
            break;
        case FAKE_SEND_FD:
            fake_send_fd(fake->sock, bytes, step->size);
            break;
        case FAKE_TAKE:
            if (!fake_take(fake, step->size))
                return NULL;
            break;
        case FAKE_WAIT:
            fake_await((unsigned)step->size);
            break;
        case FAKE_DEAF:
            shutdown(fake->sock, SHUT_RD);
            fake_count();
            break;
        case FAKE_TAKE_CLOSE:
            poll(&readable, 1, -1);
            /* fall through */
        case FAKE_CLOSE:
            close(fake->sock);
            fake->sock = -1;
            fake_count();
            return NULL;
        case FAKE_END:
            fake_take(fake, SIZE_MAX);
            return NULL;
        }
    }
}

static struct fake *start_thread(int sock, int listener, const struct fake_step *steps)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    sigset_t all, before;

    assert_non_null(fake);
    fake->sock = sock;
    fake->listener = listener;
    fake->steps = steps;
    atomic_store(&counted, 0);
    /* Signals are for the thread under test. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fake;
}

struct fake *fake_start(const struct fake_step *steps, int *ret_sock)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *ret_sock = pair[1];
    return start_thread(pair[0], -1, steps);
}

struct fake *fake_start_at(int listener, const struct fake_step *steps)
{
    return start_thread(-1, listener, steps);
}

size_t fake_end(struct fake *fake, uint8_t notes[FAKE_NOTES_MAX], unsigned *ret_fds)
{
    size_t taken;

    pthread_join(fake->thread, NULL);
    for (size_t i = 0; notes && i < fake->taken; i++)
        notes[i] = fake->notes[i];
    if (ret_fds)
        *ret_fds = fake->fds;
    taken = fake->taken;
    if (fake->sock >= 0)
        close(fake->sock);
    free(fake);
    return taken;
}
