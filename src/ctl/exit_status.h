// SPDX-License-Identifier: LGPL-2.1-or-later
/* The exit status: what scripts rely on. qemu-pr-ctl(1) has the same table. */
#ifndef CTL_EXIT_STATUS_H
#define CTL_EXIT_STATUS_H

enum exit_status {
    CTL_GOOD = 0,
    CTL_INTERNAL = 1, /* out of memory, no room to write to */
    CTL_USAGE = 2,    /* usage error; nothing was done */
    CTL_DEVICE = 3,   /* the device could not be opened */
    CTL_HELPER = 4,   /* the helper could not be reached: the command was not carried out */
    CTL_UNKNOWN = 5,  /* it may have been carried out: no answer, nonsense, or lost on its way */
    CTL_REFUSED = 6,  /* nothing was sent: no such device, not confirmed, not stale */
    CTL_CONFLICT = 7, /* RESERVATION CONFLICT */
    CTL_CHECK = 8,    /* CHECK CONDITION */
    CTL_OTHER = 9,    /* another SCSI status: BUSY, TASK SET FULL ... */
    CTL_DATA = 10,    /* GOOD, but the device's data is malformed */
    CTL_TROUBLE = 11, /* the doctor found something that will not work */
};

#endif
