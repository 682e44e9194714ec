// SPDX-License-Identifier: LGPL-2.1-or-later
/* The time of day as programs read it: RFC 3339, in UTC. */
#ifndef BASE_TIMESTAMP_H
#define BASE_TIMESTAMP_H

#include <stdio.h>
#include <time.h>

#define TIMESTAMP_SIZE 48

/* "2026-01-31T23:59:59.123Z", now. Returns `text`. */
static inline const char *timestamp_now(char text[TIMESTAMP_SIZE])
{
    struct timespec now;
    char seconds[32] = "";
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc))
        strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, TIMESTAMP_SIZE, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
    return text;
}

#endif
