// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One table has every option there is. From it come, for each command, what getopt_long(3) accepts
 * and what --help says, so that both know the same. Letters and second names are those of
 * sg_persist(8), for those whose fingers know them; only -k is the helper's own.
 */
#include "ctl/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "build.h"
#include "ctl/command.h"
#include "ctl/transport_ids.h"

#define OPTION_HELP 0u /* in place of a bit: every command takes it */

static const struct option_row {
    char letter;
    unsigned bit;
    const char *name, *alias; /* alias may be NULL */
    const char *argument;     /* NULL: takes none */
    const char *help;
} rows[] = {
    {'K', OPTION_KEY, "key", "param-rk", "KEY", "the key under which this host is registered"},
    {'S', OPTION_NEW_KEY, "new-key", "param-sark", "KEY", "the key to register with"},
    {'S', OPTION_VICTIM_KEY, "victim-key", "param-sark", "KEY", "the key to remove"},
    {'T', OPTION_TYPE, "type", "prout-type", "TYPE",
     "of reservation, by name or number; see below"},
    {'Z', OPTION_APTPL, "aptpl", "param-aptpl", NULL,
     "persist through a loss of the device's power"},
    {'Y', OPTION_ALL_TG_PT, "all-tg-pt", "param-alltgpt", NULL, "through all ports of the target"},
    {'U', OPTION_UNREG, "unreg", NULL, NULL, "unregister the host that the reservation leaves"},
    {'X', OPTION_TRANSPORT_ID, "transport-id", NULL, "ID",
     "the initiator port it moves to; see below"},
    {'X', OPTION_TRANSPORT_IDS, "transport-id", NULL, "ID",
     "an initiator port to register as well; repeatable"},
    {'Q', OPTION_TARGET_PORT, "relative-target-port", NULL, "PORT",
     "the target's port it moves to"},
    {'k', OPTION_SOCKET, "socket", NULL, "PATH", "the helper's socket"},
    {'s', OPTION_STATUS_SOCKET, "status-socket", NULL, "PATH", "the helper's status socket"},
    {'y', OPTION_YES, "yes", NULL, NULL, "do not ask whether to do it"},
    {'N', OPTION_DRY_RUN, "dry-run", NULL, NULL, "send nothing; show what would be sent"},
    {'a', OPTION_ALL, "all", NULL, NULL, "all helpers, -s may be a directory; or all devices"},
    {'w', OPTION_WATCH, "watch", NULL, NULL, "refresh it every second"},
    {'f', OPTION_PURPOSE, "for", NULL, "SOFTWARE", "windows, pacemaker ... all; list names them"},
    {'2', OPTION_SECOND, "second", NULL, "DEVICE|SOCKET",
     "another I_T nexus to it: a device or a helper's socket"},
    {'p', OPTION_PROFILES, "profiles", NULL, "DIRECTORY", "where the software's profiles are"},
    {'r', OPTION_REPORT, "report", NULL, "FILE", "write all to FILE, and as JSON to FILE.json"},
    {'F', OPTION_FORCE, "force", NULL, NULL, "go on despite data or registrations on the device"},
    {'D', OPTION_DIRECT, "direct", NULL, NULL, "as root, without a helper"},
    {'t', OPTION_TIMEOUT, "timeout", NULL, "SECONDS", "time-out for an answer"},
    {'j', OPTION_JSON, "json", NULL, NULL, "for programs: one JSON object on standard output"},
    {'h', OPTION_HELP, "help", NULL, NULL, "show this help and exit"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool options_is_taken(const struct command *command, const struct option_row *row)
{
    unsigned takes = command->takes | (OPTIONS_COMMON & ~command->lacks) |
                     (command->changes ? OPTION_DRY_RUN : 0);

    return row->bit == OPTION_HELP || (takes & row->bit);
}

static const char types_help[] = "\nTypes:\n"
                                 "  1  write-exclusive\n"
                                 "  3  exclusive-access\n"
                                 "  5  write-exclusive-registrants-only\n"
                                 "  6  exclusive-access-registrants-only\n"
                                 "  7  write-exclusive-all-registrants\n"
                                 "  8  exclusive-access-all-registrants\n";

static const char transport_ids_help[] =
    "\nTransportIDs: iscsi:NAME,i,0xISID  sas:ADDRESS  fc:PORTNAME  srp:IDENTIFIER, as\n"
    "full-status shows them, or the forms of sg_persist, among them file=NAME with one a line.\n";

static void options_show_help(const struct command *command)
{
    static const char *const device[] = {[COMMAND_DEVICE] = " DEVICE",
                                         [COMMAND_DEVICE_OPTIONAL] = " [DEVICE]",
                                         [COMMAND_NO_DEVICE] = "",
                                         [COMMAND_OPERAND_DEVICE] = " KEY|HOST DEVICE"};

    printf("Usage: qemu-pr-ctl %s [OPTION]...%s\n%s.\n", command->name, device[command->wants],
           command->summary);
    if (command->about)
        printf("%s\n", command->about);
    printf("\n");
    for (const struct option_row *row = rows; row < rows + ROWS; row++) {
        char left[64];

        if (!options_is_taken(command, row))
            continue;
        snprintf(left, sizeof(left), "-%c, --%s%s%s", row->letter, row->name,
                 row->argument ? "=" : "", row->argument ? row->argument : "");
        printf("  %-32s %s%s\n", left, row->help, command->needs & row->bit ? " (needed)" : "");
        if (row->letter == 'k')
            printf("  %-32s (%s)\n", "", BUILD_DEFAULT_SOCKET);
        if (row->letter == 's')
            printf("  %-32s (%s)\n", "", BUILD_STATUS_DIRECTORY);
    }
    if (command->takes & (OPTION_KEY | OPTION_NEW_KEY | OPTION_VICTIM_KEY))
        printf("\nKeys and ports are hexadecimal, with or without 0x.\n");
    if (command->takes & OPTION_TYPE)
        fputs(types_help, stdout);
    if (command->takes & (OPTION_TRANSPORT_ID | OPTION_TRANSPORT_IDS))
        fputs(transport_ids_help, stdout);
    printf("\nSee qemu-pr-ctl(1).\n");
}

static bool options_parse_timeout(const char *text, int *ret_ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0) || seconds > INT_MAX / 1000)
        return false;
    *ret_ms = (int)(seconds * 1000);
    return true;
}

static enum options_verdict options_fail(const struct command *command, const char *what,
                                         const char *text)
{
    fprintf(stderr, "qemu-pr-ctl: %s: %s%s\n", command->name, what, text);
    fprintf(stderr, "Try 'qemu-pr-ctl %s --help'.\n", command->name);
    return OPTIONS_ERROR;
}

/* One option that getopt_long(3) has recognised. */
static enum options_verdict options_take(struct options *options, const struct option_row *row,
                                         const char *value)
{
    const struct command *command = options->command;
    char message[512];
    uint64_t number;
    bool ok = true;

    options->given |= row->bit;
    switch (row->letter) {
    case 'K':
        ok = parse_hex(value, UINT64_MAX, &options->key);
        break;
    case 'S':
        ok = parse_hex(value, UINT64_MAX, &options->other_key);
        break;
    case 'T':
        ok = prhelper_type_parse(value, &options->type) == 0;
        break;
    case 'Z':
        options->flags |= PRHELPER_APTPL;
        break;
    case 'Y':
        options->flags |= PRHELPER_ALL_TG_PT;
        break;
    case 'U':
        options->flags |= PRHELPER_UNREG;
        break;
    case 'X':
        if (!transport_ids_parse(value, &options->transport_ids, &options->n_transport_ids, message,
                                 sizeof(message)))
            return options_fail(command, message, "");
        if (row->bit == OPTION_TRANSPORT_ID && options->n_transport_ids > 1)
            return options_fail(command, "a reservation can only move to one initiator port", "");
        break;
    case 'Q':
        ok = parse_hex(value, UINT16_MAX, &number);
        if (ok)
            options->target_port = (uint16_t)number;
        break;
    case 'k':
        options->socket = value;
        break;
    case 's':
        options->status_socket = value;
        break;
    case 'y':
        options->yes = true;
        break;
    case 'N':
        options->dry_run = true;
        break;
    case 'w':
        options->watch = true;
        break;
    case 'a':
        options->all = true;
        break;
    case 'f':
        options->purpose = value;
        break;
    case '2':
        options->second = value;
        break;
    case 'p':
        options->profiles = value;
        break;
    case 'r':
        options->report = value;
        break;
    case 'F':
        options->force = true;
        break;
    case 'D':
        options->direct = true;
        break;
    case 't':
        ok = options_parse_timeout(value, &options->timeout_ms);
        break;
    case 'j':
        options->json = true;
        break;
    case 'h':
        options_show_help(command);
        return OPTIONS_EXIT;
    }
    if (!ok) {
        snprintf(message, sizeof(message), "--%s=%s: not a %s", row->name, value, row->argument);
        return options_fail(command, message, "");
    }
    return OPTIONS_RUN;
}

static enum options_verdict options_check_needs(const struct options *options)
{
    const struct command *command = options->command;

    for (const struct option_row *row = rows; row < rows + ROWS; row++) {
        if (command->needs & ~options->given & row->bit)
            return options_fail(command, "missing option --", row->name);
    }
    if (options->direct && options->socket)
        return options_fail(command, "--socket and --direct exclude each other", "");
    if (!options->operand && command->wants == COMMAND_OPERAND_DEVICE)
        return options_fail(command, "no host and no device given", "");
    if (!options->device &&
        (command->wants == COMMAND_DEVICE || command->wants == COMMAND_OPERAND_DEVICE))
        return options_fail(command, "no device given", "");
    if (options->device && command->wants == COMMAND_NO_DEVICE)
        return options_fail(command, "unexpected device: ", options->device);
    return OPTIONS_RUN;
}

enum options_verdict options_parse(struct options *options, const struct command *command, int argc,
                                   char **argv)
{
    struct option names[2 * ROWS + 1] = {0};
    char letters[3 * ROWS + 1] = "", *letter = letters;
    enum options_verdict verdict = OPTIONS_RUN;
    char program[64], *argv_0 = argv[0];
    size_t n = 0;
    int c;

    *options = (struct options){.command = command, .timeout_ms = PRHELPER_FOREVER};
    for (const struct option_row *row = rows; row < rows + ROWS; row++) {
        int has_argument = row->argument ? required_argument : no_argument;

        if (!options_is_taken(command, row))
            continue;
        *letter++ = row->letter;
        if (row->argument)
            *letter++ = ':';
        names[n++] = (struct option){row->name, has_argument, NULL, row->letter};
        if (row->alias)
            names[n++] = (struct option){row->alias, has_argument, NULL, row->letter};
    }

    /* getopt's messages begin with this. */
    snprintf(program, sizeof(program), "qemu-pr-ctl: %s", command->name);
    argv[0] = program;
    while (verdict == OPTIONS_RUN && (c = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        const struct option_row *row = rows;

        if (c == '?') {
            fprintf(stderr, "Try 'qemu-pr-ctl %s --help'.\n", command->name);
            verdict = OPTIONS_ERROR;
            break;
        }
        while (row->letter != c || !options_is_taken(command, row))
            row++;
        verdict = options_take(options, row, optarg);
    }
    argv[0] = argv_0;
    if (verdict == OPTIONS_RUN && command->wants == COMMAND_OPERAND_DEVICE && optind < argc)
        options->operand = argv[optind++];
    if (verdict == OPTIONS_RUN && argc - optind > 1)
        verdict = options_fail(command, "more than one device: ", argv[optind + 1]);
    if (verdict == OPTIONS_RUN) {
        options->device = argv[optind];
        verdict = options_check_needs(options);
    }
    if (verdict != OPTIONS_RUN)
        options_deinit(options);
    return verdict;
}

void options_deinit(struct options *options)
{
    free(options->transport_ids);
    options->transport_ids = NULL;
    options->n_transport_ids = 0;
}
