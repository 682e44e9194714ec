// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The question is on standard error, since standard output may be JSON for a program. While it
 * stands there time goes by: the helper may be started anew, a virtual machine come back. So the
 * connection is given up meanwhile, and what would be lost is found out once more; if that is not
 * what was asked about, nothing is sent.
 *
 * The command is recorded with a connection that sends nothing.
 */
#include "ctl/consent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/advice.h"
#include "ctl/loss.h"
#include "ctl/output.h"
#include "scsi/cdb.h"
#include "scsi/spc.h"

#define CONSENT_BYTES_A_LINE 16

/* Add what would be lost to the outcome, and to `json` unless that is NULL. */
static bool consent_judge(struct session *session, struct outcome *outcome,
                          struct json_object *json)
{
    const struct options *options = session->options;
    struct state state;
    bool possible;

    if (options->command == &cmd_cleanup && !loss_is_possible(session, options, NULL)) {
        outcome_add_line(outcome, "Nothing would be done, because it is not a multipath map.");
        return false;
    }
    state_read(session, true, &state);
    possible = loss_is_possible(session, options, &state);
    if (session->note[0])
        outcome_add_line(outcome, "%s", session->note);
    if (!loss_add(options, &state, outcome) && possible)
        outcome_add_line(
            outcome, "As far as the device reports, no registration or reservation would be lost.");
    if (json)
        json_object_object_add(json, "loses", loss_to_json(options, &state));
    state_deinit(&state);
    return possible;
}

/* The hint's text begins with the end of a line that is not there. */
static const char *consent_text(const struct outcome *outcome)
{
    return outcome->hint + (outcome->hint[0] == '\n');
}

static void consent_refuse(struct outcome *outcome, const char *why)
{
    outcome_fail(outcome, CTL_REFUSED, "not confirmed");
    outcome_hint(outcome, "%s", why);
}

static bool consent_ask(const struct session *session, const struct outcome *outcome)
{
    char answer[16];

    fprintf(stderr, "qemu-pr-ctl: %s: %s\n", session->options->device,
            session->options->command->name);
    output_print_lines(stderr, consent_text(outcome));
    fprintf(stderr, "Send it? [y/N] ");
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* After the question: whether it is still about the same. */
static bool consent_is_valid(struct session *session, const char *asked, struct outcome *outcome)
{
    const struct command *command = session->options->command;
    struct outcome now = {.r = 0};
    int r;

    if (command->prepare && !command->prepare(session, outcome))
        return false;
    r = session_connect(session);
    if (r != 0) {
        advice_connect(session, r, outcome);
        return false;
    }
    consent_judge(session, &now, NULL);
    if (strcmp(consent_text(&now), asked) == 0)
        return true;
    outcome_fail(outcome, CTL_REFUSED,
                 "the registrations or the reservation have changed in the meantime");
    outcome_hint(outcome, "Nothing was sent. The effect would now be:\n%s", consent_text(&now));
    return false;
}

bool consent_obtain(struct session *session, struct outcome *outcome, struct json_object *json)
{
    struct outcome question = {.r = 0};

    if (session->options->yes || !loss_is_possible(session, session->options, NULL))
        return true;
    if (!consent_judge(session, &question, isatty(STDIN_FILENO) ? NULL : json))
        return true;
    if (!isatty(STDIN_FILENO)) {
        outcome_add_line(
            &question,
            "Standard input is not a terminal, so the question cannot be asked: use --yes.");
        consent_refuse(outcome, consent_text(&question));
        return false;
    }
    session_disconnect(session);
    if (!consent_ask(session, &question)) {
        consent_refuse(outcome, "Nothing was changed.");
        return false;
    }
    return consent_is_valid(session, consent_text(&question), outcome);
}

struct consent_command {
    uint8_t cdb[PRHELPER_CDB_MAX];
    uint8_t list[sizeof(((struct prhelper_result *)0)->data)];
    size_t list_size;
};

static int consent_record(void *context, int device, const uint8_t cdb[PRHELPER_CDB_MAX],
                          const void *out, size_t out_size, size_t in_size,
                          struct prhelper_result *result)
{
    struct consent_command *command = context;

    memcpy(command->cdb, cdb, PRHELPER_CDB_MAX);
    memcpy(command->list, out_size > 0 ? out : "", out_size);
    command->list_size = out_size;
    result->status = PRHELPER_GOOD;
    return 0;
}

static void consent_add_bytes(struct json_object *json, const char *name, const uint8_t *bytes,
                              size_t size)
{
    char text[2 * sizeof(((struct consent_command *)0)->list) + 1] = "";

    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    json_object_object_add(json, name, json_object_new_string(text));
}

static void consent_print_bytes(const char *name, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%s%s%02x", i % CONSENT_BYTES_A_LINE == 0 ? (i == 0 ? "" : "\n") : "",
               i == 0                          ? name
               : i % CONSENT_BYTES_A_LINE == 0 ? "                 "
                                               : " ",
               bytes[i]);
    if (size > 0)
        printf("\n");
}

void consent_show(struct session *session, struct outcome *outcome, struct json_object *json)
{
    const struct options *options = session->options;
    struct consent_command command = {.list_size = 0};
    struct outcome text = {.r = 0};
    struct prhelper *nowhere = NULL;
    size_t cdb_size;
    int r = prhelper_custom(consent_record, &command, &nowhere);

    if (r == 0)
        r = options->command->send(nowhere, session->device_fd, options, &outcome->result);
    prhelper_close(nowhere);
    outcome->r = r;
    outcome->result.status = PRHELPER_STATUS_NONE;
    if (r != 0) {
        advice_failure(session, options->command, outcome);
        return;
    }
    consent_judge(session, &text, json);
    cdb_size = command.cdb[0] == SPC_PERSISTENT_RESERVE_OUT ? CDB_SIZE : 1;
    if (json) {
        json_object_object_add(json, "dry_run", json_object_new_boolean(true));
        consent_add_bytes(json, "cdb", command.cdb, cdb_size);
        consent_add_bytes(json, "parameter_list", command.list, command.list_size);
        output_add_text(json, "warning", consent_text(&text));
        return;
    }
    printf("Nothing was sent. The command would be%s:\n",
           cdb_size == 1 ? ", to the helper and not to the device" : "");
    consent_print_bytes("  CDB            ", command.cdb, cdb_size);
    consent_print_bytes("  parameter list ", command.list, command.list_size);
    output_print_lines(stdout, consent_text(&text));
}
