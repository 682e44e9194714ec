// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * validate: will this cluster software work on this storage? Profiles are data, below
 * BUILD_VALIDATE_DIR; what runs them is here. All that is found goes into one object, by which
 * terminal, report and JSON are written.
 */
#include <errno.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/escape.h"
#include "build.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/sysfs.h"
#include "node/document.h"
#include "validate/catalogue.h"
#include "validate/profile.h"
#include "validate/report.h"
#include "validate/report_file.h"
#include "validate/run.h"
#include "validate/safety.h"
#include "validate/second.h"
#include "validate/step.h"

#define VALIDATE_REPORT_FORMAT 1

/* What a run needs of the disk of its own host. */
struct validate {
    const struct options *options;
    struct outcome outcome;
    struct run run;
    struct catalogue catalogue;
    struct json_object *report;
    struct report_files files; /* of --report */
};

/* --second: a socket is another helper's, anything else the same unit by another device. */
static bool validate_open(struct validate *validate)
{
    const struct options *options = validate->options;
    const char *device = options->device, *socket = options->socket;
    char error[1024];
    struct stat file;
    int r = nexus_open(&validate->run.nexus[0], "A", options, device, socket, error, sizeof(error));

    validate->run.n_nexuses = 1;
    if (r == 0 && options->second) {
        if (stat(options->second, &file) == 0 && S_ISSOCK(file.st_mode))
            socket = options->second;
        else
            device = options->second;
        if (!second_is_other(&validate->run.nexus[0], device, socket, &validate->outcome))
            return false;
        r = nexus_open(&validate->run.nexus[1], "B", options, device, socket, error, sizeof(error));
        validate->run.n_nexuses = 2;
    }
    if (r == 0)
        return true;
    outcome_fail(&validate->outcome, (enum exit_status)r, "%s", error);
    outcome_hint(&validate->outcome, "Nothing was changed.");
    return false;
}

/* A report that cannot be written is to be known before there is anything to report. */
static bool validate_open_report(struct validate *validate)
{
    const char *path = validate->options->report;
    int r = path ? report_file_open(&validate->files, path) : 0;

    if (r == 0)
        return true;
    outcome_fail(&validate->outcome, CTL_INTERNAL, "%s: %s", path,
                 r == -EINVAL ? "it or the corresponding .json file is not a regular file"
                              : strerror(-r));
    outcome_hint(&validate->outcome, "Nothing was changed.");
    return false;
}

static void validate_add_device(struct json_object *report, const struct nexus *nexus)
{
    char raw[128], text[512];

    output_add_text(report, "unit", nexus->identity);
    if (sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/vendor", nexus->device)) {
        escape_text(text, sizeof(text), raw);
        output_add_text(report, "vendor", text);
    }
    if (sysfs_read(raw, sizeof(raw), "/sys/block/%s/device/model", nexus->device)) {
        escape_text(text, sizeof(text), raw);
        output_add_text(report, "model", text);
    }
}

static struct json_object *validate_begin_report(const struct validate *validate)
{
    struct json_object *report = json_object_new_object();
    const struct options *options = validate->options;
    char text[512], escaped[1024];
    time_t now = time(NULL);
    struct utsname name;
    struct tm utc;

    json_object_object_add(report, "format", json_object_new_int(VALIDATE_REPORT_FORMAT));
    output_add_text(report, "version", "qemu-pr-ctl " BUILD_VERSION);
    snprintf(text, sizeof(text), "libprhelper %s", prhelper_version());
    output_add_text(report, "library", text);
    if (uname(&name) == 0) {
        snprintf(text, sizeof(text), "%s %s %s", name.sysname, name.release, name.machine);
        output_add_text(report, "kernel", text);
    }
    if (gmtime_r(&now, &utc) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) > 0)
        output_add_text(report, "date", text);
    snprintf(text, sizeof(text), "%s%s", options->direct ? "SG_IO" : "the helper at ",
             options->direct ? "" : session_socket(&validate->run.nexus[0].session));
    escape_text(escaped, sizeof(escaped), text);
    output_add_text(report, "way", escaped);
    if (options->second) {
        escape_text(escaped, sizeof(escaped), options->second);
        output_add_text(report, "second", escaped);
    }
    validate_add_device(report, &validate->run.nexus[0]);
    return report;
}

static enum run_verdict validate_profiles(struct validate *validate)
{
    struct json_object *records = json_object_new_array();
    enum run_verdict worst = RUN_PASS, verdict;

    for (size_t i = 0; i < json_object_array_length(validate->catalogue.profiles); i++) {
        struct json_object *record;

        verdict = run_profile(&validate->run,
                              json_object_array_get_idx(validate->catalogue.profiles, i), &record);
        worst = verdict > worst ? verdict : worst;
        json_object_array_add(records, record);
        if (!validate->options->json)
            report_profile(stdout, record, false);
        fflush(stdout);
    }
    json_object_object_add(validate->report, "profiles", records);
    return worst;
}

/* The last word on the logical unit itself: is it as it was? */
static void validate_tidy(struct validate *validate)
{
    struct outcome *outcome = &validate->outcome;
    struct options options = *validate->options;

    if (validate->run.first || (!validate->run.foreign && run_tidy(&validate->run)))
        return;
    output_add_text(validate->report, "left", validate->run.left);
    outcome_fail(outcome, CTL_UNKNOWN, "cannot clean up: %s", validate->run.left);
    if (validate->run.foreign) {
        outcome_hint(outcome, "The device is in use, so the run has ended. Its own registrations "
                              "were removed, and nothing else. To see what is there:");
        outcome_add_command(outcome, &options, "full-status");
        return;
    }
    outcome_hint(outcome, "Registrations whose keys begin with 0x7072766c are this program's. "
                          "When the device answers again:");
    options.device = validate->options->device;
    outcome_add_command(outcome, &options, "keys");
    outcome_add_line(outcome, "Warning: this removes the registrations of all hosts:");
    outcome_add_command(outcome, &options, "register-ignore --new-key=99");
    outcome_add_command(outcome, &options, "clear --key=99");
}

static void validate_work(struct validate *validate)
{
    struct outcome *outcome = &validate->outcome;
    enum run_verdict verdict;
    int r;

    validate->run.quirks = validate->catalogue.quirks;
    if (!validate_open_report(validate) || !validate_open(validate) ||
        !safety_confirm(&validate->run, validate->options, outcome))
        return;
    interrupt_catch("qemu-pr-ctl: validate: interrupted; removing its registrations. Interrupt "
                    "again to exit at once and leave them.\n");
    validate->run.force = validate->options->force;
    run_begin(&validate->run);
    if (validate->run.unlisted && !validate->run.first) {
        outcome_fail(outcome, CTL_UNKNOWN, "the registrations could not be read at first");
        outcome_hint(outcome, "READ KEYS succeeded only the second time. Nothing was "
                              "changed; try again.");
        return;
    }
    validate->report = validate_begin_report(validate);
    verdict = validate_profiles(validate);
    validate_tidy(validate);
    output_add_text(validate->report, "verdict", run_verdict_word[verdict]);
    if (outcome->exit_status == CTL_GOOD)
        outcome->exit_status = verdict == RUN_FAIL      ? CTL_TROUBLE
                               : verdict == RUN_UNKNOWN ? CTL_UNKNOWN
                                                        : CTL_GOOD;
    if (interrupt_came() && !outcome->what[0]) {
        outcome_fail(outcome, CTL_UNKNOWN, "interrupted");
        outcome_hint(outcome, "No registration and no reservation is left.");
    }
    if (!validate->options->json)
        report_verdicts(stdout, validate->report);
    if (!validate->options->report)
        return;
    r = report_file_save(&validate->files, validate->report);
    if (r < 0)
        outcome_fail(outcome, CTL_INTERNAL, "%s: %s", validate->options->report, strerror(-r));
}

/* --dry-run: what would be sent. The keys that are drawn would be others. */
static void validate_show(struct validate *validate)
{
    for (size_t i = 0; i < json_object_array_length(validate->catalogue.profiles); i++) {
        struct json_object *profile = json_object_array_get_idx(validate->catalogue.profiles, i);

        printf("%s: %s\n", document_text(profile, "name"), document_text(profile, "title"));
        profile_keys(profile, &validate->run.keys);
        for (size_t j = 0; j < document_count(profile, "sequences"); j++) {
            struct json_object *sequence = document_item(profile, "sequences", j);

            printf("  %s\n", document_text(sequence, "name"));
            for (size_t k = 0; k < document_count(sequence, "steps"); k++)
                step_print(stdout, document_item(sequence, "steps", k), &validate->run.keys);
        }
    }
}

static void validate_dry_run(struct validate *validate)
{
    if (!validate->options->json) {
        validate_show(validate);
        return;
    }
    validate->report = json_object_new_object();
    json_object_object_add(validate->report, "dry_run", json_object_new_boolean(true));
    json_object_object_add(validate->report, "profiles",
                           json_object_get(validate->catalogue.profiles));
}

static int validate_run(const struct options *options)
{
    struct validate validate = {.options = options};
    int status;

    if (strcmp(options->purpose, "list") == 0)
        return catalogue_list(options);
    if (!options->device) {
        fprintf(stderr, "qemu-pr-ctl: validate: no device given\n"
                        "Try 'qemu-pr-ctl validate --help'.\n");
        return CTL_USAGE;
    }
    validate.files.text.fd = validate.files.json.fd = -1;
    validate.outcome.exit_status = CTL_GOOD;
    validate.outcome.r = PRHELPER_DEAD; /* no one answer is its own */
    for (unsigned i = 0; i < 2; i++)
        validate.run.nexus[i] = (struct nexus){.session.device_fd = -1, .data_fd = -1};
    if (catalogue_load(&validate.catalogue, options, &validate.outcome)) {
        if (options->dry_run)
            validate_dry_run(&validate);
        else
            validate_work(&validate);
    }
    report_file_close(&validate.files);
    for (unsigned i = 0; i < 2; i++)
        nexus_close(&validate.run.nexus[i]);
    json_object_put(validate.run.first);
    json_object_put(validate.run.seen);
    catalogue_deinit(&validate.catalogue);
    if (options->json && !validate.report)
        validate.report = json_object_new_object();
    if (!options->json) {
        json_object_put(validate.report);
        validate.report = NULL;
    }
    status = output_finish(options, &validate.outcome, validate.report);
    return status;
}

const struct command cmd_validate = {
    .name = "validate",
    .summary = "Find out whether a cluster will work on a disk before building it",
    .about = "Sends the device what the named software sends when it validates and runs, and\n"
             "reports the steps that fail. Makes and removes reservations, and writes a\n"
             "block of data back as it was read: the device must not be in use.",
    .takes = OPTION_PURPOSE | OPTION_SECOND | OPTION_PROFILES | OPTION_FORCE | OPTION_REPORT |
             OPTION_YES | OPTION_DIRECT,
    .needs = OPTION_PURPOSE,
    .changes = true,
    .wants = COMMAND_DEVICE_OPTIONAL,
    .run = validate_run,
};
