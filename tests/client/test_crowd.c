// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A thousand connections in one epoll loop, to helpers of which some hang, die or lie. The helpers
 * are in the same thread, so no call may wait. Each command is over once, and what its client is
 * told of it is held against what has become of it.
 *
 * The same with system calls of the library that fail, and that do less than they were asked for.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scratch.h"
#include "zoo.h"

#define CLIENTS      1000
#define COMMANDS     12 /* of each client */
#define BAD_CLIENTS  20 /* of each bad kind */
#define TIMEOUT_MS   60 /* of those whose helper hangs; the others have for ever */
#define TRIES        30
#define INTERVAL_MS  4
#define EVENTS       256
#define FAULT_ONE_IN 40

/*
 * System calls of the library, which finds these before those of the C library. While `faults` is
 * not 0 one in FAULT_ONE_IN fails, or does less than it could.
 */
static uint32_t faults;
static unsigned n_faults;

#define FAIL_WITH(...)                                                                             \
    do {                                                                                           \
        static const int errors_[] = {__VA_ARGS__};                                                \
                                                                                                   \
        if (faults && zoo_dice(&faults, FAULT_ONE_IN) == 0) {                                      \
            n_faults++;                                                                            \
            errno = errors_[zoo_dice(&faults, sizeof(errors_) / sizeof(errors_[0]))];              \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

/* One byte only, now and then. */
static struct msghdr shorten(const struct msghdr *message, struct iovec *iov)
{
    struct msghdr changed = *message;

    if (faults && zoo_dice(&faults, FAULT_ONE_IN) == 0) {
        n_faults++;
        *iov = (struct iovec){.iov_base = message->msg_iov[0].iov_base, .iov_len = 1};
        changed.msg_iov = iov;
        changed.msg_iovlen = 1;
    }
    return changed;
}

ssize_t sendmsg(int sock, const struct msghdr *message, int flags)
{
    struct msghdr changed;
    struct iovec iov;

    FAIL_WITH(EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETOOMANYREFS, EIO);
    changed = shorten(message, &iov);
    return syscall(SYS_sendmsg, sock, &changed, flags);
}

ssize_t recvmsg(int sock, struct msghdr *message, int flags)
{
    struct msghdr changed;
    struct iovec iov;

    FAIL_WITH(EAGAIN, EINTR, ECONNRESET, ENOBUFS, ENOMEM, EIO);
    changed = shorten(message, &iov);
    return syscall(SYS_recvmsg, sock, &changed, flags);
}

int connect(int sock, const struct sockaddr *address, socklen_t size)
{
    FAIL_WITH(EAGAIN, EINTR, ECONNREFUSED, ENOENT, EACCES, ENOMEM);
    return (int)syscall(SYS_connect, sock, address, size);
}

struct client {
    struct prhelper *helper;
    struct prhelper_result result;
    enum zoo_kind kind;
    int watched, events; /* fd that is in the epoll set; -1: none */
    bool connected, under_way;
    unsigned started, over; /* commands */
};

/* What its client was told of a command. */
struct told {
    unsigned over;
    int r;
    enum prhelper_outcome outcome;
    enum zoo_kind kind;
};

static struct client clients[CLIENTS];
static struct told told[CLIENTS * COMMANDS];
static struct zoo_command commands[CLIENTS * COMMANDS];
static unsigned outcomes[ZOO_KINDS][3];
static int epoll, device;
static unsigned unfinished;
static bool is_faulty;

static void watch(struct client *client)
{
    int fd = prhelper_fd(client->helper), events = prhelper_events(client->helper);
    struct epoll_event event = {.events = (uint32_t)events, .data.ptr = client};

    if (fd != client->watched) {
        /* The one that was watched has been closed, and has left the set by that. */
        if (fd >= 0)
            assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
        assert_true(fd < 0 || client->watched < 0);
    } else if (fd >= 0 && events != client->events) {
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event), 0);
    }
    client->watched = fd;
    client->events = events;
}

static uint32_t command_of(const struct client *client)
{
    return (uint32_t)(client - clients) * COMMANDS + client->started - 1;
}

static int start_command(struct client *client)
{
    uint8_t cdb[PRHELPER_CDB_MAX] = {0x5e, 0, 0, 0, 0, 0, 0, 0, 8};
    uint32_t id;

    client->started++;
    client->under_way = true;
    id = command_of(client);
    if (id % 3 != 0)
        return prhelper_start_register(client->helper, device, 0, id, 0, &client->result);
    cdb[10] = (uint8_t)(id >> 24);
    cdb[11] = (uint8_t)(id >> 16);
    cdb[12] = (uint8_t)(id >> 8);
    cdb[13] = (uint8_t)id;
    return prhelper_start_execute(client->helper, device, cdb, sizeof(cdb), NULL, 0,
                                  &client->result);
}

static void end_command(struct client *client, int r)
{
    enum prhelper_outcome outcome = prhelper_outcome(r, &client->result);
    uint32_t id = command_of(client);

    client->under_way = false;
    client->over++;
    unfinished--;
    told[id].over++;
    told[id].r = r;
    told[id].outcome = outcome;
    told[id].kind = client->kind;
    outcomes[client->kind][outcome]++;
    if (r != 0) {
        assert_uint_equal(client->result.status, PRHELPER_STATUS_NONE);
        return;
    }
    /* There is no answer that was not given. */
    assert_true(commands[id].answered);
    assert_uint_equal(client->result.status, commands[id].status);
    if (id % 3 == 0 && client->result.status == PRHELPER_GOOD) {
        assert_uint_equal(client->result.size, 8);
        assert_uint_equal(client->result.data[7], (uint8_t)id);
    }
}

static int timeout_of(const struct client *client)
{
    return client->kind == ZOO_HANGING ? TIMEOUT_MS : PRHELPER_FOREVER;
}

/* `r` is what the last call returned; go on to what can be waited for. */
static void follow(struct client *client, int r)
{
    while (r != PRHELPER_PENDING) {
        if (!client->connected) {
            if (r == 0) {
                client->connected = true;
                prhelper_set_timeout(client->helper, timeout_of(client));
                assert_int_equal(prhelper_set_reconnect(client->helper, TRIES, INTERVAL_MS), 0);
            } else {
                prhelper_close(client->helper);
                client->helper = NULL;
                client->watched = -1;
                return; /* go_on() makes it anew */
            }
        } else if (client->under_way) {
            end_command(client, r);
        }
        if (client->over == COMMANDS) {
            watch(client);
            return;
        }
        /* What happened to an idle connection is told once. */
        watch(client);
        r = start_command(client);
    }
    watch(client);
}

static int next_timeout(void)
{
    int next = 20;

    for (unsigned i = 0; i < CLIENTS; i++) {
        int timeout = clients[i].helper ? prhelper_timeout(clients[i].helper) : -1;

        if (timeout >= 0 && timeout < next)
            next = timeout;
    }
    return next;
}

static void go_on(struct zoo *zoo)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, next_timeout());

    for (int i = 0; i < n; i++) {
        struct client *client = events[i].data.ptr;

        if (!client)
            zoo_turn(zoo);
        else if (client->helper)
            follow(client, prhelper_continue(client->helper));
    }
    zoo_turn(zoo);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];

        if (!client->helper) {
            int r = prhelper_start_connect(zoo_path(zoo, client->kind), PRHELPER_FEATURES,
                                           timeout_of(client), &client->helper);

            if (client->helper)
                follow(client, r);
        } else if (prhelper_timeout(client->helper) == 0) {
            follow(client, prhelper_continue(client->helper));
        }
    }
}

/* After all is over: nothing has become of a command that its client was not told. */
static void judge(void)
{
    for (uint32_t id = 0; id < CLIENTS * COMMANDS; id++) {
        const struct zoo_command *command = &commands[id];
        const struct told *one = &told[id];

        assert_uint_equal(one->over, 1);
        if (one->outcome == PRHELPER_OUTCOME_NOT_DONE)
            assert_false(command->executed);
        if (one->outcome == PRHELPER_OUTCOME_DONE)
            assert_true(command->executed);
        if (one->r == 0)
            assert_int_equal(one->outcome, command->outcome);
        else if (one->outcome == PRHELPER_OUTCOME_NOT_DONE)
            assert_uint_equal(command->received, 0);
        else if (one->kind != ZOO_DYING && !is_faulty)
            assert_uint_equal(command->received, 1); /* it is not called unknown without need */
        if (one->kind == ZOO_GOOD && !is_faulty)
            assert_int_equal(one->r, 0);
        if (one->kind == ZOO_HANGING || one->kind == ZOO_LYING)
            assert_int_not_equal(one->r, 0);
    }
}

static void run(bool with_faults, uint32_t seed)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct zoo *zoo = zoo_open(scratch, commands, CLIENTS * COMMANDS, seed);

    memset(clients, 0, sizeof(clients));
    memset(told, 0, sizeof(told));
    memset(commands, 0, sizeof(commands));
    memset(outcomes, 0, sizeof(outcomes));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    device = STDIN_FILENO;
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, zoo_fd(zoo), &event), 0);
    is_faulty = with_faults;
    n_faults = 0;
    unfinished = CLIENTS * COMMANDS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].watched = -1;
        if (i < 3 * BAD_CLIENTS) /* they come first, and so are in the way of all others */
            clients[i].kind = ZOO_HANGING + i % 3;
    }
    while (unfinished > 0) {
        faults = with_faults ? seed++ | 1u << 30 : 0;
        go_on(zoo);
    }
    faults = 0;
    judge();
    for (unsigned kind = 0; kind < ZOO_KINDS; kind++) {
        struct zoo_count count = zoo_count(zoo, kind);

        print_message("# %s: %u done, %u not done, %u unknown; %u connections, %u commands, %u "
                      "restarts\n",
                      strrchr(zoo_path(zoo, kind), '/') + 1, outcomes[kind][PRHELPER_OUTCOME_DONE],
                      outcomes[kind][PRHELPER_OUTCOME_NOT_DONE],
                      outcomes[kind][PRHELPER_OUTCOME_UNKNOWN], count.accepted, count.commands,
                      count.restarts);
        /* Everything that it is about has happened. */
        if (kind != ZOO_DYING) /* where another try mostly brings the next one */
            assert_true(outcomes[kind][PRHELPER_OUTCOME_NOT_DONE] > 0);
        assert_true(outcomes[kind][PRHELPER_OUTCOME_UNKNOWN] > 0);
    }
    assert_true(zoo_count(zoo, ZOO_GOOD).restarts > 0);
    assert_int_equal(n_faults > 0, with_faults);
    print_message("# %u faults\n", n_faults);

    for (unsigned i = 0; i < CLIENTS; i++)
        prhelper_close(clients[i].helper);
    zoo_close(zoo);
    close(epoll);
}

static void test_crowd(void **state)
{
    run(false, 20260101);
}

static void test_crowd_with_faults(void **state)
{
    for (uint32_t seed = 1; seed <= 3; seed++)
        run(true, seed * 7919);
}

/* Two fds for each client: its own and that of its helper. */
static int set_up(void **state)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    if (limit.rlim_max < 2 * CLIENTS + 100) {
        print_message("1..0 # SKIP only %lu fds may be open\n", (unsigned long)limit.rlim_max);
        exit(0);
    }
    limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    return scratch_set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_crowd_with_faults),
    };

    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
