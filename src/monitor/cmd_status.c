// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * status: what the helper's status socket says, as tables for people, or as it is with --json. What
 * needs attention comes first. With --watch it is shown again every second: on a terminal in the
 * same place, cut to its size, else one after the other, without any control character.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/document.h"
#include "ctl/output.h"
#include "monitor/all.h"
#include "monitor/status_tables.h"

#define STATUS_INTERVAL_S 1

/* Move to the upper left; clear to the end of the line, and of the screen. ECMA-48. */
#define TERMINAL_HOME     "\033[H"
#define TERMINAL_END_LINE "\033[K"
#define TERMINAL_END_PAGE "\033[J"

static const char *status_json_text(struct json_object *json, bool in_one_line)
{
    return json_object_to_json_string_ext(
        json, in_one_line ? JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE
                          : JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* How many bytes of a line fit into so many columns; a character may be several bytes. */
static size_t status_bytes_that_fit(const char *line, size_t length, size_t columns)
{
    size_t bytes = 0;

    while (bytes < length && columns > 0) {
        bytes++;
        while (bytes < length && ((unsigned char)line[bytes] & 0xc0) == 0x80)
            bytes++;
        columns--;
    }
    return bytes;
}

/* In place of what was there before. */
static void status_show_in_place(const char *text)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    unsigned row = 0;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 2 || size.ws_col < 2)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    fputs(TERMINAL_HOME, stdout);
    while (*text && ++row < size.ws_row) {
        size_t length = strcspn(text, "\n");

        printf("%.*s" TERMINAL_END_LINE "\n", (int)status_bytes_that_fit(text, length, size.ws_col),
               text);
        text += length + (text[length] == '\n');
    }
    fputs(TERMINAL_END_PAGE, stdout);
}

/* The documents, or all that `look` has seen. */
static char *status_make_text(struct json_object *documents, const struct look *look)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return NULL;
    if (look)
        all_print(look, file);
    for (size_t i = 0; !look && i < json_object_array_length(documents); i++) {
        if (i > 0)
            fprintf(file, "\n");
        status_print(json_object_array_get_idx(documents, i), file);
    }
    fclose(file);
    return text;
}

/* What went wrong, in the place of tables. */
static char *status_make_message(const struct outcome *outcome)
{
    char *text = NULL;

    return asprintf(&text, "qemu-pr-ctl: status: %s\n%s\n", outcome->what, outcome->hint) < 0
               ? NULL
               : text;
}

/* A text that is consumed, NULL: there was no memory for it. */
static int status_show_text(const struct options *options, char *text)
{
    if (!text)
        return CTL_INTERNAL;
    if (options->watch && isatty(STDOUT_FILENO))
        status_show_in_place(text);
    else
        printf("%s%s", text, options->watch ? "\n" : "");
    free(text);
    return output_flush(CTL_GOOD);
}

static int status_show_json(const char *text)
{
    if (!text)
        return CTL_INTERNAL;
    puts(text);
    return output_flush(CTL_GOOD);
}

/* While watching, a helper that is being restarted is no reason to end. */
static int status_show_failure(const struct options *options, const struct outcome *outcome)
{
    char *text = status_make_message(outcome);

    if (text && !options->json && isatty(STDOUT_FILENO))
        status_show_in_place(text);
    else if (text)
        fputs(text, stderr);
    free(text);
    return output_flush(CTL_GOOD);
}

/* Ask once. False: the outcome says why nothing could be shown, else *ret_status is final. */
static bool status_ask(const struct options *options, struct outcome *outcome, int *ret_status)
{
    struct json_object *documents;
    struct look look;

    if (options->all) {
        char *report = NULL;

        if (all_look(options, outcome, &look) < 0)
            return false;
        if (options->json)
            report = look_report(&look);
        *ret_status = options->json ? status_show_json(report)
                                    : status_show_text(options, status_make_text(NULL, &look));
        free(report);
        look_deinit(&look);
        return true;
    }
    if (!document_fetch(options, outcome, &documents))
        return false;
    *ret_status = CTL_GOOD;
    if (!options->json)
        *ret_status = status_show_text(options, status_make_text(documents, NULL));
    for (size_t i = 0;
         options->json && *ret_status == CTL_GOOD && i < json_object_array_length(documents); i++)
        *ret_status = status_show_json(
            status_json_text(json_object_array_get_idx(documents, i), options->watch));
    json_object_put(documents);
    return true;
}

static int status_run(const struct options *options)
{
    static const struct timespec interval = {.tv_sec = STATUS_INTERVAL_S};
    struct outcome outcome = {.result.status = PRHELPER_STATUS_NONE};
    int status = CTL_GOOD;

    if (options->watch && !options->json && isatty(STDOUT_FILENO))
        fputs(TERMINAL_HOME TERMINAL_END_PAGE, stdout);
    if (!status_ask(options, &outcome, &status))
        return output_finish(options, &outcome, options->json ? json_object_new_object() : NULL);
    while (options->watch && status == CTL_GOOD) {
        nanosleep(&interval, NULL);
        if (!status_ask(options, &outcome, &status))
            status = status_show_failure(options, &outcome);
    }
    return status;
}

const struct command cmd_status = {
    .name = "status",
    .summary = "Show clients, devices, keys and commands in flight of the running helpers",
    .about =
        "The status of each helper of this host, one after the other. --json prints the helpers'\n"
        "own documents; with --all, that of qemu-pr-exporter.",
    .takes = OPTION_STATUS_SOCKET | OPTION_WATCH | OPTION_ALL,
    .lacks = OPTION_SOCKET,
    .wants = COMMAND_NO_DEVICE,
    .run = status_run,
};
