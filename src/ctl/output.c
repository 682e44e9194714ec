// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Failures are told on standard error in both modes, for the reader of the log of the program that
 * reads the JSON. The JSON has them as well, so that program need not read anything else.
 */
#include "ctl/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "ctl/command.h"

#define OUTPUT_FORMAT 1 /* members are added, never taken away or given another meaning */

struct json_object *output_key(uint64_t key)
{
    char text[24];

    snprintf(text, sizeof(text), OUTCOME_KEY, key);
    return json_object_new_string(text);
}

void output_add_text(struct json_object *json, const char *name, const char *text)
{
    if (text && *text)
        json_object_object_add(json, name, json_object_new_string(text));
}

static struct json_object *output_sense(const struct prhelper_sense *sense)
{
    struct json_object *json = json_object_new_object();
    char text[PRHELPER_TEXT_MAX];

    prhelper_sense_describe(text, sizeof(text), sense);
    json_object_object_add(json, "key", json_object_new_int(sense->key));
    json_object_object_add(json, "asc", json_object_new_int(sense->asc));
    json_object_object_add(json, "ascq", json_object_new_int(sense->ascq));
    output_add_text(json, "text", text);
    return json;
}

/* The device's own answer, if there was one. */
static void output_add_answer(struct json_object *json, const struct outcome *outcome)
{
    const char *name = prhelper_status_name(outcome->result.status);
    struct prhelper_sense sense;

    json_object_object_add(json, "scsi_status", json_object_new_int(outcome->result.status));
    output_add_text(json, "scsi_status_name", name);
    if (outcome->result.status == PRHELPER_CHECK_CONDITION &&
        prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), &sense) == 0)
        json_object_object_add(json, "sense", output_sense(&sense));
}

static void output_add_head(struct json_object *json, const struct options *options, int status)
{
    json_object_object_add(json, "format", json_object_new_int(OUTPUT_FORMAT));
    json_object_object_add(json, "command", json_object_new_string(options->command->name));
    output_add_text(json, "device", options->device);
    json_object_object_add(json, "exit_status", json_object_new_int(status));
}

/*
 * JSON is UTF-8 (RFC 8259, 8.1), and names of devices and sockets need not be. A byte that is none
 * of it can only be within a string, where it becomes \\xNN: a backslash that is escaped.
 */
static void output_print_object(struct json_object *json)
{
    const char *text = json_object_to_json_string_ext(
        json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

    while (*text) {
        size_t length = escape_character(text);

        if (length > 0) {
            fwrite(text, 1, length, stdout);
            text += length;
        } else {
            printf("\\\\x%02x", (unsigned char)*text++);
        }
    }
    putchar('\n');
}

static void output_print_json(const struct options *options, const struct outcome *outcome,
                              struct json_object *json)
{
    output_add_head(json, options, (int)outcome->exit_status);
    if (outcome->r == 0 && outcome->result.status != PRHELPER_STATUS_NONE)
        output_add_answer(json, outcome);
    if (outcome->n_attentions > 0) {
        struct json_object *array = json_object_new_array();

        for (unsigned i = 0; i < outcome->n_attentions; i++)
            json_object_array_add(array, output_sense(&outcome->attentions[i]));
        json_object_object_add(json, "unit_attentions", array);
    }
    if (outcome->exit_status != CTL_GOOD)
        json_object_object_add(
            json, "outcome_unknown",
            json_object_new_boolean(outcome_is_unknown(outcome, options->command)));
    output_add_text(json, "error", outcome->what);
    output_add_text(json, "hint", outcome->hint);
    output_print_object(json);
}

void output_print_lines(FILE *file, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");

        fprintf(file, "  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void output_print_notes(const struct options *options, const struct outcome *outcome)
{
    char text[PRHELPER_TEXT_MAX];

    for (unsigned i = 0; i < outcome->n_attentions; i++) {
        prhelper_sense_describe(text, sizeof(text), &outcome->attentions[i]);
        fprintf(stderr, "qemu-pr-ctl: %s: %s: reported by the device; command sent again\n",
                options->device, text);
    }
    if (outcome->what[0]) {
        fprintf(stderr, "qemu-pr-ctl: %s%s%s: %s\n", options->device ? options->device : "",
                options->device ? ": " : "", options->command->name, outcome->what);
        output_print_lines(stderr, outcome->hint);
    }
}

int output_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("qemu-pr-ctl: standard output");
    return status == CTL_GOOD ? CTL_INTERNAL : status;
}

int output_json(const struct options *options, int status, struct json_object *json)
{
    output_add_head(json, options, status);
    output_print_object(json);
    json_object_put(json);
    return output_flush(status);
}

int output_finish(const struct options *options, const struct outcome *outcome,
                  struct json_object *json)
{
    int status;

    if (json) {
        output_print_json(options, outcome, json);
        json_object_put(json);
    }
    status = output_flush((int)outcome->exit_status);
    if (!ferror(stdout))
        output_print_notes(options, outcome);
    return status;
}
