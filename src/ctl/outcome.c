// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words into the room that an outcome has for them; what does not fit is cut, but no command. */
#include "ctl/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

/* As a shell takes it for one word. */
static void outcome_quote(FILE *file, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "/_.:,=@%+-";

    if (*word && word[strspn(word, plain)] == '\0') {
        fputs(word, file);
        return;
    }
    fputc('\'', file);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", file);
        else
            fputc(*word, file);
    }
    fputc('\'', file);
}

void outcome_add_command(struct outcome *outcome, const struct options *options, const char *format,
                         ...)
{
    size_t length = strlen(outcome->hint), size = 0;
    va_list arguments;
    char *line = NULL;
    FILE *file = open_memstream(&line, &size);

    if (!file)
        return;
    fputs("\n  qemu-pr-ctl ", file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    if (options->direct)
        fputs(" --direct", file);
    if (options->socket) {
        fputs(" -k ", file);
        outcome_quote(file, options->socket);
    }
    fputs(options->device[0] == '-' ? " -- " : " ", file);
    outcome_quote(file, options->device);
    if (fclose(file) == 0 && size < sizeof(outcome->hint) - length)
        memcpy(outcome->hint + length, line, size + 1);
    free(line);
}
