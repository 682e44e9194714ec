// SPDX-License-Identifier: LGPL-2.1-or-later
/* Words for what this library returns. */
#include <stdio.h>
#include <string.h>

#include "build.h"
#include "client/prhelper.h"
#include "scsi/sense.h"
#include "scsi/spc.h"

_Static_assert(PRHELPER_GOOD == (int)SPC_STATUS_GOOD &&
                   PRHELPER_CHECK_CONDITION == (int)SPC_STATUS_CHECK_CONDITION &&
                   PRHELPER_BUSY == (int)SPC_STATUS_BUSY &&
                   PRHELPER_RESERVATION_CONFLICT == (int)SPC_STATUS_RESERVATION_CONFLICT &&
                   PRHELPER_TASK_SET_FULL == (int)SPC_STATUS_TASK_SET_FULL,
               "the public header repeats the standard's numbers");
_Static_assert(PRHELPER_WRITE_EXCLUSIVE == (int)SPC_TYPE_WRITE_EXCLUSIVE &&
                   PRHELPER_EXCLUSIVE_ACCESS == (int)SPC_TYPE_EXCLUSIVE_ACCESS &&
                   PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY ==
                       (int)SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY &&
                   PRHELPER_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY ==
                       (int)SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY &&
                   PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS ==
                       (int)SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS &&
                   PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS ==
                       (int)SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
               "the public header repeats the standard's numbers");

const char *prhelper_version(void)
{
    return BUILD_VERSION;
}

int prhelper_version_number(void)
{
    return PRHELPER_VERSION;
}

const char *prhelper_status_name(uint8_t status)
{
    return spc_status_name(status);
}

const char *prhelper_type_name(unsigned type)
{
    return type <= UINT8_MAX ? spc_type_name((uint8_t)type) : NULL;
}

int prhelper_type_parse(const char *text, unsigned *ret_type)
{
    uint8_t type;

    if (!spc_type_parse(text, &type))
        return PRHELPER_BAD_ARGUMENT;
    *ret_type = type;
    return 0;
}

size_t prhelper_sense_describe(char *text, size_t size, const struct prhelper_sense *sense)
{
    return sense_describe(text, size, SPC_SENSE(sense->key, sense->asc, sense->ascq));
}

static const char *text_of_error(int error)
{
    switch ((enum prhelper_error)error) {
    case PRHELPER_OK:
        return "success";
    case PRHELPER_BAD_ARGUMENT:
        return "not a command that the protocol can carry";
    case PRHELPER_NO_FEATURE:
        return "the helper does not support this";
    case PRHELPER_DEAD:
        return "the connection ended with an earlier command";
    case PRHELPER_CLOSED:
        return "the helper closed the connection without an answer";
    case PRHELPER_CUT:
        return "the helper closed the connection in the middle of an answer";
    case PRHELPER_BAD_STATUS:
        return "the helper answered with an invalid SCSI status";
    case PRHELPER_BAD_SIZE:
        return "the helper answered with more data than was asked for";
    case PRHELPER_UNEXPECTED:
        return "the helper sent data without a request";
    case PRHELPER_IN_USE:
        return "another command is in progress on this connection";
    case PRHELPER_CANCELLED:
        return "cancelled";
    case PRHELPER_PENDING:
        return "under way";
    case PRHELPER_END:
        return "the end of the list";
    case PRHELPER_TRUNCATED:
        return "the data is truncated";
    case PRHELPER_MALFORMED:
        return "the data is malformed";
    }
    return "unknown error";
}

/* snprintf() fails only for encoding errors, which %s and %x do not know. */
static size_t text_length(int n)
{
    return n < 0 ? 0 : (size_t)n;
}

static size_t text_of_answer(char *text, size_t size, const struct prhelper_result *result)
{
    const char *name = spc_status_name(result->status);
    char sense[SENSE_TEXT_SIZE] = "no usable sense data";
    struct spc_sense code;

    if (!name)
        return text_length(snprintf(text, size, "SCSI status %02Xh", result->status));
    if (result->status != PRHELPER_CHECK_CONDITION)
        return text_length(snprintf(text, size, "%s", name));
    if (sense_decode(result->sense, sizeof(result->sense), &code))
        sense_describe(sense, sizeof(sense), code);
    return text_length(snprintf(text, size, "%s: %s", name, sense));
}

size_t prhelper_describe(char *text, size_t size, int r, const struct prhelper_result *result)
{
    const char *what;

    if (r == 0 && result)
        return text_of_answer(text, size, result);
    /* For errno values that exist strerror() is safe in any thread: glibc from 2.32 on, musl. */
    what = r < 0 ? strerror(-r) : text_of_error(r);
    return text_length(snprintf(text, size, "%s", what));
}
