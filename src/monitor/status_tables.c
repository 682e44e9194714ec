// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * First what the helper is and what needs attention: LUNs shared by one nexus, commands that hang,
 * keys whose owner has gone. Then a table each of devices, keys, commands in flight and clients.
 * Every text of the document goes through table_set() or escape_text(): names of virtual machines
 * are what a user has typed.
 */
#include "monitor/status_tables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "monitor/table.h"
#include "monitor/words.h"
#include "node/document.h"

static void tables_set_number(struct table *table, size_t column, struct json_object *object,
                              const char *name)
{
    if (json_object_is_type(document_object(object, name), json_type_int))
        table_set(table, column, "%" PRId64, document_number(object, name));
    else
        table_set(table, column, "-");
}

static void tables_print_head(struct json_object *document, FILE *file)
{
    struct json_object *sandbox = document_object(document, "sandbox");
    struct json_object *worker = document_object(document, "worker");
    struct json_object *threads = document_object(document, "threads");
    struct json_object *clients = document_object(document, "clients");
    struct json_object *requests = document_object(document, "requests");
    char line[WORDS_MAX], escaped[WORDS_MAX], up[WORDS_AGE_MAX];

    snprintf(line, sizeof(line), "qemu-pr-helper %s, pid %" PRId64 ", up %s, at %s",
             words_text(document, "version", "?"), document_number(document, "pid"),
             words_age(document_seconds(document, "uptime_s"), up),
             words_text(document, "socket", "the service manager's socket"));
    escape_text(escaped, sizeof(escaped), line);
    fprintf(file, "%s\n", escaped);
    snprintf(line, sizeof(line),
             "sandbox: seccomp %s, Landlock %s, uid %" PRId64 "%s%s%s; multipath worker: %s",
             words_text(sandbox, "seccomp", "?"), words_text(sandbox, "landlock", "?"),
             document_number(sandbox, "uid"), document_text(sandbox, "user_note") ? " (" : "",
             words_text(sandbox, "user_note", ""), document_text(sandbox, "user_note") ? ")" : "",
             words_text(worker, "state", "?"));
    escape_text(escaped, sizeof(escaped), line);
    fprintf(file, "%s\n", escaped);
    fprintf(file,
            "clients: %" PRId64 " connected, %" PRId64 " since the start, %" PRId64
            " refused; requests: %" PRId64 ", %" PRId64 " BUSY; threads: %" PRId64 ", %" PRId64
            " idle\n",
            document_number(clients, "connected"), document_number(clients, "accepted"),
            document_number(clients, "refused"), document_number(requests, "total"),
            document_number(requests, "busy"), document_number(threads, "total"),
            document_number(threads, "idle"));
    if (document_number(document, "log_lines_left_out") > 0)
        fprintf(file, "log: %" PRId64 " lines left out\n",
                document_number(document, "log_lines_left_out"));
    if (document_text(worker, "last_error")) {
        escape_text(escaped, sizeof(escaped), document_text(worker, "last_error"));
        fprintf(file, "multipath worker: %s\n", escaped);
    }
}

struct counts {
    int64_t all, conflicts, failed;
};

static struct counts tables_count_commands(struct json_object *device)
{
    struct counts counts = {0};

    for (size_t i = 0; i < document_count(device, "commands"); i++) {
        struct json_object *row = document_item(device, "commands", i);
        const char *result = words_text(row, "result", "");
        int64_t count = document_number(row, "count");

        counts.all += count;
        if (strcmp(result, "RESERVATION CONFLICT") == 0)
            counts.conflicts += count;
        else if (strcmp(result, "GOOD") != 0)
            counts.failed += count;
    }
    return counts;
}

/* The slowest kind of command counts. */
static int64_t tables_find_p99(struct json_object *device)
{
    int64_t slowest = -1;

    for (size_t i = 0; i < document_count(device, "latency"); i++) {
        int64_t p99 = document_number(document_item(device, "latency", i), "p99_us");

        slowest = p99 > slowest ? p99 : slowest;
    }
    return slowest;
}

static double tables_oldest(struct json_object *device)
{
    return document_seconds(document_item(device, "in_flight", 0), "age_s");
}

static void tables_set_in_flight(struct table *table, size_t column, struct json_object *device)
{
    int64_t total = document_number(device, "in_flight_total");
    char text[WORDS_AGE_MAX];

    if (total == 0)
        table_set(table, column, "-");
    else
        table_set(table, column, "%" PRId64 "%s, %s", total,
                  document_flag(document_item(device, "in_flight", 0), "hung") ? " HUNG" : "",
                  words_age(tables_oldest(device), text));
}

static void tables_set_error(struct table *table, size_t column, struct json_object *device)
{
    struct json_object *error = document_object(device, "last_error");
    char text[WORDS_AGE_MAX];

    if (!error)
        table_set(table, column, "-");
    else
        table_set(table, column, "%s ago: %s", words_age(document_seconds(error, "age_s"), text),
                  words_text(error, "sense", words_text(error, "result", "?")));
}

static void tables_print_devices(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "NAME", "LUN",       "COMMANDS",   "CONFLICTS",
                                       "FAILED", "P99",  "IN FLIGHT", "LAST ERROR", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);
        struct counts counts = tables_count_commands(device);
        int64_t p99 = tables_find_p99(device);
        char text[WORDS_AGE_MAX];

        table_add_row(&table);
        table_set(&table, 0, "%s", words_text(device, "device", "?"));
        table_set(&table, 1, "%s", words_text(device, "map", words_text(device, "name", "-")));
        table_set(&table, 2, "%s", words_text(device, "wwn", "-"));
        table_set(&table, 3, "%" PRId64, counts.all);
        table_set(&table, 4, "%" PRId64, counts.conflicts);
        table_set(&table, 5, "%" PRId64, counts.failed);
        table_set(&table, 6, "%s", p99 < 0 ? "-" : words_latency(p99, text));
        tables_set_in_flight(&table, 7, device);
        tables_set_error(&table, 8, device);
    }
    if (table_count(&table) == 0)
        fprintf(file, "no device has been used yet\n");
    table_print(&table, file);
    table_deinit(&table);
}

/* One row for each item of each parent: of the keys of each device, for example. */
static void tables_print_items(struct json_object *document, const char *parents, const char *items,
                               const char *const *head,
                               void (*set_row)(struct table *table, struct json_object *parent,
                                               struct json_object *item),
                               FILE *file)
{
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, parents); i++) {
        struct json_object *parent = document_item(document, parents, i);

        for (size_t k = 0; k < document_count(parent, items); k++) {
            table_add_row(&table);
            set_row(&table, parent, document_item(parent, items, k));
        }
    }
    if (table_count(&table) > 0)
        fprintf(file, "\n");
    table_print(&table, file);
    table_deinit(&table);
}

static void tables_set_device(struct table *table, size_t column, struct json_object *device)
{
    char name[TABLE_CELL_MAX];

    words_device(device, name, sizeof(name));
    table_set(table, column, "%s", name);
}

static void tables_set_path(struct table *table, struct json_object *map, struct json_object *path)
{
    bool is_known = document_object(path, "registered") != NULL;
    char text[WORDS_AGE_MAX];

    table_set(table, 0, "%s", words_text(map, "device", "?"));
    table_set(table, 1, "%s", words_text(path, "name", "?"));
    table_set(table, 2, "%s", words_text(path, "state", "?"));
    table_set(table, 3, "%s",
              !is_known                           ? "not known"
              : document_flag(path, "registered") ? "yes"
                                                  : "NO");
    table_set(table, 4, "%s ago", words_age(document_seconds(map, "age_s"), text));
}

static void tables_print_paths(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"MAP", "PATH", "STATE", "REGISTERED", "SEEN", NULL};

    tables_print_items(document_object(document, "worker"), "maps", "paths", head, tables_set_path,
                       file);
}

static void tables_set_key(struct table *table, struct json_object *device, struct json_object *key)
{
    const char *state = words_key_state(key);
    char text[WORDS_AGE_MAX];

    tables_set_device(table, 0, device);
    table_set(table, 1, "%s", words_text(key, "key", "?"));
    table_set(table, 2, "%s", words_vm(key));
    tables_set_number(table, 3, key, "pid");
    table_set(table, 4, "%s", words_age(document_seconds(key, "age_s"), text));
    table_set(table, 5, "%s%s%s", strcmp(state, "stale") == 0 ? "STALE" : state,
              document_flag(key, "stale") ? ", client gone" : "",
              document_object(device, "same_nexus") ? ", SAME NEXUS" : "");
}

static void tables_print_keys(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "KEY", "VM", "PID", "AGE", "STATE", NULL};

    tables_print_items(document, "devices", "keys", head, tables_set_key, file);
}

static void tables_set_command(struct table *table, struct json_object *device,
                               struct json_object *command)
{
    char text[WORDS_AGE_MAX];

    tables_set_device(table, 0, device);
    table_set(table, 1, "%s%s", words_age(document_seconds(command, "age_s"), text),
              document_flag(command, "hung") ? " HUNG" : "");
    table_set(table, 2, "%s, %s", words_text(command, "command", "?"),
              words_text(command, "service_action", "-"));
    table_set(table, 3, "%s", words_vm(command));
    tables_set_number(table, 4, command, "pid");
    tables_set_number(table, 5, command, "connection");
}

static void tables_print_in_flight(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "IN FLIGHT FOR", "COMMAND", "VM",
                                       "PID",    "CONNECTION",    NULL};

    tables_print_items(document, "devices", "in_flight", head, tables_set_command, file);
}

static void tables_print_clients(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"CONNECTION", "VM",       "PID",    "UID", "STATE",
                                       "AGE",        "REQUESTS", "DEVICE", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "connections"); i++) {
        struct json_object *client = document_item(document, "connections", i);
        char text[WORDS_AGE_MAX];

        table_add_row(&table);
        tables_set_number(&table, 0, client, "connection");
        table_set(&table, 1, "%s", words_vm(client));
        tables_set_number(&table, 2, client, "pid");
        tables_set_number(&table, 3, client, "uid");
        table_set(&table, 4, "%s", words_text(client, "state", "?"));
        table_set(&table, 5, "%s", words_age(document_seconds(client, "age_s"), text));
        tables_set_number(&table, 6, client, "requests");
        table_set(&table, 7, "%s", words_text(client, "device", "-"));
    }
    fprintf(file, table_count(&table) > 0 ? "\n" : "\nno client is connected\n");
    table_print(&table, file);
    table_deinit(&table);
    if (document_number(document, "connections_left_out") > 0)
        fprintf(file, "and %" PRId64 " more\n", document_number(document, "connections_left_out"));
}

void status_print(struct json_object *document, FILE *file)
{
    tables_print_head(document, file);
    status_print_alarms(document, file);
    tables_print_devices(document, file);
    tables_print_keys(document, file);
    tables_print_paths(document, file);
    tables_print_in_flight(document, file);
    tables_print_clients(document, file);
    fprintf(file, "\nOnly clients of this helper are shown. If each VM has a helper of its own, "
                  "query each.\n");
}
