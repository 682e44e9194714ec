// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each command takes a socket pair: one end goes to the worker together with the device, and on the
 * other this thread waits for its answer. So the threads that wait do not have to share anything,
 * and if the worker or its child dies with a command in hand, that alone ends the wait.
 *
 * A command that the worker has taken is never sent again. One that could not be sent is: to the
 * next worker, which is started for it. Workers that die one after the other are started ever more
 * slowly, and meanwhile the answer is BUSY; one that says at its start that it cannot work is tried
 * again after a while, in case an administrator has fixed that.
 */
#include "helper/backend_mpath.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "serve/tracepoints.h"

#define MPATH_HELLO_S      30    /* for starting, on a machine that pages */
#define MPATH_SEND_S       5     /* for a worker that does not read its channel */
#define MPATH_DELAY_MIN_MS 1000  /* between two starts of a worker, doubled with each */
#define MPATH_DELAY_MAX_MS 30000 /* up to this */
#define MPATH_STEADY_MS    60000 /* a worker that lived so long was a good one */

/* Either message, and a byte to see that it is too long. On the heap: stacks are small here. */
#define MPATH_BUFFER_SIZE (WORKER_REPLY_SIZE + 1)
_Static_assert(WORKER_REQUEST_SIZE <= MPATH_BUFFER_SIZE, "a request fits as well");

/* Is there a worker to send to? */
enum mpath_state {
    MPATH_RUNS,
    MPATH_LATER, /* not now: BUSY */
    MPATH_NEVER, /* not as things are; mpath->problem says why */
};

/* Under facts_lock. */
static void mpath_put_facts(struct mpath *mpath, enum mpath_condition condition, uint32_t pid,
                            const char *problem)
{
    mpath->facts.condition = condition;
    mpath->facts.pid = pid;
    snprintf(mpath->facts.problem, sizeof(mpath->facts.problem), "%s", problem);
    mpath->running = -1;
}

static void mpath_set_facts(struct mpath *mpath, enum mpath_condition condition,
                            const char *problem)
{
    pthread_mutex_lock(&mpath->facts_lock);
    mpath_put_facts(mpath, condition, 0, problem);
    pthread_mutex_unlock(&mpath->facts_lock);
}

/* channel: borrowed until the next change of the facts. */
static void mpath_set_running(struct mpath *mpath, uint32_t pid, int channel)
{
    pthread_mutex_lock(&mpath->facts_lock);
    mpath_put_facts(mpath, MPATH_RUNNING, pid, "");
    mpath->running = channel;
    pthread_mutex_unlock(&mpath->facts_lock);
}

/* Under facts_lock. To the threads that send, the next command for a map tells it. */
static bool mpath_has_ended(const struct mpath *mpath)
{
    struct pollfd event = {.fd = mpath->running};

    return mpath->running >= 0 && poll(&event, 1, 0) == 1 && (event.revents & (POLLHUP | POLLERR));
}

void mpath_get_facts(struct mpath *mpath, struct mpath_facts *ret)
{
    const struct maptable *table = NULL;

    pthread_mutex_lock(&mpath->facts_lock);
    if (mpath_has_ended(mpath)) {
        mpath_put_facts(mpath, MPATH_STOPPED, 0, "");
        table = mpath->table;
        mpath->table = NULL;
    }
    *ret = mpath->facts;
    pthread_mutex_unlock(&mpath->facts_lock);
    if (table)
        munmap((void *)table, sizeof(*table));
}

/* Memory that the other side could make shorter would end us by SIGBUS. */
static bool mpath_is_table(int fd)
{
    struct stat status;
    int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;

    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &status) == 0 &&
           status.st_size == sizeof(struct maptable);
}

/* In place of the one before; fd -1: none. Without it the status says less, and that is all. */
static void mpath_set_table(struct mpath *mpath, int fd)
{
    const struct maptable *table = NULL, *old;

    if (mpath_is_table(fd))
        table = mmap(NULL, sizeof(*table), PROT_READ, MAP_SHARED, fd, 0);
    if (table == MAP_FAILED)
        table = NULL;
    pthread_mutex_lock(&mpath->facts_lock);
    old = mpath->table;
    mpath->table = table;
    pthread_mutex_unlock(&mpath->facts_lock);
    if (old)
        munmap((void *)old, sizeof(*old));
}

bool mpath_next_map(struct mpath *mpath, unsigned *at, struct maptable_map *ret_map)
{
    enum maptable_look look = MAPTABLE_NOTHING;

    pthread_mutex_lock(&mpath->facts_lock);
    if (!mpath->table)
        look = MAPTABLE_END;
    while (look == MAPTABLE_NOTHING)
        look = *at < MAPTABLE_SLOTS ? maptable_read(mpath->table, (*at)++, ret_map) : MAPTABLE_END;
    pthread_mutex_unlock(&mpath->facts_lock);
    return look == MAPTABLE_FOUND;
}

void mpath_init(struct mpath *mpath, const struct mpath_options *options, struct keeper *keeper,
                const char *problem)
{
    *mpath = (struct mpath){.options = *options, .keeper = keeper, .channel = -1, .running = -1};
    pthread_mutex_init(&mpath->lock, NULL);
    pthread_mutex_init(&mpath->facts_lock, NULL);
    if (keeper)
        mpath_set_facts(mpath, MPATH_STOPPED, "");
    else
        mpath_set_facts(mpath, MPATH_IMPOSSIBLE, problem);
}

void mpath_deinit(struct mpath *mpath)
{
    if (mpath->channel >= 0)
        close(mpath->channel);
    mpath->channel = mpath->running = -1;
    mpath_set_table(mpath, -1);
}

static void mpath_set_timeout(int sock, int option, unsigned ms)
{
    const struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    setsockopt(sock, SOL_SOCKET, option, &timeout, sizeof(timeout));
}

/* The worker cannot work. Said once for each reason; the single commands have lines of their own.
 */
static enum mpath_state mpath_refuse(struct mpath *mpath, const char *problem)
{
    if (strcmp(mpath->facts.problem, problem))
        log_error("cannot serve persistent reservations on multipath maps: %s", problem);
    mpath_set_facts(mpath, MPATH_FAILED, problem);
    return MPATH_NEVER;
}

/* It is not there, or not for us; or it has too much to do. */
static enum mpath_state mpath_refuse_service(struct mpath *mpath, int error)
{
    char problem[WORKER_TEXT_SIZE];

    snprintf(problem, sizeof(problem), "cannot connect to %s: %s%s", mpath->options.service,
             strerror(error),
             error == ENOENT || error == ECONNREFUSED ? " (is qemu-pr-mpath.socket started?)" : "");
    if (error == ENOENT || error == ECONNREFUSED || error == EACCES || error == EPERM)
        return mpath_refuse(mpath, problem);
    log_error("the multipath worker is not available yet: %s", problem);
    mpath_set_facts(mpath, MPATH_STOPPED, problem);
    return MPATH_LATER;
}

/* Under the lock. */
static enum mpath_state mpath_receive_hello(struct mpath *mpath, int channel)
{
    uint8_t bytes[WORKER_HELLO_SIZE + 1]; /* room to see that it is too long */
    CLEANUP_CLOSE int table = -1;
    struct fdio_message message;
    struct worker_hello hello;
    ssize_t n;

    mpath_set_timeout(channel, SO_RCVTIMEO, MPATH_HELLO_S * 1000);
    do
        n = fdio_receive(channel, bytes, sizeof(bytes), 0, &message);
    while (n == -EINTR);
    for (unsigned i = 0; i < message.n_fds; i++) {
        cleanup_close(&table);
        table = message.fds[i];
    }
    if (n <= 0 || !worker_decode_hello(bytes, (size_t)n, &hello)) {
        const char *problem = n == 0 ? "the multipath worker exited during start-up"
                              : n < 0
                                  ? "the multipath worker sent nothing during start-up"
                                  : "the versions of the multipath worker and the helper differ";

        log_error("%s", problem);
        mpath_set_facts(mpath, MPATH_STOPPED, problem); /* to be tried again */
        return MPATH_LATER;
    }
    if (hello.later) {
        log_error("the multipath worker is not available yet: %s", hello.text);
        mpath_set_facts(mpath, MPATH_STOPPED, hello.text);
        return MPATH_LATER;
    }
    if (!hello.ready)
        return mpath_refuse(mpath, hello.text);
    mpath_set_table(mpath, table);
    mpath_set_running(mpath, hello.pid, channel);
    log_info("multipath worker started");
    trace_worker_start(hello.pid);
    return MPATH_RUNS;
}

/*
 * Under the lock, which is also what changes of the facts are made under, but for the end of a
 * worker that runs.
 */
static enum mpath_state mpath_start(struct mpath *mpath)
{
    CLEANUP_CLOSE int channel = -1;
    int64_t now = clock_now_ms();
    enum mpath_state state;

    if (!mpath->keeper) {
        if (!mpath->is_logged)
            log_error("cannot serve persistent reservations on multipath maps: %s",
                      mpath->facts.problem);
        mpath->is_logged = true;
        return MPATH_NEVER;
    }
    if (mpath->started_ms && now < mpath->started_ms + mpath->delay_ms)
        return mpath->facts.condition == MPATH_FAILED ? MPATH_NEVER : MPATH_LATER;

    channel = keeper_start_worker(mpath->keeper);
    if (mpath->delay_ms == 0 || now - mpath->started_ms > MPATH_STEADY_MS)
        mpath->delay_ms = MPATH_DELAY_MIN_MS;
    else if (mpath->delay_ms < MPATH_DELAY_MAX_MS / 2)
        mpath->delay_ms *= 2;
    else
        mpath->delay_ms = MPATH_DELAY_MAX_MS;
    mpath->started_ms = now;
    if (channel < 0 && mpath->options.service)
        return mpath_refuse_service(mpath, -channel);
    if (channel < 0) {
        log_error("the keeper cannot start the multipath worker: %s", strerror(-channel));
        return MPATH_LATER;
    }
    state = mpath_receive_hello(mpath, channel);
    if (state == MPATH_RUNS) {
        mpath_set_timeout(channel, SO_SNDTIMEO, MPATH_SEND_S * 1000);
        mpath->channel = steal_fd(&channel);
    }
    return state;
}

/* Under the lock. What waits is sent, or dropped if the worker does not read. */
static void mpath_send_farewells(struct mpath *mpath)
{
    int farewell[MPATH_FAREWELLS_MAX];
    unsigned n;

    pthread_mutex_lock(&mpath->facts_lock);
    n = mpath->n_farewells;
    memcpy(farewell, mpath->farewell, n * sizeof(farewell[0]));
    mpath->n_farewells = 0;
    pthread_mutex_unlock(&mpath->facts_lock);
    for (unsigned i = 0; i < n && mpath->channel >= 0; i++) {
        uint8_t bytes[WORKER_FAREWELL_SIZE];

        worker_encode_farewell(bytes, farewell[i]);
        (void)!send(mpath->channel, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static bool mpath_has_farewells(struct mpath *mpath)
{
    bool has;

    pthread_mutex_lock(&mpath->facts_lock);
    has = mpath->n_farewells > 0;
    pthread_mutex_unlock(&mpath->facts_lock);
    return has;
}

/* Who has the lock sends them, and looks again after it has let go of it. */
static void mpath_flush_farewells(struct mpath *mpath)
{
    while (mpath_has_farewells(mpath) && pthread_mutex_trylock(&mpath->lock) == 0) {
        mpath_send_farewells(mpath);
        pthread_mutex_unlock(&mpath->lock);
    }
}

static void mpath_note(struct mpath *mpath, int slot)
{
    if (slot < 0 || slot >= MPATH_SLOTS_MAX)
        return;
    pthread_mutex_lock(&mpath->facts_lock);
    mpath->has_sent[slot / 8] |= (uint8_t)(1 << slot % 8);
    pthread_mutex_unlock(&mpath->facts_lock);
}

void mpath_forget(struct mpath *mpath, int slot)
{
    uint8_t bit;
    bool tell;

    if (slot < 0 || slot >= MPATH_SLOTS_MAX)
        return;
    bit = (uint8_t)(1 << slot % 8);
    pthread_mutex_lock(&mpath->facts_lock);
    tell = (mpath->has_sent[slot / 8] & bit) && mpath->n_farewells < MPATH_FAREWELLS_MAX;
    mpath->has_sent[slot / 8] &= (uint8_t)~bit;
    if (tell)
        mpath->farewell[mpath->n_farewells++] = slot;
    pthread_mutex_unlock(&mpath->facts_lock);
    if (tell)
        mpath_flush_farewells(mpath);
}

/* Send to the worker that runs, or to a new one. */
static enum mpath_state mpath_send(struct mpath *mpath, const uint8_t *bytes, const int *fds)
{
    enum mpath_state state = MPATH_RUNS;

    pthread_mutex_lock(&mpath->lock);
    mpath_send_farewells(mpath); /* before one that has taken over a number */
    for (;;) {
        int r;

        if (mpath->channel < 0)
            state = mpath_start(mpath);
        if (state != MPATH_RUNS)
            break;
        r = fdio_send_fds(mpath->channel, bytes, WORKER_REQUEST_SIZE, fds, WORKER_REQUEST_FDS);
        if (r == 0)
            break;
        if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS) {
            state = MPATH_LATER;
            break;
        }
        trace_worker_end(-r);
        log_warning("the multipath worker has exited: %s", strerror(-r));
        mpath_set_facts(mpath, MPATH_STOPPED, "");
        close(mpath->channel);
        mpath->channel = -1;
        mpath_set_table(mpath, -1);
    }
    pthread_mutex_unlock(&mpath->lock);
    mpath_flush_farewells(mpath);
    return state;
}

/* No answer: the worker died (n is 0), or it missed even the end of its deadline. */
static void mpath_answer_lost(const struct request *request, dev_t number, ssize_t n,
                              struct reply *reply)
{
    bool is_late = n < 0 && (errno == EAGAIN || errno == EINTR);

    log_client("device %u:%u: the multipath worker %s%s", major(number), minor(number),
               is_late ? "did not answer in time" : "exited before it replied",
               request->opcode == SPC_PERSISTENT_RESERVE_IN ? "" : ": outcome unknown");
    reply_sense(reply, is_late ? SPC_LU_COMMUNICATION_TIMEOUT : SPC_LU_COMMUNICATION_FAILURE);
}

static void mpath_receive(int sock, uint8_t *bytes, const struct request *request, dev_t number,
                          struct reply *reply)
{
    struct worker_reply answer;
    const uint8_t *data;
    ssize_t n;

    do
        n = recv(sock, bytes, MPATH_BUFFER_SIZE, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0 || !worker_decode_reply(bytes, (size_t)n, &answer, &data)) {
        mpath_answer_lost(request, number, n, reply);
        return;
    }
    if (answer.text[0])
        log_client("device %u:%u: %s", major(number), minor(number), answer.text);
    *reply = answer.reply;
    if (reply->size > request->length)
        reply->size = request->length;
    if (request->opcode != SPC_PERSISTENT_RESERVE_IN)
        reply->size = 0;
    if (reply->size > 0)
        memcpy(request->data, data, reply->size);
}

bool mpath_execute(struct mpath *mpath, const struct request *request, dev_t number,
                   struct reply *reply)
{
    const struct worker_request message = {
        .request = *request,
        .deadline_ms = mpath->options.deadline_ms,
        .io_timeout_ms = mpath->options.io_timeout_ms,
    };
    CLEANUP_FREE uint8_t *bytes = malloc(MPATH_BUFFER_SIZE);
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    enum mpath_state state;
    int pair[2];

    if (!bytes || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        log_client("cannot send to the multipath worker: %s", strerror(errno));
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return true;
    }
    ours = pair[0];
    theirs = pair[1];
    mpath_set_timeout(ours, SO_RCVTIMEO, mpath->options.deadline_ms + mpath->options.grace_ms);

    if (request->opcode != SPC_PERSISTENT_RESERVE_IN)
        mpath_note(mpath, request->slot);
    worker_encode_request(bytes, &message);
    state = mpath_send(mpath, bytes, (const int[WORKER_REQUEST_FDS]){request->fd, theirs});
    if (state == MPATH_NEVER)
        return false;
    if (state == MPATH_LATER) {
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return true;
    }
    close(steal_fd(&theirs)); /* ours must not be what keeps the answer's socket open */
    mpath_receive(ours, bytes, request, number, reply);
    return true;
}
