// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A child with a thread for each device. Answers come by a pipe, each in one write that the kernel
 * does not take apart (PIPE_BUF), so threads need no lock for it. When all have come or the time is
 * over, the child is killed and not waited for: a thread of it that hangs is the kernel's and
 * init's to end.
 *
 * There is one deadline, of the parent. A command that a thread has sent has no less time, so what
 * that thread says at its end, if it was that the time is over, comes after the deadline, and is
 * not said: the device is silent, not broken.
 *
 * Threads that have just begun count against a limit, so that a helper is not asked for everything
 * at once; those that have not come back within a while do not count any more, or some dead devices
 * would keep all others waiting.
 */
#include "inventory/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/command.h"
#include "ctl/exit_status.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "scsi/spc.h"

#define ASK_AT_A_TIME  48
#define ASK_FRESH_MS   250 /* after that a thread does not count against the limit */
#define ASK_STACK_SIZE (256 * 1024)

_Static_assert(sizeof(struct ask_answer) <= PIPE_BUF, "one write");

/* Of the child. */
struct ask {
    const struct options *options;
    const struct scan *scan;
    int timeout_ms;
    int64_t deadline; /* clock_now_ms() */
    int pipe;
};

struct ask_one {
    const struct ask *ask;
    size_t index;
    volatile int64_t began_ms; /* 0: not yet, or over */
};

static void ask_fail(struct ask_answer *answer, const char *what)
{
    answer->state = ASK_FAILED;
    snprintf(answer->problem, sizeof(answer->problem), "%s", what);
}

static void ask_add_host(struct ask_answer *answer, const char *name)
{
    for (unsigned i = 0; i < answer->n_hosts; i++) {
        if (strncmp(answer->hosts[i].name, name, ASK_HOST_MAX - 1) == 0) {
            answer->hosts[i].count++;
            return;
        }
    }
    if (answer->n_hosts == ASK_HOSTS_MAX) {
        answer->more_hosts++;
        return;
    }
    snprintf(answer->hosts[answer->n_hosts].name, ASK_HOST_MAX, "%.*s", ASK_HOST_MAX - 1, name);
    answer->hosts[answer->n_hosts++].count = 1;
}

/* Without "iscsi:" and the ISID, which say nothing about which host it is. */
static void ask_host_name(const char *initiator, char *text, size_t size)
{
    snprintf(text, size, "%s", strncmp(initiator, "iscsi:", 6) == 0 ? initiator + 6 : initiator);
    if (strncmp(initiator, "iscsi:", 6) == 0)
        text[strcspn(text, ",")] = '\0';
}

static void ask_take_state(struct ask_answer *answer, const struct state *state)
{
    char name[PRHELPER_TRANSPORTID_TEXT_MAX];

    answer->state = ASK_ANSWERED;
    answer->n_keys = (uint32_t)state->count;
    answer->held = state->held;
    answer->type = state->held ? state->reservation.type : 0;
    answer->key = state->held ? state->reservation.key : 0;
    for (size_t i = 0; i < state->count; i++) {
        ask_host_name(state->registrations[i].initiator, name, sizeof(name));
        ask_add_host(answer, name);
        if (state->registrations[i].holder && !state_is_held_by_all(state))
            snprintf(answer->holder, ASK_HOST_MAX, "%.*s", ASK_HOST_MAX - 1, name);
    }
}

/* Whether READ KEYS was refused as by a device that does not know it. */
static bool ask_has_none(const struct outcome *outcome)
{
    struct prhelper_sense sense;

    return outcome->r == 0 && outcome->result.status == PRHELPER_CHECK_CONDITION &&
           prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), &sense) ==
               0 &&
           sense.key == SPC_SENSE_ILLEGAL_REQUEST;
}

static void ask_session(struct session *session, struct ask_answer *answer)
{
    struct outcome *outcome = calloc(1, sizeof(*outcome));
    char text[PRHELPER_TEXT_MAX];
    struct state state;

    if (!outcome) {
        ask_fail(answer, strerror(ENOMEM));
        return;
    }
    session_send(session, &cmd_keys, outcome);
    if (ask_has_none(outcome)) {
        answer->state = ASK_NONE;
    } else if (!prhelper_is_good(outcome->r, &outcome->result)) {
        prhelper_describe(text, sizeof(text), outcome->r, &outcome->result);
        ask_fail(answer, text);
    } else {
        state_read(session, true, &state);
        if (state.known && state.answered)
            ask_take_state(answer, &state);
        else
            ask_fail(answer, state.known ? "READ RESERVATION failed"
                             : state.cut ? "it has more registrations than fit into an answer"
                                         : "its answers contradict each other");
        state_deinit(&state);
    }
    free(outcome);
}

static void *ask_thread(void *argument)
{
    struct ask_one *one = argument;
    const struct ask *ask = one->ask;
    struct options options = *ask->options;
    struct ask_answer *answer = calloc(1, sizeof(*answer));
    struct session session;
    char text[PRHELPER_TEXT_MAX];
    ssize_t n = 0;
    int r;

    if (!answer)
        return NULL;
    answer->index = (uint32_t)one->index;
    options.device = ask->scan->devices[one->index].path;
    options.timeout_ms = ask->timeout_ms;
    r = session_open_device(&session, &options);
    if (r < 0) {
        ask_fail(answer, strerror(-r));
    } else {
        r = session_connect(&session);
        if (r == 0) {
            ask_session(&session, answer);
        } else {
            prhelper_describe(text, sizeof(text), r, NULL);
            ask_fail(answer, text);
        }
    }
    if (clock_now_ms() < ask->deadline)
        n = write(ask->pipe, answer, sizeof(*answer));
    free(answer);
    one->began_ms = 0;
    if (n > 0)
        session_close(&session); /* may hang; the answer is out */
    return NULL;
}

/* Those that have begun a short while ago. */
static unsigned ask_count_fresh(const struct ask_one *ones, size_t count)
{
    int64_t now = clock_now_ms();
    unsigned fresh = 0;

    for (size_t i = 0; i < count; i++)
        fresh += ones[i].began_ms != 0 && now - ones[i].began_ms < ASK_FRESH_MS;
    return fresh;
}

/* The child: never returns. */
static void ask_all(const struct ask *ask)
{
    struct ask_one *ones = calloc(ask->scan->count, sizeof(*ones));
    pthread_attr_t attributes;
    pthread_t thread;

    if (!ones || pthread_attr_init(&attributes) != 0)
        _exit(CTL_INTERNAL);
    pthread_attr_setstacksize(&attributes, ASK_STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (size_t i = 0; i < ask->scan->count; i++) {
        while (ask_count_fresh(ones, i) >= ASK_AT_A_TIME)
            poll(NULL, 0, 5);
        ones[i] = (struct ask_one){.ask = ask, .index = i, .began_ms = clock_now_ms()};
        if (pthread_create(&thread, &attributes, ask_thread, &ones[i]) != 0)
            ones[i].began_ms = 0; /* this one stays without an answer */
    }
    /* Until we are killed, or the parent is gone. */
    for (;;) {
        struct pollfd poller = {.fd = ask->pipe};

        if (poll(&poller, 1, 1000) > 0)
            _exit(CTL_GOOD);
    }
}

/* What has come before the deadline is taken even if this process is late. */
static void ask_collect(int fd, int64_t deadline, size_t count, struct ask_answer *answers)
{
    struct ask_answer answer;

    for (size_t got = 0; got < count;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - clock_now_ms();
        ssize_t n;

        if (poll(&poller, 1, left > 0 ? (int)left : 0) == 0)
            return;
        n = read(fd, &answer, sizeof(answer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n != sizeof(answer) || answer.index >= count)
            return;
        answers[answer.index] = answer;
        got++;
    }
}

int ask_devices(const struct options *options, const struct scan *scan, int timeout_ms,
                struct ask_answer **ret_answers)
{
    struct ask ask = {.options = options,
                      .scan = scan,
                      .timeout_ms = timeout_ms,
                      .deadline = clock_now_ms() + timeout_ms};
    struct ask_answer *answers = calloc(scan->count + 1, sizeof(*answers));
    int fds[2];
    pid_t child;

    if (!answers)
        return -ENOMEM;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        free(answers);
        return -errno;
    }
    child = fork();
    if (child == 0) {
        close(fds[0]);
        ask.pipe = fds[1];
        ask_all(&ask);
    }
    close(fds[1]);
    if (child < 0) {
        int r = -errno;

        close(fds[0]);
        free(answers);
        return r;
    }
    for (size_t i = 0; i < scan->count; i++)
        answers[i].index = (uint32_t)i;
    ask_collect(fds[0], ask.deadline, scan->count, answers);
    close(fds[0]);
    kill(child, SIGKILL);
    *ret_answers = answers;
    return 0;
}
