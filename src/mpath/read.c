// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The helper has tried the map itself, and the path that the kernel took was dead. Each other path
 * leads to the same logical unit, so the first that answers will do.
 */
#include <errno.h>
#include <string.h>

#include "mpath/command.h"
#include "mpath/host.h"
#include "mpath/paths.h"

void command_read(struct command *command)
{
    static struct map_paths paths;
    int usable = map_open_paths(&command->map, &paths);
    char names[WORKER_TEXT_SIZE / 2];

    if (usable < 0) {
        command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
        command_say(command, "its paths cannot be listed: %s", strerror(-usable));
        return;
    }
    if (paths_read(&paths, &command->request, command->io_timeout_ms, &command->answer.reply))
        return;
    command_say(command, "none of its %u paths answers", paths.n);
    map_list_paths(&paths, NULL, names, sizeof(names));
    if (names[0])
        command_say(command, "these are not there in %s: %s", host_dev, names);
}
