// SPDX-License-Identifier: LGPL-2.1-or-later
/* How an answer is put together. */
#include "mpath/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void command_say(struct command *command, const char *format, ...)
{
    char *text = command->answer.text;
    size_t size = sizeof(command->answer.text);
    size_t used = strlen(text);
    va_list arguments;

    used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : command->map.name,
                             used ? "" : ": ");
    if (used >= size)
        return;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

void command_answer_sense(struct command *command, struct spc_sense code)
{
    reply_sense(&command->answer.reply, code);
}

void command_answer_status(struct command *command, uint8_t status)
{
    reply_status(&command->answer.reply, status, 0);
}
