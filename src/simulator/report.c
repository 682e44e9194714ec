// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A LUN is listed once for each host, as the disk that it is there: a device has one nexus. A
 * command holds a LUN's lock for as long as its state is saved, and the main thread waits for it
 * here.
 */
#include "simulator/report.h"

#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "build.h"
#include "simulator/sim_internal.h"

static void report_reservation(const struct lu *lu, struct json *json)
{
    json_open(json, "reservation", '{');
    json_text(json, "type", lu->reserved ? spc_type_name(lu->type) : NULL);
    if (lu->reserved && !spc_type_is_all_registrants(lu->type))
        json_format(json, "key", "0x%016" PRIx64, lu->registration[lu->holder].key);
    else
        json_null(json, "key");
    json_seconds(json, "age_s", 0);
    json_close(json, '}');
}

static void report_keys(const struct lu *lu, const struct sim_nexus *nexus, struct json *json)
{
    json_open(json, "keys", '[');
    for (size_t i = 0; i < lu->registrations; i++) {
        const struct lu_registration *registration = &lu->registration[i];

        if (!transportid_equal(&registration->initiator, &nexus->initiator))
            continue;
        json_open(json, NULL, '{');
        json_format(json, "key", "0x%016" PRIx64, registration->key);
        json_bool(json, "connected", true);
        json_bool(json, "stale", false);
        json_bool(json, "replaced", false);
        json_null(json, "pid");
        json_text(json, "vm", nexus->name);
        json_seconds(json, "age_s", 0);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_integer(json, "keys_left_out", 0);
}

static void report_unit(struct sim_unit *unit, const struct sim_nexus *nexus, struct json *json)
{
    json_open(json, NULL, '{');
    json_format(json, "device", "%u:%u", major(unit->lun.device), minor(unit->lun.device));
    json_text(json, "kind", "simulated");
    json_text(json, "name", *unit->name ? unit->name : NULL);
    json_format(json, "wwn", "simulated.%" PRIu64, (uint64_t)unit->lun.inode);
    json_null(json, "map");
    json_text(json, "nexus", nexus->name);
    json_open(json, "commands", '[');
    json_close(json, ']');
    json_open(json, "latency", '[');
    json_close(json, ']');
    json_open(json, "in_flight", '[');
    json_close(json, ']');
    json_integer(json, "in_flight_total", 0);
    json_null(json, "last_error");
    pthread_mutex_lock(&unit->lock);
    report_reservation(&unit->lu, json);
    report_keys(&unit->lu, nexus, json);
    pthread_mutex_unlock(&unit->lock);
    json_null(json, "same_nexus");
    json_close(json, '}');
}

static void report_server(const struct server *server, struct json *json)
{
    json_open(json, "threads", '{');
    json_integer(json, "total", atomic_load(&server->pool.threads));
    json_integer(json, "idle", atomic_load(&server->pool.idle));
    json_close(json, '}');
    json_open(json, "clients", '{');
    json_integer(json, "connected", atomic_load(&server->conns.n_open));
    json_integer(json, "accepted", (int64_t)server->n_accepted);
    json_integer(json, "refused", atomic_load(&server->conns.n_refused));
    json_close(json, '}');
    json_open(json, "options", '{');
    json_integer(json, "max_clients", server->options.max_clients);
    json_integer(json, "max_threads", server->options.max_threads);
    json_close(json, '}');
}

void sim_report_write(void *context, struct json *json)
{
    const struct sim_report *report = context;
    struct sim *sim = report->sim;
    char time[TIMESTAMP_SIZE];

    json_open(json, NULL, '{');
    json_integer(json, "format", 1);
    json_text(json, "program", "qemu-pr-simulator");
    json_text(json, "version", BUILD_VERSION);
    json_integer(json, "pid", getpid());
    json_text(json, "time", timestamp_now(time));
    json_seconds(json, "uptime_s", clock_now_us() - report->started_us);
    json_null(json, "socket");
    json_open(json, "worker", '{');
    json_text(json, "state", "unavailable");
    json_null(json, "last_error");
    json_close(json, '}');
    report_server(report->server, json);
    json_integer(json, "log_lines_left_out", log_count_left_out());
    json_open(json, "connections", '[');
    json_close(json, ']');
    json_open(json, "devices", '[');
    pthread_mutex_lock(&sim->lock);
    for (struct sim_unit *unit = sim->units; unit; unit = unit->next) {
        for (unsigned i = 0; i < sim->n_nexus; i++)
            report_unit(unit, &sim->nexus[i], json);
    }
    pthread_mutex_unlock(&sim->lock);
    json_close(json, ']');
    json_close(json, '}');
}
