// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The log: one line a call, to standard error, to a pipe (while -d starts) or to syslog.
 *
 * Thread rule: the log_to_* and log_set_* calls belong to the start of the program, before there
 * are threads; log_line and the macros may be called by any thread. No call here waits for the
 * process that reads the log: a line for which there is no room is counted, and the count is told
 * later.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* How much is said. Each level includes those before it. */
enum log_level {
    LOG_LEVEL_QUIET = 0,   /* what concerns the program itself */
    LOG_LEVEL_CLIENTS = 1, /* and what went wrong with a client or device */
    LOG_LEVEL_INFO = 2,    /* and what an administrator may want to know */
    LOG_LEVEL_DEBUG = 3,   /* and what a developer may want to know */
};

/* Begin each line with `name: `, or with its syslog tag. The text is kept, not copied. */
void log_set_name(const char *name);

void log_set_level(enum log_level level);

/* What -q and a number of -v come to. */
enum log_level log_level_from(bool quiet, unsigned verbose);
enum log_level log_get_level(void);

/*
 * Log to `fd` (standard error at first; not owned). If it is the journal's stream (JOURNAL_STREAM),
 * each line carries its priority. When writing fails for good, as with EPIPE once libvirt has
 * closed its end, the log goes to syslog from then on.
 */
void log_to_fd(int fd);

/* Log to syslog from now on. */
void log_to_syslog(void);

/*
 * Open the socket for syslog and read the time zone, ahead of a sandbox that would forbid both.
 * It is not an error if there is no syslog: lines then go nowhere.
 */
void log_prepare_syslog(void);

/* Does the receiver of the lines add time and pid to each (the journal, syslog)? */
bool log_is_stamped(void);

/* Close what log_prepare_syslog opened. */
void log_deinit(void);

/* One line, without a newline, at a syslog priority (LOG_ERR ...). Control characters become '?'.
 */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * One line of the form "topic: key=value key="value" ...", quoted by quote_text. Where the log is
 * the journal, each value is a field of the entry as well: its key in capitals behind a prefix,
 * such as PRHELPER_WWN; with the MESSAGE_ID, 32 hexadecimal digits.
 */
void log_fields(int priority, const char *message_id, const char *prefix, const char *line);

/* At most LOG_LIMIT_LINES lines in LOG_LIMIT_MS from one place in the code; the rest is counted. */
#define LOG_LIMIT_LINES 10
#define LOG_LIMIT_MS    5000

struct log_limit {
    _Atomic int64_t window_start_ms;
    atomic_uint lines;
    atomic_uint suppressed;
};

/* Take a place in the window. ret_suppressed: lines left out since the last one that was let by. */
bool log_limit_take(struct log_limit *limit, unsigned *ret_suppressed);

/* The same, with another number of lines in the window. */
bool log_limit_take_of(struct log_limit *limit, unsigned lines, unsigned *ret_suppressed);

/* Say so, if any were. */
void log_left_out_before(int priority, unsigned suppressed);

/* How many lines were left out or lost since the start. */
unsigned log_count_left_out(void);

#define log_error(...)   log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)

#define log_at(level, priority, ...)                                                               \
    do {                                                                                           \
        if (log_get_level() >= (level))                                                            \
            log_line((priority), __VA_ARGS__);                                                     \
    } while (0)

#define log_info(...)  log_at(LOG_LEVEL_INFO, LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, LOG_DEBUG, __VA_ARGS__)

/* For what others can cause as often as they like: limited. */
#define log_limited(priority, ...)                                                                 \
    do {                                                                                           \
        static struct log_limit log_limit_;                                                        \
        unsigned log_suppressed_;                                                                  \
        if (log_limit_take(&log_limit_, &log_suppressed_)) {                                       \
            log_left_out_before((priority), log_suppressed_);                                      \
            log_line((priority), __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)

/* The same for what a client or a device can bring about: silent at level 0. */
#define log_client(...)                                                                            \
    do {                                                                                           \
        if (log_get_level() >= LOG_LEVEL_CLIENTS)                                                  \
            log_limited(LOG_WARNING, __VA_ARGS__);                                                 \
    } while (0)

#endif
