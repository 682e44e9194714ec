// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Load generator: clients in a closed loop (the next READ KEYS leaves when the reply to the last
 * one has been read and verified) and what they saw, as one JSON object on stdout. A wrong reply or
 * a lost connection ends the program: a fast wrong server has no figures.
 *
 *   latency     one client, blocking, by itself or among idle connections
 *   throughput  many clients, spread over a few threads, each with an epoll set of its own
 *   hung        many clients whose device never answers, then healthy ones beside them
 *   idle        connections that only exist, until stdin ends (for looking at the server meanwhile)
 *   start       from the fork of a server to its first connection, handshake and reply
 *   storm       many processes that connect at the same moment and register, each at a device
 */
#include "client.h"
#include "samples.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_MS        1000000ull
#define EVENTS_MAX       64
#define START_TIMEOUT_MS 20000
#define UNREAD_WAIT_MS   2000
#define DEVICES_MAX      512

extern char **environ;

struct config {
    const char *mode, *socket, *hung_device;
    const char *devices[DEVICES_MAX]; /* the first one, but for throughput and storm */
    unsigned n_devices;
    unsigned clients, threads, idle, hung, newcomers;
    unsigned requests, warmup_requests;
    unsigned warmup_ms, window_ms;
    unsigned spread_ms; /* between two of the hung commands */
    unsigned bound_ms;  /* a reply that takes longer counts as stalled */
    bool any_status;
    char **server; /* command line for start */
};

static int open_path(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", path);
    return fd;
}

static int open_device(const struct config *config)
{
    return open_path(config->devices[0]);
}

static void check(int result, const char *what)
{
    if (result < 0)
        errx(1, "%s: %s", what, strerror(-result));
}

static void attach(const struct config *config, struct client *client)
{
    check(client_connect(client, config->socket), "connect");
    check(client_handshake(client), "handshake");
}

static struct client *attach_many(const struct config *config, unsigned count)
{
    struct client *clients = calloc(count ? count : 1, sizeof *clients);

    if (!clients)
        err(1, "clients");
    for (unsigned i = 0; i < count; i++)
        attach(config, &clients[i]);
    return clients;
}

static void detach_many(struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_close(&clients[i]);
    free(clients);
}

static void run_latency(const struct config *config)
{
    int device = open_device(config);
    struct client *idle = attach_many(config, config->idle);
    struct client client;
    struct samples latency = {0};

    attach(config, &client);
    for (unsigned i = 0; i < config->warmup_requests; i++)
        check(client_command(&client, device, config->any_status, -1), "command");
    for (unsigned i = 0; i < config->requests; i++) {
        check(client_command(&client, device, config->any_status, -1), "command");
        samples_add(&latency, client_now_ns() - client.sent_ns);
    }
    printf("{\"requests\": %zu, \"stalled\": %zu, ", latency.count,
           samples_above(&latency, config->bound_ms * NS_PER_MS));
    samples_print(&latency, "latency_ns");
    printf("}\n");
    samples_free(&latency);
    client_close(&client);
    detach_many(idle, config->idle);
    close(device);
}

/* One thread of the throughput mode. */
struct lane {
    const struct config *config;
    pthread_t thread;
    struct client *clients;
    unsigned count;
    uint64_t from_ns, until_ns; /* replies within count */
    const int *devices;         /* client i of all has device i modulo their number */
    unsigned first;             /* number of this lane's first client */
    struct samples latency;
    size_t stalled;
    size_t served; /* replies in all, within the window or not */
};

static int lane_device(const struct lane *lane, const struct client *client)
{
    unsigned number = lane->first + (unsigned)(client - lane->clients);

    return lane->devices[number % lane->config->n_devices];
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    unsigned pending = lane->count;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        err(1, "epoll_create1");
    for (unsigned i = 0; i < lane->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lane->clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, lane->clients[i].fd, &event) < 0)
            err(1, "epoll_ctl");
        check(client_send(&lane->clients[i], lane_device(lane, &lane->clients[i])), "send");
    }
    /* After the window every client still takes its last reply: closing on it would be noise. */
    while (pending) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(epoll, events, EVENTS_MAX, (int)lane->config->bound_ms);
        if (ready < 0 && errno != EINTR)
            err(1, "epoll_wait");
        if (ready == 0)
            break;
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            int result = client_receive(client, MSG_DONTWAIT, lane->config->any_status);
            check(result, "command");
            if (result == 0)
                continue;
            uint64_t now = client_now_ns();
            lane->served++;
            lane->stalled += now - client->sent_ns > lane->config->bound_ms * NS_PER_MS;
            if (now >= lane->from_ns && now < lane->until_ns)
                samples_add(&lane->latency, now - client->sent_ns);
            if (now < lane->until_ns)
                check(client_send(client, lane_device(lane, client)), "send");
            else
                pending--;
        }
    }
    lane->stalled += pending;
    close(epoll);
    return NULL;
}

static void run_throughput(const struct config *config)
{
    int devices[DEVICES_MAX];
    struct client *clients = attach_many(config, config->clients);
    struct lane *lanes = calloc(config->threads, sizeof *lanes);
    struct samples latency = {0};
    size_t stalled = 0, served = 0;
    unsigned taken = 0;

    if (!lanes)
        err(1, "lanes");
    for (unsigned i = 0; i < config->n_devices; i++)
        devices[i] = open_path(config->devices[i]);
    uint64_t from_ns = client_now_ns() + config->warmup_ms * NS_PER_MS;
    for (unsigned i = 0; i < config->threads; i++) {
        unsigned share = (config->clients - taken) / (config->threads - i);
        lanes[i] = (struct lane){.config = config,
                                 .clients = clients + taken,
                                 .count = share,
                                 .devices = devices,
                                 .first = taken,
                                 .from_ns = from_ns,
                                 .until_ns = from_ns + config->window_ms * NS_PER_MS};
        taken += share;
        check(-pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), "thread");
    }
    for (unsigned i = 0; i < config->threads; i++) {
        pthread_join(lanes[i].thread, NULL);
        samples_merge(&latency, &lanes[i].latency);
        samples_free(&lanes[i].latency);
        stalled += lanes[i].stalled;
        served += lanes[i].served;
    }
    printf("{\"requests\": %zu, \"served\": %zu, \"requests_per_s\": %.1f, \"stalled\": %zu, ",
           latency.count, served, (double)latency.count * 1000 / config->window_ms, stalled);
    samples_print(&latency, "latency_ns");
    printf("}\n");
    samples_free(&latency);
    free(lanes);
    detach_many(clients, config->clients);
    for (unsigned i = 0; i < config->n_devices; i++)
        close(devices[i]);
}

/* How many of the clients have a request that the server has not taken from its socket yet. */
static unsigned count_unread(const struct client *clients, unsigned count)
{
    unsigned unread = 0;

    for (unsigned i = 0; i < count; i++) {
        int bytes = 0;
        if (ioctl(clients[i].fd, SIOCOUTQ, &bytes) < 0)
            err(1, "SIOCOUTQ");
        unread += bytes != 0;
    }
    return unread;
}

/* A command beside hung ones. Returns false when no reply came at all. */
static bool measure_bounded(const struct config *config, struct client *client, int device,
                            struct samples *latency)
{
    int result = client_command(client, device, config->any_status, (int)config->bound_ms);

    if (result == -ETIMEDOUT)
        return false;
    check(result, "command");
    samples_add(latency, client_now_ns() - client->sent_ns);
    return true;
}

static void run_hung(const struct config *config)
{
    int device = open_device(config);
    int hung_device = open_path(config->hung_device);
    struct client healthy, newcomer;
    struct samples latency = {0}, first = {0};
    unsigned absent = 0, ended = 0, unread = 0;

    attach(config, &healthy);
    struct client *hung = attach_many(config, config->hung);
    for (unsigned i = 0; i < config->hung; i++) {
        check(client_send(&hung[i], hung_device), "send");
        if (config->spread_ms)
            poll(NULL, 0, (int)config->spread_ms);
    }
    /* A server may leave requests above its limits unread, so this wait has an end. */
    uint64_t start = client_now_ns();
    do {
        poll(NULL, 0, 1);
        unread = count_unread(hung, config->hung);
    } while (unread && client_now_ns() - start < UNREAD_WAIT_MS * NS_PER_MS);

    for (unsigned i = 0; i < config->requests && absent == 0; i++)
        absent += !measure_bounded(config, &healthy, device, &latency);
    for (unsigned i = 0; i < config->newcomers && absent == 0; i++) {
        struct timeval bound = {.tv_sec = config->bound_ms / 1000,
                                .tv_usec = config->bound_ms % 1000 * 1000};
        start = client_now_ns();
        check(client_connect(&newcomer, config->socket), "connect");
        setsockopt(newcomer.fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
        if (client_handshake(&newcomer) < 0 ||
            client_command(&newcomer, device, config->any_status, (int)config->bound_ms) < 0)
            absent++;
        else
            samples_add(&first, client_now_ns() - start);
        client_close(&newcomer);
    }
    /* What should hang must have hung to the end, or nothing was measured. */
    for (unsigned i = 0; i < config->hung; i++) {
        struct pollfd readable = {.fd = hung[i].fd, .events = POLLIN};
        ended += poll(&readable, 1, 0) != 0;
    }
    printf("{\"hung\": %u, \"hung_ended\": %u, \"hung_unread\": %u, \"requests\": %zu, "
           "\"stalled\": %zu, ",
           config->hung, ended, unread, latency.count + first.count + absent,
           absent + samples_above(&latency, config->bound_ms * NS_PER_MS) +
               samples_above(&first, config->bound_ms * NS_PER_MS));
    samples_print(&latency, "latency_ns");
    printf(", ");
    samples_print(&first, "newcomer_ns");
    printf("}\n");
    samples_free(&latency);
    samples_free(&first);
    client_close(&healthy);
    detach_many(hung, config->hung);
    close(hung_device);
    close(device);
}

static void run_idle(const struct config *config)
{
    struct client *clients = attach_many(config, config->clients);
    char byte;

    if (config->requests) {
        int device = open_device(config);
        for (unsigned i = 0; i < config->clients; i++)
            check(client_command(&clients[i], device, config->any_status, -1), "command");
        close(device);
    }
    printf("{\"clients\": %u}\n", config->clients);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    detach_many(clients, config->clients);
}

/*
 * Wait for something to appear in the socket's directory. Watching instead of polling the path
 * leaves every CPU to the starting server.
 */
static void wait_for_entry(int inotify, pid_t server)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct pollfd readable = {.fd = inotify, .events = POLLIN};

    if (poll(&readable, 1, START_TIMEOUT_MS) <= 0) {
        kill(server, SIGKILL);
        errx(1, "the server does not listen after %d ms", START_TIMEOUT_MS);
    }
    if (read(inotify, buffer, sizeof buffer) < 0)
        err(1, "inotify");
}

static void run_start(const struct config *config)
{
    char path[PATH_MAX];
    struct client client;
    pid_t server;
    int result, inotify = inotify_init1(IN_CLOEXEC);
    int device = open_device(config);

    snprintf(path, sizeof path, "%s", config->socket);
    if (inotify < 0 || inotify_add_watch(inotify, dirname(path), IN_CREATE | IN_MOVED_TO) < 0)
        err(1, "inotify");
    uint64_t start = client_now_ns();
    check(-posix_spawn(&server, config->server[0], NULL, NULL, config->server, environ),
          config->server[0]);
    while ((result = client_connect(&client, config->socket)) < 0) {
        if (result == -ENOENT)
            wait_for_entry(inotify, server);
        else if (result != -ECONNREFUSED) /* refused: bound and about to listen */
            check(result, "connect");
    }
    uint64_t listening = client_now_ns() - start;
    check(client_handshake(&client), "handshake");
    uint64_t handshake = client_now_ns() - start;
    check(client_command(&client, device, config->any_status, START_TIMEOUT_MS), "command");
    uint64_t reply = client_now_ns() - start;
    client_close(&client);
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    printf("{\"listening_ns\": %llu, \"handshake_ns\": %llu, \"reply_ns\": %llu}\n",
           (unsigned long long)listening, (unsigned long long)handshake, (unsigned long long)reply);
    close(device);
    close(inotify);
}

/* What the processes of a storm share. */
struct storm {
    pthread_barrier_t barrier;
    struct {
        uint64_t begin_ns, served_ns;
    } starters[];
};

/* One of them: as QEMU does it, by calls that block. */
static void run_starter(const struct config *config, struct storm *storm, unsigned number,
                        int device)
{
    struct client client;
    int r;

    pthread_barrier_wait(&storm->barrier);
    storm->starters[number].begin_ns = client_now_ns();
    attach(config, &client);
    check(client_send_register(&client, device), "send");
    while ((r = client_receive(&client, 0, true)) == 0)
        continue;
    check(r, "command");
    check(client_is_good(&client) ? 0 : -EBADMSG, "REGISTER");
    storm->starters[number].served_ns = client_now_ns();
    client_close(&client);
}

static struct storm *new_storm(unsigned clients)
{
    struct storm *storm = mmap(NULL, sizeof *storm + clients * sizeof storm->starters[0],
                               PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;

    if (storm == MAP_FAILED)
        err(1, "memory");
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    check(-pthread_barrier_init(&storm->barrier, &shared, clients), "barrier");
    return storm;
}

static void run_storm(const struct config *config)
{
    struct storm *storm = new_storm(config->clients);
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    struct samples latency = {0};
    int status;

    for (unsigned i = 0; i < config->clients; i++) {
        pid_t pid = fork();

        if (pid < 0)
            err(1, "fork");
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            run_starter(config, storm, i, open_path(config->devices[i % config->n_devices]));
            _exit(0);
        }
    }
    for (unsigned i = 0; i < config->clients; i++) {
        if (wait(&status) < 0 || status != 0)
            errx(1, "one of the clients failed");
    }
    for (unsigned i = 0; i < config->clients; i++) {
        uint64_t from = storm->starters[i].begin_ns, until = storm->starters[i].served_ns;

        begin_ns = from < begin_ns ? from : begin_ns;
        end_ns = until > end_ns ? until : end_ns;
        samples_add(&latency, until - from);
    }
    printf("{\"clients\": %zu, \"all_ns\": %llu, ", latency.count,
           (unsigned long long)(end_ns - begin_ns));
    samples_print(&latency, "latency_ns");
    printf("}\n");
    samples_free(&latency);
}

#define NUMBER 0x100 /* getopt values from here on: NUMBER + offset in struct config */
#define NUMBER_OPTION(name, member)                                                                \
    {                                                                                              \
        name, required_argument, NULL, NUMBER + (int)offsetof(struct config, member)               \
    }

static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                        {"device", required_argument, NULL, 'd'},
                                        {"hung-device", required_argument, NULL, 'D'},
                                        {"any-status", no_argument, NULL, 'a'},
                                        NUMBER_OPTION("clients", clients),
                                        NUMBER_OPTION("threads", threads),
                                        NUMBER_OPTION("idle", idle),
                                        NUMBER_OPTION("hung", hung),
                                        NUMBER_OPTION("newcomers", newcomers),
                                        NUMBER_OPTION("requests", requests),
                                        NUMBER_OPTION("warmup-requests", warmup_requests),
                                        NUMBER_OPTION("warmup-ms", warmup_ms),
                                        NUMBER_OPTION("window-ms", window_ms),
                                        NUMBER_OPTION("spread-ms", spread_ms),
                                        NUMBER_OPTION("bound-ms", bound_ms),
                                        {0}};

static unsigned parse_number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end || value > INT_MAX)
        errx(2, "not a number: %s", text);
    return (unsigned)value;
}

static void add_device(struct config *config, const char *path)
{
    if (config->n_devices == DEVICES_MAX)
        errx(2, "more than %d devices", DEVICES_MAX);
    config->devices[config->n_devices++] = path;
}

static void parse(int argc, char **argv, struct config *config)
{
    int option;

    /* "+": what follows -- is the server's */
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == 's')
            config->socket = optarg;
        else if (option == 'd')
            add_device(config, optarg);
        else if (option == 'D')
            config->hung_device = optarg;
        else if (option == 'a')
            config->any_status = true;
        else if (option >= NUMBER)
            *(unsigned *)((char *)config + option - NUMBER) = parse_number(optarg);
        else
            exit(2);
    }
    if (config->n_devices == 0)
        add_device(config, "/dev/null");
    config->server = argv + optind;
}

static const struct {
    const char *name;
    void (*run)(const struct config *config);
} modes[] = {
    {"latency", run_latency}, {"throughput", run_throughput}, {"hung", run_hung},
    {"idle", run_idle},       {"start", run_start},           {"storm", run_storm},
};

int main(int argc, char **argv)
{
    struct config config = {.clients = 1,
                            .threads = 1,
                            .warmup_requests = 100,
                            .warmup_ms = 500,
                            .window_ms = 2000,
                            .bound_ms = 1000};
    struct rlimit files;

    /* Thousands of connections; a server that is started from here keeps the caller's limit. */
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        parse(argc - 1, argv + 1, &config);
        if (!config.socket || config.threads == 0 || config.window_ms == 0 ||
            (modes[i].run == run_hung && !config.hung_device) ||
            (modes[i].run == run_start && !config.server[0]))
            errx(2, "%s: an option is missing", argv[1]);
        if (modes[i].run != run_start && getrlimit(RLIMIT_NOFILE, &files) == 0) {
            files.rlim_cur = files.rlim_max;
            setrlimit(RLIMIT_NOFILE, &files);
        }
        modes[i].run(&config);
        return 0;
    }
    fprintf(stderr,
            "usage: bench-load latency|throughput|hung|idle|start|storm --socket PATH ...\n");
    return 2;
}
