// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * list: every logical unit of this host that reservations are used on, a line each. Registrations
 * are read from the device; the helpers of this node say to which virtual machines they belong, and
 * what is wrong with them. Both have a deadline, so all is over within LIST_LOOK_MS and
 * LIST_ASK_MS, even if devices hang.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "build.h"
#include "ctl/command.h"
#include "ctl/document.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/state.h"
#include "inventory/ask.h"
#include "inventory/scan.h"
#include "monitor/table.h"
#include "node/look.h"

#define LIST_LOOK_MS 1000
#define LIST_ASK_MS  3500

struct list {
    const struct options *options;
    struct options way; /* by which devices are asked */
    struct look look;
    struct scan scan;
    struct ask_answer *answers; /* owned */
};

/* What the helpers know of a unit; NULL: nothing. */
static const struct lun *list_find_lun(const struct list *list, const struct scan_device *device)
{
    char name[160];

    facts_lun_name(device->unit, device->number, name, sizeof(name));
    for (unsigned i = 0; i < list->look.luns.n; i++) {
        if (strcmp(list->look.luns.luns[i].wwn, name) == 0)
            return &list->look.luns.luns[i];
    }
    return NULL;
}

static const struct alarm *list_next_alarm(const struct list *list, const struct lun *lun,
                                           unsigned *cursor)
{
    while (lun && *cursor < list->look.alarms.n) {
        const struct alarm *alarm = &list->look.alarms.alarms[(*cursor)++];

        if (alarm->wwn && strcmp(alarm->wwn, lun->wwn) == 0)
            return alarm;
    }
    return NULL;
}

/*
 * The helper to ask the devices by: the one that is named; the one at the usual place; any other of
 * this node that this user may connect to, such as libvirt's for a virtual machine; none, for root.
 */
static void list_choose_way(struct list *list)
{
    list->way = *list->options;
    if (list->options->socket || list->options->direct || access(BUILD_DEFAULT_SOCKET, W_OK) == 0)
        return;
    for (unsigned i = 0; i < list->look.crowd.n_members; i++) {
        const struct crowd_member *member = &list->look.crowd.members[i];

        if (member->state == CROWD_ANSWERED && member->facts.socket[0] == '/' &&
            access(member->facts.socket, W_OK) == 0) {
            list->way.socket = member->facts.socket;
            return;
        }
    }
    list->way.direct = geteuid() == 0;
}

/* Whether to print a unit's line: without --all, not if it is known to have no registration. */
static bool list_is_used(const struct list *list, size_t index)
{
    const struct ask_answer *answer = &list->answers[index];

    return list->options->all || answer->state == ASK_SILENT || answer->state == ASK_FAILED ||
           answer->n_keys > 0 || answer->held;
}

static void list_hosts_text(const struct ask_answer *answer, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "%u", answer->n_keys);

    for (unsigned i = 0; i < answer->n_hosts && n < size; i++) {
        const struct ask_host *host = &answer->hosts[i];

        if (!host->name[0])
            continue;
        n += (size_t)snprintf(text + n, size - n, "%s%s", n <= 3 ? ": " : ", ", host->name);
        if (host->count > 1 && n < size)
            n += (size_t)snprintf(text + n, size - n, " (%u)", host->count);
    }
    if (answer->more_hosts > 0 && n < size)
        snprintf(text + n, size - n, ", ...");
}

static void list_set_answer(struct table *table, const struct ask_answer *answer)
{
    char text[TABLE_CELL_MAX], type[32];

    switch (answer->state) {
    case ASK_SILENT:
        table_set(table, 2, "NO ANSWER");
        return;
    case ASK_NONE:
        table_set(table, 2, "has no reservations");
        return;
    case ASK_FAILED:
        table_set(table, 2, "%s", answer->problem);
        return;
    case ASK_ANSWERED:
        break;
    }
    if (!answer->held)
        table_set(table, 2, "-");
    else if (answer->key == 0)
        table_set(table, 2, "all registrants");
    else
        table_set(table, 2, "0x%016" PRIx64 "%s%s", answer->key, answer->holder[0] ? " " : "",
                  answer->holder);
    table_set(table, 3, "%s", answer->held ? state_type_text(answer->type, type) : "-");
    list_hosts_text(answer, text, sizeof(text));
    table_set(table, 4, "%s", text);
}

static void list_print(const struct list *list)
{
    static const char *const head[] = {"UNIT",          "DEVICE", "HOLDER", "TYPE",
                                       "REGISTRATIONS", "VMS",    "ALARMS", NULL};
    struct table table;

    table_init(&table, head);
    for (size_t i = 0; i < list->scan.count; i++) {
        const struct scan_device *device = &list->scan.devices[i];
        const struct lun *lun = list_find_lun(list, device);
        const struct alarm *alarm;
        char alarms[TABLE_CELL_MAX] = "";
        unsigned cursor = 0;

        if (!list_is_used(list, i))
            continue;
        table_add_row(&table);
        table_set(&table, 0, "%s", device->unit[0] ? device->unit : "-");
        table_set(&table, 1, "%s", device->name);
        list_set_answer(&table, &list->answers[i]);
        table_set(&table, 5, "%s", lun && lun->vms[0] ? lun->vms : "-");
        while ((alarm = list_next_alarm(list, lun, &cursor)) != NULL) {
            size_t n = strlen(alarms);

            snprintf(alarms + n, sizeof(alarms) - n, "%s%s", n > 0 ? ", " : "",
                     alarm_name(alarm->kind));
        }
        table_set(&table, 6, "%s", alarms[0] ? alarms : "-");
    }
    if (table_count(&table) == 0)
        printf("%s\n",
               list->scan.count == 0
                   ? "this host has no SCSI disk and no multipath map"
                   : "no reservations are used on any of this host's disks; --all lists them");
    table_print(&table, stdout);
    table_deinit(&table);
    if (list->scan.left_out > 0)
        printf("and %zu more devices, which were not asked\n", list->scan.left_out);
}

/* Texts of others, which may be no UTF-8. */
static void list_add_text(struct json_object *json, const char *name, const char *raw)
{
    char text[1024];

    escape_text(text, sizeof(text), raw);
    output_add_text(json, name, text);
}

static struct json_object *list_answer_to_json(const struct ask_answer *answer)
{
    static const char *const states[] = {
        [ASK_SILENT] = "silent",
        [ASK_ANSWERED] = "answered",
        [ASK_NONE] = "none",
        [ASK_FAILED] = "failed",
    };
    struct json_object *json = json_object_new_object(), *hosts;

    output_add_text(json, "state", states[answer->state]);
    output_add_text(json, "problem", answer->problem);
    if (answer->state != ASK_ANSWERED)
        return json;
    json_object_object_add(json, "registrations", json_object_new_int((int)answer->n_keys));
    json_object_object_add(json, "reserved", json_object_new_boolean(answer->held));
    if (answer->held) {
        json_object_object_add(json, "key", output_key(answer->key));
        json_object_object_add(json, "type", json_object_new_int(answer->type));
        output_add_text(json, "type_name", prhelper_type_name(answer->type));
        output_add_text(json, "holder", answer->holder);
    }
    hosts = json_object_new_array();
    for (unsigned i = 0; i < answer->n_hosts; i++) {
        struct json_object *host = json_object_new_object();

        output_add_text(host, "initiator", answer->hosts[i].name);
        json_object_object_add(host, "registrations",
                               json_object_new_int((int)answer->hosts[i].count));
        json_object_array_add(hosts, host);
    }
    json_object_object_add(json, "hosts", hosts);
    return json;
}

static struct json_object *list_to_json(const struct list *list)
{
    struct json_object *json = json_object_new_object(), *units = json_object_new_array();

    for (size_t i = 0; i < list->scan.count; i++) {
        const struct scan_device *device = &list->scan.devices[i];
        const struct lun *lun = list_find_lun(list, device);
        struct json_object *one, *alarms;
        const struct alarm *alarm;
        unsigned cursor = 0;

        if (!list_is_used(list, i))
            continue;
        one = list_answer_to_json(&list->answers[i]);
        list_add_text(one, "unit", device->unit);
        list_add_text(one, "name", device->name);
        list_add_text(one, "path", device->path);
        json_object_object_add(one, "map", json_object_new_boolean(device->is_map));
        output_add_text(one, "vms", lun ? lun->vms : NULL);
        alarms = json_object_new_array();
        while ((alarm = list_next_alarm(list, lun, &cursor)) != NULL)
            json_object_array_add(alarms, json_object_new_string(alarm_name(alarm->kind)));
        json_object_object_add(one, "alarms", alarms);
        json_object_array_add(units, one);
    }
    json_object_object_add(json, "units", units);
    json_object_object_add(json, "left_out", json_object_new_int64((int64_t)list->scan.left_out));
    json_object_object_add(json, "helpers",
                           json_object_new_int64((int64_t)list->look.crowd.n_members));
    return json;
}

static int list_fail(const char *what, int r)
{
    fprintf(stderr, "qemu-pr-ctl: list: %s: %s\n", what, strerror(-r));
    return CTL_INTERNAL;
}

static int list_run(const struct options *options)
{
    const char *places[] = {options->status_socket ? options->status_socket : document_directory()};
    struct list list = {.options = options};
    int status = CTL_GOOD;
    int r = look_take(places, 1, LIST_LOOK_MS, &list.look);

    if (r < 0)
        return list_fail("cannot look at the helpers", r);
    r = scan_host(&list.scan);
    if (r < 0)
        status = list_fail("/sys/block", r);
    list_choose_way(&list);
    if (r == 0)
        r = ask_devices(&list.way, &list.scan,
                        options->timeout_ms < 0 ? LIST_ASK_MS : options->timeout_ms, &list.answers);
    if (r < 0 && status == CTL_GOOD)
        status = list_fail("cannot ask the devices", r);
    if (status == CTL_GOOD && options->json)
        status = output_json(options, CTL_GOOD, list_to_json(&list));
    else if (status == CTL_GOOD)
        list_print(&list);
    free(list.answers);
    scan_deinit(&list.scan);
    look_deinit(&list.look);
    return options->json ? status : output_flush(status);
}

const struct command cmd_list = {
    .name = "list",
    .summary = "List the logical units of this host that have registrations",
    .about = "All SCSI disks and multipath maps are asked at the same time; those that do not\n"
             "answer are listed as such. VMs and alarms are those of all helpers of this node.",
    .takes = OPTION_ALL | OPTION_DIRECT | OPTION_STATUS_SOCKET,
    .wants = COMMAND_NO_DEVICE,
    .run = list_run,
};
