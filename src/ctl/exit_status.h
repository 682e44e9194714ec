// SPDX-License-Identifier: LGPL-2.1-or-later
/* The exit status: what scripts rely on. qemu-pr-ctl(1) has the same table. */
#ifndef CTL_EXIT_STATUS_H
#define CTL_EXIT_STATUS_H

enum status {
    STATUS_GOOD = 0,
    STATUS_INTERNAL = 1, /* out of memory, no room to write to */
    STATUS_USAGE = 2,    /* the command line makes no sense; nothing was done */
    STATUS_DEVICE = 3,   /* the device could not be opened */
    STATUS_HELPER = 4,   /* the helper could not be reached: the command was not carried out */
    STATUS_UNKNOWN = 5,  /* no answer, or nonsense: it may have been carried out */
    STATUS_REFUSED = 6,  /* not a device that such a command may be sent to */
    STATUS_CONFLICT = 7, /* RESERVATION CONFLICT */
    STATUS_CHECK = 8,    /* CHECK CONDITION */
    STATUS_OTHER = 9,    /* another SCSI status: BUSY, TASK SET FULL ... */
    STATUS_DATA = 10,    /* GOOD, but the device's data makes no sense */
    STATUS_TROUBLE = 11, /* the doctor found something that will not work */
};

#endif
