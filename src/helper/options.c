// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One table names every long option; the configuration file and the command line go through the
 * same function, so that both know the same names and say the same of bad values. The command line
 * is gone through twice: once for --config alone, since the file is read first, and then for all.
 */
#include "helper/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/parse.h"
#include "build.h"
#include "serve/trace.h"

#define OPTIONS_CONFIG_MAX  65536
#define OPTIONS_SECONDS_MAX 86400
#define OPTIONS_CLIENTS_MAX 1000000
#define OPTIONS_THREADS_MIN 2 /* one that may block, one that stands by */

enum {
    OPTION_CONFIG = 256,
    OPTION_IO_TIMEOUT,
    OPTION_CLIENT_TIMEOUT,
    OPTION_STOP_TIMEOUT,
    OPTION_MAX_CLIENTS,
    OPTION_MAX_THREADS,
    OPTION_SOCKET_MODE,
    OPTION_SOCKET_USER,
    OPTION_SOCKET_GROUP,
    OPTION_MPATH_TIMEOUT,
    OPTION_MPATH_WORKER,
    OPTION_LOG,
    OPTION_SANDBOX,
    OPTION_AUDIT,
    OPTION_EXCLUSIVE,
    OPTION_STATUS_SOCKET,
    OPTION_STATUS_MODE,
    OPTION_STATUS_GROUP,
};

static const char options_short[] = "hVk:f:dT:u:g:vq";

static const struct option options_long[] = {
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

static const char options_help[] =
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

/* What parsing has to remember beside the result. */
struct options_parser {
    struct options *options;
    gid_t user_gid;   /* group of -u */
    unsigned verbose; /* count of -v */
    bool quiet;
    bool log_given;
    bool audit_given;
    const char *config; /* NULL: the default */
};

static int options_set(struct options_parser *parser, int option, const char *value)
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

static char *options_trim(char *text)
{
    char *end;

    while (isspace((unsigned char)*text))
        text++;
    end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return text;
}

/* One line of the configuration file: NAME, NAME=VALUE, a comment, or nothing. */
static int options_read_line(struct options_parser *parser, const char *path, unsigned number,
                             char *line)
{
    char *name = options_trim(line);
    char *value = strchr(name, '=');

    if (!*name || *name == '#')
        return 0;
    if (value) {
        *value++ = '\0';
        name = options_trim(name);
        value = options_trim(value);
    }
    for (const struct option *entry = options_long; entry->name; entry++) {
        if (strcmp(entry->name, name))
            continue;
        if (entry->val == 'h' || entry->val == 'V' || entry->val == OPTION_CONFIG)
            break;
        if ((entry->has_arg == required_argument) != (value != NULL)) {
            log_error("%s:%u: %s %s", path, number, name,
                      value ? "takes no value" : "needs a value");
            return -EINVAL;
        }
        if (options_set(parser, entry->val, value) < 0) {
            log_error("%s:%u: the line above is about this one", path, number);
            return -EINVAL;
        }
        return 0;
    }
    log_error("%s:%u: there is no option '%s' for this file", path, number, name);
    return -EINVAL;
}

static int options_read_config(struct options_parser *parser)
{
    const char *path = parser->config ? parser->config : BUILD_DEFAULT_CONFIG;
    char *text = malloc(OPTIONS_CONFIG_MAX);
    char *line, *rest = text;
    ssize_t n;

    if (!text)
        return -ENOMEM;
    parser->options->config_text = text;
    n = fdio_read_text(AT_FDCWD, path, text, OPTIONS_CONFIG_MAX);
    if (n == -ENOENT && !parser->config) {
        options_deinit(parser->options);
        return 0;
    }
    if (n >= OPTIONS_CONFIG_MAX - 2) /* cut, perhaps behind a newline, which is not counted */
        n = -EFBIG;
    if (n < 0) {
        log_error("cannot read configuration file %s: %s", path, strerror((int)-n));
        return (int)n;
    }
    for (unsigned number = 1; (line = strsep(&rest, "\n")); number++) {
        if (options_read_line(parser, path, number, line) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Find --config. What is wrong with other options is for the second pass to say. */
static enum options_verdict options_first_pass(struct options_parser *parser, int argc, char **argv)
{
    int option;

    opterr = 0;
    optind = 0; /* from the start, even if another pass has ended inside of -abc */
    while ((option = getopt_long(argc, argv, options_short, options_long, NULL)) != -1) {
        switch (option) {
        case 'h':
            fputs(options_help, stdout);
            return OPTIONS_EXIT;
        case 'V':
            puts("qemu-pr-helper " BUILD_VERSION);
            return OPTIONS_EXIT;
        case 'T':
            if (trace_is_help(optarg)) {
                trace_list();
                return OPTIONS_EXIT;
            }
            break;
        case OPTION_CONFIG:
            parser->config = optarg;
            break;
        case '?':
            return OPTIONS_RUN;
        default:
            break;
        }
    }
    return OPTIONS_RUN;
}

static int options_second_pass(struct options_parser *parser, int argc, char **argv)
{
    bool quiet_in_file = parser->quiet; /* unless a -v here takes that back */
    int option;

    parser->quiet = false;
    opterr = 1;
    optind = 0;
    while ((option = getopt_long(argc, argv, options_short, options_long, NULL)) != -1) {
        if (option == '?') {
            fprintf(stderr, "Try '%s --help' for more information.\n", argv[0]);
            return -EINVAL;
        }
        if (option == 'v')
            quiet_in_file = false;
        if (options_set(parser, option, optarg) < 0)
            return -EINVAL;
    }
    parser->quiet |= quiet_in_file;
    if (optind < argc) {
        log_error("unexpected argument '%s'; see --help", argv[optind]);
        return -EINVAL;
    }
    return 0;
}

/* The pid file has to be found again after -d has changed the directory. */
static int options_resolve_pidfile(struct options *options)
{
    char directory[PATH_MAX];

    if (!options->pidfile && options->daemon)
        options->pidfile = BUILD_DEFAULT_PIDFILE;
    if (!options->pidfile || options->pidfile[0] == '/')
        return 0;
    if (!getcwd(directory, sizeof(directory)) ||
        asprintf(&options->pidfile_buffer, "%s/%s", directory, options->pidfile) < 0) {
        options->pidfile_buffer = NULL;
        log_error("cannot tell where pid file %s is: %s", options->pidfile, strerror(errno));
        return -errno;
    }
    options->pidfile = options->pidfile_buffer;
    return 0;
}

enum options_verdict options_parse(struct options *options, int argc, char **argv)
{
    struct options_parser parser = {.options = options, .user_gid = (gid_t)-1};
    enum options_verdict verdict;

    *options = (struct options){
        .sandbox = true,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
        .socket_mode = (mode_t)-1,
        .socket_uid = (uid_t)-1,
        .socket_gid = (gid_t)-1,
        .status_mode = 0600,
        .status_gid = (gid_t)-1,
        .io_timeout_s = 30,
        .mpath_timeout_s = 60,
        .mpath_worker = BUILD_MPATH_WORKER,
        .client_timeout_s = 30,
        .stop_timeout_s = 3,
    };
    verdict = options_first_pass(&parser, argc, argv);
    if (verdict != OPTIONS_RUN)
        return verdict;
    if (options_read_config(&parser) < 0 || options_second_pass(&parser, argc, argv) < 0 ||
        options_resolve_pidfile(options) < 0)
        return OPTIONS_ERROR;

    if (options->gid == (gid_t)-1)
        options->gid = parser.user_gid;
    if (!parser.log_given)
        options->syslog = options->daemon;
    if (!parser.audit_given)
        options->audit = !parser.quiet;
    options->level = log_level_from(parser.quiet, parser.verbose);
    return OPTIONS_RUN;
}

void options_deinit(struct options *options)
{
    free(options->config_text);
    free(options->pidfile_buffer);
    options->config_text = NULL;
    options->pidfile_buffer = NULL;
}
