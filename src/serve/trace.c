// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The syntax is that of QEMU's -trace, so that command lines written for its helper go on working.
 *
 * What an event costs while it is off stands in tracepoints.h. When it is on, its line is put
 * together on the caller's stack and leaves in one write to a file opened for appending, so lines
 * of several threads do not mix and no lock is needed.
 */
#include "serve/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "serve/process.h"

#define TRACE_EVENTS_FILE_MAX 65536
#define TRACE_LINE_MAX        512

/* Tracers find each counter beside its probe, in this section (sys/sdt.h). */
#define TRACE_COUNTER(name, arguments)                                                             \
    __attribute__((section(".probes"))) unsigned short TRACE_SEMAPHORE(name);
TRACE_EVENTS(TRACE_COUNTER)

#define TRACE_ROW(name, arguments) {#name, arguments, false, &TRACE_SEMAPHORE(name)},
struct trace_event trace_events[trace_n_events] = {TRACE_EVENTS(TRACE_ROW)};

static char *trace_path; /* from file=, or NULL */
static int trace_fd = -1;

bool trace_is_help(const char *spec)
{
    return strcmp(spec, "help") == 0 || strcmp(spec, "?") == 0;
}

void trace_list(void)
{
    for (size_t i = 0; i < trace_n_events; i++)
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
    if (!trace_apply(trace_events, trace_n_events, pattern))
        log_warning("warning: trace event '%s' does not exist",
                    pattern[0] == '-' ? pattern + 1 : pattern);
}

/* One pattern a line, # comments, blank lines and surrounding blanks without meaning. */
static int trace_no_memory(void)
{
    log_error("cannot set up tracing: %s", strerror(ENOMEM));
    return -ENOMEM;
}

static int trace_read_events(const char *path)
{
    CLEANUP_FREE char *text = malloc(TRACE_EVENTS_FILE_MAX);
    char *line, *rest = text;
    ssize_t n;

    if (!text)
        return trace_no_memory();
    n = fdio_read_text(AT_FDCWD, path, text, TRACE_EVENTS_FILE_MAX);
    if (n >= TRACE_EVENTS_FILE_MAX - 2) /* cut, perhaps behind a newline, which is not counted */
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

static int trace_set_path(const char *spec, const char *path)
{
    if (!*path) {
        log_error("--trace=%s: file= needs a name", spec);
        return -EINVAL;
    }
    free(trace_path);
    trace_path = strdup(path);
    return trace_path ? 0 : trace_no_memory();
}

int trace_parse(const char *spec)
{
    CLEANUP_FREE char *copy = strdup(spec);
    char *rest = copy;
    char *field;
    bool first = true;
    int r;

    if (!copy)
        return trace_no_memory();
    for (; (field = trace_next_field(&rest)); first = false) {
        if (strncmp(field, "events=", 7) == 0) {
            r = trace_read_events(field + 7);
            if (r < 0)
                return r;
        } else if (strncmp(field, "file=", 5) == 0) {
            r = trace_set_path(spec, field + 5);
            if (r < 0)
                return r;
        } else if (strncmp(field, "enable=", 7) == 0) {
            trace_apply_ours(field + 7);
        } else if (first && !strchr(field, '=')) {
            if (*field)
                trace_apply_ours(field);
        } else {
            log_error("--trace=%s: '%s' is not enable=, events= or file=", spec, field);
            return -EINVAL;
        }
    }
    return 0;
}

int trace_open(void)
{
    CLEANUP_FREE char *path = NULL;
    int r;

    for (size_t i = 0; i < trace_n_events; i++) {
        if (trace_events[i].enabled)
            ++*trace_events[i].users;
    }
    if (!trace_path)
        return 0;
    path = process_path(trace_path);
    if (!path)
        return trace_no_memory();
    /* Without waiting for the reader of a named pipe, now or later. */
    trace_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (trace_fd >= 0)
        return 0;
    r = -errno;
    log_error("cannot open trace file %s: %s", path, strerror(-r));
    return r;
}

void trace_close(void)
{
    cleanup_close(&trace_fd);
    trace_fd = -1;
    free(steal_pointer(&trace_path));
}

void trace_line(enum trace_id id, const char *format, ...)
{
    char arguments[TRACE_LINE_MAX], line[TRACE_LINE_MAX + 80];
    struct timespec now;
    va_list list;
    int n;

    if (!trace_events[id].enabled)
        return;
    va_start(list, format);
    n = vsnprintf(arguments, sizeof(arguments), format, list);
    va_end(list);
    if (n < 0)
        return;
    if (trace_fd < 0 && log_is_stamped()) {
        log_line(LOG_DEBUG, "%s %s", trace_events[id].name, arguments);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    n = snprintf(line, sizeof(line), "%d@%lld.%06ld %s %s\n", (int)getpid(), (long long)now.tv_sec,
                 now.tv_nsec / 1000, trace_events[id].name, arguments);
    if (trace_fd >= 0)
        (void)!write(trace_fd, line, (size_t)n);
    else
        log_line(LOG_DEBUG, "%.*s", n - 1, line);
}
