// SPDX-License-Identifier: LGPL-2.1-or-later
/* What keeps a command from the device, or its answer from us. */
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
        outcome_hint(outcome, "There is no such file. 'lsblk -S' lists the SCSI disks.");
        break;
    case EACCES:
    case EPERM:
        outcome_hint(
            outcome,
            "This user may not open it so: see 'ls -l %s'. The helper needs no more rights of "
            "its clients than this one.",
            device);
        break;
    case EROFS:
        outcome_hint(outcome, "The disk is read-only; 'blockdev --setrw %s' may change that.",
                     device);
        break;
    case ENXIO:
    case ENODEV:
        outcome_hint(outcome, "There is no device behind that name (any more).");
        break;
    case EISDIR:
        outcome_hint(outcome, "A device is needed, such as /dev/sda.");
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
        outcome_hint(
            outcome,
            "No helper has made that socket: start qemu-pr-helper, or name the socket of one "
            "that runs with -k; root can do without by --direct.");
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
        outcome_hint(outcome, "Either the helper hangs, or what listens there is no helper.");
        break;
    case -ENOMEM:
        outcome->exit_status = CTL_INTERNAL;
        break;
    default:
        if (r > 0)
            outcome_hint(outcome,
                         "Either the helper has as many clients as it takes (--max-clients), "
                         "or what listens there is no helper.");
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
                     "%s Whether the command was carried out is not known. To see:", first);
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
        outcome_hint(outcome, "This helper is one that knows nothing to clean up.");
    } else if (r == -ETIMEDOUT) {
        advice_unknown(session, command, "The device did not answer within --timeout.", outcome);
    } else if (r > 0) {
        advice_unknown(session, command,
                       "The helper's log may say why; it may have ended, or be no helper at all.",
                       outcome);
    } else if (direct && (r == -EPERM || r == -EACCES)) {
        outcome_hint(outcome,
                     "--direct needs root's CAP_SYS_RAWIO. Others can go through a helper.");
    } else if (direct && (r == -ENOTTY || r == -EINVAL || r == -EBADF)) {
        const struct device_facts facts = device_examine(session->device_fd);
        const char *objection = device_objection(&facts, false);

        outcome->exit_status = CTL_REFUSED;
        outcome_hint(outcome, "This is %s.",
                     objection ? objection : "no device that takes SCSI commands");
    } else if (direct) {
        advice_unknown(session, command, "The device or its transport is in trouble: see dmesg.",
                       outcome);
    }
}
