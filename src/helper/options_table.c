// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every option of the helper. The configuration file and the command line go through the same rows,
 * so that both know the same names and say the same of bad values.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "build.h"
#include "helper/options_internal.h"
#include "serve/trace.h"

#define OPTIONS_SECONDS_MAX 86400
#define OPTIONS_CLIENTS_MAX 1000000
#define OPTIONS_BUFFERS_MAX 1024
#define OPTIONS_THREADS_MIN 2 /* one that may block, one that stands by */

#define FIELD(name)        .field = offsetof(struct options_parser, options.name)
#define PARSER_FIELD(name) .field = offsetof(struct options_parser, name)
#define NUMBER(name, from, to, of)                                                                 \
    .set = option_set_number, FIELD(name), .min = (from), .max = (to), .unit = (of)
#define SECONDS(name, from) NUMBER(name, from, OPTIONS_SECONDS_MAX, "seconds")

static int options_set_socket(struct option_use *use)
{
    struct options_parser *parser = use->target;

    if (use->value[0] != '/') {
        snprintf(use->error, sizeof(use->error), "socket path must be absolute");
        return -EINVAL;
    }
    parser->options.socket_path = use->value;
    return 0;
}

static int options_set_user(struct option_use *use)
{
    struct options_parser *parser = use->target;

    if (strcmp(use->value, "-") == 0) { /* as if it had not been given */
        parser->options.uid = (uid_t)-1;
        parser->user_gid = (gid_t)-1;
        return 0;
    }
    if (parse_user(use->value, &parser->options.uid, &parser->user_gid))
        return 0;
    snprintf(use->error, sizeof(use->error), "invalid user '%s'", use->value);
    return -EINVAL;
}

static int options_set_group(struct option_use *use)
{
    struct options_parser *parser = use->target;

    if (strcmp(use->value, "-") == 0) {
        parser->options.gid = (gid_t)-1;
        return 0;
    }
    if (parse_group(use->value, &parser->options.gid))
        return 0;
    snprintf(use->error, sizeof(use->error), "invalid group '%s'", use->value);
    return -EINVAL;
}

static int options_set_status(struct option_use *use)
{
    struct options_parser *parser = use->target;

    if (strcmp(use->value, "none") != 0)
        return option_set_path(use);
    parser->options.status_path = "";
    return 0;
}

static int options_set_trace(struct option_use *use)
{
    use->error[0] = '\0'; /* trace_parse says it */
    return trace_parse(use->value);
}

static int options_set_log(struct option_use *use)
{
    struct options_parser *parser = use->target;

    parser->log_given = true;
    return option_set_choice(use);
}

static int options_set_audit(struct option_use *use)
{
    struct options_parser *parser = use->target;

    parser->audit_given = true;
    return option_set_choice(use);
}

static int options_set_exclusive(struct option_use *use)
{
    (void)use;
    log_warning("--exclusive is obsolete and has no effect; the next release will reject it (see "
                "qemu-pr-helper(8))");
    return 0;
}

static const struct option_row options_rows[] = {
    {'h', "help", NULL, "show this help and exit"},
    {'V', "version", NULL, "show the version and exit"},
    {'k', "socket", "PATH", "listen on this socket\n(default " BUILD_DEFAULT_SOCKET ")",
     .set = options_set_socket},
    {'d', "daemon", NULL, "run in the background", .set = option_set_flag, FIELD(daemon)},
    {'f', "pidfile", "PATH",
     "write the process id to this file\n(default with -d: " BUILD_DEFAULT_PIDFILE ")",
     .set = option_set_text, FIELD(pidfile)},
    {'u', "user", "USER", "change to this user, by name or number", .set = options_set_user},
    {'g', "group", "GROUP", "change to this group (default: the group of USER)",
     .set = options_set_group},
    {'T', "trace", "SPEC",
     "trace events: [[enable=]PATTERN][,events=FILE][,file=FILE];\n'help' lists them",
     .set = options_set_trace},
    {'v', "verbose", NULL, "log more; twice for even more", .set = option_set_count,
     PARSER_FIELD(verbose)},
    {'q', "quiet", NULL, "do not log per-client messages", .set = option_set_flag,
     PARSER_FIELD(quiet)},
    {0},
    {0, "config", "FILE",
     "read long options from this file first, one per line\n"
     "(default " BUILD_DEFAULT_CONFIG ", if it exists)"},
    {0, "io-timeout", "SECONDS", "kernel time-out for each command", "30",
     SECONDS(io_timeout_s, 1)},
    {0, "client-timeout", "SECONDS",
     "time-out for a client's handshake, for the rest of a request\nand for taking a reply", "30",
     SECONDS(client_timeout_s, 1)},
    {0, "stop-timeout", "SECONDS", "how long to wait for hung commands when stopping", "3",
     SECONDS(stop_timeout_s, 0)},
    {0, "max-clients", "N",
     "refuse clients beyond this number\n(default: half the limit on open files)",
     NUMBER(max_clients, 1, OPTIONS_CLIENTS_MAX, NULL)},
    {0, "max-threads", "N",
     "answer BUSY when this many threads are busy (default:\nclients + 1, at most 4096)",
     NUMBER(max_threads, OPTIONS_THREADS_MIN, OPTIONS_CLIENTS_MAX, NULL)},
    {0, "max-buffers", "MIB", "memory for incomplete requests and unread replies", "16",
     NUMBER(max_buffers_mib, 1, OPTIONS_BUFFERS_MAX, "MiB")},
    {0, "socket-mode", "OCTAL", "mode of the socket (default 777 less the umask)",
     .set = option_set_mode, FIELD(socket_mode)},
    {0, "socket-user", "USER", "owner of the socket", .set = option_set_user, FIELD(socket_uid)},
    {0, "socket-group", "GROUP", "group of the socket", .set = option_set_group, FIELD(socket_gid)},
    {0, "status-socket", "PATH|none",
     "serve the status as JSON on this socket; %d in the path\n"
     "is the process id; in a directory (PATH/) the socket gets\n"
     "a unique name (default " BUILD_STATUS_DIRECTORY "/, if it exists)",
     .set = options_set_status, FIELD(status_path)},
    {0, "status-mode", "OCTAL", "mode of that socket", "660", .set = option_set_mode,
     FIELD(status_mode)},
    {0, "status-group", "GROUP", "group of that socket", .set = option_set_group,
     FIELD(status_gid)},
    {0, "hung-after", "SECONDS", "when a command without an answer counts as hung", "60",
     SECONDS(hung_after_s, 1)},
    {0, "mpath-timeout", "SECONDS", "time-out for a command to all paths of a map", "60",
     SECONDS(mpath_timeout_s, 1)},
    {0, "mpath-worker", "FILE", "the worker program for those commands", BUILD_MPATH_WORKER,
     .set = option_set_path, FIELD(mpath_worker)},
    {0, "mpath-socket", "PATH",
     "connect to this socket, whose service starts that program,\ninstead of starting it",
     .set = option_set_path, FIELD(mpath_socket)},
    {0, "log", "stderr|syslog", "where messages go (default stderr; syslog with -d)",
     .set = options_set_log, FIELD(syslog), .choice = {"stderr", "syslog"}},
    {0, "audit", "on|off", "log each command that changes something (default on; with -q\noff)",
     .set = options_set_audit, FIELD(audit), .choice = {"off", "on"}},
    {0, "sandbox", "on|off", "confine the process", "on", .set = option_set_choice, FIELD(sandbox),
     .choice = {"off", "on"}},

    {0, "exclusive", NULL, "obsolete, ignored", .set = options_set_exclusive},

    /* What QEMU's helper takes for --socket, its only long option with an s. */
    {0, "s", "PATH", .set = options_set_socket},
    {0, "so", "PATH", .set = options_set_socket},
    {0, "soc", "PATH", .set = options_set_socket},
    {0, "sock", "PATH", .set = options_set_socket},
    {0, "socke", "PATH", .set = options_set_socket},
};

const struct option_table options_table = {
    .rows = options_rows,
    .n_rows = sizeof(options_rows) / sizeof(options_rows[0]),
};

_Static_assert(sizeof(options_rows) / sizeof(options_rows[0]) <= OPTION_TABLE_ROWS_MAX,
               "there is room for every option");
