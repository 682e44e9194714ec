// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of outcomes.h, and how the dice choose from it. */
#include "outcomes.h"

#include <errno.h>

#include "scsi/spc.h"

#define CONFLICT SPC_STATUS_RESERVATION_CONFLICT
#define CHECK    SPC_STATUS_CHECK_CONDITION

/* clang-format off */
#define ERRNO(number, ...) {.name = #number, .error = number, __VA_ARGS__}
#define SAYS(status) .wanted = (status)
#define CODE(key, asc, ascq) .wanted = CHECK, .code = {key, asc, ascq}
#define HOST(number, ...) {.name = "host " #number, .host_status = number, __VA_ARGS__}
#define RAW(number, ...) {.name = "status " #number, .status = number, __VA_ARGS__}

const struct outcome outcomes[] = {
    ERRNO(EDOM, SAYS(SPC_STATUS_TASK_SET_FULL)),
    ERRNO(EBADE, SAYS(CONFLICT)),
    ERRNO(ENODATA, CODE(3, 0x11, 0)),
    ERRNO(EREMOTEIO, CODE(4, 0x44, 0)),
    ERRNO(ENOMEM, CODE(4, 0x44, 0)),
    ERRNO(ENODEV, CODE(4, 0x44, 0)),
    ERRNO(ENOMEDIUM, CODE(2, 0x3a, 0)),
    ERRNO(EINVAL, CODE(5, 0x24, 0)),
    ERRNO(ENOTTY, CODE(5, 0x20, 0)),
    ERRNO(EPERM, CODE(5, 0x20, 0)),
    ERRNO(ENOSPC, CODE(7, 0x27, 7)),
    ERRNO(EIO, CODE(0xb, 0, 6)),
    ERRNO(ETIMEDOUT, CODE(0xb, 0, 6)),
    ERRNO(EFAULT, CODE(0xb, 0, 6)),

    HOST(0x01, CODE(0xb, 0x05, 0)),
    HOST(0x02, SAYS(SPC_STATUS_BUSY)),
    HOST(0x03, CODE(0xb, 0x2e, 2)),
    HOST(0x04, CODE(0xb, 0x08, 0)),
    HOST(0x05, CODE(0xb, 0x2f, 2)),
    HOST(0x06, CODE(0xb, 0x47, 0)),
    HOST(0x07, CODE(0xb, 0, 6)),
    HOST(0x08, CODE(6, 0x29, 0)),
    HOST(0x09, CODE(0xb, 0, 6)),
    HOST(0x0a, CODE(0xb, 0, 6)),
    HOST(0x0b, CODE(0xb, 0, 6)),
    HOST(0x0c, SAYS(SPC_STATUS_BUSY)),
    HOST(0x0d, SAYS(SPC_STATUS_BUSY)),
    HOST(0x0e, CODE(0xb, 0x29, 7)),
    HOST(0x0f, CODE(0xb, 0x08, 0)),
    HOST(0x10, CODE(4, 0x44, 0)),
    HOST(0x11, SAYS(CONFLICT)),
    HOST(0x12, CODE(7, 0x27, 7)),
    HOST(0x13, CODE(3, 0x11, 0)),
    HOST(0x14, CODE(0xb, 0x08, 0)),
    HOST(0x15, CODE(0xb, 0, 6)),
    HOST(0x7f, CODE(0xb, 0, 6)),
    HOST(0x10, .status = CHECK, .sense = OUTCOME_SENSE, .sent = {4, 0x3e, 1}, CODE(4, 0x3e, 1)),
    HOST(0x12, .status = CHECK, .sense = OUTCOME_SENSE, .sent = {7, 0x27, 1}, CODE(7, 0x27, 1)),
    HOST(0x13, .status = CHECK, .sense = OUTCOME_SENSE, .sent = {3, 0x11, 5}, CODE(3, 0x11, 5)),

    {.name = "driver 6", .driver_status = 6, SAYS(SPC_STATUS_BUSY)},
    {.name = "driver 5", .driver_status = 5, CODE(0xb, 0, 6)},
    {.name = "driver 4, conflict", .driver_status = 4, .status = CONFLICT, SAYS(CONFLICT)},

    RAW(0x04, SAYS(SPC_STATUS_CONDITION_MET)),
    RAW(0x08, SAYS(SPC_STATUS_BUSY)),
    RAW(0x18, SAYS(CONFLICT)),
    RAW(0x28, SAYS(SPC_STATUS_TASK_SET_FULL)),
    RAW(0x30, SAYS(SPC_STATUS_ACA_ACTIVE)),
    RAW(0x40, SAYS(SPC_STATUS_TASK_ABORTED)),
    RAW(0x02, CODE(0xb, 0, 6)),
    RAW(0x02, .sense = OUTCOME_ZEROS, CODE(0xb, 0, 6)),
    RAW(0x02, .driver_status = 8, .sense = OUTCOME_SENSE, .sent = {2, 0x04, 1}, CODE(2, 0x04, 1)),

    {.name = "EAGAIN", .kind = OUTCOME_SUSPENDED, .error = EAGAIN},
    {.name = "EINTR", .kind = OUTCOME_INTERRUPTED, .error = EINTR, CODE(0xb, 0, 6)},
};
/* clang-format on */

const unsigned n_outcomes = sizeof(outcomes) / sizeof(outcomes[0]);

const struct outcome *outcome_pick(struct dice *dice)
{
    /* The last two are the most interesting ones. */
    return dice_chance(dice, 30) ? &outcomes[n_outcomes - 2 + dice_below(dice, 2)]
                                 : &outcomes[dice_below(dice, n_outcomes)];
}
