// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Command line and configuration file. Input: arguments, one a line, an empty line, and the
 * configuration file "@", which counts if the arguments name it. The user database is made up.
 */
#include <grp.h>
#include <pwd.h>

#include "files.h"
#include "helper/options.h"

#define ARGUMENTS_MAX 32

struct passwd *__wrap_getpwnam(const char *name);
struct passwd *__wrap_getpwuid(uid_t uid);
struct group *__wrap_getgrnam(const char *name);

static struct passwd one_user = {.pw_name = (char *)"qemu", .pw_uid = 64055, .pw_gid = 64056};
static struct group one_group = {.gr_name = (char *)"kvm", .gr_gid = 104};

struct passwd *__wrap_getpwnam(const char *name)
{
    return strcmp(name, one_user.pw_name) == 0 ? &one_user : NULL;
}

struct passwd *__wrap_getpwuid(uid_t uid)
{
    return uid == one_user.pw_uid ? &one_user : NULL;
}

struct group *__wrap_getgrnam(const char *name)
{
    return strcmp(name, one_group.gr_name) == 0 ? &one_group : NULL;
}

/* What the program relies on. */
static void check_options(const struct options *options)
{
    fuzz_check(!options->socket_path || options->socket_path[0] == '/');
    fuzz_check(!options->pidfile || options->pidfile[0] == '/');
    fuzz_check(!options->daemon || options->pidfile);
    fuzz_check(options->mpath_worker && options->mpath_worker[0] == '/');
    fuzz_check(!options->mpath_socket || options->mpath_socket[0] == '/');
    fuzz_check(options->level <= LOG_LEVEL_DEBUG);
    fuzz_check(options->io_timeout_s >= 1 && options->io_timeout_s <= 86400);
    fuzz_check(options->mpath_timeout_s >= 1 && options->mpath_timeout_s <= 86400);
    fuzz_check(options->client_timeout_s >= 1 && options->client_timeout_s <= 86400);
    fuzz_check(options->stop_timeout_s <= 86400);
    fuzz_check(options->max_clients <= 1000000 && options->max_threads <= 1000000);
    fuzz_check(options->max_threads != 1);
    fuzz_check(options->socket_mode == (mode_t)-1 || options->socket_mode <= 0777);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Parsing is a function of its input. */
static void check_same(const struct options *a, const struct options *b)
{
    fuzz_check(same_text(a->socket_path, b->socket_path) && same_text(a->pidfile, b->pidfile) &&
               same_text(a->mpath_worker, b->mpath_worker) &&
               same_text(a->mpath_socket, b->mpath_socket));
    fuzz_check(a->daemon == b->daemon && a->level == b->level && a->syslog == b->syslog &&
               a->sandbox == b->sandbox && a->uid == b->uid && a->gid == b->gid &&
               a->socket_mode == b->socket_mode && a->socket_uid == b->socket_uid &&
               a->socket_gid == b->socket_gid && a->io_timeout_s == b->io_timeout_s &&
               a->mpath_timeout_s == b->mpath_timeout_s &&
               a->client_timeout_s == b->client_timeout_s &&
               a->stop_timeout_s == b->stop_timeout_s && a->max_clients == b->max_clients &&
               a->max_threads == b->max_threads);
}

static enum options_verdict parse(struct options *options, int argc, char *const *arguments)
{
    char *argv[ARGUMENTS_MAX + 1]; /* getopt sorts them */

    memcpy(argv, arguments, sizeof(argv));
    return options_parse(options, argc, argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int null_fd = -1;
    struct reader input = reader_over(data, size);
    size_t text_size;
    char *text = (char *)fuzz_rest(&input, true, &text_size);
    char *file = strstr(text, "\n\n");
    char *rest = text, *line;
    char *argv[ARGUMENTS_MAX + 1] = {(char *)"qemu-pr-helper"};
    struct options first, second;
    enum options_verdict verdict;
    int argc = 1, before;

    if (null_fd < 0) { /* --help, --version, and what getopt says */
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        stdout = stderr = fdopen(null_fd, "w");
        fuzz_check(stdout);
    }
    files_set((const uint8_t *)(file ? file + 2 : ""),
              file ? text_size - (size_t)(file + 2 - text) : 0);
    if (file)
        *file = '\0';
    while (argc < ARGUMENTS_MAX && (line = strsep(&rest, "\n")))
        argv[argc++] = line;

    before = files_next_fd();
    verdict = parse(&first, argc, argv);
    if (verdict == OPTIONS_RUN)
        check_options(&first);
    fuzz_check(parse(&second, argc, argv) == verdict);
    if (verdict == OPTIONS_RUN)
        check_same(&first, &second);
    options_deinit(&first);
    options_deinit(&second);
    fuzz_check(files_next_fd() == before);
    free(text);
    return 0;
}
