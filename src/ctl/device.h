// SPDX-License-Identifier: LGPL-2.1-or-later
/* What kind of file was named, for messages, and for --direct, which has to be as careful as a
 * helper. */
#ifndef CTL_DEVICE_H
#define CTL_DEVICE_H

#include <stdbool.h>

enum device_kind {
    DEVICE_SCSI,      /* a SCSI disk, or a SCSI generic device */
    DEVICE_BLOCK,     /* a block device that is neither SCSI nor one of the following */
    DEVICE_PARTITION, /* of anything */
    DEVICE_MULTIPATH, /* a device-mapper map of multipath */
    DEVICE_MAPPED,    /* any other device-mapper map */
    DEVICE_FILE,      /* a regular file */
    DEVICE_OTHER,
};

enum device_kind device_classify(int fd);

/* Whether it is a way to some disk that the kernel would let a command take, but of which it is
 * only a part. */
bool device_is_part(enum device_kind kind);

/*
 * Why a PERSISTENT RESERVE IN, or with `changes` OUT, has no business with it; NULL if it may have.
 * The text completes "it is ...".
 */
const char *device_objection(enum device_kind kind, bool changes);

#endif
