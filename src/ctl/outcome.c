// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words into the room that an outcome has for them; what does not fit is cut. */
#include "ctl/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool outcome_is_unknown(const struct outcome *outcome, const struct command *command)
{
    return command->changes &&
           prhelper_outcome(outcome->r, &outcome->result) == PRHELPER_OUTCOME_UNKNOWN;
}

void outcome_fail(struct outcome *outcome, enum exit_status status, const char *format, ...)
{
    va_list arguments;

    outcome->exit_status = status;
    va_start(arguments, format);
    vsnprintf(outcome->what, sizeof(outcome->what), format, arguments);
    va_end(arguments);
}

void outcome_hint(struct outcome *outcome, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(outcome->hint, sizeof(outcome->hint), format, arguments);
    va_end(arguments);
}

void outcome_add_line(struct outcome *outcome, const char *format, ...)
{
    size_t length = strlen(outcome->hint);
    va_list arguments;

    if (length + 1 >= sizeof(outcome->hint))
        return;
    outcome->hint[length++] = '\n';
    va_start(arguments, format);
    vsnprintf(outcome->hint + length, sizeof(outcome->hint) - length, format, arguments);
    va_end(arguments);
}

void outcome_add_command(struct outcome *outcome, const struct options *options, const char *format,
                         ...)
{
    size_t length = strlen(outcome->hint);
    char command[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    snprintf(outcome->hint + length, sizeof(outcome->hint) - length, "\n  qemu-pr-ctl %s%s%s%s %s",
             command, options->direct ? " --direct" : "", options->socket ? " -k " : "",
             options->socket ? options->socket : "", options->device);
}
