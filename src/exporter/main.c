// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-exporter: all helpers of this node, for Prometheus and for people. One thread; a look at
 * the helpers is taken on request, and serves all requests of the next second, so that
 * readers of pages cannot keep helpers busy. It is given back soon afterwards: an idle exporter has
 * nothing but its memory of processes.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/option_table.h"
#include "build.h"
#include "exporter/http.h"
#include "exporter/page.h"
#include "exporter/past.h"
#include "exporter/sandbox.h"

#define EXPORTER_FRESH_MS 1000 /* a look serves others for so long */
#define EXPORTER_KEEP_MS  2000 /* and is given back then */
#define EXPORTER_WAIT_MS  10000
#define EXPORTER_DEFAULT  "127.0.0.1:9979"

struct exporter {
    const char *listen;
    unsigned timeout_ms;
    unsigned n_places;
    unsigned verbose;
    bool quiet;
    const char *places[CROWD_PLACES_MAX];

    struct http http;
    struct look look; /* while has_look */
    bool has_look;
    int64_t looked_ms;
    double n_looks, started_s;
    struct past past;
};

static const char *const exporter_default_places[] = {BUILD_STATUS_DIRECTORY};

static void exporter_forget(struct exporter *exporter)
{
    if (!exporter->has_look)
        return;
    look_deinit(&exporter->look);
    exporter->has_look = false;
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

/* False: there is no memory. */
static bool exporter_look(struct exporter *exporter)
{
    if (exporter->has_look && clock_now_ms() - exporter->looked_ms < EXPORTER_FRESH_MS)
        return true;
    exporter_forget(exporter);
    if (look_take(exporter->places, exporter->n_places, (int)exporter->timeout_ms,
                  &exporter->look) < 0) {
        log_limited(LOG_ERR, "cannot query the helpers: %s", strerror(ENOMEM));
        return false;
    }
    exporter->has_look = true;
    exporter->looked_ms = clock_now_ms();
    exporter->n_looks++;
    past_update(&exporter->past, &exporter->look.crowd);
    return true;
}

static void exporter_expose_states(const struct exporter *exporter, FILE *file,
                                   enum expose_format format)
{
    static const struct expose_family helpers = {"qemu_pr_exporter_helpers", "gauge", NULL,
                                                 "Helpers of this node, by state"};
    const struct crowd *crowd = &exporter->look.crowd;
    unsigned counts[CROWD_STATES] = {0};

    for (unsigned i = 0; i < crowd->n_members; i++)
        counts[crowd->members[i].state]++;
    expose_head(file, format, &helpers);
    for (unsigned i = 0; i < CROWD_STATES; i++) {
        struct expose_labels labels = {.used = 0};

        expose_label(&labels, "state", crowd_state_word((enum crowd_state)i));
        expose_sample(file, &helpers, "", &labels, counts[i]);
    }
}

static void exporter_expose_orphans(const struct exporter *exporter, FILE *file,
                                    enum expose_format format)
{
    static const struct expose_family orphans = {
        "orphaned_clients", "gauge", NULL,
        "Virtual machines that still run but whose helper has exited"};

    expose_head(file, format, &orphans);
    for (unsigned i = 0; i < exporter->past.n; i++) {
        const struct past_helper *helper = &exporter->past.helpers[i];
        struct expose_labels labels = {.used = 0};

        expose_label(&labels, "helper", helper->name);
        expose_sample(file, &orphans, "", &labels, helper->n_orphans);
    }
}

static void exporter_expose_self(const struct exporter *exporter, FILE *file,
                                 enum expose_format format)
{
    static const struct expose_family build = {"qemu_pr_exporter_build", "info", NULL,
                                               "The exporter's version"};
    const struct crowd *crowd = &exporter->look.crowd;
    const struct {
        struct expose_family family;
        const char *suffix;
        double value;
    } numbers[] = {
        {{"qemu_pr_exporter_start_time_seconds", "gauge", "seconds", "When the exporter started"},
         "",
         exporter->started_s},
        {{"qemu_pr_exporter_looks", "counter", NULL, "How often all helpers were queried"},
         "_total",
         exporter->n_looks},
        {{"qemu_pr_exporter_look_seconds", "gauge", "seconds", "Duration of the last query"},
         "",
         crowd->took_s},
        {{"qemu_pr_exporter_sockets_left_out", "gauge", NULL,
          "Status sockets that were not queried because there are too many"},
         "",
         crowd->n_left_out},
        {{"qemu_pr_exporter_places_unreadable", "gauge", NULL,
          "Directories of status sockets that could not be read"},
         "",
         crowd->n_unreadable},
    };
    struct expose_labels labels = {.used = 0};

    expose_label(&labels, "version", BUILD_VERSION);
    expose_head(file, format, &build);
    expose_sample(file, &build, "_info", &labels, 1);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        expose_head(file, format, &numbers[i].family);
        expose_sample(file, &numbers[i].family, numbers[i].suffix, NULL, numbers[i].value);
    }
}

static bool exporter_write_status(const struct exporter *exporter, FILE *file)
{
    char *text = look_report(&exporter->look);
    bool written = text && fputs(text, file) >= 0 && fputc('\n', file) != EOF;

    free(text);
    return written;
}

static bool exporter_write(void *context, FILE *file, enum http_page page,
                           enum expose_format format)
{
    struct exporter *exporter = context;

    if (!exporter_look(exporter))
        return false;
    switch (page) {
    case HTTP_METRICS:
        exporter_expose_self(exporter, file, format);
        exporter_expose_states(exporter, file, format);
        exporter_expose_orphans(exporter, file, format);
        expose_helpers(file, format, &exporter->look.crowd);
        expose_luns(file, format, &exporter->look.luns);
        expose_end(file, format);
        return true;
    case HTTP_NODE:
        page_write(file, &exporter->look);
        return true;
    default:
        return exporter_write_status(exporter, file);
    }
}

static int exporter_add_place(struct option_use *use)
{
    struct exporter *exporter = use->target;

    if (use->value[0] != '/')
        return option_reject(use, "an absolute path");
    if (exporter->n_places == CROWD_PLACES_MAX) {
        snprintf(use->error, sizeof(use->error), "--status=%s: more than %d places", use->value,
                 CROWD_PLACES_MAX);
        return -EINVAL;
    }
    exporter->places[exporter->n_places++] = use->value;
    return 0;
}

#define FIELD(name) .field = offsetof(struct exporter, name)

static const struct option_row exporter_rows[] = {
    {'l', "listen", "HOST:PORT", "serve HTTP there; without HOST on all addresses",
     .initial = EXPORTER_DEFAULT, .set = option_set_text, FIELD(listen)},
    {'s', "status", "PATH",
     "a status socket, or a directory of them; up to 16 times\n"
     "(default: " BUILD_STATUS_DIRECTORY ")",
     .set = exporter_add_place},
    {'t', "timeout", "MS", "how long to wait for helpers that do not answer", .initial = "2000",
     .set = option_set_number, FIELD(timeout_ms), .min = 1, .max = EXPORTER_WAIT_MS,
     .unit = "milliseconds"},
    {'v', "verbose", NULL, "log more; twice for even more", .set = option_set_count,
     FIELD(verbose)},
    {'q', "quiet", NULL, "do not log per-client messages", .set = option_set_flag, FIELD(quiet)},
    {'h', "help", NULL, "show this help and exit"},
    {'V', "version", NULL, "show the version and exit"},
};

static const struct option_table exporter_table = {
    .rows = exporter_rows,
    .n_rows = sizeof(exporter_rows) / sizeof(exporter_rows[0]),
};

static void exporter_print_help(void)
{
    printf("Usage: qemu-pr-exporter [OPTION]...\n"
           "Serve the status of all qemu-pr-helpers of this node to Prometheus and as a web page.\n"
           "\n");
    option_table_print(&exporter_table, stdout);
    printf("\n/metrics is for Prometheus, / is a page for people, /status.json for programs.\n"
           "See qemu-pr-exporter(8).\n");
}

static int exporter_apply(struct exporter *exporter, const struct option_row *row,
                          const char *value)
{
    struct option_use use = {.row = row, .value = value, .target = exporter};

    if (row->letter == 'h' || row->letter == 'V') {
        if (row->letter == 'h')
            exporter_print_help();
        else
            puts("qemu-pr-exporter " BUILD_VERSION);
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (row->set(&use) == 0)
        return 0;
    log_error("%s", use.error);
    return -EINVAL;
}

static int exporter_parse(struct exporter *exporter, int argc, char **argv)
{
    struct option_walk walk = {.table = &exporter_table, .argc = argc, .argv = argv};
    const struct option_row *row;
    const char *value;
    int r;

    option_table_init(&exporter_table, exporter);
    while ((r = option_walk_next(&walk, &row, &value)) > 0) {
        if (exporter_apply(exporter, row, value) < 0)
            return -EINVAL;
    }
    if (r < 0) {
        fprintf(stderr, "Try '%s --help' for more information.\n", argv[0]);
        return r;
    }
    if (optind < argc) {
        log_error("unexpected argument '%s'; see --help", argv[optind]);
        return -EINVAL;
    }
    if (exporter->n_places == 0) {
        memcpy(exporter->places, exporter_default_places, sizeof(exporter_default_places));
        exporter->n_places = sizeof(exporter_default_places) / sizeof(exporter_default_places[0]);
    }
    log_set_level(log_level_from(exporter->quiet, exporter->verbose));
    return 0;
}

/* As many fds as the hard limit has: one for each helper that is asked. */
static void exporter_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* SIGTERM and SIGINT as an fd, or a negative errno. */
static int exporter_block_signals(void)
{
    sigset_t set;
    int fd;

    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* Until a signal. */
static void exporter_run(struct exporter *exporter, int signals)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = exporter->http.events, .events = POLLIN},
        };
        int timeout = http_timeout(&exporter->http);

        if (exporter->has_look && (timeout < 0 || timeout > EXPORTER_KEEP_MS))
            timeout = EXPORTER_KEEP_MS;
        if (poll(fds, 2, timeout) < 0 && errno != EINTR) {
            log_error("cannot wait: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            return;
        http_run(&exporter->http);
        if (exporter->has_look && clock_now_ms() - exporter->looked_ms >= EXPORTER_KEEP_MS)
            exporter_forget(exporter);
    }
}

int main(int argc, char **argv)
{
    static struct exporter exporter;
    struct timespec now;
    char error[512];
    int signals;

    log_set_name("qemu-pr-exporter");
    log_to_fd(STDERR_FILENO);
    if (fdio_open_standard() < 0 || exporter_parse(&exporter, argc, argv) < 0)
        return EXIT_FAILURE;
    clock_gettime(CLOCK_REALTIME, &now);
    exporter.started_s = (double)now.tv_sec;
    exporter_raise_limit();
    signals = exporter_block_signals();
    if (signals < 0) {
        log_error("cannot wait for signals: %s", strerror(-signals));
        return EXIT_FAILURE;
    }
    if (http_start(&exporter.http, exporter.listen, exporter_write, &exporter, error,
                   sizeof(error)) < 0 ||
        sandbox_enter(exporter.places, exporter.n_places, error, sizeof(error)) < 0) {
        log_error("%s", error);
        http_stop(&exporter.http);
        return EXIT_FAILURE;
    }
    log_notice("serving http://%s/", exporter.http.address);
    exporter_run(&exporter, signals);
    http_stop(&exporter.http);
    exporter_forget(&exporter);
    past_deinit(&exporter.past);
    close(signals);
    exit(EXIT_SUCCESS);
}
