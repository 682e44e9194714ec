// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One table names every long option; the configuration file and the command line go through the
 * same function, so that both know the same names and say the same of bad values.
 */
#include "helper/options_internal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "build.h"
#include "serve/trace.h"

#define OPTIONS_SECONDS_MAX 86400
#define OPTIONS_CLIENTS_MAX 1000000
#define OPTIONS_THREADS_MIN 2 /* one that may block, one that stands by */

const char options_short[] = "hVk:f:dT:u:g:vq";

const struct option options_long[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"socket", required_argument, NULL, 'k'},
    {"pidfile", required_argument, NULL, 'f'},
    {"daemon", no_argument, NULL, 'd'},
    {"trace", required_argument, NULL, 'T'},
    {"user", required_argument, NULL, 'u'},
    {"group", required_argument, NULL, 'g'},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"io-timeout", required_argument, NULL, OPTION_IO_TIMEOUT},
    {"client-timeout", required_argument, NULL, OPTION_CLIENT_TIMEOUT},
    {"stop-timeout", required_argument, NULL, OPTION_STOP_TIMEOUT},
    {"max-clients", required_argument, NULL, OPTION_MAX_CLIENTS},
    {"max-threads", required_argument, NULL, OPTION_MAX_THREADS},
    {"socket-mode", required_argument, NULL, OPTION_SOCKET_MODE},
    {"socket-user", required_argument, NULL, OPTION_SOCKET_USER},
    {"socket-group", required_argument, NULL, OPTION_SOCKET_GROUP},
    {"mpath-timeout", required_argument, NULL, OPTION_MPATH_TIMEOUT},
    {"mpath-worker", required_argument, NULL, OPTION_MPATH_WORKER},
    {"log", required_argument, NULL, OPTION_LOG},
    {"sandbox", required_argument, NULL, OPTION_SANDBOX},
    {"audit", required_argument, NULL, OPTION_AUDIT},
    {"exclusive", no_argument, NULL, OPTION_EXCLUSIVE},
    {"status-socket", required_argument, NULL, OPTION_STATUS_SOCKET},
    {"status-mode", required_argument, NULL, OPTION_STATUS_MODE},
    {"status-group", required_argument, NULL, OPTION_STATUS_GROUP},

    /* What QEMU's helper takes for --socket, its only long option with an s. */
    {"s", required_argument, NULL, 'k'},
    {"so", required_argument, NULL, 'k'},
    {"soc", required_argument, NULL, 'k'},
    {"sock", required_argument, NULL, 'k'},
    {"socke", required_argument, NULL, 'k'},
    {NULL, 0, NULL, 0},
};

const char options_help[] =
    "Usage: qemu-pr-helper [OPTION]...\n"
    "Serve SCSI persistent reservations to virtual machines over a unix socket.\n"
    "\n"
    "  -h, --help                  show this help and exit\n"
    "  -V, --version               show the version and exit\n"
    "  -k, --socket=PATH           listen on this socket\n"
    "                              (default " BUILD_DEFAULT_SOCKET ")\n"
    "  -d, --daemon                run in the background\n"
    "  -f, --pidfile=PATH          write the process id to this file\n"
    "                              (default with -d: " BUILD_DEFAULT_PIDFILE ")\n"
    "  -u, --user=USER             change to this user, by name or number\n"
    "  -g, --group=GROUP           change to this group (default: the group of USER)\n"
    "  -T, --trace=SPEC            trace events: [[enable=]PATTERN][,events=FILE][,file=FILE];\n"
    "                              help lists them\n"
    "  -v, --verbose               say more; twice: say even more\n"
    "  -q, --quiet                 say nothing about single clients\n"
    "\n"
    "      --config=FILE           read long options from this file first, one a line\n"
    "                              (default " BUILD_DEFAULT_CONFIG ", if it exists)\n"
    "      --io-timeout=SECONDS    what the kernel grants a command (default 30)\n"
    "      --client-timeout=SECONDS\n"
    "                              what a client is granted for its handshake, for the rest of\n"
    "                              a request and for taking a reply (default 30)\n"
    "      --stop-timeout=SECONDS  how long to wait for hanging commands at the end (default 3)\n"
    "      --max-clients=N         refuse clients beyond this number\n"
    "                              (default: half of the open files that are allowed)\n"
    "      --max-threads=N         answer BUSY when so many are busy (default: clients + 1)\n"
    "      --socket-mode=OCTAL     mode of the socket (default 777 less the umask)\n"
    "      --socket-user=USER      owner of the socket\n"
    "      --socket-group=GROUP    group of the socket\n"
    "      --status-socket=PATH    tell whoever connects here who holds what, in JSON; %d in the\n"
    "                              path is the process id (default: nowhere)\n"
    "      --status-mode=OCTAL     mode of that socket (default 600)\n"
    "      --status-group=GROUP    group of that socket\n"
    "      --exclusive             answer RESERVATION CONFLICT to a VM that shares an I_T nexus\n"
    "                              with another one that holds a key\n"
    "      --mpath-timeout=SECONDS what a command to all paths of a map is granted (default 60)\n"
    "      --mpath-worker=FILE     the program for those commands\n"
    "                              (default " BUILD_MPATH_WORKER ")\n"
    "      --log=stderr|syslog     where messages go (default stderr; syslog with -d)\n"
    "      --audit=on|off          log each command that changes something (default on; with -q\n"
    "                              off)\n"
    "      --sandbox=on|off        confine the process (default on)\n"
    "\n"
    "See qemu-pr-helper(8).\n";

static const char *options_name(int option)
{
    for (const struct option *entry = options_long; entry->name; entry++) {
        if (entry->val == option)
            return entry->name;
    }
    return "?";
}

/* The value of an option is no good: name both, and say what would be. */
static int options_reject(int option, const char *value, const char *wanted)
{
    log_error("--%s=%s: not %s", options_name(option), value, wanted);
    return -EINVAL;
}

static int options_set_number(int option, const char *value, unsigned min, unsigned max,
                              const char *unit, unsigned *ret_number)
{
    char wanted[64];
    uint64_t number;

    if (!parse_number(value, max, &number) || number < min) {
        snprintf(wanted, sizeof(wanted), "a number%s from %u to %u", unit, min, max);
        return options_reject(option, value, wanted);
    }
    *ret_number = (unsigned)number;
    return 0;
}

static int options_set_choice(int option, const char *value, const char *no, const char *yes,
                              bool *ret_choice)
{
    char wanted[64];

    if (strcmp(value, no) && strcmp(value, yes)) {
        snprintf(wanted, sizeof(wanted), "%s or %s", no, yes);
        return options_reject(option, value, wanted);
    }
    *ret_choice = strcmp(value, yes) == 0;
    return 0;
}

int options_set(struct options_parser *parser, int option, const char *value)
{
    struct options *options = parser->options;

    switch (option) {
    case 'k':
        options->socket_path = value;
        if (value[0] != '/') {
            log_error("socket path must be absolute");
            return -EINVAL;
        }
        return 0;
    case 'f':
        options->pidfile = value;
        return 0;
    case 'd':
        options->daemon = true;
        return 0;
    case 'T':
        return trace_parse(value);
    case 'u':
        if (!parse_user(value, &options->uid, &parser->user_gid)) {
            log_error("invalid user '%s'", value);
            return -EINVAL;
        }
        return 0;
    case 'g':
        if (!parse_group(value, &options->gid)) {
            log_error("invalid group '%s'", value);
            return -EINVAL;
        }
        return 0;
    case 'v':
        parser->verbose++;
        return 0;
    case 'q':
        parser->quiet = true;
        return 0;
    case OPTION_CONFIG:
        return 0; /* read already */
    case OPTION_IO_TIMEOUT:
        return options_set_number(option, value, 1, OPTIONS_SECONDS_MAX, " of seconds",
                                  &options->io_timeout_s);
    case OPTION_CLIENT_TIMEOUT:
        return options_set_number(option, value, 1, OPTIONS_SECONDS_MAX, " of seconds",
                                  &options->client_timeout_s);
    case OPTION_STOP_TIMEOUT:
        return options_set_number(option, value, 0, OPTIONS_SECONDS_MAX, " of seconds",
                                  &options->stop_timeout_s);
    case OPTION_MAX_CLIENTS:
        return options_set_number(option, value, 1, OPTIONS_CLIENTS_MAX, "", &options->max_clients);
    case OPTION_MAX_THREADS:
        return options_set_number(option, value, OPTIONS_THREADS_MIN, OPTIONS_CLIENTS_MAX, "",
                                  &options->max_threads);
    case OPTION_SOCKET_MODE:
        if (!parse_mode(value, &options->socket_mode))
            return options_reject(option, value, "an octal mode from 0 to 777");
        return 0;
    case OPTION_SOCKET_USER: {
        gid_t unused;

        if (!parse_user(value, &options->socket_uid, &unused))
            return options_reject(option, value, "a user");
        return 0;
    }
    case OPTION_SOCKET_GROUP:
        if (!parse_group(value, &options->socket_gid))
            return options_reject(option, value, "a group");
        return 0;
    case OPTION_MPATH_TIMEOUT:
        return options_set_number(option, value, 1, OPTIONS_SECONDS_MAX, " of seconds",
                                  &options->mpath_timeout_s);
    case OPTION_MPATH_WORKER:
        if (value[0] != '/')
            return options_reject(option, value, "an absolute path");
        options->mpath_worker = value;
        return 0;
    case OPTION_LOG:
        parser->log_given = true;
        return options_set_choice(option, value, "stderr", "syslog", &options->syslog);
    case OPTION_AUDIT:
        parser->audit_given = true;
        return options_set_choice(option, value, "off", "on", &options->audit);
    case OPTION_EXCLUSIVE:
        options->exclusive = true;
        return 0;
    case OPTION_STATUS_SOCKET:
        options->status_path = value;
        return value[0] == '/' ? 0 : options_reject(option, value, "an absolute path");
    case OPTION_STATUS_MODE:
        if (!parse_mode(value, &options->status_mode))
            return options_reject(option, value, "an octal mode from 0 to 777");
        return 0;
    case OPTION_STATUS_GROUP:
        if (!parse_group(value, &options->status_gid))
            return options_reject(option, value, "a group");
        return 0;
    case OPTION_SANDBOX:
        return options_set_choice(option, value, "off", "on", &options->sandbox);
    default:
        return -EINVAL;
    }
}
