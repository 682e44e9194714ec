// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A line is put together on the caller's stack and leaves in one write or one datagram, under a
 * lock that keeps lines of threads apart. Before a write the fd is polled: POLLOUT on a pipe means
 * room for PIPE_BUF bytes, more than a line has, and no other thread writes meanwhile, so the write
 * cannot block. O_NONBLOCK would be simpler, but standard error is shared with the process that
 * started us.
 *
 * syslog(3) is not used: it opens its socket when it likes, which a sandbox forbids, and takes
 * locks around calls that may block.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 1536

static struct {
    pthread_mutex_t lock;
    const char *name;
    enum log_level level;
    int fd; /* -1: syslog */
    bool journal;
    int syslog_fd; /* -1: none */
    unsigned lost; /* lines for which there was no room */
} log_state = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .name = "",
    .level = LOG_LEVEL_CLIENTS,
    .fd = STDERR_FILENO,
    .syslog_fd = -1,
};

/* Since the start: those suppressed by a limit, and those lost. */
static atomic_uint log_left_out;

void log_set_name(const char *name)
{
    log_state.name = name;
}

void log_set_level(enum log_level level)
{
    log_state.level = level;
}

enum log_level log_level_from(bool quiet, unsigned verbose)
{
    if (quiet)
        return LOG_LEVEL_QUIET;
    return verbose < 2 ? LOG_LEVEL_CLIENTS + verbose : LOG_LEVEL_DEBUG;
}

enum log_level log_get_level(void)
{
    return log_state.level;
}

/* systemd puts "device:inode" of the stream that leads to the journal into JOURNAL_STREAM. */
static bool log_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(fd, &status) == 0 &&
           status.st_dev == device && status.st_ino == inode;
}

void log_to_fd(int fd)
{
    log_state.fd = fd;
    log_state.journal = log_is_journal(fd);
}

void log_to_syslog(void)
{
    log_state.fd = -1;
}

bool log_is_stamped(void)
{
    bool stamped;

    pthread_mutex_lock(&log_state.lock); /* log_emit may turn to syslog at any time */
    stamped = log_state.fd < 0 || log_state.journal;
    pthread_mutex_unlock(&log_state.lock);
    return stamped;
}

void log_prepare_syslog(void)
{
    tzset();
    if (log_state.syslog_fd < 0)
        log_state.syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void log_deinit(void)
{
    if (log_state.syslog_fd >= 0)
        close(log_state.syslog_fd);
    log_state.syslog_fd = -1;
}

static void log_lose(void)
{
    log_state.lost++;
    atomic_fetch_add(&log_left_out, 1);
}

/* To fd, under the lock. Returns 0, -EAGAIN for no room, or the errno of a dead fd. */
static int log_write_fd(int priority, const char *text, size_t length)
{
    struct pollfd poll_fd = {.fd = log_state.fd, .events = POLLOUT};
    char line[LOG_LINE_MAX + 80];
    int n;
    ssize_t written;

    if (log_state.journal)
        n = snprintf(line, sizeof(line), "<%d>%.*s\n", priority, (int)length, text);
    else
        n = snprintf(line, sizeof(line), "%s: %.*s\n", log_state.name, (int)length, text);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n >= sizeof(line)) {
        n = (int)sizeof(line) - 1;
        line[n - 1] = '\n';
    }
    if (poll(&poll_fd, 1, 0) != 1)
        return -EAGAIN;
    written = write(log_state.fd, line, (size_t)n);
    return written >= 0 ? 0 : -errno;
}

/*
 * To the socket that exists. libvirt gives each virtual machine a /dev of its own without a `log`,
 * and its programs run in there, too; the journal's socket, which /dev/log leads to on most
 * systems, can still be reached.
 */
static int log_send_datagram(const char *datagram, size_t size)
{
    static const struct sockaddr_un addresses[] = {
        {.sun_family = AF_UNIX, .sun_path = "/dev/log"},
        {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/dev-log"},
    };
    int r = 0;

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        if (sendto(log_state.syslog_fd, datagram, size, MSG_NOSIGNAL,
                   (const struct sockaddr *)&addresses[i], sizeof(addresses[i])) >= 0)
            return 0;
        r = -errno;
        if (r != -ENOENT)
            break;
    }
    return r;
}

static void log_send_syslog(int priority, const char *text, size_t length)
{
    char datagram[LOG_LINE_MAX + 80], stamp[32] = "";
    time_t now = time(NULL);
    struct tm local;
    int n;

    if (log_state.syslog_fd < 0)
        return;
    if (localtime_r(&now, &local))
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
    n = snprintf(datagram, sizeof(datagram), "<%d>%s %s[%d]: %.*s", LOG_DAEMON | priority, stamp,
                 log_state.name, (int)getpid(), (int)length, text);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof(datagram))
        n = (int)sizeof(datagram) - 1;
    if (log_send_datagram(datagram, (size_t)n) == -EAGAIN)
        log_lose();
}

static void log_emit(int priority, const char *text, size_t length)
{
    int r;

    if (log_state.fd < 0) {
        log_send_syslog(priority, text, length);
        return;
    }
    r = log_write_fd(priority, text, length);
    if (r == -EAGAIN || r == -EINTR) {
        log_lose();
    } else if (r < 0) {
        log_state.fd = -1;
        log_send_syslog(priority, text, length);
    }
}

void log_line(int priority, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof(text))
        n = (int)sizeof(text) - 1;
    for (int i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    }

    pthread_mutex_lock(&log_state.lock);
    if (log_state.lost) {
        unsigned lost = log_state.lost;
        char report[80];
        int length = snprintf(report, sizeof(report),
                              "%u log lines were lost: the reader is too slow", lost);

        log_state.lost = 0;
        log_emit(LOG_WARNING, report, (size_t)length);
        if (log_state.lost) /* the report as well: they stay counted, it does not */
            log_state.lost = lost;
    }
    log_emit(priority, text, (size_t)n);
    pthread_mutex_unlock(&log_state.lock);
}

/* A datagram of the journal's native protocol that grows; what does not fit is dropped, with its
 * field. */
struct log_entry {
    char text[2 * LOG_LINE_MAX];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void log_entry_add(struct log_entry *entry,
                                                                const char *format, ...)
{
    size_t room = sizeof(entry->text) - entry->length;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(entry->text + entry->length, room, format, arguments);
    va_end(arguments);
    if (n > 0 && (size_t)n < room)
        entry->length += (size_t)n;
}

/* The next key=value or key="value" of a line: a field. Returns what is behind it. */
static const char *log_entry_add_pair(struct log_entry *entry, const char *prefix, const char *pair)
{
    const char *value = strchr(pair, '='), *end;
    char key[32];
    size_t n = 0;

    if (!value || (size_t)(value - pair) >= sizeof(key))
        return pair + strlen(pair);
    for (const char *at = pair; at < value; at++)
        key[n++] = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    value++;
    if (*value == '"') {
        for (end = ++value; *end && *end != '"'; end++)
            end += *end == '\\' && end[1];
        log_entry_add(entry, "%s%.*s=%.*s\n", prefix, (int)n, key, (int)(end - value), value);
        return end + (*end == '"');
    }
    end = value + strcspn(value, " ");
    log_entry_add(entry, "%s%.*s=%.*s\n", prefix, (int)n, key, (int)(end - value), value);
    return end;
}

/* sd_journal_send(3), without its library: a datagram of fields. False: it cannot be sent. */
static bool log_send_entry(int priority, const char *message_id, const char *prefix,
                           const char *line)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                               .sun_path = "/run/systemd/journal/socket"};
    const char *pair = strchr(line, ' ');
    struct log_entry entry = {.length = 0};

    log_entry_add(&entry, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE_ID=%s\n", line,
                  priority, log_state.name, message_id);
    while (pair && *pair)
        pair = log_entry_add_pair(&entry, prefix, pair + strspn(pair, " "));
    return sendto(log_state.syslog_fd, entry.text, entry.length, MSG_NOSIGNAL,
                  (const struct sockaddr *)&address, sizeof(address)) >= 0;
}

void log_fields(int priority, const char *message_id, const char *prefix, const char *line)
{
    bool sent;

    pthread_mutex_lock(&log_state.lock);
    sent = log_state.journal && log_state.fd >= 0 && log_state.syslog_fd >= 0 && !log_state.lost &&
           log_send_entry(priority, message_id, prefix, line);
    pthread_mutex_unlock(&log_state.lock);
    if (!sent)
        log_line(priority, "%s", line);
}

bool log_limit_take(struct log_limit *limit, unsigned *ret_suppressed)
{
    return log_limit_take_of(limit, LOG_LIMIT_LINES, ret_suppressed);
}

void log_left_out_before(int priority, unsigned suppressed)
{
    if (suppressed)
        log_line(priority, "%u messages like the next one were suppressed", suppressed);
}

unsigned log_count_left_out(void)
{
    return atomic_load(&log_left_out);
}

bool log_limit_take_of(struct log_limit *limit, unsigned lines, unsigned *ret_suppressed)
{
    int64_t now = clock_coarse_ms();
    int64_t start = atomic_load(&limit->window_start_ms);

    /* Only one thread opens the next window; a few lines too many at its edge do no harm. */
    if ((start == 0 || now - start >= LOG_LIMIT_MS) &&
        atomic_compare_exchange_strong(&limit->window_start_ms, &start, now))
        atomic_store(&limit->lines, 0);
    if (atomic_fetch_add(&limit->lines, 1) >= lines) {
        atomic_fetch_add(&limit->suppressed, 1);
        atomic_fetch_add(&log_left_out, 1);
        return false;
    }
    *ret_suppressed = atomic_exchange(&limit->suppressed, 0);
    return true;
}
