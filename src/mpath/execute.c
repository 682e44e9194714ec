// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which command it is. */
#include "mpath/command.h"

void command_execute(struct command *command)
{
    switch (command->request.opcode) {
    case SPC_PERSISTENT_RESERVE_IN:
        command_read(command);
        return;
    case SPC_PERSISTENT_RESERVE_OUT:
        command_out(command);
        return;
    case WIRE_CLEANUP:
        command_cleanup(command);
        return;
    default:
        command_answer_sense(command, SPC_INVALID_OPERATION_CODE);
    }
}
