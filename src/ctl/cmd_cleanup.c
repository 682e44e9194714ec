// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * cleanup: removes what a vanished client left behind. Without a key it is no SCSI command, but the
 * helper protocol's own, for multipath maps. With one it unregisters a stale key: REGISTER of zero
 * by the nexus that has it, so nothing happens if that has another key by now. Nothing is ever
 * removed by itself, and only what the helper lists as stale.
 */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/options.h"
#include "ctl/session.h"
#include "ctl/stale.h"

static int cmd_cleanup_send(struct prhelper *helper, int device, const struct options *options,
                            struct prhelper_result *ret_result)
{
    if (options->given & OPTION_KEY)
        return prhelper_register(helper, device, options->key, 0, 0, ret_result);
    return prhelper_cleanup(helper, device, ret_result);
}

static bool cmd_cleanup_prepare(struct session *session, struct outcome *outcome)
{
    return !(session->options->given & OPTION_KEY) || stale_check(session, outcome);
}

static int cmd_cleanup_show(struct session *session, const uint8_t *data, size_t size,
                            struct json_object *json)
{
    const struct options *options = session->options;

    if (json)
        return 0;
    if (options->given & OPTION_KEY)
        printf("removed key " OUTCOME_KEY "\n", options->key);
    else
        printf("cleaned up\n");
    return 0;
}

const struct command cmd_cleanup = {
    .name = "cleanup",
    .summary = "Remove registrations that a vanished client has left",
    .about = "With --key: a key that the helper's status lists as stale. Without: multipathd "
             "forgets the\n"
             "key of a multipath map, and its paths are unregistered; on anything else nothing is "
             "done.\n"
             "Both ask first.",
    .takes = OPTION_KEY | OPTION_YES | OPTION_STATUS_SOCKET,
    .changes = true,
    .prepare = cmd_cleanup_prepare,
    .send = cmd_cleanup_send,
    .show = cmd_cleanup_show,
};
