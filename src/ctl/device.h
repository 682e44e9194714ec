// SPDX-License-Identifier: LGPL-2.1-or-later
/* What kind of file was named, for messages, and for --direct, which has to be as careful as a
 * helper and so asks the same code. */
#ifndef CTL_DEVICE_H
#define CTL_DEVICE_H

#include <stdbool.h>

#include "sg/device.h"

struct device_facts {
    enum device_kind kind; /* as a helper finds it */
    bool is_scsi;          /* a SCSI generic device or a SCSI disk: what may be changed through */
    bool is_file;          /* of DEVICE_OTHER: a regular file */
};

/* Never fails: of what cannot be looked at the kind is DEVICE_UNKNOWN. */
struct device_facts device_examine(int fd);

/*
 * Why a PERSISTENT RESERVE IN, or with `changes` OUT, has no business with it; NULL if it may have.
 * The text completes "it is ...".
 */
const char *device_objection(const struct device_facts *facts, bool changes);

#endif
