// SPDX-License-Identifier: LGPL-2.1-or-later
/* cleanup: no SCSI command, but the helper protocol's own. */
#include <stdio.h>

#include "ctl/command.h"

static int send(struct prhelper *helper, int device, const struct options *options,
                struct prhelper_result *ret_result)
{
    return prhelper_cleanup(helper, device, ret_result);
}

static int show(const struct options *options, const struct prhelper_result *result,
                struct json_object *json)
{
    if (!json)
        printf("cleaned up\n");
    return 0;
}

const struct command cmd_cleanup = {
    .name = "cleanup",
    .summary = "Let a multipath map forget this host's registration",
    .about = "multipathd forgets the key, and the map's paths are unregistered. On anything but a\n"
             "multipath map nothing is done.",
    .changes = true,
    .send = send,
    .show = show,
};
