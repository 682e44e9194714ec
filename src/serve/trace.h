// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Trace events: which there are, which are on, and where their lines go. Code that wants to tell
 * something calls a function of serve/tracepoints.h.
 *
 * Thread rule: parsing and opening belong to the start of the program; trace_line to any thread.
 */
#ifndef SERVE_TRACE_H
#define SERVE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

struct trace_event {
    const char *name;
    const char *arguments; /* their names, in order, as lines have them */
    bool enabled;
    unsigned short *users; /* how many want the event: ours, if it is enabled, and tracers */
};

/* clang-format off */
#define TRACE_EVENTS(event)                                                                        \
    event(connect, "connection")                                                                   \
    event(handshake, "connection features")                                                        \
    event(peer, "connection pid uid vm")                                                           \
    event(request, "connection opcode action length")                                              \
    event(route, "connection device kind verdict")                                                 \
    event(device_result, "connection errno status host driver")                                    \
    event(reply, "connection status size")                                                         \
    event(disconnect, "connection")                                                                \
    event(thread_start, "threads")                                                                 \
    event(thread_end, "threads")                                                                   \
    event(worker_start, "pid")                                                                     \
    event(worker_end, "errno")                                                                     \
    event(limit, "connection what")
/* clang-format on */

#define TRACE_ID(name, arguments) trace_id_##name,
enum trace_id {
    TRACE_EVENTS(TRACE_ID) trace_n_events,
};
#undef TRACE_ID

/* The counters of users, which tracers know by these names (sys/sdt.h). */
#define TRACE_SEMAPHORE(name) qemu_pr_helper_##name##_semaphore
#define TRACE_DECLARE(name, arguments)                                                             \
    extern __attribute__((visibility("hidden"))) unsigned short TRACE_SEMAPHORE(name);
TRACE_EVENTS(TRACE_DECLARE)
#undef TRACE_DECLARE

/* Constant once there are threads. */
extern struct trace_event trace_events[trace_n_events];

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

/*
 * Begin, after parsing: count ourselves in for the events that are enabled, and open the file that
 * was named last, by the process that stays, since %d in its name is the pid, and before a sandbox.
 * Without one, lines go where the log goes. Logs what is wrong. Returns 0 or a negative errno.
 */
int trace_open(void);

/* Close that file. */
void trace_close(void);

/*
 * If the event is enabled, one line: its name and the arguments, NAME=VALUE each, after pid and
 * time unless the line goes where every line is given both. In a file of its own a line waits for
 * nothing: if there is no room for it, it is lost.
 */
void trace_line(enum trace_id id, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
