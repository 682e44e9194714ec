// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * First what the helper is and what needs attention: LUNs shared by one nexus, commands that hang,
 * keys whose owner has gone. Then a table each of devices, keys, commands in flight and clients.
 * Every text of the document goes through table_set() or escape_text(): names of virtual machines
 * are whatever somebody has typed.
 */
#include "monitor/status_tables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/document.h"
#include "ctl/escape.h"
#include "monitor/table.h"

#define TEXT_MAX 512
#define AGE_MAX  32

/* "47 s", "12 min", "5 h", "3 d": as exact as matters. */
static const char *age(double seconds, char text[AGE_MAX])
{
    if (seconds < 1)
        snprintf(text, AGE_MAX, "%.0f ms", seconds * 1000);
    else if (seconds < 120)
        snprintf(text, AGE_MAX, "%.0f s", seconds);
    else if (seconds < 120 * 60)
        snprintf(text, AGE_MAX, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(text, AGE_MAX, "%.0f h", seconds / 3600);
    else
        snprintf(text, AGE_MAX, "%.0f d", seconds < 1e9 ? seconds / 86400 : 99999);
    return text;
}

static const char *latency(int64_t us, char text[AGE_MAX])
{
    if (us < 1000)
        snprintf(text, AGE_MAX, "%" PRId64 " us", us);
    else
        age((double)us / 1e6, text);
    return text;
}

static const char *text_or(struct json_object *object, const char *name, const char *otherwise)
{
    const char *text = document_text(object, name);

    return text && *text ? text : otherwise;
}

/* A client by name; an unknown one is called that. */
static const char *vm_of(struct json_object *object)
{
    return text_or(object, "vm", "unknown");
}

static void set_number(struct table *table, size_t column, struct json_object *object,
                       const char *name)
{
    if (json_object_is_type(document_object(object, name), json_type_int))
        table_set(table, column, "%" PRId64, document_number(object, name));
    else
        table_set(table, column, "-");
}

/* "8:16 sdb", with the map's name for a map. */
static void describe_device(struct json_object *device, char *text, size_t size)
{
    const char *name = text_or(device, "map", text_or(device, "name", ""));

    snprintf(text, size, "%s%s%s", text_or(device, "device", "?"), *name ? " " : "", name);
}

static void print_head(struct json_object *document, FILE *file)
{
    struct json_object *sandbox = document_object(document, "sandbox");
    struct json_object *worker = document_object(document, "worker");
    struct json_object *threads = document_object(document, "threads");
    struct json_object *clients = document_object(document, "clients");
    struct json_object *requests = document_object(document, "requests");
    char line[TEXT_MAX], escaped[TEXT_MAX], up[AGE_MAX];

    snprintf(line, sizeof(line), "qemu-pr-helper %s, pid %" PRId64 ", up %s, at %s",
             text_or(document, "version", "?"), document_number(document, "pid"),
             age(document_seconds(document, "uptime_s"), up),
             text_or(document, "socket", "the service manager's socket"));
    escape_text(escaped, sizeof(escaped), line);
    fprintf(file, "%s\n", escaped);
    snprintf(line, sizeof(line),
             "sandbox: seccomp %s, Landlock %s, uid %" PRId64 "; multipath worker: %s%s%s%s",
             text_or(sandbox, "seccomp", "?"), text_or(sandbox, "landlock", "?"),
             document_number(sandbox, "uid"), text_or(worker, "state", "?"),
             document_text(worker, "library") ? ", library " : "", text_or(worker, "library", ""),
             document_flag(document_object(document, "options"), "exclusive") ? "; exclusive" : "");
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

/* Another one of a list in words; what does not fit is cut. */
static void add_to_list(char list[TEXT_MAX], const char *text)
{
    size_t used = strlen(list);

    snprintf(list + used, TEXT_MAX - used, "%s%s", used > 0 ? ", " : "", text);
}

static bool is_one_nexus(struct json_object *a, struct json_object *b)
{
    const char *nexus = document_text(a, "nexus"), *other = document_text(b, "nexus");

    return a == b || (nexus && other && strcmp(nexus, other) == 0);
}

/*
 * A disk and its SCSI generic device are two devices and one nexus, which is told of once, at the
 * first of them. Returns how many lines.
 */
static unsigned print_shared(struct json_object *document, struct json_object *device, FILE *file)
{
    struct json_object *shared = document_object(device, "same_nexus");
    char names[TEXT_MAX] = "", vms[TEXT_MAX] = "", escaped[TEXT_MAX], raw[TABLE_CELL_MAX];

    if (!shared)
        return 0;
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *one = document_item(document, "devices", i);

        if (!is_one_nexus(one, device))
            continue;
        if (!*names && one != device)
            return 0;
        describe_device(one, raw, sizeof(raw));
        add_to_list(names, raw);
    }
    for (size_t i = 0; i < document_count(shared, "vms"); i++) {
        const char *vm = json_object_get_string(document_item(shared, "vms", i));

        add_to_list(vms, vm ? vm : "unknown");
    }
    escape_text(escaped, sizeof(escaped), names);
    fprintf(file, "SAME NEXUS  %s: ", escaped);
    escape_text(escaped, sizeof(escaped), vms);
    fprintf(file, "%s are one host to the disk, reservations cannot keep them apart\n", escaped);
    return 1;
}

/* Returns how many lines. */
static unsigned print_alarms_of(struct json_object *document, struct json_object *device,
                                FILE *file)
{
    char raw[TABLE_CELL_MAX], name[TEXT_MAX], vm[TEXT_MAX], old[AGE_MAX];
    unsigned lines = print_shared(document, device, file);

    describe_device(device, raw, sizeof(raw));
    escape_text(name, sizeof(name), raw);
    for (size_t i = 0; i < document_count(device, "in_flight"); i++) {
        struct json_object *command = document_item(device, "in_flight", i);

        if (!document_flag(command, "hung"))
            continue;
        escape_text(vm, sizeof(vm), vm_of(command));
        fprintf(file, "HUNG        %s: a command of %s has been in flight for %s\n", name, vm,
                age(document_seconds(command, "age_s"), old));
        lines++;
    }
    for (size_t i = 0; i < document_count(device, "keys"); i++) {
        struct json_object *key = document_item(device, "keys", i);

        if (!document_flag(key, "stale") || document_flag(key, "replaced"))
            continue;
        escape_text(vm, sizeof(vm), vm_of(key));
        escape_text(raw, sizeof(raw), text_or(key, "key", "?"));
        fprintf(file, "STALE KEY   %s: %s of %s, which is gone; see qemu-pr-ctl cleanup --key\n",
                name, raw, vm);
        lines++;
    }
    return lines;
}

static void print_alarms(struct json_object *document, FILE *file)
{
    size_t count = document_count(document, "devices");
    unsigned lines = 0;

    fprintf(file, "\n");
    for (size_t i = 0; i < count; i++)
        lines += print_alarms_of(document, document_item(document, "devices", i), file);
    if (lines > 0)
        fprintf(file, "\n");
}

struct counts {
    int64_t all, conflicts, failed;
};

static struct counts count_commands(struct json_object *device)
{
    struct counts counts = {0};

    for (size_t i = 0; i < document_count(device, "commands"); i++) {
        struct json_object *row = document_item(device, "commands", i);
        const char *result = text_or(row, "result", "");
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
static int64_t find_p99(struct json_object *device)
{
    int64_t slowest = -1;

    for (size_t i = 0; i < document_count(device, "latency"); i++) {
        int64_t p99 = document_number(document_item(device, "latency", i), "p99_us");

        slowest = p99 > slowest ? p99 : slowest;
    }
    return slowest;
}

static double oldest(struct json_object *device)
{
    return document_seconds(document_item(device, "in_flight", 0), "age_s");
}

static void set_in_flight(struct table *table, size_t column, struct json_object *device)
{
    int64_t total = document_number(device, "in_flight_total");
    char text[AGE_MAX];

    if (total == 0)
        table_set(table, column, "-");
    else
        table_set(table, column, "%" PRId64 "%s, %s", total,
                  document_flag(document_item(device, "in_flight", 0), "hung") ? " HUNG" : "",
                  age(oldest(device), text));
}

static void set_error(struct table *table, size_t column, struct json_object *device)
{
    struct json_object *error = document_object(device, "last_error");
    char text[AGE_MAX];

    if (!error)
        table_set(table, column, "-");
    else
        table_set(table, column, "%s ago: %s", age(document_seconds(error, "age_s"), text),
                  text_or(error, "sense", text_or(error, "result", "?")));
}

static void print_devices(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "NAME", "LUN",       "COMMANDS",   "CONFLICTS",
                                       "FAILED", "P99",  "IN FLIGHT", "LAST ERROR", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);
        struct counts counts = count_commands(device);
        int64_t p99 = find_p99(device);
        char text[AGE_MAX];

        table_add_row(&table);
        table_set(&table, 0, "%s", text_or(device, "device", "?"));
        table_set(&table, 1, "%s", text_or(device, "map", text_or(device, "name", "-")));
        table_set(&table, 2, "%s", text_or(device, "wwn", "-"));
        table_set(&table, 3, "%" PRId64, counts.all);
        table_set(&table, 4, "%" PRId64, counts.conflicts);
        table_set(&table, 5, "%" PRId64, counts.failed);
        table_set(&table, 6, "%s", p99 < 0 ? "-" : latency(p99, text));
        set_in_flight(&table, 7, device);
        set_error(&table, 8, device);
    }
    if (table_count(&table) == 0)
        fprintf(file, "no device has been used yet\n");
    table_print(&table, file);
    table_deinit(&table);
}

static const char *key_state(struct json_object *key)
{
    if (document_flag(key, "replaced"))
        return document_flag(key, "stale") ? "replaced, client gone" : "replaced";
    return document_flag(key, "stale") ? "STALE: client gone" : "registered";
}

static void print_keys(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "KEY", "VM", "PID", "AGE", "STATE", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);

        for (size_t k = 0; k < document_count(device, "keys"); k++) {
            struct json_object *key = document_item(device, "keys", k);
            char name[TABLE_CELL_MAX], text[AGE_MAX];

            describe_device(device, name, sizeof(name));
            table_add_row(&table);
            table_set(&table, 0, "%s", name);
            table_set(&table, 1, "%s", text_or(key, "key", "?"));
            table_set(&table, 2, "%s", vm_of(key));
            set_number(&table, 3, key, "pid");
            table_set(&table, 4, "%s", age(document_seconds(key, "age_s"), text));
            table_set(&table, 5, "%s%s", key_state(key),
                      document_object(device, "same_nexus") ? ", SAME NEXUS" : "");
        }
    }
    if (table_count(&table) > 0)
        fprintf(file, "\n");
    table_print(&table, file);
    table_deinit(&table);
}

static void print_in_flight(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"DEVICE", "IN FLIGHT FOR", "COMMAND", "VM",
                                       "PID",    "CONNECTION",    NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);

        for (size_t k = 0; k < document_count(device, "in_flight"); k++) {
            struct json_object *command = document_item(device, "in_flight", k);
            char name[TABLE_CELL_MAX], text[AGE_MAX];

            describe_device(device, name, sizeof(name));
            table_add_row(&table);
            table_set(&table, 0, "%s", name);
            table_set(&table, 1, "%s%s", age(document_seconds(command, "age_s"), text),
                      document_flag(command, "hung") ? " HUNG" : "");
            table_set(&table, 2, "%s, %s", text_or(command, "command", "?"),
                      text_or(command, "service_action", "-"));
            table_set(&table, 3, "%s", vm_of(command));
            set_number(&table, 4, command, "pid");
            set_number(&table, 5, command, "connection");
        }
    }
    if (table_count(&table) > 0)
        fprintf(file, "\n");
    table_print(&table, file);
    table_deinit(&table);
}

static void print_clients(struct json_object *document, FILE *file)
{
    static const char *const head[] = {"CONNECTION", "VM",       "PID",    "UID", "STATE",
                                       "AGE",        "REQUESTS", "DEVICE", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < document_count(document, "connections"); i++) {
        struct json_object *client = document_item(document, "connections", i);
        char text[AGE_MAX];

        table_add_row(&table);
        set_number(&table, 0, client, "connection");
        table_set(&table, 1, "%s", vm_of(client));
        set_number(&table, 2, client, "pid");
        set_number(&table, 3, client, "uid");
        table_set(&table, 4, "%s", text_or(client, "state", "?"));
        table_set(&table, 5, "%s", age(document_seconds(client, "age_s"), text));
        set_number(&table, 6, client, "requests");
        table_set(&table, 7, "%s", text_or(client, "device", "-"));
    }
    fprintf(file, table_count(&table) > 0 ? "\n" : "\nno client is connected\n");
    table_print(&table, file);
    table_deinit(&table);
    if (document_number(document, "connections_left_out") > 0)
        fprintf(file, "and %" PRId64 " more\n", document_number(document, "connections_left_out"));
}

void status_print(struct json_object *document, FILE *file)
{
    print_head(document, file);
    print_alarms(document, file);
    print_devices(document, file);
    print_keys(document, file);
    print_in_flight(document, file);
    print_clients(document, file);
    fprintf(file, "\nOnly clients of this helper are seen. Where each VM has a helper of its own, "
                  "ask each.\n");
}
