// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * doctor: is all that reservations need there? The checks are in a table, in the order in which
 * they build on each other; one that earlier results rule out is left out. Each is a
 * line, and below it what to do if it is not as it should be. Nothing is changed anywhere.
 */
#include <json.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "ctl/command.h"
#include "ctl/output.h"
#include "doctor/doctor.h"

static const struct check {
    const char *name;
    doctor_check *look;
    bool device; /* makes sense only with a DEVICE */
} checks[] = {
    {"helper", doctor_helper, false},
    {"socket", doctor_socket, false},
    {"protocol", doctor_protocol, false},
    {"user", doctor_user, false},
    {"device", doctor_device, true},
    {"writing", doctor_writable, true},
    {"reservations", doctor_keys, true},
    {"types", doctor_types, true},
    {"power-loss", doctor_power_loss, true},
    {"answers", doctor_answers, true},
    {"map", doctor_map, true},
    {"multipathd", doctor_multipathd, true},
    {"paths", doctor_paths, true},
    {"queueing", doctor_queueing, true},
    {"reservation_key", doctor_reservation_key, true},
    {"registrations", doctor_registrations, true},
    {"nexus", doctor_nexus, true},
    {"access", doctor_access, true},
    {"pr-manager", doctor_pr_manager, true},
    {"error-policy", doctor_error_policy, true},
    {"migration", doctor_migration, true},
};

static const struct verdict_row {
    const char *label; /* in the left column */
    const char *name;  /* in JSON */
} verdicts[] = {
    [VERDICT_NONE] = {"", ""},
    [VERDICT_GOOD] = {"ok", "good"},
    [VERDICT_UNKNOWN] = {"?", "unknown"},
    [VERDICT_WARNING] = {"warn", "warning"},
    [VERDICT_FAILURE] = {"FAIL", "failure"},
};

#define NAME_WIDTH   15
#define REMEDY_WIDTH 76

/* Words behind an indent, in lines that are not longer than a terminal mostly is. */
static void doctor_print_remedy(const char *remedy)
{
    size_t column = 0;

    while (*remedy) {
        size_t length = strcspn(remedy, " \n");

        if (column > 0 && column + 1 + length > REMEDY_WIDTH) {
            putchar('\n');
            column = 0;
        }
        printf("%s%.*s", column > 0 ? " " : "        ", (int)length, remedy);
        column += length + (column > 0);
        remedy += length;
        if (*remedy == '\n') {
            putchar('\n');
            column = 0;
        }
        remedy += *remedy != '\0';
    }
    if (column > 0)
        putchar('\n');
}

static void doctor_print_finding(const struct check *check, const struct finding *finding)
{
    char text[4 * sizeof(finding->text)], line[sizeof(finding->remedy)];
    const char *remedy = finding->remedy;

    escape_text(text, sizeof(text), finding->text);
    printf("%-4s  %-*s  %s\n", verdicts[finding->verdict].label, NAME_WIDTH, check->name, text);
    while (*remedy) {
        size_t length = strcspn(remedy, "\n");

        snprintf(line, sizeof(line), "%.*s", (int)length, remedy);
        escape_text(text, sizeof(text), line);
        doctor_print_remedy(text);
        remedy += length + (remedy[length] == '\n');
    }
    fflush(stdout);
}

static struct json_object *doctor_finding_to_json(const struct check *check,
                                                  const struct finding *finding)
{
    struct json_object *json = json_object_new_object();
    char text[4 * sizeof(finding->text)];

    /* It may quote what is no UTF-8. */
    escape_text(text, sizeof(text), finding->text);
    json_object_object_add(json, "check", json_object_new_string(check->name));
    json_object_object_add(json, "verdict",
                           json_object_new_string(verdicts[finding->verdict].name));
    json_object_object_add(json, "text", json_object_new_string(text));
    output_add_text(json, "remedy", finding->remedy);
    return json;
}

static void doctor_count(unsigned number, const char *what)
{
    printf("%u %s%s", number, what, number == 1 ? "" : "s");
}

static int doctor_run(const struct options *options)
{
    struct json_object *json = options->json ? json_object_new_object() : NULL;
    struct json_object *array = json ? json_object_new_array() : NULL;
    struct doctor doctor = {.own_options = *options, .session = {.device_fd = -1}};
    unsigned counts[VERDICT_FAILURE + 1] = {0};
    int status;

    doctor.options = doctor.session.options = &doctor.own_options;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct finding finding = {.verdict = VERDICT_NONE};

        if (checks[i].device && !options->device)
            continue;
        checks[i].look(&doctor, &finding);
        counts[finding.verdict]++;
        if (finding.verdict == VERDICT_NONE)
            continue;
        if (json)
            json_object_array_add(array, doctor_finding_to_json(&checks[i], &finding));
        else
            doctor_print_finding(&checks[i], &finding);
    }
    session_close(&doctor.session);
    status = counts[VERDICT_FAILURE] > 0 ? CTL_TROUBLE : CTL_GOOD;
    if (json) {
        json_object_object_add(json, "checks", array);
        return output_json(options, status, json);
    }
    printf("\n");
    doctor_count(counts[VERDICT_FAILURE], "failure");
    printf(", ");
    doctor_count(counts[VERDICT_WARNING], "warning");
    printf(", %u unknown, %u good\n", counts[VERDICT_UNKNOWN], counts[VERDICT_GOOD]);
    if (!options->device)
        printf("Name a DEVICE to check it as well.\n");
    return output_flush(status);
}

const struct command cmd_doctor = {
    .name = "doctor",
    .summary = "Find out why reservations do not work, and how to repair that",
    .about = "Checks the helper and, if one is named, everything between it and the device.\n"
             "Changes nothing. As root it sees more: multipathd, and who else uses the device.",
    .takes = OPTION_STATUS_SOCKET,
    .wants = COMMAND_DEVICE_OPTIONAL,
    .run = doctor_run,
};
