// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * soak: three helpers, four disks that they share, and many clients, for a time. Started by
 * tests/soak/run, which makes the disks and judges the report: a line "NAME NUMBER" for all that
 * was counted. What is wrong is said in lines that begin with "#".
 *
 * Before the load and after it there is a line "ready PID" or "quiet PID", of the veteran, and a
 * line is waited for, so that a person may look at what that helper has. SIGTERM ends the load
 * early.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "books.h"
#include "clients.h"
#include "connection.h"
#include "device.h"
#include "hosts.h"

#define TICK_MS       10
#define MUTANT_RARELY 40
#define READY_MS      30000
#define ALARMING      20 /* violations of a kind, after which it is no use to go on */

struct options {
    uint64_t seed;
    unsigned seconds, clients, restart_ms, hang_ms, error_percent, patience_s, mutant;
    struct host_options hosts;
};

static const char *const mutants[MUTANTS] = {
    "none",  "good",    "forget", "twice", "repeat", "alter", "data",
    "sense", "residue", "disk",   "stuck", "die",    "leak",
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "soak: %s: %s\n", what, strerror(error));
    return EXIT_FAILURE;
}

static struct mailbox *make_mailbox(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    struct mailbox *mailbox;

    if (fd < 0 || fchmod(fd, 0666) < 0 || ftruncate(fd, sizeof(*mailbox)) < 0)
        return NULL;
    mailbox = mmap(NULL, sizeof(*mailbox), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mailbox == MAP_FAILED)
        return NULL;
    mailbox->magic = MAILBOX_MAGIC;
    return mailbox;
}

/* Once a helper greets, it serves. */
static bool wait_ready(unsigned host)
{
    int64_t deadline = clock_now_ms() + READY_MS;

    while (clock_now_ms() < deadline) {
        int fd = connection_open(host_path(host), 1);
        enum connection_result result = CONNECTION_ENDED;
        char greeting[CONNECTION_HANDSHAKE];
        size_t received;

        if (fd >= 0) {
            result = connection_receive(fd, greeting, sizeof(greeting), &received);
            close(fd);
        }
        if (result == CONNECTION_OK)
            return true;
        poll(NULL, 0, TICK_MS);
    }
    return false;
}

static bool is_alarming(void)
{
    for (enum count i = COUNT_FIRST_WRONG; i < COUNT_LAST; i++) {
        if (counts[i] >= ALARMING)
            return true;
    }
    return false;
}

/* Restart helpers at random until the time is over. */
static void supervise(const struct options *options)
{
    struct dice dice = dice_make(options->seed, UINT16_MAX - 1);
    int64_t end = clock_now_ms() + (int64_t)options->seconds * 1000;
    int64_t restart = clock_now_ms() + options->restart_ms;

    while (clock_now_ms() < end && !is_alarming() && !interrupted) {
        poll(NULL, 0, TICK_MS);
        hosts_look_after();
        if (clock_now_ms() < restart)
            continue;
        host_restart(dice_chance(&dice, 50) ? HOST_RESTARTED : HOST_ACTIVATED,
                     dice_chance(&dice, 50));
        restart = clock_now_ms() +
                  dice_between(&dice, options->restart_ms / 5, options->restart_ms * 9 / 5);
    }
}

static void wait_for_line(const char *what)
{
    char line[16];

    printf("%s %d\n", what, (int)host_pid(HOST_VETERAN));
    fflush(stdout);
    (void)!fgets(line, sizeof(line), stdin);
}

static int run(const struct options *options, char *const *disks)
{
    struct device_options device = {
        .seed = options->seed,
        .error_percent = options->error_percent,
        .hang_ms = options->hang_ms,
    };
    struct clients_options clients = {
        .seed = options->seed,
        .clients = options->clients,
        .patience_s = options->patience_s,
        .no_disk = open("/dev/null", O_RDWR | O_CLOEXEC),
    };
    struct mailbox *mailbox = make_mailbox(options->hosts.mailbox);
    int r;

    if (!mailbox)
        return fail(options->hosts.mailbox, errno);
    for (unsigned i = 0; i < MAILBOX_DISKS; i++) {
        struct stat status;

        clients.disk[i] = open(disks[i], O_RDWR | O_CLOEXEC);
        clients.read_only[i] = open(disks[i], O_RDONLY | O_CLOEXEC);
        if (clients.disk[i] < 0 || clients.read_only[i] < 0 || fstat(clients.disk[i], &status) < 0)
            return fail(disks[i], errno);
        device.rdev[i] = status.st_rdev;
    }
    mailbox->mutant = options->mutant;
    mailbox->rarely = MUTANT_RARELY;
    mailbox->wrong_disk = device.rdev[0];

    r = device_start(mailbox, &device);
    if (r == 0)
        r = hosts_start(&options->hosts);
    if (r < 0)
        return fail("start", -r);
    for (unsigned i = 0; i < MAILBOX_HOSTS; i++) {
        if (!wait_ready(i))
            return fail(host_path(i), ETIMEDOUT);
    }
    wait_for_line("ready");
    r = clients_start(&clients);
    if (r < 0)
        return fail("clients", -r);
    supervise(options);
    clients_stop();
    wait_for_line("quiet");
    hosts_stop();
    device_stop();
    return 0;
}

static void report(void)
{
    for (enum count i = 0; i < COUNT_LAST; i++)
        printf("%s %lu\n", count_names[i], counts[i]);
    printf("overhead.median_us %" PRIu64 "\n", clients_overhead_us(50));
    printf("overhead.p99_us %" PRIu64 "\n", clients_overhead_us(99));
    printf("overhead.p99.99_us %" PRIu64 "\n", clients_overhead_us(99.99));
    printf("overhead.most_us %" PRIu64 "\n", clients_overhead_us(100));
}

/* The name of a mutant is the only option that is neither a number nor a path. */
static bool take_mutant(const char *name, unsigned *ret)
{
    for (unsigned i = 0; i < MUTANTS; i++) {
        if (strcmp(mutants[i], name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool take_option(const char *name, const char *value, struct options *options)
{
    const struct {
        const char *name;
        unsigned most;
        unsigned *number;
    } numbers[] = {
        {"seconds", 1000000, &options->seconds},
        {"clients", BOOKS_CLIENTS, &options->clients},
        {"restart-ms", 3600000, &options->restart_ms},
        {"hang-ms", 3600000, &options->hang_ms},
        {"errors", 100, &options->error_percent},
        {"patience", 3600, &options->patience_s},
        {"sandbox", 1, &options->hosts.sandbox},
    };
    const struct {
        const char *name;
        const char **path;
    } paths[] = {
        {"helper", &options->hosts.helper},
        {"library", &options->hosts.library},
        {"directory", &options->hosts.directory},
    };

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint64_t number;

        if (strcmp(numbers[i].name, name) == 0 && parse_number(value, numbers[i].most, &number)) {
            *numbers[i].number = (unsigned)number;
            return true;
        }
    }
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(paths[i].name, name) == 0) {
            *paths[i].path = value;
            return true;
        }
    }
    if (strcmp(name, "seed") == 0)
        return parse_number(value, UINT64_MAX, &options->seed);
    return strcmp(name, "mutant") == 0 && take_mutant(value, &options->mutant);
}

/* soak NAME=VALUE... DISK DISK DISK DISK */
int main(int argc, char **argv)
{
    static char mailbox[256];
    struct options options = {
        .seconds = 10,
        .clients = 48,
        .restart_ms = 1000,
        .hang_ms = 1500,
        .error_percent = 5,
        .patience_s = 30,
        .hosts.sandbox = 1,
    };
    const struct sigaction end_early = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    int at = 1, code;

    for (char *value; at < argc && (value = strchr(argv[at], '=')); at++) {
        *value = '\0';
        if (!take_option(argv[at], value + 1, &options))
            return fail(argv[at], EINVAL);
    }
    if (!options.hosts.helper || !options.hosts.library || !options.hosts.directory ||
        argc - at != MAILBOX_DISKS) {
        fprintf(stderr, "soak: started by tests/soak/run\n");
        return EXIT_FAILURE;
    }
    sigaction(SIGTERM, &end_early, NULL);
    signal(SIGPIPE, SIG_IGN); /* helpers have to be ended, even without a listener */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    snprintf(mailbox, sizeof(mailbox), "%s/mailbox", options.hosts.directory);
    options.hosts.mailbox = mailbox;
    code = run(&options, argv + at);
    if (code == 0)
        report();
    return code;
}
