// SPDX-License-Identifier: LGPL-2.1-or-later
/* Formatted from a copy of the records, so that no thread that serves a command waits for it. */
#include "ledger/report_devices.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "proto/wire.h"

static const uint32_t report_bounds_us[] = {
    1u << 4,  1u << 6,  1u << 8,  1u << 10, 1u << 12, 1u << 14,
    1u << 16, 1u << 18, 1u << 20, 1u << 22, 1u << 24, 1u << 26,
};

void report_who(pid_t pid, uid_t uid, const char *vm, struct json *json)
{
    if (pid > 0)
        json_integer(json, "pid", pid);
    else
        json_null(json, "pid");
    if (uid != (uid_t)-1)
        json_integer(json, "uid", uid);
    else
        json_null(json, "uid");
    json_text(json, "vm", vm);
}

static void report_peer(const struct peer *peer, struct json *json)
{
    report_who(peer ? peer->pid : 0, peer ? peer->uid : (uid_t)-1, peer ? peer->vm : NULL, json);
}

const char *report_source(const struct peer *peer)
{
    return peer ? peer_source_word[peer->source] : NULL;
}

static void report_command(uint8_t opcode, uint8_t action, struct json *json)
{
    json_text(json, "command", ledger_command_name(opcode));
    json_text(json, "service_action", ledger_action_name(opcode, action));
}

/* A number of a row back to a command that is counted there. */
static void report_row(unsigned row, struct json *json)
{
    if (row < LEDGER_PRIN_ACTIONS)
        report_command(SPC_PERSISTENT_RESERVE_IN, (uint8_t)row, json);
    else if (row < LEDGER_PRIN_ACTIONS + LEDGER_PROUT_ACTIONS)
        report_command(SPC_PERSISTENT_RESERVE_OUT, (uint8_t)(row - LEDGER_PRIN_ACTIONS), json);
    else
        report_command(WIRE_CLEANUP, 0, json);
}

static void report_counts(const struct ledger_device *device, struct json *json)
{
    json_open(json, "commands", '[');
    for (unsigned row = 0; row < LEDGER_ACTIONS; row++) {
        for (unsigned result = 0; result < LEDGER_RESULTS; result++) {
            if (!device->counts[row][result])
                continue;
            json_open(json, NULL, '{');
            report_row(row, json);
            json_text(json, "result", ledger_result_name((enum ledger_result)result));
            json_integer(json, "count", device->counts[row][result]);
            json_close(json, '}');
        }
    }
    json_close(json, ']');
}

static void report_latency(const struct ledger_device *device, struct json *json)
{
    static const uint8_t opcodes[] = {
        [LEDGER_PRIN] = SPC_PERSISTENT_RESERVE_IN,
        [LEDGER_PROUT] = SPC_PERSISTENT_RESERVE_OUT,
        [LEDGER_CLEANUP] = WIRE_CLEANUP,
    };

    json_open(json, "latency", '[');
    for (unsigned kind = 0; kind < sizeof(opcodes); kind++) {
        const struct latency *latency = &device->latency[kind];

        if (!latency->count)
            continue;
        json_open(json, NULL, '{');
        json_text(json, "command", ledger_command_name(opcodes[kind]));
        json_integer(json, "count", (int64_t)latency->count);
        json_integer(json, "sum_us", (int64_t)latency->sum_us);
        json_integer(json, "p50_us", (int64_t)latency_percentile(latency, 50));
        json_integer(json, "p90_us", (int64_t)latency_percentile(latency, 90));
        json_integer(json, "p99_us", (int64_t)latency_percentile(latency, 99));
        json_integer(json, "max_us", (int64_t)latency->max_us);
        json_open(json, "buckets", '[');
        for (unsigned i = 0; i < sizeof(report_bounds_us) / sizeof(report_bounds_us[0]); i++) {
            json_open(json, NULL, '{');
            json_integer(json, "le_us", report_bounds_us[i]);
            json_integer(json, "count", (int64_t)latency_count_up_to(latency, report_bounds_us[i]));
            json_close(json, '}');
        }
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void report_in_flight(const struct ledger_copy *copy, int64_t now, int64_t hung_us,
                             struct json *json)
{
    json_open(json, "in_flight", '[');
    for (unsigned i = 0; i < copy->n_listed; i++) {
        int64_t age = now - copy->in_flight[i].started_us;

        json_open(json, NULL, '{');
        report_command(copy->in_flight[i].opcode, copy->in_flight[i].action, json);
        json_integer(json, "connection", (int64_t)copy->in_flight[i].connection);
        report_peer(copy->in_flight[i].peer, json);
        json_seconds(json, "age_s", age);
        json_bool(json, "hung", age >= hung_us);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_integer(json, "in_flight_total", copy->device.n_in_flight);
}

static void report_error(const struct ledger_error *error, int64_t now, struct json *json)
{
    char text[SENSE_TEXT_SIZE];
    struct spc_sense sense;

    if (!error->at_us) {
        json_null(json, "last_error");
        return;
    }
    json_open(json, "last_error", '{');
    json_seconds(json, "age_s", now - error->at_us);
    report_command(error->opcode, error->action, json);
    json_integer(json, "connection", (int64_t)error->connection);
    report_peer(error->peer, json);
    json_text(json, "result", ledger_result_name(error->result));
    json_integer(json, "status", error->reply.status);
    if (sense_decode(error->reply.sense, sizeof(error->reply.sense), &sense)) {
        sense_describe(text, sizeof(text), sense);
        json_text(json, "sense", text);
    } else {
        json_null(json, "sense");
    }
    json_close(json, '}');
}

static void report_keys(const struct ledger_copy *copy, int64_t now, struct json *json)
{
    const struct ledger_device *device = &copy->device;

    json_open(json, "keys", '[');
    for (unsigned i = 0; i < device->n_keys; i++) {
        const struct ledger_key *key = &device->keys[i];

        json_open(json, NULL, '{');
        json_format(json, "key", "0x%016llx", (unsigned long long)key->key);
        json_integer(json, "connection", (int64_t)key->peer->connection);
        json_bool(json, "connected", copy->connected[i]);
        json_bool(json, "stale", !copy->connected[i]);
        json_bool(json, "replaced", key->replaced);
        json_bool(json, "verified", !key->doubtful && (copy->connected[i] || key->seen));
        report_peer(key->peer, json);
        json_seconds(json, "age_s", now - key->since_us);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_integer(json, "keys_left_out", device->n_keys_left_out);
}

static void report_reservation(const struct ledger_reservation *reservation, int64_t now,
                               struct json *json)
{
    if (!reservation->at_us) {
        json_null(json, "reservation");
        return;
    }
    json_open(json, "reservation", '{');
    if (reservation->held)
        json_text(json, "type",
                  spc_type_is_valid(reservation->type) ? spc_type_name(reservation->type)
                                                       : "of an unknown type");
    else
        json_null(json, "type");
    if (reservation->key)
        json_format(json, "key", "0x%016llx", (unsigned long long)reservation->key);
    else
        json_null(json, "key");
    json_seconds(json, "age_s", now - reservation->at_us);
    json_close(json, '}');
}

static void report_same_nexus(const struct ledger_copy *copy, int64_t now, struct json *json)
{
    if (!copy->n_shared) {
        json_null(json, "same_nexus");
        return;
    }
    json_open(json, "same_nexus", '{');
    json_open(json, "vms", '[');
    for (unsigned i = 0; i < copy->n_shared; i++)
        json_text(json, NULL, copy->shared[i]->vm);
    json_close(json, ']');
    json_seconds(json, "age_s", now - copy->shared_since_us);
    json_close(json, '}');
}

static void report_device(const struct ledger_copy *copy, int64_t now, int64_t hung_us,
                          struct json *json)
{
    const struct ledger_device *device = &copy->device;
    const struct device_names *names = &device->names;

    json_open(json, NULL, '{');
    json_format(json, "device", "%u:%u", major(device->number), minor(device->number));
    json_text(json, "kind", device_kind_word[device->kind]);
    json_text(json, "name", *names->name ? names->name : NULL);
    json_text(json, "wwn", *names->wwn ? names->wwn : NULL);
    json_text(json, "map", *names->map ? names->map : NULL);
    json_text(json, "nexus", *names->nexus ? names->nexus : NULL);
    json_seconds(json, "idle_s", now - device->used_us);
    report_counts(device, json);
    report_latency(device, json);
    report_in_flight(copy, now, hung_us, json);
    report_error(&device->error, now, json);
    report_reservation(&device->reservation, now, json);
    report_keys(copy, now, json);
    report_same_nexus(copy, now, json);
    json_close(json, '}');
}

void report_devices(struct ledger *ledger, int64_t now, int64_t hung_us, struct json *json)
{
    unsigned n_shared = 0, n_copies;
    struct ledger_copy *copies;

    n_copies = ledger_copy(ledger, &copies);
    json_open(json, "devices", '[');
    for (unsigned i = 0; i < n_copies; i++) {
        report_device(&copies[i], now, hung_us, json);
        n_shared += copies[i].n_shared > 0;
    }
    json_close(json, ']');
    ledger_free_copies(copies, n_copies);

    lock_take(&ledger->lock);
    json_integer(json, "devices_forgotten", ledger->n_forgotten);
    json_open(json, "same_nexus", '{');
    json_text(json, "scope", "helper");
    json_integer(json, "devices", n_shared);
    json_integer(json, "alarms", ledger->n_alarms);
    json_close(json, '}');
    lock_release(&ledger->lock);
}
