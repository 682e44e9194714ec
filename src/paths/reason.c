// SPDX-License-Identifier: LGPL-2.1-or-later
/* Why a command on a map was not simply carried out, in words for audit and status. */
#include "paths/paths.h"

static const char *const texts[PATHS_REASONS] = {
    [PATHS_REASON_NONE] = "",
    [PATHS_REASON_NO_PATH] = "no path of the map accepts the command",
    [PATHS_REASON_NOT_READ] = "the registrations could not be read through any path",
    [PATHS_REASON_TARGET_BUSY] = "the target was busy, or the registrations kept changing",
    [PATHS_REASON_MULTIPATHD_SILENT] = "multipathd does not answer, so nothing was registered",
    [PATHS_REASON_UNFINISHED] =
        "an earlier command is unfinished: the paths are in different states",
    [PATHS_REASON_SHARED_ABSENT] =
        "a path that does not answer is registered with a key that another host also uses",
    [PATHS_REASON_HOLDER_ABSENT] =
        "the path that holds the reservation does not answer, and another host has the same key",
    [PATHS_REASON_FENCED] =
        "another host removed the registration in the meantime; the rest of it was withdrawn",
    [PATHS_REASON_NO_ANSWER] =
        "a path did not answer: a command sent through it may have been executed, or may still be",
    [PATHS_REASON_NOT_LEVEL] = "not every path of the map could be brought to the same state",
    [PATHS_REASON_NOT_NARROWED] =
        "the map could not be reduced to one path, so the guest's writes would fail",
    [PATHS_REASON_NOT_ATTRIBUTED] =
        "the target does not report which path is registered, and not every path answers",
    [PATHS_REASON_ATTENTION] = "the target had a unit attention about reservations for the guest",
    [PATHS_REASON_NOT_SERVED] = "this service action or parameter is not supported on maps",
    [PATHS_REASON_NOT_TOLD] =
        "multipathd did not accept the registration; only the helper registers a path that returns",
    [PATHS_REASON_DEADLINE] = "the command timed out",
};

const char *paths_reason_text(enum paths_reason reason)
{
    return (unsigned)reason < PATHS_REASONS && texts[reason] ? texts[reason] : "unknown reason";
}
