// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu-pr-ctl: persistent reservations for people and scripts, through a helper. Commands for a
 * device go the same way: parse, open the device, connect, send, say what came of it; what is
 * special about one is in its cmd_*.c. Those that look at more than one device have a way of their
 * own. The helper is reached by libprhelper and nothing else.
 */
#include <json.h>
#include <stdio.h>
#include <string.h>

#include "base/fdio.h"
#include "build.h"
#include "ctl/advice.h"
#include "ctl/command.h"
#include "ctl/consent.h"
#include "ctl/device.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/session.h"

static const struct command *const commands[] = {
    &cmd_keys,         &cmd_reservation,     &cmd_capabilities,  &cmd_full_status,
    &cmd_register,     &cmd_register_ignore, &cmd_register_move, &cmd_reserve,
    &cmd_release,      &cmd_clear,           &cmd_preempt,       &cmd_preempt_abort,
    &cmd_replace_lost, &cmd_cleanup,         &cmd_fence,         &cmd_validate,
    &cmd_doctor,       &cmd_status,          &cmd_metrics,       &cmd_list,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void ctl_show_help(void)
{
    printf("Usage: qemu-pr-ctl COMMAND [OPTION]... DEVICE\n"
           "Look at and change SCSI persistent reservations through a qemu-pr-helper.\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-16s  %s\n", commands[i]->name, commands[i]->summary);
    printf(
        "\n"
        "'qemu-pr-ctl COMMAND --help' shows a command's options. Without root it needs the right\n"
        "to open DEVICE and to connect to the helper's socket, which is, without -k,\n"
        "%s.\n"
        "\n"
        "  -h, --help     show this help and exit\n"
        "  -V, --version  show the version and exit\n"
        "\n"
        "See qemu-pr-ctl(1).\n",
        BUILD_DEFAULT_SOCKET);
}

static const struct command *ctl_find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

/*
 * The kernel would let root send a command that changes something by any of the ways to a disk, and
 * any command to a tape or another device that takes SG_IO. What a helper refuses is refused here
 * as well, and for the same reasons.
 */
static bool ctl_is_refused(const struct session *session, struct outcome *outcome)
{
    const bool changes = session->options->command->changes;
    struct device_facts facts;

    if (!session->options->direct)
        return false;
    facts = device_examine(session->device_fd);
    if (changes ? facts.is_scsi : facts.kind != DEVICE_OTHER)
        return false;
    outcome_fail(outcome, CTL_REFUSED, "refused");
    outcome_hint(outcome, "This is %s.", device_objection(&facts, changes));
    return true;
}

static void ctl_show(struct session *session, struct outcome *outcome, struct json_object *json)
{
    char text[PRHELPER_TEXT_MAX];
    size_t size;
    const uint8_t *data = session_data(session, outcome, &size);
    int r = session->options->command->show(session, data, size, json);

    if (r == 0)
        return;
    prhelper_describe(text, sizeof(text), r, NULL);
    outcome_fail(outcome, CTL_DATA, "the device's answer is malformed: %s", text);
}

static void ctl_send(struct session *session, struct outcome *outcome, struct json_object *json)
{
    const struct command *command = session->options->command;

    session_send(session, command, outcome);
    if (outcome->r == 0)
        advice_answer(session, command, outcome);
    else
        advice_failure(session, command, outcome);
    if (outcome->exit_status == CTL_GOOD)
        ctl_show(session, outcome, json);
}

static void ctl_run(const struct options *options, struct outcome *outcome,
                    struct json_object *json)
{
    struct session session;
    int r = session_open_device(&session, options);

    outcome->r = PRHELPER_DEAD; /* until something is sent */
    outcome->result.status = PRHELPER_STATUS_NONE;
    if (r < 0) {
        advice_device(&session, r, outcome);
        return;
    }
    if (!ctl_is_refused(&session, outcome) &&
        (!options->command->prepare || options->command->prepare(&session, outcome))) {
        r = session_connect(&session);
        if (r != 0)
            advice_connect(&session, r, outcome);
        else if (options->dry_run)
            consent_show(&session, outcome, json);
        else if (consent_obtain(&session, outcome, json))
            ctl_send(&session, outcome, json);
    }
    /* Those too that came in place of what was only read, before the command or because of it. */
    memcpy(outcome->attentions, session.attentions, sizeof(outcome->attentions));
    outcome->n_attentions = session.n_attentions;
    session_close(&session);
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct outcome outcome = {.exit_status = CTL_GOOD};
    struct json_object *json;
    struct options options;
    int status;

    /* A device must not become standard output, or what is printed would be written to it. */
    if (fdio_open_standard() < 0)
        return CTL_INTERNAL;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        ctl_show_help();
        return fflush(stdout) == 0 ? CTL_GOOD : CTL_INTERNAL;
    }
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("qemu-pr-ctl %s (libprhelper %s)\n", BUILD_VERSION, prhelper_version());
        return fflush(stdout) == 0 ? CTL_GOOD : CTL_INTERNAL;
    }
    command = argc > 1 ? ctl_find_command(argv[1]) : NULL;
    if (!command) {
        fprintf(stderr, "qemu-pr-ctl: %s%s\nTry 'qemu-pr-ctl --help'.\n",
                argc > 1 ? "no such command: " : "no command given", argc > 1 ? argv[1] : "");
        return CTL_USAGE;
    }
    switch (options_parse(&options, command, argc - 1, argv + 1)) {
    case OPTIONS_RUN:
        break;
    case OPTIONS_EXIT:
        return fflush(stdout) == 0 ? CTL_GOOD : CTL_INTERNAL;
    case OPTIONS_ERROR:
        return CTL_USAGE;
    }
    if (command->run) {
        status = command->run(&options);
    } else {
        json = options.json ? json_object_new_object() : NULL;
        ctl_run(&options, &outcome, json);
        status = output_finish(&options, &outcome, json);
    }
    options_deinit(&options);
    return status;
}
