// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where options come from. The command line is gone through twice: once for --config alone, since
 * the file is read first, and then for all.
 */
#include "helper/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "build.h"
#include "helper/options_internal.h"
#include "serve/trace.h"

#define OPTIONS_CONFIG_MAX 65536

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

/*
 * Apply one option. `path` and `number` name the line of a configuration file that it was read
 * from; path is NULL for the command line. 0, or -EINVAL after logging the reason.
 */
static int options_apply(struct options_parser *parser, const struct option_row *row,
                         const char *value, const char *path, unsigned number)
{
    struct option_use use;

    if (!row->set)
        return 0; /* the first pass has looked at it */
    use.row = row;
    use.value = value;
    use.target = parser;
    if (row->set(&use) == 0)
        return 0;
    if (path && use.error[0])
        log_error("%s:%u: %s", path, number, use.error);
    else if (path)
        log_error("%s:%u: invalid value of %s", path, number, row->name);
    else if (use.error[0])
        log_error("%s", use.error);
    return -EINVAL;
}

/* One line of the configuration file: NAME, NAME=VALUE, a comment, or nothing. */
static int options_read_line(struct options_parser *parser, const char *path, unsigned number,
                             char *line)
{
    char *name = options_trim(line);
    char *value = strchr(name, '=');
    const struct option_row *row;

    if (!*name || *name == '#')
        return 0;
    if (value) {
        *value++ = '\0';
        name = options_trim(name);
        value = options_trim(value);
    }
    row = option_table_find(&options_table, name);
    if (!row || !row->set) {
        log_error("%s:%u: unknown option '%s'", path, number, name);
        return -EINVAL;
    }
    if ((row->argument != NULL) != (value != NULL)) {
        log_error("%s:%u: %s %s", path, number, name, value ? "takes no value" : "needs a value");
        return -EINVAL;
    }
    return options_apply(parser, row, value, path, number);
}

static int options_read_config(struct options_parser *parser)
{
    const char *path = parser->config ? parser->config : BUILD_DEFAULT_CONFIG;
    char *text = malloc(OPTIONS_CONFIG_MAX);
    char *line, *rest = text;
    ssize_t n;

    if (!text) {
        log_error("cannot read configuration file %s: %s", path, strerror(ENOMEM));
        return -ENOMEM;
    }
    parser->options.config_text = text;
    n = fdio_read_text(AT_FDCWD, path, text, OPTIONS_CONFIG_MAX);
    if (n == -ENOENT && !parser->config) {
        options_deinit(&parser->options);
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

static void options_print_help(void)
{
    printf("Usage: qemu-pr-helper [OPTION]...\n"
           "Serve SCSI persistent reservations to virtual machines over a unix socket.\n\n");
    option_table_print(&options_table, stdout);
    printf("\nSee qemu-pr-helper(8).\n");
}

/* Find --config. Errors in other options are left to the second pass. */
static enum options_verdict options_first_pass(struct options_parser *parser, int argc, char **argv)
{
    struct option_walk walk = {.table = &options_table, .argc = argc, .argv = argv};
    const struct option_row *row;
    const char *value;

    opterr = 0;
    while (option_walk_next(&walk, &row, &value) > 0) {
        if (row->letter == 'h') {
            options_print_help();
            return OPTIONS_EXIT;
        }
        if (row->letter == 'V') {
            puts("qemu-pr-helper " BUILD_VERSION);
            return OPTIONS_EXIT;
        }
        if (row->letter == 'T' && trace_is_help(value)) {
            trace_list();
            return OPTIONS_EXIT;
        }
        if (strcmp(row->name, "config") == 0)
            parser->config = value;
    }
    return OPTIONS_RUN;
}

static int options_second_pass(struct options_parser *parser, int argc, char **argv)
{
    struct option_walk walk = {.table = &options_table, .argc = argc, .argv = argv};
    bool quiet_in_file = parser->quiet; /* unless a -v here takes that back */
    const struct option_row *row;
    const char *value;
    int r;

    parser->quiet = false;
    opterr = 1;
    while ((r = option_walk_next(&walk, &row, &value)) > 0) {
        if (row->letter == 'v')
            quiet_in_file = false;
        if (options_apply(parser, row, value, NULL, 0) < 0)
            return -EINVAL;
    }
    if (r < 0) {
        fprintf(stderr, "Try '%s --help' for more information.\n", argv[0]);
        return r;
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
        log_error("cannot resolve the path of pid file %s: %s", options->pidfile, strerror(errno));
        return -errno;
    }
    options->pidfile = options->pidfile_buffer;
    return 0;
}

/* Settings that follow from several options together. */
static void options_conclude(struct options_parser *parser)
{
    struct options *options = &parser->options;

    if (options->gid == (gid_t)-1)
        options->gid = parser->user_gid;
    if (!parser->log_given)
        options->syslog = options->daemon;
    if (!parser->audit_given)
        options->audit = !parser->quiet;
    options->level = log_level_from(parser->quiet, parser->verbose);
}

enum options_verdict options_parse(struct options *options, int argc, char **argv)
{
    struct options_parser parser = {
        .options =
            {
                .uid = (uid_t)-1,
                .gid = (gid_t)-1,
                .socket_mode = (mode_t)-1,
                .socket_uid = (uid_t)-1,
                .socket_gid = (gid_t)-1,
                .status_gid = (gid_t)-1,
            },
        .user_gid = (gid_t)-1,
    };
    enum options_verdict verdict;

    option_table_init(&options_table, &parser);
    verdict = options_first_pass(&parser, argc, argv);
    if (verdict == OPTIONS_RUN &&
        (options_read_config(&parser) < 0 || options_second_pass(&parser, argc, argv) < 0 ||
         options_resolve_pidfile(&parser.options) < 0))
        verdict = OPTIONS_ERROR;
    options_conclude(&parser);
    *options = parser.options;
    return verdict;
}

void options_deinit(struct options *options)
{
    free(options->config_text);
    free(options->pidfile_buffer);
    options->config_text = NULL;
    options->pidfile_buffer = NULL;
}
