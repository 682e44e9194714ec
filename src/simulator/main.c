// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-simulator: the helper's own connection, pool and protocol code over simulated LUNs, for
 * tests, and for trying out what persistent reservations do. It needs no privilege and protects no
 * data: writes to the files are not stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/option_table.h"
#include "build.h"
#include "serve/listen.h"
#include "serve/notify.h"
#include "serve/process.h"
#include "serve/server.h"
#include "simulator/report.h"
#include "simulator/sim.h"

#define MAIN_LATENCY_MAX_MS 3600000
#define MAIN_TIMEOUT_MS     30000
#define MAIN_STOP_MS        1000
#define MAIN_BUFFER_BYTES   (16u << 20)

struct endpoint {
    const char *name;
    const char *path;
    struct inode_id inode;
};

struct simulator {
    struct endpoint endpoints[SIM_NEXUS_MAX]; /* as given; those below n_open have a socket */
    unsigned n_endpoints;
    unsigned n_open;
    const char *state;
    struct endpoint status_endpoint; /* path NULL: there is none */
    const char *faults;
    unsigned latency_ms;
    unsigned verbose;
    bool quiet;
    struct sim sim;
    struct notify notify;
    struct status status;
    struct sim_report report;
    struct server_options server_options;
    struct server server;
};

/* --nexus=NAME=SOCKET. */
static int simulator_set_nexus(struct option_use *use)
{
    struct simulator *simulator = use->target;
    struct endpoint *endpoint = &simulator->endpoints[simulator->n_endpoints];
    const char *path = strchr(use->value, '=');

    if (!path || path == use->value || path[1] != '/')
        return option_reject(use, "NAME=SOCKET with an absolute path");
    if (simulator->n_endpoints == SIM_NEXUS_MAX) {
        snprintf(use->error, sizeof(use->error), "--nexus=%s: more than %d", use->value,
                 SIM_NEXUS_MAX);
        return -EINVAL;
    }
    for (unsigned i = 0; i < simulator->n_endpoints; i++) {
        if (strlen(simulator->endpoints[i].name) == (size_t)(path - use->value) &&
            strncmp(simulator->endpoints[i].name, use->value, (size_t)(path - use->value)) == 0) {
            snprintf(use->error, sizeof(use->error), "--nexus=%s: duplicate nexus name",
                     use->value);
            return -EINVAL;
        }
    }
    endpoint->name = strndup(use->value, (size_t)(path - use->value));
    endpoint->path = path + 1;
    if (!endpoint->name)
        return option_reject(use, strerror(ENOMEM));
    simulator->n_endpoints++;
    return 0;
}

#define FIELD(name) .field = offsetof(struct simulator, name)

static const struct option_row simulator_rows[] = {
    {0, "nexus", "NAME=SOCKET", "listen on SOCKET for the host NAME; up to 16 times",
     .set = simulator_set_nexus},
    {0, "status-socket", "PATH", "serve the status as JSON on this socket", .set = option_set_path,
     FIELD(status_endpoint.path)},
    {0, "state", "DIRECTORY", "keep registrations with APTPL over a restart",
     .set = option_set_text, FIELD(state)},
    {0, "device-latency", "MS", "minimum time for each command, in milliseconds",
     .set = option_set_number, FIELD(latency_ms), .max = MAIN_LATENCY_MAX_MS,
     .unit = "milliseconds"},
    {0, "faults", "FILE",
     "make LUNs hang or fail as this file says; it may change at any\n"
     "time. A line is: LUN hang, LUN latency MS, LUN status HEX,\n"
     "LUN sense K/AA/QQ, or LUN quirk NAME",
     .set = option_set_text, FIELD(faults)},
    {'v', "verbose", NULL, "log more; twice for even more", .set = option_set_count,
     FIELD(verbose)},
    {'q', "quiet", NULL, "do not log per-client messages", .set = option_set_flag, FIELD(quiet)},
    {'h', "help", NULL, "show this help and exit"},
    {'V', "version", NULL, "show the version and exit"},
};

static const struct option_table simulator_table = {
    .rows = simulator_rows,
    .n_rows = sizeof(simulator_rows) / sizeof(simulator_rows[0]),
};

static void simulator_print_help(void)
{
    printf("Usage: qemu-pr-simulator --nexus NAME=SOCKET [--nexus NAME=SOCKET]... [OPTION]...\n"
           "Simulate LUNs with SCSI persistent reservations behind qemu-pr-helper's protocol.\n"
           "\n"
           "Each socket is an I_T nexus, that is one host's way to the LUNs. A LUN is any regular "
           "file\n"
           "whose file descriptor a client passes. No data is protected.\n"
           "\n");
    option_table_print(&simulator_table, stdout);
    printf("\nSee qemu-pr-simulator(1).\n");
}

static int simulator_apply(struct simulator *simulator, const struct option_row *row,
                           const char *value)
{
    struct option_use use;

    if (row->letter == 'h' || row->letter == 'V') {
        if (row->letter == 'h')
            simulator_print_help();
        else
            puts("qemu-pr-simulator " BUILD_VERSION);
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    use.row = row;
    use.value = value;
    use.target = simulator;
    if (row->set(&use) == 0)
        return 0;
    log_error("%s", use.error);
    return -EINVAL;
}

static int simulator_parse(struct simulator *simulator, int argc, char **argv)
{
    struct option_walk walk = {.table = &simulator_table, .argc = argc, .argv = argv};
    const struct option_row *row;
    const char *value;
    int r;

    while ((r = option_walk_next(&walk, &row, &value)) > 0) {
        if (simulator_apply(simulator, row, value) < 0)
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
    if (simulator->n_endpoints == 0) {
        log_error("nothing to serve: give at least one --nexus NAME=SOCKET");
        return -EINVAL;
    }
    log_set_level(log_level_from(simulator->quiet, simulator->verbose));
    return 0;
}

static int simulator_open_sim(struct simulator *simulator)
{
    int state_dir = -1;

    if (simulator->state) {
        state_dir = open(simulator->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (state_dir < 0) {
            int r = -errno;

            log_error("cannot open state directory %s: %s", simulator->state, strerror(-r));
            return r;
        }
    }
    sim_init(&simulator->sim, simulator->latency_ms, state_dir, simulator->faults);
    return 0;
}

static int simulator_open_endpoints(struct simulator *simulator)
{
    char error[512];

    for (unsigned i = 0; i < simulator->n_endpoints; i++) {
        struct endpoint *endpoint = &simulator->endpoints[i];
        const struct listen_options options = {
            .path = endpoint->path,
            .mode = (mode_t)-1,
            .user = (uid_t)-1,
            .group = (gid_t)-1,
        };
        struct sim_nexus *nexus = sim_add_nexus(&simulator->sim, endpoint->name);
        int listener;

        if (!nexus) {
            log_error("--nexus=%s=%s: not valid in the name of an iSCSI initiator", endpoint->name,
                      endpoint->path);
            return -EINVAL;
        }
        listener = listen_open(&options, &endpoint->inode, error, sizeof(error));
        if (listener < 0) {
            log_error("%s", error);
            return listener;
        }
        simulator->server_options.endpoints[i] = (struct server_endpoint){
            .listener = listener,
            .backend = &nexus->backend,
        };
        simulator->server_options.n_endpoints = simulator->n_open = i + 1;
    }
    return 0;
}

/* Without --status-socket nothing. */
static int simulator_open_status(struct simulator *simulator)
{
    struct endpoint *endpoint = &simulator->status_endpoint;
    const struct listen_options options = {
        .path = endpoint->path,
        .mode = (mode_t)-1,
        .user = (uid_t)-1,
        .group = (gid_t)-1,
    };
    char error[512];
    int listener;

    if (!endpoint->path)
        return 0;
    listener = listen_open(&options, &endpoint->inode, error, sizeof(error));
    if (listener < 0) {
        log_error("%s", error);
        endpoint->path = NULL;
        return listener;
    }
    simulator->report = (struct sim_report){&simulator->sim, &simulator->server, clock_now_us()};
    status_init(&simulator->status, listener, sim_report_write, &simulator->report);
    simulator->server_options.status = &simulator->status;
    return 0;
}

static void simulator_remove(const struct endpoint *endpoint)
{
    int r = inode_remove(endpoint->path, &endpoint->inode);

    if (r < 0)
        log_error("cannot remove socket %s: %s", endpoint->path, strerror(-r));
}

/* Let no new client connect: remove the sockets that are still ours. */
static void simulator_close_endpoints(void *context)
{
    struct simulator *simulator = context;

    for (unsigned i = 0; i < simulator->n_open; i++)
        simulator_remove(&simulator->endpoints[i]);
    simulator->n_open = 0;
    if (simulator->server_options.status && simulator->status_endpoint.path)
        simulator_remove(&simulator->status_endpoint);
    simulator->status_endpoint.path = NULL;
}

static int simulator_open_server(struct simulator *simulator, int signal_fd)
{
    struct server_options *options = &simulator->server_options;
    int n_fds = process_raise_fd_limit();

    if (n_fds < 0)
        return n_fds;
    options->n_slots = (unsigned)n_fds;
    options->max_clients = process_client_room(options->n_slots);
    options->max_threads = options->max_clients + 1;
    options->max_buffer_bytes = MAIN_BUFFER_BYTES;
    options->client_timeout_ms = MAIN_TIMEOUT_MS;
    options->stop_timeout_ms = MAIN_STOP_MS;
    options->notify = &simulator->notify;
    options->remove_names = simulator_close_endpoints;
    options->context = simulator;
    return server_init(&simulator->server, options, signal_fd);
}

int main(int argc, char **argv)
{
    static struct simulator simulator;
    int signal_fd, r;

    log_set_name("qemu-pr-simulator");
    log_to_fd(STDERR_FILENO);
    memory_init();
    if (fdio_open_standard() < 0 || simulator_parse(&simulator, argc, argv) < 0)
        return EXIT_FAILURE;
    signal_fd = process_block_signals();
    if (signal_fd < 0 || simulator_open_sim(&simulator) < 0)
        return EXIT_FAILURE;
    if (simulator_open_endpoints(&simulator) < 0 || simulator_open_status(&simulator) < 0) {
        simulator_close_endpoints(&simulator);
        return EXIT_FAILURE;
    }
    notify_init(&simulator.notify);
    r = simulator_open_server(&simulator, signal_fd);
    if (r < 0) {
        log_error("cannot prepare to serve: %s", strerror(-r));
        simulator_close_endpoints(&simulator);
        return EXIT_FAILURE;
    }
    log_notice("simulating %u nexus(es); no data is protected", simulator.n_endpoints);
    notify_send(&simulator.notify, "READY=1");

    if (server_run(&simulator.server) == SERVER_CUT)
        _exit(EXIT_SUCCESS); /* commands hang, as they were told to */
    server_deinit(&simulator.server);
    if (simulator.server_options.status)
        status_deinit(&simulator.status);
    sim_deinit(&simulator.sim);
    notify_deinit(&simulator.notify);
    return EXIT_SUCCESS;
}
