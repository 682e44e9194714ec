// SPDX-License-Identifier: LGPL-2.1-or-later
/* Why a command on a map was not simply carried out, in words for audit and status. */
#include "paths/paths.h"

static const char *const texts[PATHS_REASONS] = {
    [PATHS_REASON_NONE] = "",
    [PATHS_REASON_NO_PATH] = "no path of the map takes the command",
    [PATHS_REASON_NOT_READ] = "the registrations could not be read by any path",
    [PATHS_REASON_TARGET_BUSY] = "the target was busy, or the registrations changed all the time",
    [PATHS_REASON_MULTIPATHD_SILENT] = "multipathd does not answer, so nothing was registered",
    [PATHS_REASON_UNFINISHED] =
        "an earlier command is not finished: the paths are not in one state",
    [PATHS_REASON_SHARED_ABSENT] =
        "a path that does not answer is registered with a key that another host has as well",
    [PATHS_REASON_HOLDER_ABSENT] =
        "the path that holds the reservation does not answer, and another host has the same key",
    [PATHS_REASON_FENCED] =
        "another host has taken the registration away meanwhile; what was left of it was withdrawn",
    [PATHS_REASON_NO_ANSWER] =
        "a path gave no answer: what was sent by it may have been executed, or may yet be",
    [PATHS_REASON_NOT_LEVEL] = "not every path of the map could be brought to the same state",
    [PATHS_REASON_NOT_NARROWED] =
        "the map could not be narrowed to one path, without which writes of the guest would fail",
    [PATHS_REASON_NOT_ATTRIBUTED] =
        "the target cannot tell which path is registered, and not every path answers",
    [PATHS_REASON_ATTENTION] = "the target had a unit attention about reservations for the guest",
    [PATHS_REASON_NOT_SERVED] = "a map does not serve this service action or this parameter",
    [PATHS_REASON_NOT_TOLD] =
        "multipathd did not take what it was told; the helper alone registers a path that returns",
    [PATHS_REASON_DEADLINE] = "the deadline has passed",
};

const char *paths_reason_text(enum paths_reason reason)
{
    return (unsigned)reason < PATHS_REASONS && texts[reason] ? texts[reason] : "unknown reason";
}
