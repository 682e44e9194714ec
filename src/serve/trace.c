// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The syntax is that of QEMU's -trace, so that command lines written for its helper go on working.
 */
#include "serve/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"

#define TRACE_FILE_MAX 65536

/* The events of this program, up to the one without a name. */
static struct trace_event trace_events[] = {
    {NULL, NULL, false},
};

static size_t trace_count(void)
{
    return sizeof(trace_events) / sizeof(trace_events[0]) - 1;
}

bool trace_is_help(const char *spec)
{
    return strcmp(spec, "help") == 0 || strcmp(spec, "?") == 0;
}

void trace_list(void)
{
    for (size_t i = 0; i < trace_count(); i++)
        printf("%s %s\n", trace_events[i].name, trace_events[i].arguments);
}

bool trace_apply(struct trace_event *events, size_t n_events, const char *pattern)
{
    bool enable = pattern[0] != '-';
    const char *name = enable ? pattern : pattern + 1;
    bool found = strpbrk(name, "*?") != NULL;

    for (size_t i = 0; i < n_events; i++) {
        if (fnmatch(name, events[i].name, FNM_NOESCAPE) == 0) {
            events[i].enabled = enable;
            found = true;
        }
    }
    return found;
}

static void trace_apply_ours(const char *pattern)
{
    if (!trace_apply(trace_events, trace_count(), pattern))
        log_warning("warning: trace event '%s' does not exist",
                    pattern[0] == '-' ? pattern + 1 : pattern);
}

/* One pattern a line, # comments, blank lines and surrounding blanks without meaning. */
static int trace_read_events(const char *path)
{
    CLEANUP_FREE char *text = malloc(TRACE_FILE_MAX);
    char *line, *rest = text;
    ssize_t n;

    if (!text)
        return -ENOMEM;
    n = fdio_read_text(AT_FDCWD, path, text, TRACE_FILE_MAX);
    if (n >= TRACE_FILE_MAX - 2) /* cut, perhaps behind a newline, which is not counted */
        n = -EFBIG;
    if (n < 0) {
        log_error("cannot read trace events file %s: %s", path, strerror((int)-n));
        return (int)n;
    }
    while ((line = strsep(&rest, "\n"))) {
        line += strspn(line, " \t\r");
        line[strcspn(line, " \t\r")] = '\0';
        if (*line && *line != '#')
            trace_apply_ours(line);
    }
    return 0;
}

/* Cut the next field off at a single comma, turning double ones into commas. NULL: none is left. */
static char *trace_next_field(char **rest)
{
    char *field = *rest;
    char *from = field, *to = field;

    if (!field)
        return NULL;
    while (*from && (from[0] != ',' || from[1] == ',')) {
        from += *from == ',';
        *to++ = *from++;
    }
    *rest = *from ? from + 1 : NULL;
    *to = '\0';
    return field;
}

int trace_parse(const char *spec)
{
    CLEANUP_FREE char *copy = strdup(spec);
    char *rest = copy;
    char *field;
    bool first = true;
    int r;

    if (!copy)
        return -ENOMEM;
    for (; (field = trace_next_field(&rest)); first = false) {
        if (strncmp(field, "events=", 7) == 0) {
            r = trace_read_events(field + 7);
            if (r < 0)
                return r;
        } else if (strncmp(field, "file=", 5) == 0) {
            /* Lines of trace events go there; see trace_events. */
            if (!field[5]) {
                log_error("--trace=%s: file= needs a name", spec);
                return -EINVAL;
            }
        } else if (strncmp(field, "enable=", 7) == 0) {
            trace_apply_ours(field + 7);
        } else if (first && !strchr(field, '=')) {
            if (*field)
                trace_apply_ours(field);
        } else {
            log_error("--trace=%s: '%s' is none of enable=, events= and file=", spec, field);
            return -EINVAL;
        }
    }
    return 0;
}
