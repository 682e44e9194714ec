// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/facts.h"

#include <errno.h>
#include <json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/escape.h"
#include "base/parse.h"
#include "node/document.h"
#include "node/facts_internal.h"

#define FACTS_MOST         1e15 /* what a double counts exactly */
#define FACTS_BOUNDS_APART 1e-6 /* of a histogram, relative: as labels they are different texts */

static const struct facts_row {
    const char *object, *member;
} facts_rows[FACTS_NUMBERS] = {
    [FACTS_UPTIME] = {NULL, "uptime_s"},
    [FACTS_CLIENTS] = {"clients", "connected"},
    [FACTS_ACCEPTED] = {"clients", "accepted"},
    [FACTS_REFUSED] = {"clients", "refused"},
    [FACTS_MAX_CLIENTS] = {"options", "max_clients"},
    [FACTS_REQUESTS] = {"requests", "total"},
    [FACTS_BUSY] = {"requests", "busy"},
    [FACTS_THREADS] = {"threads", "total"},
    [FACTS_IDLE] = {"threads", "idle"},
    [FACTS_MAX_THREADS] = {"options", "max_threads"},
    [FACTS_MAX_BUFFERS] = {"options", "max_buffers_mib"},
    [FACTS_IO_TIMEOUT] = {"options", "io_timeout_s"},
    [FACTS_CLIENT_TIMEOUT] = {"options", "client_timeout_s"},
    [FACTS_STOP_TIMEOUT] = {"options", "stop_timeout_s"},
    [FACTS_HUNG_AFTER] = {NULL, "hung_after_s"},
    [FACTS_FORGOTTEN] = {NULL, "devices_forgotten"},
    [FACTS_LEFT_OUT] = {NULL, "log_lines_left_out"},
    [FACTS_ALARMS] = {"same_nexus", "alarms"},
};

static const char *const facts_commands[FACTS_COMMANDS] = {
    [FACTS_IN] = "PERSISTENT RESERVE IN",
    [FACTS_OUT] = "PERSISTENT RESERVE OUT",
    [FACTS_CLEANUP] = "CLEANUP",
};

/* json-c reads NaN and Infinity too. */
static double facts_number(struct json_object *object, const char *name)
{
    double number = document_seconds(object, name);

    return !isfinite(number) || number < 0 ? 0 : number > FACTS_MOST ? FACTS_MOST : number;
}

/* Something that is counted has no fraction. */
static double facts_count(struct json_object *object, const char *name)
{
    return floor(facts_number(object, name));
}

static int64_t facts_pid(struct json_object *object)
{
    int64_t pid = document_number(object, "pid");

    return pid > 0 && pid <= INT32_MAX ? pid : 0;
}

/* Escaped: from here on no text can harm a terminal, and each is UTF-8. */
static void facts_text(struct json_object *object, const char *name, char *ret_text, size_t size)
{
    const char *text = document_text(object, name);

    escape_text(ret_text, size, text ? text : "");
}

void facts_lun_name(const char *wwn, const char *number, char *ret_name, size_t size)
{
    if (strncmp(wwn, "mpath-", 6) == 0) {
        /* The first digit is the designator's type: 3 for NAA, 2 for EUI-64 (multipath's WWID). */
        if (wwn[6] == '3')
            snprintf(ret_name, size, "naa.%s", wwn + 7);
        else if (wwn[6] == '2')
            snprintf(ret_name, size, "eui.%s", wwn + 7);
        else
            snprintf(ret_name, size, "%s", wwn + 6);
    } else if (*wwn) {
        snprintf(ret_name, size, "%s", wwn);
    } else {
        snprintf(ret_name, size, "device-%s", number);
    }
}

static void facts_add_times(struct facts_times *times, struct json_object *latency)
{
    double max_s = facts_number(latency, "max_us") / 1e6;
    size_t n = document_count(latency, "buckets");

    times->count += facts_count(latency, "count");
    times->sum_s += facts_number(latency, "sum_us") / 1e6;
    times->max_s = max_s > times->max_s ? max_s : times->max_s;
    for (size_t i = 0; i < n && i < FACTS_BUCKETS_MAX; i++) {
        struct json_object *bucket = document_item(latency, "buckets", i);

        /* All devices have the same bounds, and a helper that has others is believed the first. */
        if (i >= times->n_buckets) {
            double bound_s = facts_number(bucket, "le_us") / 1e6;

            if (bound_s <= 0 ||
                (i > 0 && bound_s <= times->bound_s[i - 1] * (1 + FACTS_BOUNDS_APART)))
                break;
            times->bound_s[i] = bound_s;
            times->up_to[i] = 0;
            times->n_buckets++;
        }
        times->up_to[i] += facts_count(bucket, "count");
    }
}

/* A histogram's buckets do not fall, and none is above the count. */
static void facts_straighten(struct facts_times *times)
{
    double least = 0;

    for (unsigned i = 0; i < times->n_buckets; i++) {
        if (times->up_to[i] > times->count)
            times->up_to[i] = times->count;
        if (times->up_to[i] < least)
            times->up_to[i] = least;
        least = times->up_to[i];
    }
}

static void facts_read_commands(struct json_object *one, struct facts_device *device)
{
    for (size_t i = 0; i < document_count(one, "commands"); i++) {
        struct json_object *row = document_item(one, "commands", i);
        const char *result = document_text(row, "result");
        double count = facts_count(row, "count");

        device->commands += count;
        if (!result || strcmp(result, "GOOD") == 0)
            continue;
        if (strcmp(result, "RESERVATION CONFLICT") == 0)
            device->conflicts += count;
        else
            device->failures += count;
    }
}

static void facts_read_in_flight(struct json_object *one, struct facts_device *device)
{
    size_t n = document_count(one, "in_flight");

    device->in_flight = facts_count(one, "in_flight_total");
    for (size_t i = 0; i < n; i++) {
        struct json_object *command = document_item(one, "in_flight", i);
        double age_s = facts_number(command, "age_s");
        char name[48], action[48];

        device->oldest_s = age_s > device->oldest_s ? age_s : device->oldest_s;
        if (!document_flag(command, "hung"))
            continue;
        device->n_hung++;
        if (age_s <= device->hung.age_s)
            continue;
        facts_text(command, "command", name, sizeof(name));
        facts_text(command, "service_action", action, sizeof(action));
        snprintf(device->hung.command, sizeof(device->hung.command), "%s%s%s", name,
                 *action ? ", " : "", action);
        facts_text(command, "vm", device->hung.vm, sizeof(device->hung.vm));
        device->hung.pid = facts_pid(command);
        device->hung.age_s = age_s;
    }
}

static int facts_read_keys(struct json_object *one, struct facts_device *device, double *left_out)
{
    size_t n = document_count(one, "keys");

    if (n > FACTS_KEYS_MAX) {
        *left_out += (double)(n - FACTS_KEYS_MAX);
        n = FACTS_KEYS_MAX;
    }
    *left_out += facts_number(one, "keys_left_out");
    if (n == 0)
        return 0;
    device->keys = calloc(n, sizeof(*device->keys));
    if (!device->keys)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = document_item(one, "keys", i);
        struct facts_key *key = &device->keys[device->n_keys];
        const char *text = document_text(item, "key");

        if (!text || !parse_hex(text, UINT64_MAX, &key->key))
            continue;
        key->pid = facts_pid(item);
        key->connected = document_flag(item, "connected");
        /* Whether the device has it is not known before a client has read its full status. */
        key->stale = document_flag(item, "stale") && document_flag(item, "verified");
        key->replaced = document_flag(item, "replaced");
        key->age_s = facts_number(item, "age_s");
        facts_text(item, "vm", key->vm, sizeof(key->vm));
        device->n_keys++;
    }
    return 0;
}

static void facts_read_reservation(struct json_object *one, struct facts_device *device)
{
    struct json_object *reservation = document_object(one, "reservation");
    const char *holder = document_text(reservation, "key");

    if (!reservation)
        return;
    device->reservation_known = true;
    device->reservation_age_s = facts_number(reservation, "age_s");
    facts_text(reservation, "type", device->reservation_type, sizeof(device->reservation_type));
    if (!holder || !parse_hex(holder, UINT64_MAX, &device->holder))
        device->holder = 0;
}

static int facts_read_device(struct json_object *one, const struct facts_maps *maps,
                             struct facts *facts)
{
    struct facts_device *device = &facts->devices[facts->n_devices];
    struct json_object *error = document_object(one, "last_error");
    const char *kind = document_text(one, "kind");
    char wwn[96];

    facts->n_devices++;
    facts_text(one, "device", device->number, sizeof(device->number));
    facts_text(one, "wwn", wwn, sizeof(wwn));
    facts_lun_name(wwn, device->number, device->wwn, sizeof(device->wwn));
    facts_text(one, "name", device->disk, sizeof(device->disk));
    facts_text(one, "map", device->map, sizeof(device->map));
    facts_text(one, "nexus", device->nexus, sizeof(device->nexus));
    facts_text(error, document_text(error, "sense") ? "sense" : "result", device->last_error,
               sizeof(device->last_error));
    device->is_map = kind && strcmp(kind, "multipath") == 0;
    device->same_nexus = document_object(one, "same_nexus") != NULL;
    facts_read_reservation(one, device);
    facts_read_commands(one, device);
    facts_read_in_flight(one, device);
    if (device->is_map)
        facts->worker_queue += device->in_flight;
    facts->n_hung += device->n_hung;
    for (size_t i = 0; i < document_count(one, "latency"); i++) {
        struct json_object *latency = document_item(one, "latency", i);
        const char *command = document_text(latency, "command");
        double max_s = facts_number(latency, "max_us") / 1e6;

        device->n_timed += facts_count(latency, "count");
        device->seconds += facts_number(latency, "sum_us") / 1e6;
        device->seconds_max = max_s > device->seconds_max ? max_s : device->seconds_max;
        for (unsigned k = 0; command && k < FACTS_COMMANDS; k++) {
            if (strcmp(command, facts_commands[k]) == 0)
                facts_add_times(&facts->times[k], latency);
        }
    }
    if (device->is_map && facts_read_paths(maps, wwn, device, &facts->left_out) < 0)
        return -ENOMEM;
    return facts_read_keys(one, device, &facts->left_out);
}

static void facts_read_clients(struct json_object *document, struct facts *facts)
{
    size_t n = document_count(document, "connections");

    for (size_t i = 0; i < n && facts->n_clients < FACTS_CLIENTS_MAX; i++) {
        struct json_object *one = document_item(document, "connections", i);
        struct facts_client *client = &facts->clients[facts->n_clients++];

        client->pid = facts_pid(one);
        client->age_s = facts_number(one, "age_s");
        client->busy_s = facts_number(one, "busy_s");
        client->requests = facts_number(one, "requests");
        facts_text(one, "vm", client->vm, sizeof(client->vm));
        facts_text(one, "state", client->state, sizeof(client->state));
        facts_text(one, "device", client->device, sizeof(client->device));
    }
    facts->left_out += (double)(n - facts->n_clients);
    facts->left_out += facts_number(document, "connections_left_out");
}

/* Room for `n` of them, but at most `most`; what is beyond is counted. */
static void *facts_make_room(size_t *n, size_t most, size_t size, double *left_out)
{
    if (*n > most) {
        *left_out += (double)(*n - most);
        *n = most;
    }
    return calloc(*n > 0 ? *n : 1, size);
}

/* When it was started: the document's time, less what it has run for. */
static double facts_started(struct json_object *document)
{
    const char *text = document_text(document, "time");
    struct tm time = {0};
    double fraction = 0;
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &time) : NULL;

    if (!rest)
        return 0;
    if (*rest == '.')
        fraction = strtod(rest, NULL);
    return (double)timegm(&time) + (fraction < 1 ? fraction : 0) -
           facts_number(document, "uptime_s");
}

/* Where it is unavailable, as without multipath, that matters only when a map is used all the same.
 */
static bool facts_worker_failed(const struct facts *facts)
{
    if (strcmp(facts->worker, "unavailable") != 0)
        return strcmp(facts->worker, "failed") == 0 || *facts->worker_error;
    for (unsigned i = 0; i < facts->n_devices; i++) {
        if (facts->devices[i].is_map)
            return true;
    }
    return false;
}

static int facts_fill(struct json_object *document, struct facts *facts)
{
    struct json_object *worker = document_object(document, "worker");
    size_t n_devices = document_count(document, "devices");
    size_t n_clients = document_count(document, "connections");
    struct facts_maps maps = {0};
    double ignored = 0;
    int r;

    facts->pid = facts_pid(document);
    facts_text(document, "version", facts->version, sizeof(facts->version));
    facts_text(document, "socket", facts->socket, sizeof(facts->socket));
    facts_text(worker, "state", facts->worker, sizeof(facts->worker));
    facts_text(worker, "last_error", facts->worker_error, sizeof(facts->worker_error));
    for (unsigned i = 0; i < FACTS_NUMBERS; i++) {
        const struct facts_row *row = &facts_rows[i];
        struct json_object *object = row->object ? document_object(document, row->object)
                                                 : document;

        facts->numbers[i] = facts_number(object, row->member);
    }
    facts->started_s = facts_started(document);
    facts->devices = facts_make_room(&n_devices, FACTS_LUNS_MAX, sizeof(*facts->devices),
                                     &facts->left_out);
    facts->clients = facts_make_room(&n_clients, FACTS_CLIENTS_MAX, sizeof(*facts->clients),
                                     &ignored);
    if (!facts->devices || !facts->clients)
        return -ENOMEM;
    r = facts_list_maps(worker, &maps);
    for (size_t i = 0; r == 0 && i < n_devices; i++)
        r = facts_read_device(document_item(document, "devices", i), &maps, facts);
    free(maps.rows);
    if (r < 0)
        return r;
    facts->worker_failed = facts_worker_failed(facts);
    facts_read_clients(document, facts);
    for (unsigned i = 0; i < FACTS_COMMANDS; i++)
        facts_straighten(&facts->times[i]);
    return 0;
}

int facts_read(struct json_object *document, struct facts *ret_facts)
{
    struct facts facts = {0};
    int r = facts_fill(document, &facts);

    if (r < 0)
        facts_deinit(&facts);
    else
        *ret_facts = facts;
    return r;
}

void facts_deinit(struct facts *facts)
{
    for (unsigned i = 0; i < facts->n_devices; i++) {
        free(facts->devices[i].keys);
        free(facts->devices[i].paths);
    }
    free(facts->devices);
    free(facts->clients);
    *facts = (struct facts){0};
}
