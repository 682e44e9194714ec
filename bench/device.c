// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a benchmark needs beside bench-load where there is a real device, as one JSON object on
 * stdout. A command that fails ends the program.
 *
 *   direct   READ KEYS by SG_IO, over and over: the floor of everything that uses this device
 *   out      one PERSISTENT RESERVE OUT through a helper, on a connection that is there already
 *   program  a whole program from before the fork to its end, what it prints thrown away
 */
#include "client.h"
#include "samples.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <scsi/sg.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PERSISTENT_RESERVE_IN  0x5e
#define PERSISTENT_RESERVE_OUT 0x5f
#define PARAMETERS             24 /* the basic parameter list; SPC-4 6.16.3 */
#define TIMEOUT_MS             30000

extern char **environ;

struct config {
    const char *device, *socket;
    unsigned requests, warmup_requests;
    unsigned action, type; /* of PERSISTENT RESERVE OUT */
    uint64_t key, action_key;
    char **program;
};

static void print_latency(struct samples *latency)
{
    printf("{");
    samples_print(latency, "latency_ns");
    printf("}\n");
    samples_free(latency);
}

static int open_device(const struct config *config)
{
    int fd = open(config->device, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        err(1, "%s", config->device);
    return fd;
}

static void read_keys(int device)
{
    uint8_t sense[96], data[CLIENT_ALLOCATION];
    uint8_t cdb[10] = {
        [0] = PERSISTENT_RESERVE_IN, [7] = CLIENT_ALLOCATION >> 8, [8] = CLIENT_ALLOCATION & 0xff};
    struct sg_io_hdr command = {.interface_id = 'S',
                                .dxfer_direction = SG_DXFER_FROM_DEV,
                                .cmd_len = sizeof cdb,
                                .cmdp = cdb,
                                .mx_sb_len = sizeof sense,
                                .sbp = sense,
                                .dxfer_len = sizeof data,
                                .dxferp = data,
                                .timeout = TIMEOUT_MS};

    if (ioctl(device, SG_IO, &command) < 0)
        err(1, "SG_IO");
    if ((command.info & SG_INFO_OK_MASK) != SG_INFO_OK)
        errx(1, "SG_IO: status %#x, host %#x, driver %#x", command.status, command.host_status,
             command.driver_status);
}

static void run_direct(const struct config *config)
{
    int device = open_device(config);
    struct samples latency = {0};

    for (unsigned i = 0; i < config->warmup_requests; i++)
        read_keys(device);
    for (unsigned i = 0; i < config->requests; i++) {
        uint64_t start = client_now_ns();
        read_keys(device);
        samples_add(&latency, client_now_ns() - start);
    }
    print_latency(&latency);
    close(device);
}

static void store_be64(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void run_out(const struct config *config)
{
    static const uint8_t good_without_data[8];
    uint8_t cdb[CLIENT_CDB] = {[0] = PERSISTENT_RESERVE_OUT,
                               [1] = (uint8_t)config->action,
                               [2] = (uint8_t)config->type,
                               [8] = PARAMETERS};
    uint8_t parameters[PARAMETERS] = {0};
    struct samples latency = {0};
    struct client client;
    int device = open_device(config);
    int result = client_connect(&client, config->socket);

    store_be64(parameters, config->key);
    store_be64(parameters + 8, config->action_key);
    if (result == 0)
        result = client_handshake(&client);
    if (result == 0)
        result = client_send_cdb(&client, device, cdb);
    if (result == 0 && send(client.fd, parameters, sizeof parameters, MSG_NOSIGNAL) < 0)
        result = -errno;
    while (result == 0)
        result = client_receive(&client, 0, true);
    if (result < 0)
        errx(1, "%s: %s", config->socket, strerror(-result));
    samples_add(&latency, client_now_ns() - client.sent_ns);
    if (memcmp(client.reply, good_without_data, sizeof good_without_data) != 0)
        errx(1, "service action %u: status %#x", config->action, client.reply[3]);
    print_latency(&latency);
    client_close(&client);
    close(device);
}

static void run_program(const struct config *config)
{
    posix_spawn_file_actions_t actions;
    struct samples latency = {0};
    pid_t pid;
    int status, r;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    uint64_t start = client_now_ns();
    r = posix_spawnp(&pid, config->program[0], &actions, NULL, config->program, environ);
    if (r != 0)
        errx(1, "%s: %s", config->program[0], strerror(r));
    if (waitpid(pid, &status, 0) < 0)
        err(1, "waitpid");
    samples_add(&latency, client_now_ns() - start);
    if (status != 0)
        errx(1, "%s: wait status %#x", config->program[0], status);
    print_latency(&latency);
    posix_spawn_file_actions_destroy(&actions);
}

static uint64_t parse_number(const char *text)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno || end == text || *end)
        errx(2, "not a number: %s", text);
    return value;
}

static void parse(int argc, char **argv, struct config *config)
{
    static const struct option options[] = {{"device", required_argument, NULL, 'd'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"warmup-requests", required_argument, NULL, 'w'},
                                            {"action", required_argument, NULL, 'a'},
                                            {"type", required_argument, NULL, 't'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"action-key", required_argument, NULL, 'K'},
                                            {0}};
    int option;

    /* "+": what follows -- is the program's */
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == 'd')
            config->device = optarg;
        else if (option == 's')
            config->socket = optarg;
        else if (option == 'n')
            config->requests = (unsigned)parse_number(optarg);
        else if (option == 'w')
            config->warmup_requests = (unsigned)parse_number(optarg);
        else if (option == 'a')
            config->action = (unsigned)parse_number(optarg);
        else if (option == 't')
            config->type = (unsigned)parse_number(optarg);
        else if (option == 'k')
            config->key = parse_number(optarg);
        else if (option == 'K')
            config->action_key = parse_number(optarg);
        else
            exit(2);
    }
    config->program = argv + optind;
}

int main(int argc, char **argv)
{
    struct config config = {.requests = 1};
    const char *mode = argc > 1 ? argv[1] : "";

    if (argc > 1)
        parse(argc - 1, argv + 1, &config);
    if (strcmp(mode, "direct") == 0 && config.device) {
        run_direct(&config);
    } else if (strcmp(mode, "out") == 0 && config.device && config.socket) {
        run_out(&config);
    } else if (strcmp(mode, "program") == 0 && config.program[0]) {
        run_program(&config);
    } else {
        fprintf(stderr, "usage: bench-device direct|out --device PATH ...\n"
                        "       bench-device program -- PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    return 0;
}
