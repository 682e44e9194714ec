// SPDX-License-Identifier: LGPL-2.1-or-later
/* Waiting and waking: epoll, poll on pipes, futexes, signalfd. */
#include "probe.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#define THREADS 4
#define ROUNDS  2000

static int epoll_fd, work_fd, stop_fd;
static atomic_uint owners, collisions, served, stopped;

/* Serve an fd that stays readable, so that every arming brings an event at once. */
static void *serve(void *argument)
{
    struct epoll_event event, again = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = work_fd};

    (void)argument;
    for (;;) {
        if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == stop_fd) {
            stopped++;
            return NULL;
        }
        collisions += atomic_fetch_add(&owners, 1) > 0;
        for (int i = 0; i < 3; i++)
            sched_yield();
        served++;
        owners--;
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, work_fd, &again);
    }
}

static void probe_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
    const uint64_t one = 1;
    pthread_t threads[THREADS];

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    work_fd = eventfd(1, EFD_CLOEXEC);
    stop_fd = eventfd(0, EFD_CLOEXEC);
    need(epoll_fd >= 0 && work_fd >= 0 && stop_fd >= 0);
    event.data.fd = work_fd;
    need(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, work_fd, &event) == 0);
    event.events = EPOLLIN;
    event.data.fd = stop_fd;
    need(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop_fd, &event) == 0);
    alarm(60); /* ends this program should an event get lost */
    for (int i = 0; i < THREADS; i++)
        need(pthread_create(&threads[i], NULL, serve, NULL) == 0);
    while (served < ROUNDS)
        sched_yield();
    need(write(stop_fd, &one, sizeof(one)) == sizeof(one));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    alarm(0);
    probe(collisions == 0, "serve/pool.c",
          "EPOLLONESHOT gives an fd to one thread, until it is armed again");
    probe(served >= ROUNDS, "serve/pool.c", "EPOLL_CTL_MOD of an fd that is ready brings an event");
    probe(stopped == THREADS, "serve/pool.c",
          "an event without EPOLLONESHOT reaches all threads, one after the other");
    close(epoll_fd);
    close(work_fd);
    close(stop_fd);
}

static bool is_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    return poll(&poll_fd, 1, 0) == 1;
}

/* At every fill level of its last pages: if poll(2) says so, PIPE_BUF bytes go in at once. */
static void probe_pipe(void)
{
    static char bytes[2 * 65536];
    bool kept = true, was_full = false, was_writable = false;

    for (int room = 0; room <= 3 * PIPE_BUF; room += 512) {
        int pair[2];
        ssize_t n = 0;

        need(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
        while (write(pair[1], bytes, PIPE_BUF) > 0)
            ;
        if (room > 0)
            n = read(pair[0], bytes, (size_t)room);
        need(n == room);
        if (is_writable(pair[1])) {
            was_writable = true;
            kept = kept && write(pair[1], bytes, PIPE_BUF) == PIPE_BUF;
        } else {
            was_full = true;
        }
        close(pair[0]);
        close(pair[1]);
    }
    probe(kept && was_full && was_writable, "base/log.c",
          "POLLOUT of a pipe means that PIPE_BUF bytes can be written without waiting");
}

static void probe_futex(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *word = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    long r;

    need(word != MAP_FAILED && munmap(word, (size_t)page) == 0);
#ifdef SYS_futex
    r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
#else
    r = syscall(SYS_futex_time64, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
#endif
    probe(r == 0 || (r < 0 && errno == EFAULT), "serve/pool.c",
          "FUTEX_WAKE_PRIVATE of an address that is not mapped any more does no harm");
}

static void probe_signalfd(void)
{
    struct signalfd_siginfo signal = {0};
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    need(kill(getpid(), SIGTERM) == 0);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    need(fd >= 0);
    probe(read(fd, &signal, sizeof(signal)) == sizeof(signal) && signal.ssi_signo == SIGTERM,
          "serve/process.c", "a signal that came while it was blocked is read by signalfd later");
    close(fd);
}

int main(void)
{
    probe_epoll();
    probe_pipe();
    probe_futex();
    probe_signalfd();
    return probe_end();
}
