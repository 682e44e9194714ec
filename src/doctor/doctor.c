// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words into the room that a finding has for them; what does not fit is cut. */
#include "doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#define FILL(finding, its_verdict, format)                                                         \
    do {                                                                                           \
        va_list arguments;                                                                         \
                                                                                                   \
        (finding)->verdict = (its_verdict);                                                        \
        va_start(arguments, format);                                                               \
        vsnprintf((finding)->text, sizeof((finding)->text), format, arguments);                    \
        va_end(arguments);                                                                         \
    } while (0)

void finding_good(struct finding *finding, const char *format, ...)
{
    FILL(finding, VERDICT_GOOD, format);
}

void finding_unknown(struct finding *finding, const char *format, ...)
{
    FILL(finding, VERDICT_UNKNOWN, format);
}

void finding_warn(struct finding *finding, const char *format, ...)
{
    FILL(finding, VERDICT_WARNING, format);
}

void finding_fail(struct finding *finding, const char *format, ...)
{
    FILL(finding, VERDICT_FAILURE, format);
}

void finding_remedy(struct finding *finding, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(finding->remedy, sizeof(finding->remedy), format, arguments);
    va_end(arguments);
}
