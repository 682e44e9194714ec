// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Trace events: which there are, and which are on.
 *
 * Thread rule: parsing belongs to the start of the program.
 */
#ifndef SERVE_TRACE_H
#define SERVE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

struct trace_event {
    const char *name;
    const char *arguments; /* as a person would read them */
    bool enabled;
};

/* Is the whole specification a wish for the list ("help" or "?")? */
bool trace_is_help(const char *spec);

/* Print the events on standard output, one a line. */
void trace_list(void);

/*
 * Apply one -T specification, [[enable=]PATTERN][,events=FILE][,file=FILE], to this program's
 * events; ",," is a comma in a value. Later ones are applied on top. Logs what is wrong. Returns 0
 * or a negative errno.
 */
int trace_parse(const char *spec);

/*
 * Switch the events of a table that match a pattern (* and ? are wildcards; a leading - switches
 * off). Returns false for a name without wildcards that no event has.
 */
bool trace_apply(struct trace_event *events, size_t n_events, const char *pattern);

#endif
