// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-helper: the start-up, in order. The list of stages at the end is all there is to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/memory.h"
#include "build.h"
#include "daemon/background.h"
#include "daemon/capabilities.h"
#include "daemon/keeper.h"
#include "daemon/pidfile.h"
#include "daemon/privileges.h"
#include "daemon/sandbox.h"
#include "daemon/spawn.h"
#include "helper/backend_mpath.h"
#include "helper/options.h"
#include "helper/report.h"
#include "helper/route.h"
#include "ledger/audit.h"
#include "ledger/ledger.h"
#include "serve/listen.h"
#include "serve/notify.h"
#include "serve/peer.h"
#include "serve/process.h"
#include "serve/server.h"
#include "serve/status.h"
#include "serve/trace.h"

#define MAIN_ERROR_SIZE     512
#define MAIN_MPATH_GRACE_MS 5000
#define MAIN_THREADS_MAX    4096 /* without --max-threads */

struct helper {
    int argc;
    char **argv;
    struct options options;
    int inherited;     /* sockets that systemd passed */
    int background_fd; /* -1: not in the background */
    int pidfile_fd;    /* -1: none */
    struct keeper keeper;
    struct mpath mpath;
    struct notify notify;
    int listener;                         /* until the server has it */
    int status_listener;                  /* until there is a struct status; -1: none */
    char *status_path;                    /* owned; NULL: there is no status */
    char status_problem[MAIN_ERROR_SIZE]; /* why; "": nothing went wrong */
    int signal_fd;                        /* until the server has it */
    struct inode_id socket_inode;         /* unless it is inherited */
    struct inode_id status_inode;         /* if there is a status_path */
    unsigned n_fds;                       /* the limit on open fds */
    struct privileges_ids ids;            /* whom we become */
    struct route route;
    struct peers peers;
    struct ledger ledger;
    struct report report;
    struct status status;
    struct backend backend;
    struct server server;
};

static int helper_fail(const char *message, int r)
{
    log_error("%s", message);
    return r;
}

static int helper_fail_to(const char *what, int r)
{
    log_error("cannot %s: %s", what, strerror(-r));
    return r;
}

/* First of all: no fd may be taken for a standard one, none of a careless parent stays open. */
static int helper_clean_fds(struct helper *helper)
{
    char error[MAIN_ERROR_SIZE];
    int r = fdio_open_standard();

    if (r < 0)
        return helper_fail_to("open /dev/null", r);
    helper->inherited = listen_inherited(error, sizeof(error));
    if (helper->inherited < 0)
        return helper_fail(error, helper->inherited);
    if (helper->inherited > 1)
        return helper_fail("does not support socket activation with LISTEN_FDS > 1", -EINVAL);
    fdio_close_strays(3 + helper->inherited);
    return 0;
}

/* Before anything can take time: a signal that comes during the start waits for the loop. */
static int helper_block_signals(struct helper *helper)
{
    helper->signal_fd = process_block_signals();
    return helper->signal_fd < 0 ? helper_fail_to("set up signal handling", helper->signal_fd) : 0;
}

static int helper_read_options(struct helper *helper)
{
    enum options_verdict verdict = options_parse(&helper->options, helper->argc, helper->argv);

    if (verdict == OPTIONS_EXIT)
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    if (verdict == OPTIONS_ERROR)
        return -EINVAL;
    if (helper->options.socket_path && helper->inherited)
        return helper_fail("Unix socket can't be set when using socket activation", -EINVAL);
    if (!helper->options.socket_path)
        helper->options.socket_path = BUILD_DEFAULT_SOCKET;
    log_set_level(helper->options.level);
    return 0;
}

/* Before locks and children, which do not pass a fork. */
static int helper_go_to_background(struct helper *helper)
{
    if (!helper->options.daemon)
        return 0;
    helper->background_fd = background_start();
    return helper->background_fd < 0
               ? helper_fail_to("run in the background", helper->background_fd)
               : 0;
}

/* By the process that stays, whose pid may be in the name, before anything of others is touched. */
static int helper_open_trace(struct helper *helper)
{
    (void)helper;
    return trace_open();
}

static int helper_raise_fd_limit(struct helper *helper)
{
    struct options *options = &helper->options;
    int n_fds = process_raise_fd_limit();
    unsigned room;

    if (n_fds < 0)
        return helper_fail_to("determine the open-file limit", n_fds);
    helper->n_fds = (unsigned)n_fds;
    room = process_client_room(helper->n_fds);
    if (!options->max_clients)
        options->max_clients = room;
    else if (options->max_clients > room)
        log_warning("--max-clients=%u: the open-file limit of %u allows only %u",
                    options->max_clients, helper->n_fds, room);
    if (!options->max_threads)
        options->max_threads = options->max_clients < MAIN_THREADS_MAX ? options->max_clients + 1
                                                                       : MAIN_THREADS_MAX;
    return 0;
}

/* Before the socket: only the holder of the lock may take the socket. */
static int helper_lock_pidfile(struct helper *helper)
{
    char error[MAIN_ERROR_SIZE];

    if (!helper->options.pidfile)
        return 0;
    helper->pidfile_fd = pidfile_lock(helper->options.pidfile, error, sizeof(error));
    return helper->pidfile_fd < 0 ? helper_fail(error, helper->pidfile_fd) : 0;
}

/* Sockets that a sandbox would not let us make. */
static int helper_open_log(struct helper *helper)
{
    int r;

    log_prepare_syslog();
    if (helper->options.syslog && helper->background_fd < 0)
        log_to_syslog();
    r = notify_init(&helper->notify);
    if (r < 0)
        log_warning("cannot notify the service manager: %s", strerror(-r));
    return 0;
}

static int helper_open_listener(struct helper *helper)
{
    const struct options *options = &helper->options;
    const struct listen_options listen_options = {
        .path = options->socket_path,
        .mode = options->socket_mode,
        .user = options->socket_uid,
        .group = options->socket_gid,
    };
    char error[MAIN_ERROR_SIZE];

    if (helper->inherited)
        helper->listener = listen_adopt(error, sizeof(error));
    else
        helper->listener = listen_open(&listen_options, &helper->socket_inode, error,
                                       sizeof(error));
    return helper->listener < 0 ? helper_fail(error, helper->listener) : 0;
}

/*
 * The same for the socket that tells the status. Without one the helper serves all the same, since
 * reservations decide who may write, and says so as soon as there is a log.
 */
static int helper_open_status(struct helper *helper)
{
    const char *wanted = helper->options.status_path;
    struct listen_options listen_options = {
        .mode = helper->options.status_mode,
        .user = (uid_t)-1,
        .group = helper->options.status_gid,
    };

    if (!wanted)
        wanted = access(BUILD_STATUS_DIRECTORY, F_OK) == 0 ? BUILD_STATUS_DIRECTORY "/" : "";
    if (!*wanted)
        return 0;
    if (wanted[strlen(wanted) - 1] == '/')
        listen_sweep(wanted);
    listen_options.path = helper->status_path = process_path(wanted);
    if (helper->status_path)
        helper->status_listener = listen_open(&listen_options, &helper->status_inode,
                                              helper->status_problem,
                                              sizeof(helper->status_problem));
    else
        snprintf(helper->status_problem, sizeof(helper->status_problem), "%s", strerror(ENOMEM));
    if (helper->status_listener < 0) {
        free(helper->status_path);
        helper->status_path = NULL;
    }
    return 0;
}

/* With the user that we were started as. Not before clients can connect, since a fork takes as long
 * as all that came before; a socket that is left behind until then is replaced at the next start.
 */
static int helper_start_keeper(struct helper *helper)
{
    const struct options *options = &helper->options;
    const struct mpath_options mpath_options = {
        .deadline_ms = options->mpath_timeout_s * 1000,
        .grace_ms = MAIN_MPATH_GRACE_MS,
        .io_timeout_ms = options->io_timeout_s * 1000,
        .service = options->mpath_socket,
    };
    char problem[MAIN_ERROR_SIZE];
    bool may_spawn = !options->mpath_socket &&
                     spawn_is_possible(options->mpath_worker, problem, sizeof(problem));
    bool has_maps = may_spawn || options->mpath_socket;
    const struct keeper_options keeper_options = {
        .socket_path = helper->inherited ? NULL : options->socket_path,
        .socket = &helper->socket_inode,
        .status_path = helper->status_path,
        .status = &helper->status_inode,
        .pidfile_path = options->pidfile,
        .pidfile_fd = helper->pidfile_fd,
        .worker_path = may_spawn ? options->mpath_worker : NULL,
        .worker_socket = options->mpath_socket,
    };
    int r;

    mpath_init(&helper->mpath, &mpath_options, has_maps ? &helper->keeper : NULL, problem);
    if (helper->inherited && helper->pidfile_fd < 0 && !helper->status_path && !has_maps &&
        geteuid() != 0)
        return 0; /* nothing to keep, and nothing of root's in /proc to be kept from */
    r = keeper_start(&helper->keeper, &keeper_options);
    return r < 0 ? helper_fail_to("start the keeper process", r) : 0;
}

static void helper_remove_names(void *context)
{
    struct helper *helper = context;
    int r = keeper_remove_socket(&helper->keeper);

    if (r < 0)
        log_error("cannot remove socket %s: %s", helper->options.socket_path, strerror(-r));
}

/* What is to be read of a client's process. */
static int helper_open_proc(void *context, pid_t pid, const char *file)
{
    struct helper *helper = context;

    return keeper_open_proc(&helper->keeper, pid, file);
}

/* All that serving needs of the system, while it can still be had. */
static int helper_prepare_server(struct helper *helper)
{
    const struct options *options = &helper->options;
    struct server_options server_options = {
        .max_clients = options->max_clients,
        .max_threads = options->max_threads,
        .max_buffer_bytes = options->max_buffers_mib << 20,
        .n_slots = helper->n_fds,
        .client_timeout_ms = options->client_timeout_s * 1000LL,
        .stop_timeout_ms = options->stop_timeout_s * 1000LL,
        .endpoints = {{.listener = helper->listener, .backend = &helper->backend}},
        .n_endpoints = 1,
        .notify = &helper->notify,
        .peers = &helper->peers,
        .passed = helper->inherited,
        .remove_names = helper->inherited && !helper->status_path ? NULL : helper_remove_names,
        .status = helper->status_path ? &helper->status : NULL,
        .context = helper,
    };
    int r;

    r = route_init(&helper->route, options->io_timeout_s * 1000, &helper->mpath);
    if (r < 0)
        return helper_fail_to("open /sys", r);
    peers_init(&helper->peers, helper->status_path != NULL);
    if (helper->keeper.channel >= 0)
        peers_open_by(&helper->peers, helper_open_proc, helper);
    ledger_init(&helper->ledger, &helper->route.sources, &helper->peers,
                helper->status_path != NULL);
    route_set_ledger(&helper->route, &helper->ledger, options->audit);
    status_init(&helper->status, helper->status_listener, report_write, &helper->report);
    helper->status_listener = -1;
    helper->backend = (struct backend){"sg", &helper->route, route_execute, route_forget};
    r = server_init(&helper->server, &server_options, helper->signal_fd);
    helper->listener = -1;
    helper->signal_fd = -1;
    return r < 0 ? helper_fail_to("prepare to serve", r) : 0;
}

static int helper_drop_privileges(struct helper *helper)
{
    char error[MAIN_ERROR_SIZE];
    int r;

    helper->ids = (struct privileges_ids){.uid = helper->options.uid, .gid = helper->options.gid};
    r = privileges_drop(&helper->ids, error, sizeof(error));

    return r < 0 ? helper_fail(error, r) : 0;
}

/* What the status says of ourselves, while it can still be asked. */
static int helper_prepare_report(struct helper *helper)
{
    helper->report = (struct report){
        .options = &helper->options,
        .socket_path = helper->inherited ? NULL : helper->options.socket_path,
        .status_path = helper->status_path,
        .server = &helper->server,
        .ledger = &helper->ledger,
        .mpath = &helper->mpath,
        .started_us = clock_now_us(),
        .uid = geteuid(),
        .gid = getegid(),
        .user_note = helper->ids.note,
        .capabilities = capabilities_permitted(),
    };
    return 0;
}

/* Last: from here on there is no way to get anything new. */
static int helper_enter_sandbox(struct helper *helper)
{
    char error[MAIN_ERROR_SIZE];
    int r;

    if (!helper->options.sandbox)
        return 0;
    r = sandbox_enter_landlock(helper->keeper.channel < 0, &helper->report.landlock_version, error,
                               sizeof(error));
    if (r == 0)
        r = sandbox_enter_seccomp(error, sizeof(error));
    if (r < 0)
        return helper_fail(error, r);
    helper->report.landlock = helper->report.landlock_version ? REPORT_ACTIVE : REPORT_UNSUPPORTED;
    helper->report.seccomp = REPORT_ACTIVE;
    return 0;
}

static void helper_notify_ready(struct helper *helper)
{
    if (helper->inherited)
        log_info("serving on the service manager's socket, at most %u clients",
                 helper->options.max_clients);
    else
        log_info("serving on %s, at most %u clients", helper->options.socket_path,
                 helper->options.max_clients);
    if (helper->background_fd >= 0) {
        log_to_syslog();
        background_ready(helper->background_fd);
        helper->background_fd = -1;
    }
    if (helper->status_problem[0])
        log_error("no status socket, but clients are served: %s", helper->status_problem);
    notify_send(&helper->notify, "READY=1\nSTATUS=Serving 0 clients");
}

/* A stage has failed. Once there is a keeper, it removes what there is. */
static void helper_give_up(struct helper *helper)
{
    if (helper->keeper.channel < 0 && helper->listener >= 0 && !helper->inherited)
        inode_remove(helper->options.socket_path, &helper->socket_inode);
    if (helper->keeper.channel < 0 && helper->status_listener >= 0)
        inode_remove(helper->status_path, &helper->status_inode);
    if (helper->keeper.channel < 0 && helper->pidfile_fd >= 0)
        unlink(helper->options.pidfile);
    free(helper->status_path);
    options_deinit(&helper->options);
}

/* The end, with every thread gone or, after SERVER_CUT, some left in the kernel. */
static void helper_finish(struct helper *helper, enum server_end end)
{
    int r;

    if (helper->pidfile_fd >= 0) {
        r = keeper_remove_pidfile(&helper->keeper);
        if (r < 0)
            log_error("cannot remove pid file %s: %s", helper->options.pidfile, strerror(-r));
        pidfile_unlock(helper->pidfile_fd);
    }
    keeper_deinit(&helper->keeper);
    if (end == SERVER_CUT) {
        if (helper->options.audit)
            audit_write_unfinished(&helper->ledger);
        _exit(EXIT_SUCCESS);
    }
    server_deinit(&helper->server);
    status_deinit(&helper->status);
    free(helper->status_path);
    ledger_deinit(&helper->ledger);
    peers_deinit(&helper->peers);
    route_deinit(&helper->route);
    mpath_deinit(&helper->mpath);
    notify_deinit(&helper->notify);
    trace_close();
    options_deinit(&helper->options);
    log_deinit();
}

/* The start-up. What each stage must come before or after stands with its function. */
static int (*const stages[])(struct helper *helper) = {
    helper_clean_fds,        /* standard fds, stray fds, sockets from the service manager */
    helper_block_signals,    /* from here on no signal is lost */
    helper_read_options,     /* configuration file, command line, user and group names */
    helper_go_to_background, /* -d */
    helper_open_trace,       /* -T ...,file= */
    helper_raise_fd_limit,   /* and with it the number of clients */
    helper_lock_pidfile,     /* -f */
    helper_open_listener,    /* clients can connect from here on */
    helper_open_status,      /* for those who look after the helper */
    helper_start_keeper,     /* who cleans up after us, and starts the multipath worker */
    helper_open_log,         /* syslog, service manager */
    helper_prepare_server,   /* epoll, timers, /sys, /proc */
    helper_drop_privileges,  /* user, group, capabilities */
    helper_prepare_report,   /* for the status */
    helper_enter_sandbox,    /* Landlock, seccomp */
};

int main(int argc, char **argv)
{
    /* Not on the stack: of what is never written to there is no page. */
    static struct helper helper = {
        .background_fd = -1,
        .pidfile_fd = -1,
        .keeper = {.channel = -1},
        .listener = -1,
        .status_listener = -1,
        .signal_fd = -1,
    };

    helper.argc = argc;
    helper.argv = argv;
    log_set_name("qemu-pr-helper");
    log_to_fd(STDERR_FILENO);
    memory_init();
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        if (stages[i](&helper) < 0) {
            helper_give_up(&helper);
            return EXIT_FAILURE;
        }
    }
    helper_notify_ready(&helper);
    helper_finish(&helper, server_run(&helper.server));
    return EXIT_SUCCESS;
}
