// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One thread, which waits in one place, for one of three things: a request, the end of a child, the
 * next deadline. Nothing that it does on the way may block: sysfs is memory, a suspended map is
 * resumed by a child, and answers are sent to sockets that nobody else fills.
 *
 * Every request is answered, or its socket closed by whoever has it: the child that executes it
 * answers it; when that ends without an answer, or has to be killed, the worker does. Both may, if
 * a deadline passes in the wrong moment: the helper takes the first answer.
 */
#include "mpath/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "mpath/child.h"
#include "mpath/dm.h"
#include "mpath/map.h"
#include "mpath/output.h"
#include "sg/device.h"

#define WORKER_RESUME_MS 10000 /* for a map to be resumed */

struct command_job {
    struct job job; /* first */
    struct map map;
    int device, reply, output; /* -1: none */
    bool was_suspended;        /* the map, when its child began; or that was not to be learnt */
    uint32_t allowed_ms;
    struct worker_request request; /* points into message */
    uint8_t message[WORKER_REQUEST_SIZE];
};

static void worker_free(struct command_job *job)
{
    cleanup_close(&job->device);
    cleanup_close(&job->reply);
    cleanup_close(&job->output);
    free(job);
}

static void worker_remove(struct worker *worker, struct command_job *job)
{
    jobs_remove(&worker->jobs, &job->job);
    worker_free(job);
}

/* An answer of the worker's own: `code`, and a sentence. */
static void worker_answer(const struct command_job *job, struct spc_sense code, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));
static void worker_answer(const struct command_job *job, struct spc_sense code, const char *format,
                          ...)
{
    struct worker_reply answer = {0};
    int used = snprintf(answer.text, sizeof(answer.text), "%s: ", job->map.name);
    va_list arguments;

    reply_sense(&answer.reply, code);
    va_start(arguments, format);
    vsnprintf(answer.text + used, sizeof(answer.text) - (size_t)used, format, arguments);
    va_end(arguments);
    child_answer(job->reply, &answer, NULL);
}

/* It was not sent: the client may try again. */
static void worker_answer_busy(const struct command_job *job, const char *why)
{
    struct worker_reply answer = {0};

    reply_status(&answer.reply, SPC_STATUS_BUSY, 0);
    snprintf(answer.text, sizeof(answer.text), "%s: %s", job->map.name, why);
    child_answer(job->reply, &answer, NULL);
}

static const char *worker_name(const struct command_job *job)
{
    uint8_t service_action = job->request.request.cdb[1] & 0x1f;
    const char *name = NULL;

    if (job->request.request.opcode == SPC_PERSISTENT_RESERVE_OUT)
        name = spc_prout_name(service_action);
    else if (job->request.request.opcode == SPC_PERSISTENT_RESERVE_IN)
        name = spc_prin_name(service_action);
    else
        name = "CLEANUP";
    return name ? name : "unknown service action";
}

static void worker_start(struct worker *worker, struct command_job *job)
{
    pid_t pid;

    if (worker->dm_control < 0 ||
        dm_is_suspended(worker->dm_control, job->map.number, &job->was_suspended) < 0)
        job->was_suspended = true; /* in doubt it is not ours to resume */
    job->output = output_new();
    pid = job->output < 0
              ? (pid_t)job->output
              : child_start(&job->request, &job->map, job->device, job->reply, job->output);
    if (pid < 0) {
        worker_answer_busy(job, strerror((int)-pid));
        worker_remove(worker, job);
        return;
    }
    job->job.pid = pid;
    job->job.state = JOB_RUNNING;
}

/* Its time is up. */
static void worker_expire(struct worker *worker, struct command_job *job)
{
    switch (job->job.state) {
    case JOB_QUEUED:
        worker_answer_busy(job, "the commands before this one took too long");
        worker_remove(worker, job);
        return;
    case JOB_RUNNING:
        kill(job->job.pid, SIGKILL);
        worker_answer(job, SPC_LU_COMMUNICATION_TIMEOUT, "%s did not end within %g s%s",
                      worker_name(job), job->allowed_ms / 1000.0,
                      job->job.changes ? ", outcome unknown; until it does, further ones are "
                                         "answered BUSY"
                                       : "");
        job->job.state = JOB_KILLED;
        return;
    case JOB_MENDING:
        kill(job->job.pid, SIGKILL);
        job->job.state = JOB_KILLED;
        job->was_suspended = true; /* tried once is enough */
        return;
    case JOB_KILLED:
        return;
    }
}

/* Did it leave the map suspended? Then see to it. */
static bool worker_mend(struct worker *worker, struct command_job *job)
{
    bool suspended;
    pid_t pid;

    if (job->was_suspended ||
        dm_is_suspended(worker->dm_control, job->map.number, &suspended) < 0 || !suspended)
        return false;
    pid = child_start_resume(worker->dm_control, &job->map);
    if (pid < 0)
        return false;
    job->was_suspended = true;
    job->job.pid = pid;
    job->job.state = JOB_MENDING;
    job->job.deadline_ms = clock_now_ms() + WORKER_RESUME_MS;
    return true;
}

/* A child that ended, but not as one does that has answered. */
static void worker_explain_end(const struct command_job *job, int status)
{
    char line[OUTPUT_LINE_SIZE], how[64];

    output_last_line(job->output, line);
    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof(how), "ended with exit code %d", WEXITSTATUS(status));
    worker_answer(job, SPC_LU_COMMUNICATION_FAILURE, "libmpathpersist's process %s during %s%s%s%s",
                  how, worker_name(job), job->job.changes ? ", outcome unknown" : "",
                  line[0] ? ": " : "", line);
}

static void worker_reap(struct worker *worker)
{
    struct signalfd_siginfo news;
    pid_t pid;
    int status;

    while (read(worker->signal_fd, &news, sizeof(news)) > 0)
        ; /* several may have become one */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct command_job *job = (struct command_job *)jobs_find(&worker->jobs, pid);
        bool answered = WIFEXITED(status) && WEXITSTATUS(status) == CHILD_ANSWERED;

        if (!job)
            continue;
        if (!answered && job->job.state == JOB_RUNNING)
            worker_explain_end(job, status);
        if (answered || !worker_mend(worker, job))
            worker_remove(worker, job);
    }
}

/* What the helper has looked at already; see map.c. False: it has its answer. */
static bool worker_may_execute(struct command_job *job)
{
    int r = map_identify(job->device, &job->map);

    if (r == 0 && (!job->job.changes || map_is_writable(job->device)))
        return true;
    strcpy(job->map.name, "?");
    if (device_is_shortage(-r))
        worker_answer_busy(job, strerror(-r));
    else
        worker_answer(job, SPC_INVALID_OPERATION_CODE,
                      r == 0 || r == -ENODEV ? "not a multipath map, or not open for writing"
                                             : "cannot tell whether it is a multipath map");
    return false;
}

/* A message with its fds has come. */
static void worker_take(struct worker *worker, const uint8_t *bytes, size_t size,
                        const struct fdio_message *message)
{
    struct command_job *job = calloc(1, sizeof(*job));

    if (!job || size != sizeof(job->message) || message->fds_lost ||
        message->n_fds != WORKER_REQUEST_FDS) {
        free(job);
        for (unsigned i = 0; i < message->n_fds; i++)
            close(message->fds[i]);
        return; /* the helper sees the end of its reply socket */
    }
    job->device = message->fds[0];
    job->reply = message->fds[1];
    job->output = -1;
    memcpy(job->message, bytes, size);
    if (!worker_decode_request(job->message, size, &job->request)) {
        worker_free(job);
        return;
    }
    job->job.changes = job->request.request.opcode != SPC_PERSISTENT_RESERVE_IN;
    job->allowed_ms = job->request.deadline_ms;
    job->job.deadline_ms = clock_now_ms() + job->allowed_ms;
    if (!worker_may_execute(job)) {
        worker_free(job);
        return;
    }
    job->job.map = job->map.number;
    if (!jobs_add(&worker->jobs, &job->job)) {
        worker_answer_busy(job, "an earlier command still hangs, or too many wait");
        worker_free(job);
    }
}

static void worker_receive(struct worker *worker)
{
    /* One byte more than a message: one that is too long is not taken for a message. */
    static uint8_t bytes[WORKER_REQUEST_SIZE + 1];
    struct fdio_message message;
    ssize_t n;

    while ((n = fdio_receive(worker->channel, bytes, sizeof(bytes), MSG_DONTWAIT, &message)) > 0)
        worker_take(worker, bytes, (size_t)n, &message);
    if (n != -EAGAIN) /* the end, or an error that will not go away */
        worker->channel = -1;
}

/* The helper is gone: nobody waits for what has not begun. */
static void worker_drop_queued(struct worker *worker)
{
    for (unsigned i = worker->jobs.n; i > 0; i--) {
        if (worker->jobs.job[i - 1]->state == JOB_QUEUED)
            worker_remove(worker, (struct command_job *)worker->jobs.job[i - 1]);
    }
}

void worker_run(struct worker *worker)
{
    while (worker->channel >= 0 || worker->jobs.n > 0) {
        struct pollfd events[] = {
            {.fd = worker->signal_fd, .events = POLLIN},
            {.fd = worker->channel, .events = POLLIN},
        };
        struct job *job;

        /* If it fails there are no events, and the children's deadlines are still kept. */
        (void)!poll(events, 2, jobs_timeout_ms(&worker->jobs, clock_now_ms()));
        worker_reap(worker); /* in every turn: an end that was overlooked would hold its map */
        if (events[1].revents)
            worker_receive(worker);
        while ((job = jobs_expired(&worker->jobs, clock_now_ms())))
            worker_expire(worker, (struct command_job *)job);
        if (worker->channel < 0)
            worker_drop_queued(worker);
        while ((job = jobs_next(&worker->jobs)))
            worker_start(worker, (struct command_job *)job);
    }
}
