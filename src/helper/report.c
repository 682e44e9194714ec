// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each part of the document shows a single moment; between parts a command may have begun or ended.
 */
#include "helper/report.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/timestamp.h"
#include "build.h"
#include "daemon/capabilities.h"
#include "ledger/report_devices.h"

static void report_options(const struct options *options, struct json *json)
{
    json_open(json, "options", '{');
    json_bool(json, "audit", options->audit);
    json_integer(json, "io_timeout_s", options->io_timeout_s);
    json_integer(json, "client_timeout_s", options->client_timeout_s);
    json_integer(json, "stop_timeout_s", options->stop_timeout_s);
    json_integer(json, "max_clients", options->max_clients);
    json_integer(json, "max_threads", options->max_threads);
    json_integer(json, "max_buffers_mib", options->max_buffers_mib);
    json_close(json, '}');
}

static void report_sandbox(const struct report *report, struct json *json)
{
    static const char *const states[] = {
        [REPORT_OFF] = "off",
        [REPORT_ACTIVE] = "active",
        [REPORT_UNSUPPORTED] = "unsupported",
    };

    json_open(json, "sandbox", '{');
    json_text(json, "seccomp", states[report->seccomp]);
    json_text(json, "landlock", states[report->landlock]);
    if (report->landlock == REPORT_ACTIVE)
        json_integer(json, "landlock_version", report->landlock_version);
    else
        json_null(json, "landlock_version");
    json_integer(json, "uid", report->uid);
    json_integer(json, "gid", report->gid);
    json_text(json, "user_note", report->user_note[0] ? report->user_note : NULL);
    json_open(json, "capabilities", '[');
    if (report->capabilities & CAPABILITY(CAP_SYS_RAWIO)) /* all others were dropped */
        json_text(json, NULL, "CAP_SYS_RAWIO");
    json_close(json, ']');
    json_close(json, '}');
}

static void report_path(const struct maptable_path *path, struct json *json)
{
    static const char *const states[MAPTABLE_STATES] = {
        [MAPTABLE_UP] = "up",
        [MAPTABLE_AWAY] = "away",
        [MAPTABLE_HANGS] = "hangs",
        [MAPTABLE_FAILED] = "failed",
    };

    json_open(json, NULL, '{');
    json_format(json, "device", "%u:%u", path->major, path->minor);
    json_text(json, "name", path->name);
    json_text(json, "state", states[path->state]);
    if (path->registered == MAPTABLE_UNKNOWN)
        json_null(json, "registered");
    else
        json_bool(json, "registered", path->registered == MAPTABLE_YES);
    json_close(json, '}');
}

static void report_maps(struct mpath *mpath, int64_t now, struct json *json)
{
    unsigned at = 0, n_maps = 0, n_paths = 0, left_out = 0;
    struct maptable_map map;

    json_open(json, "maps", '[');
    while (mpath_next_map(mpath, &at, &map)) {
        if (n_maps == REPORT_MAPS_MAX || n_paths + map.n_paths > REPORT_PATHS_MAX) {
            left_out++;
            continue;
        }
        n_maps++;
        n_paths += map.n_paths;
        json_open(json, NULL, '{');
        json_format(json, "device", "%u:%u", map.major, map.minor);
        json_text(json, "wwn", map.uuid);
        json_seconds(json, "age_s", now > map.told_us ? now - map.told_us : 0);
        json_open(json, "paths", '[');
        for (uint32_t i = 0; i < map.n_paths; i++)
            report_path(&map.path[i], json);
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, ']');
    json_integer(json, "maps_left_out", left_out);
}

static void report_worker(struct mpath *mpath, int64_t now, struct json *json)
{
    static const char *const states[] = {
        [MPATH_IMPOSSIBLE] = "unavailable",
        [MPATH_STOPPED] = "stopped",
        [MPATH_RUNNING] = "running",
        [MPATH_FAILED] = "failed",
    };
    struct mpath_facts facts;

    mpath_get_facts(mpath, &facts);
    json_open(json, "worker", '{');
    json_text(json, "state", states[facts.condition]);
    if (facts.pid)
        json_integer(json, "pid", facts.pid);
    else
        json_null(json, "pid");
    json_text(json, "library", NULL);
    json_text(json, "last_error", facts.problem[0] ? facts.problem : NULL);
    report_maps(mpath, now, json);
    json_close(json, '}');
}

static void report_connection(const struct conns_look *look, int64_t now, struct json *json)
{
    static const char *const states[] = {
        [CONNS_HANDSHAKE] = "handshake", [CONNS_IDLE] = "idle",
        [CONNS_RECEIVING] = "receiving", [CONNS_EXECUTING] = "executing",
        [CONNS_REPLYING] = "replying",
    };
    const struct peer *peer = look->peer;
    int64_t busy_since = peer ? atomic_load(&peer->busy_since_us) : 0;
    dev_t device = peer ? atomic_load(&peer->busy_device) : 0;

    json_open(json, NULL, '{');
    json_integer(json, "connection", (int64_t)look->number);
    json_text(json, "state", states[look->state]);
    /* The coarse clock may be some milliseconds behind the other one. */
    json_seconds(json, "age_s", now > look->since_ms * 1000 ? now - look->since_ms * 1000 : 0);
    report_who(look->pid, look->uid, peer ? peer->vm : NULL, json);
    if (look->gid != (gid_t)-1)
        json_integer(json, "gid", look->gid);
    else
        json_null(json, "gid");
    json_text(json, "label", peer ? peer->label : NULL);
    json_text(json, "vm_source", report_source(peer));
    json_integer(json, "requests", peer ? atomic_load(&peer->requests) : 0);
    if (busy_since) {
        json_format(json, "device", "%u:%u", major(device), minor(device));
        json_seconds(json, "busy_s", now - busy_since);
    } else {
        json_null(json, "device");
        json_null(json, "busy_s");
    }
    json_close(json, '}');
}

/* Returns how many requests those that are connected have made. */
static uint64_t report_connections(struct conns *conns, int64_t now, struct json *json)
{
    unsigned listed = 0, left_out = 0;
    uint64_t requests = 0;

    json_open(json, "connections", '[');
    for (unsigned sock = 0; sock < atomic_load(&conns->n_used); sock++) {
        struct conns_look look;

        if (!conns_look(conns, sock, &look))
            continue;
        if (listed < REPORT_CONNECTIONS_MAX) {
            report_connection(&look, now, json);
            listed++;
        } else {
            left_out++;
        }
        if (look.peer) {
            requests += atomic_load(&look.peer->requests);
            peer_unref(look.peer);
        }
    }
    json_close(json, ']');
    json_integer(json, "connections_left_out", left_out);
    return requests;
}

static void report_server(struct server *server, int64_t now, struct json *json)
{
    struct conns *conns = &server->conns;
    uint64_t requests;

    json_open(json, "threads", '{');
    json_integer(json, "total", atomic_load(&server->pool.threads));
    json_integer(json, "idle", atomic_load(&server->pool.idle));
    json_close(json, '}');
    json_open(json, "clients", '{');
    json_integer(json, "connected", atomic_load(&conns->n_open));
    json_integer(json, "accepted", (int64_t)server->n_accepted);
    json_integer(json, "refused", atomic_load(&conns->n_refused));
    json_close(json, '}');
    requests = report_connections(conns, now, json) + atomic_load(&conns->n_served);
    json_open(json, "requests", '{');
    json_integer(json, "total", (int64_t)requests + atomic_load(&conns->n_busy));
    json_integer(json, "busy", atomic_load(&conns->n_busy));
    json_close(json, '}');
}

void report_write(void *context, struct json *json)
{
    const struct report *report = context;
    int64_t now = clock_now_us();
    char time[TIMESTAMP_SIZE];

    json_open(json, NULL, '{');
    json_integer(json, "format", 1);
    json_text(json, "program", "qemu-pr-helper");
    json_text(json, "version", BUILD_VERSION);
    json_integer(json, "pid", getpid());
    json_text(json, "time", timestamp_now(time));
    json_seconds(json, "uptime_s", now - report->started_us);
    json_text(json, "socket", report->socket_path);
    json_text(json, "status_socket", report->status_path);
    report_options(report->options, json);
    json_seconds(json, "hung_after_s", report->options->hung_after_s * 1000000LL);
    report_sandbox(report, json);
    report_worker(report->mpath, now, json);
    report_server(report->server, now, json);
    json_integer(json, "log_lines_left_out", log_count_left_out());
    report_devices(report->ledger, now, report->options->hung_after_s * 1000000LL, json);
    json_close(json, '}');
}
