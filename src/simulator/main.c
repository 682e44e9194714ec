// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-simulator: the helper's own connection, pool and protocol code over simulated LUNs, for
 * tests, and for trying out what persistent reservations do. It needs no privilege and protects no
 * data: nobody's writes to the files are stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parse.h"
#include "build.h"
#include "serve/listen.h"
#include "serve/notify.h"
#include "serve/process.h"
#include "serve/server.h"
#include "simulator/sim.h"

#define MAIN_LATENCY_MAX_MS 3600000
#define MAIN_TIMEOUT_MS     30000
#define MAIN_STOP_MS        1000

enum {
    OPTION_NEXUS = 256,
    OPTION_STATE,
    OPTION_DEVICE_LATENCY,
    OPTION_FAULTS,
};

static const struct option main_options[] = {
    {"nexus", required_argument, NULL, OPTION_NEXUS},
    {"state", required_argument, NULL, OPTION_STATE},
    {"device-latency", required_argument, NULL, OPTION_DEVICE_LATENCY},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char main_help[] =
    "Usage: qemu-pr-simulator --nexus NAME=SOCKET [--nexus NAME=SOCKET]... [OPTION]...\n"
    "Simulate LUNs with SCSI persistent reservations behind qemu-pr-helper's protocol.\n"
    "\n"
    "Each socket is an I_T nexus, that is one host's way to the LUNs. A LUN is any regular file\n"
    "whose file descriptor a client passes. No data is protected.\n"
    "\n"
    "      --nexus=NAME=SOCKET     listen on SOCKET for the host NAME; up to 16 times\n"
    "      --state=DIRECTORY       keep registrations with APTPL over a restart\n"
    "      --device-latency=MS     let every command take so many milliseconds at least\n"
    "      --faults=FILE           let LUNs hang or fail as this file says; it may change at any\n"
    "                              time. A line is: LUN hang, LUN latency MS, LUN status HEX,\n"
    "                              or LUN sense K/AA/QQ\n"
    "  -v, --verbose               say more; twice: say even more\n"
    "  -q, --quiet                 say nothing about single clients\n"
    "  -h, --help                  show this help and exit\n"
    "  -V, --version               show the version and exit\n"
    "\n"
    "See qemu-pr-simulator(1).\n";

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
    const char *faults;
    unsigned latency_ms;
    unsigned verbose;
    bool quiet;
    struct sim sim;
    struct notify notify;
    struct server_options server_options;
    struct server server;
};

static int add_endpoint(struct simulator *simulator, char *value)
{
    struct endpoint *endpoint = &simulator->endpoints[simulator->n_endpoints];
    char *path = strchr(value, '=');

    if (!path || path == value || path[1] != '/') {
        log_error("--nexus=%s: not NAME=SOCKET with an absolute path", value);
        return -EINVAL;
    }
    if (simulator->n_endpoints == SIM_NEXUS_MAX) {
        log_error("--nexus=%s: more than %d", value, SIM_NEXUS_MAX);
        return -EINVAL;
    }
    *path = '\0';
    for (unsigned i = 0; i < simulator->n_endpoints; i++) {
        if (strcmp(simulator->endpoints[i].name, value) == 0) {
            log_error("--nexus=%s=%s: there is a nexus of this name already", value, path + 1);
            return -EINVAL;
        }
    }
    *endpoint = (struct endpoint){.name = value, .path = path + 1};
    simulator->n_endpoints++;
    return 0;
}

static int parse_options(struct simulator *simulator, int argc, char **argv)
{
    uint64_t number;
    int option;

    while ((option = getopt_long(argc, argv, "vqhV", main_options, NULL)) != -1) {
        switch (option) {
        case OPTION_NEXUS:
            if (add_endpoint(simulator, optarg) < 0)
                return -EINVAL;
            break;
        case OPTION_STATE:
            simulator->state = optarg;
            break;
        case OPTION_DEVICE_LATENCY:
            if (!parse_number(optarg, MAIN_LATENCY_MAX_MS, &number)) {
                log_error("--device-latency=%s: not a number of milliseconds from 0 to %d", optarg,
                          MAIN_LATENCY_MAX_MS);
                return -EINVAL;
            }
            simulator->latency_ms = (unsigned)number;
            break;
        case OPTION_FAULTS:
            simulator->faults = optarg;
            break;
        case 'v':
            simulator->verbose++;
            break;
        case 'q':
            simulator->quiet = true;
            break;
        case 'h':
            fputs(main_help, stdout);
            exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        case 'V':
            puts("qemu-pr-simulator " BUILD_VERSION);
            exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        default:
            fprintf(stderr, "Try '%s --help' for more information.\n", argv[0]);
            return -EINVAL;
        }
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

static int open_sim(struct simulator *simulator)
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

static int open_endpoints(struct simulator *simulator)
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
            log_error("--nexus=%s=%s: not a name for an iSCSI initiator", endpoint->name,
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

/* Nobody shall find us any more: remove the sockets that are still ours. */
static void close_endpoints(void *context)
{
    struct simulator *simulator = context;

    for (unsigned i = 0; i < simulator->n_open; i++) {
        int r = inode_remove(simulator->endpoints[i].path, &simulator->endpoints[i].inode);

        if (r < 0)
            log_error("cannot remove socket %s: %s", simulator->endpoints[i].path, strerror(-r));
    }
    simulator->n_open = 0;
}

static int open_server(struct simulator *simulator, int signal_fd)
{
    struct server_options *options = &simulator->server_options;
    int n_fds = process_raise_fd_limit();

    if (n_fds < 0)
        return n_fds;
    options->n_slots = (unsigned)n_fds;
    options->max_clients = process_client_room(options->n_slots);
    options->max_threads = options->max_clients + 1;
    options->client_timeout_ms = MAIN_TIMEOUT_MS;
    options->stop_timeout_ms = MAIN_STOP_MS;
    options->notify = &simulator->notify;
    options->remove_names = close_endpoints;
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
    if (fdio_open_standard() < 0 || parse_options(&simulator, argc, argv) < 0)
        return EXIT_FAILURE;
    signal_fd = process_block_signals();
    if (signal_fd < 0 || open_sim(&simulator) < 0)
        return EXIT_FAILURE;
    if (open_endpoints(&simulator) < 0) {
        close_endpoints(&simulator);
        return EXIT_FAILURE;
    }
    notify_init(&simulator.notify);
    r = open_server(&simulator, signal_fd);
    if (r < 0) {
        log_error("cannot prepare to serve: %s", strerror(-r));
        close_endpoints(&simulator);
        return EXIT_FAILURE;
    }
    log_notice("simulating %u nexus(es); no data is protected", simulator.n_endpoints);
    notify_send(&simulator.notify, "READY=1");

    if (server_run(&simulator.server) == SERVER_CUT)
        _exit(EXIT_SUCCESS); /* commands hang, as they were told to */
    server_deinit(&simulator.server);
    sim_deinit(&simulator.sim);
    notify_deinit(&simulator.notify);
    return EXIT_SUCCESS;
}
