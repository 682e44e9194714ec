// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * metrics: the helper's status in OpenMetrics 1.0 text format. Only counters, gauges and histograms
 * are used, so that parsers of the older text format, such as that of node_exporter's textfile
 * collector, take it as well. Each sample has the helper's socket as a label: a host may have
 * several helpers.
 *
 * All samples of a family have to stand together, so the table of families is walked, and within
 * each the devices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "ctl/command.h"
#include "ctl/document.h"
#include "ctl/output.h"
#include "node/document.h"

#define METRICS_PREFIX     "qemu_pr_helper_"
#define METRICS_LABEL_MAX  256
#define METRICS_LABELS_MAX 2048

/* Labels are collected as `name="value",...`; what has no room is left out as a whole. */
struct labels {
    char text[METRICS_LABELS_MAX];
    size_t used;
};

static void metrics_add_label(struct labels *labels, const char *name, const char *value)
{
    char clean[METRICS_LABEL_MAX], quoted[2 * METRICS_LABEL_MAX];
    size_t used = 0;
    int n;

    /* No control character is left then, so quotes and backslashes are all there is to escape. */
    escape_text(clean, sizeof(clean), value ? value : "");
    for (const char *c = clean; *c; c++) {
        if (*c == '"' || *c == '\\')
            quoted[used++] = '\\';
        quoted[used++] = *c;
    }
    quoted[used] = '\0';
    n = snprintf(labels->text + labels->used, sizeof(labels->text) - labels->used, "%s%s=\"%s\"",
                 labels->used > 0 ? "," : "", name, quoted);
    if (n > 0 && (size_t)n < sizeof(labels->text) - labels->used)
        labels->used += (size_t)n;
    else
        labels->text[labels->used] = '\0';
}

static struct labels metrics_base_labels(struct json_object *document)
{
    struct labels labels = {.used = 0};

    metrics_add_label(&labels, "socket", document_text(document, "socket"));
    return labels;
}

static struct labels metrics_device_labels(struct json_object *document, struct json_object *device)
{
    struct labels labels = metrics_base_labels(document);

    metrics_add_label(&labels, "device", document_text(device, "device"));
    metrics_add_label(&labels, "name", document_text(device, "name"));
    metrics_add_label(&labels, "wwn", document_text(device, "wwn"));
    return labels;
}

static void metrics_put(const char *name, const struct labels *labels, double value)
{
    printf(METRICS_PREFIX "%s{%s} %.15g\n", name, labels->text, value);
}

/* What there is one of for each device. */
static double metrics_hung(struct json_object *device)
{
    double count = 0;

    for (size_t i = 0; i < document_count(device, "in_flight"); i++)
        count += document_flag(document_item(device, "in_flight", i), "hung");
    return count;
}

static double metrics_in_flight(struct json_object *device)
{
    return (double)document_number(device, "in_flight_total");
}

static double metrics_oldest(struct json_object *device)
{
    return document_seconds(document_item(device, "in_flight", 0), "age_s");
}

static double metrics_shared(struct json_object *device)
{
    return document_object(device, "same_nexus") ? 1 : 0;
}

static void metrics_put_device(struct json_object *document, const char *name,
                               double (*measure)(struct json_object *device))
{
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);
        struct labels labels = metrics_device_labels(document, device);

        metrics_put(name, &labels, measure(device));
    }
}

/* Those with more than one sample for each device. */
static void metrics_put_commands(struct json_object *document, const char *name)
{
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);

        for (size_t k = 0; k < document_count(device, "commands"); k++) {
            struct json_object *row = document_item(device, "commands", k);
            struct labels labels = metrics_device_labels(document, device);

            metrics_add_label(&labels, "command", document_text(row, "command"));
            metrics_add_label(&labels, "service_action", document_text(row, "service_action"));
            metrics_add_label(&labels, "result", document_text(row, "result"));
            metrics_put(name, &labels, (double)document_number(row, "count"));
        }
    }
}

static void metrics_put_histogram(const struct labels *common, struct json_object *latency)
{
    struct labels labels;
    char bound[32];

    for (size_t i = 0; i < document_count(latency, "buckets"); i++) {
        struct json_object *bucket = document_item(latency, "buckets", i);

        labels = *common;
        snprintf(bound, sizeof(bound), "%.9g", (double)document_number(bucket, "le_us") / 1e6);
        metrics_add_label(&labels, "le", bound);
        metrics_put("device_command_seconds_bucket", &labels,
                    (double)document_number(bucket, "count"));
    }
    labels = *common;
    metrics_add_label(&labels, "le", "+Inf");
    metrics_put("device_command_seconds_bucket", &labels,
                (double)document_number(latency, "count"));
    metrics_put("device_command_seconds_count", common, (double)document_number(latency, "count"));
    metrics_put("device_command_seconds_sum", common,
                (double)document_number(latency, "sum_us") / 1e6);
}

static void metrics_put_latency(struct json_object *document, const char *name)
{
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);

        for (size_t k = 0; k < document_count(device, "latency"); k++) {
            struct json_object *latency = document_item(device, "latency", k);
            struct labels labels = metrics_device_labels(document, device);

            metrics_add_label(&labels, "command", document_text(latency, "command"));
            metrics_put_histogram(&labels, latency);
        }
    }
}

static void metrics_put_keys(struct json_object *document, const char *name)
{
    static const char *const states[] = {"registered", "stale", "replaced"};

    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *device = document_item(document, "devices", i);
        int64_t counts[3] = {0};

        for (size_t k = 0; k < document_count(device, "keys"); k++) {
            struct json_object *key = document_item(device, "keys", k);

            counts[document_flag(key, "replaced") ? 2 : document_flag(key, "stale") ? 1 : 0]++;
        }
        for (size_t state = 0; state < 3; state++) {
            struct labels labels = metrics_device_labels(document, device);

            metrics_add_label(&labels, "state", states[state]);
            metrics_put(name, &labels, (double)counts[state]);
        }
    }
}

static void metrics_put_build(struct json_object *document, const char *name)
{
    struct labels labels = metrics_base_labels(document);

    metrics_add_label(&labels, "version", document_text(document, "version"));
    metrics_put(name, &labels, 1);
}

static void metrics_put_worker(struct json_object *document, const char *name)
{
    const char *state = document_text(document_object(document, "worker"), "state");
    struct labels labels = metrics_base_labels(document);

    metrics_put(name, &labels, state && strcmp(state, "failed") == 0);
}

/*
 * A family is one number of the document (`object`.`member`, or `member` of the document itself),
 * one number for each device, or what a function of its own puts.
 */
static const struct family {
    const char *name; /* of a counter without _total */
    const char *type;
    const char *unit; /* NULL: none */
    const char *help;
    const char *object, *member;
    double (*measure)(struct json_object *device);
    void (*put)(struct json_object *document, const char *name);
} families[] = {
    {"build", "gauge", NULL, "1, with the version of the helper", .put = metrics_put_build},
    {"uptime_seconds", "gauge", "seconds", "Since the helper's start", .member = "uptime_s"},
    {"clients", "gauge", NULL, "Clients connected now", "clients", "connected"},
    {"clients_accepted", "counter", NULL, "Clients that have connected", "clients", "accepted"},
    {"clients_refused", "counter", NULL, "Clients sent away because there were too many", "clients",
     "refused"},
    {"requests", "counter", NULL, "Requests answered", "requests", "total"},
    {"requests_busy", "counter", NULL, "Requests answered BUSY by the helper itself", "requests",
     "busy"},
    {"threads", "gauge", NULL, "Threads that serve clients", "threads", "total"},
    {"threads_idle", "gauge", NULL, "Those of them without work", "threads", "idle"},
    {"log_lines_left_out", "counter", NULL, "Lines not logged because too many came at once",
     .member = "log_lines_left_out"},
    {"worker_failed", "gauge", NULL, "1 if the process for multipath maps cannot be started",
     .put = metrics_put_worker},
    {"same_nexus_devices", "gauge", NULL, "Devices on which VMs share one I_T nexus now",
     "same_nexus", "devices"},
    {"same_nexus_alarms", "counter", NULL, "Alarms because VMs share one I_T nexus", "same_nexus",
     "alarms"},
    {"device_commands", "counter", NULL, "Commands, by what the client was answered",
     .put = metrics_put_commands},
    {"device_command_seconds", "histogram", "seconds", "How long the device took for commands",
     .put = metrics_put_latency},
    {"device_in_flight", "gauge", NULL, "Commands that the device has not answered yet",
     .measure = metrics_in_flight},
    {"device_hung", "gauge", NULL, "Those of them that have been there for too long",
     .measure = metrics_hung},
    {"device_oldest_command_seconds", "gauge", "seconds", "Age of the oldest of them; 0: none",
     .measure = metrics_oldest},
    {"device_keys", "gauge", NULL, "Keys registered through this helper", .put = metrics_put_keys},
    {"device_same_nexus", "gauge", NULL, "1 if VMs share one I_T nexus on it",
     .measure = metrics_shared},
};

static void metrics_put_family(const struct family *family, struct json_object *document)
{
    struct json_object *object = family->object ? document_object(document, family->object)
                                                : document;
    bool is_counter = strcmp(family->type, "counter") == 0;
    struct labels labels;
    char name[64];

    printf("# TYPE " METRICS_PREFIX "%s %s\n", family->name, family->type);
    if (family->unit)
        printf("# UNIT " METRICS_PREFIX "%s %s\n", family->name, family->unit);
    printf("# HELP " METRICS_PREFIX "%s %s.\n", family->name, family->help);
    snprintf(name, sizeof(name), "%s%s", family->name, is_counter ? "_total" : "");
    if (family->put) {
        family->put(document, name);
    } else if (family->measure) {
        metrics_put_device(document, name, family->measure);
    } else {
        labels = metrics_base_labels(document);
        metrics_put(name, &labels, document_seconds(object, family->member));
    }
}

static int metrics_run(const struct options *options)
{
    struct outcome outcome = {.result.status = PRHELPER_STATUS_NONE};
    struct json_object *document;

    if (!document_fetch(options, &outcome, &document))
        return output_finish(options, &outcome, NULL);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        metrics_put_family(&families[i], document);
    printf("# EOF\n");
    json_object_put(document);
    return output_flush(CTL_GOOD);
}

const struct command cmd_metrics = {
    .name = "metrics",
    .summary = "Print the status of a running helper for monitoring, as OpenMetrics",
    .about = "The helper has to run with --status-socket.",
    .takes = OPTION_STATUS_SOCKET,
    .lacks = OPTION_SOCKET | OPTION_JSON,
    .wants = COMMAND_NO_DEVICE,
    .run = metrics_run,
};
