// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ctl/fence.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "base/escape.h"
#include "ctl/advice.h"
#include "ctl/device.h"
#include "ctl/sysfs.h"

bool fence_refuse(struct fence *fence, const char *hint)
{
    outcome_hint(&fence->outcome, "%s", hint);
    return false;
}

bool fence_send(struct fence *fence, const struct command *command, uint64_t key, uint64_t other,
                unsigned type, struct outcome *outcome)
{
    fence->step = *fence->options;
    fence->step.command = command;
    fence->step.key = key;
    fence->step.other_key = other;
    fence->step.type = type;
    fence->step.flags = command == &cmd_register ? fence->flags : 0;
    fence->session.options = &fence->step;
    session_send(&fence->session, command, outcome);
    return prhelper_is_good(outcome->r, &outcome->result);
}

void fence_fail(struct fence *fence, const struct command *command, const struct outcome *outcome)
{
    fence->outcome = *outcome;
    if (outcome->r == 0)
        advice_answer(&fence->session, command, &fence->outcome);
    else
        advice_failure(&fence->session, command, &fence->outcome);
}

/* Through one path of a map, this host would hold the reservation and lock out its own other paths.
 */
static bool fence_is_path(struct fence *fence)
{
    char block[32], map[128], text[512];
    struct stat file;

    if (fstat(fence->session.device_fd, &file) < 0 || !S_ISBLK(file.st_mode) ||
        !sysfs_block_name(file.st_rdev, block, sizeof(block)) ||
        !sysfs_map_above(block, map, sizeof(map)))
        return false;
    escape_text(text, sizeof(text), map);
    outcome_fail(&fence->outcome, CTL_REFUSED, "it is one path of the multipath map %s", text);
    outcome_hint(&fence->outcome,
                 "A fence through one path would lock out this host's other paths: name "
                 "/dev/mapper/%s, or use --force. Nothing was sent.",
                 text);
    return true;
}

bool fence_open(struct fence *fence)
{
    struct device_facts facts;
    int r = session_open_device(&fence->session, fence->options);

    if (r < 0) {
        advice_device(&fence->session, r, &fence->outcome);
        return false;
    }
    facts = device_examine(fence->session.device_fd);
    if (fence->options->direct && !facts.is_scsi) {
        outcome_fail(&fence->outcome, CTL_REFUSED, "refused");
        outcome_hint(&fence->outcome, "This is %s.", device_objection(&facts, true));
        return false;
    }
    if (!fence->options->force && fence_is_path(fence))
        return false;
    r = session_connect(&fence->session);
    if (r == 0)
        return true;
    advice_connect(&fence->session, r, &fence->outcome);
    return false;
}

void fence_list(struct fence *fence)
{
    for (size_t i = 0; i < fence->state.count; i++)
        outcome_add_line(&fence->outcome, "  %#018" PRIx64 "  %s%s",
                         fence->state.registrations[i].key, fence->state.registrations[i].initiator,
                         fence->state.registrations[i].holder ? "  (holds the reservation)" : "");
}
