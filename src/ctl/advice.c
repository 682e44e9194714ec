// SPDX-License-Identifier: LGPL-2.1-or-later
/* Advice on failures between this program and the device. */
#include "ctl/advice.h"

#include <errno.h>
#include <string.h>

#include "ctl/device.h"

void advice_device(const struct session *session, int r, struct outcome *outcome)
{
    const char *device = session->options->device;
    const char *how = session->options->command->changes ? "reading and writing" : "reading";

    outcome_fail(outcome, CTL_DEVICE, "cannot open it for %s: %s", how, strerror(-r));
    switch (-r) {
    case ENOENT:
        outcome_hint(outcome, "The file does not exist. 'lsblk -S' lists the SCSI disks.");
        break;
    case EACCES:
    case EPERM:
        outcome_hint(outcome,
                     "This user lacks permission: see 'ls -l %s'. A helper needs no other "
                     "permission from its clients.",
                     device);
        break;
    case EROFS:
        outcome_hint(outcome, "The disk is read-only; 'blockdev --setrw %s' may change that.",
                     device);
        break;
    case ENXIO:
    case ENODEV:
        outcome_hint(outcome, "No such device exists (any more).");
        break;
    case EISDIR:
        outcome_hint(outcome, "Name a device, such as /dev/sda.");
        break;
    default:
        break;
    }
}

void advice_connect(const struct session *session, int r, struct outcome *outcome)
{
    const char *path = session_socket(session);
    char text[PRHELPER_TEXT_MAX];

    prhelper_describe(text, sizeof(text), r, NULL);
    outcome_fail(outcome, CTL_HELPER, "cannot reach the helper at %s: %s", path, text);
    switch (r) {
    case -ENOENT:
    case -ENOTDIR:
        outcome_hint(outcome, "The socket does not exist: start qemu-pr-helper, or name the socket "
                              "of a running helper with -k. Root can use --direct instead.");
        break;
    case -ECONNREFUSED:
        outcome_hint(
            outcome,
            "The socket exists, but no process listens on it: start qemu-pr-helper again.");
        break;
    case -EACCES:
    case -EPERM:
        outcome_hint(outcome,
                     "This user may not write to the socket: see 'ls -l %s', and the helper's "
                     "--socket-mode and --socket-group.",
                     path);
        break;
    case -ETIMEDOUT:
        outcome_hint(outcome, "Either the helper hangs, or the listening process is not a helper.");
        break;
    case -ENOMEM:
        outcome->exit_status = CTL_INTERNAL;
        break;
    default:
        if (r > 0)
            outcome_hint(outcome, "Either the helper has reached --max-clients, or the listening "
                                  "process is not a helper.");
        break;
    }
}

void advice_unknown(const struct session *session, const struct command *command, const char *first,
                    struct outcome *outcome)
{
    if (!command->changes) {
        outcome_hint(outcome, "%s", first);
    } else if (!outcome_is_unknown(outcome, command)) {
        outcome_hint(outcome, "%s The command was not carried out.", first);
    } else {
        outcome_hint(outcome,
                     "%s It is not known whether the command was carried out. To check:", first);
        outcome_add_command(outcome, session->options, "full-status");
    }
}

void advice_failure(const struct session *session, const struct command *command,
                    struct outcome *outcome)
{
    bool direct = session->options->direct, unknown;
    int r = outcome->r;
    char text[PRHELPER_TEXT_MAX];

    unknown = prhelper_outcome(r, &outcome->result) == PRHELPER_OUTCOME_UNKNOWN;
    prhelper_describe(text, sizeof(text), r, &outcome->result);
    outcome_fail(outcome, unknown ? CTL_UNKNOWN : CTL_HELPER, "%s%s%s%s", direct ? "SG_IO: " : "",
                 text, session->direct.problem[0] ? ", " : "", session->direct.problem);

    if (r == PRHELPER_BAD_ARGUMENT) {
        outcome->exit_status = CTL_USAGE;
        outcome_hint(outcome, "Too many TransportIDs for one command?");
    } else if (r == PRHELPER_NO_FEATURE) {
        outcome_hint(outcome, "This helper does not support CLEANUP.");
    } else if (r == -ETIMEDOUT) {
        advice_unknown(session, command, "The device did not answer within --timeout.", outcome);
    } else if (r > 0) {
        advice_unknown(
            session, command,
            "The helper's log may say why; it may have exited, or not be a helper at all.",
            outcome);
    } else if (direct && (r == -EPERM || r == -EACCES)) {
        outcome_hint(
            outcome,
            "--direct needs CAP_SYS_RAWIO, as root has it. Other users can go through a helper.");
    } else if (direct && (r == -ENOTTY || r == -EINVAL || r == -EBADF)) {
        const struct device_facts facts = device_examine(session->device_fd);
        const char *objection = device_objection(&facts, false);

        outcome->exit_status = CTL_REFUSED;
        outcome_hint(outcome, "This is %s.",
                     objection ? objection : "not a device that takes SCSI commands");
    } else if (direct) {
        advice_unknown(session, command, "The device or its transport has failed: see dmesg.",
                       outcome);
    }
}
