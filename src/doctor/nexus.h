// SPDX-License-Identifier: LGPL-2.1-or-later
/* The I_T nexus of a path, as far as /sys tells it; the device is not asked. */
#ifndef DOCTOR_NEXUS_H
#define DOCTOR_NEXUS_H

#include <stdbool.h>
#include <stdint.h>

#include "scsi/prin.h"

struct nexus {
    struct transportid initiator; /* covers the initiator port; of size 0 if nothing is known */
    bool complete;                /* it is the port itself */
    bool has_port;
    uint16_t port; /* relative target port identifier */
};

/* Of a SCSI disk ("sda"). */
void nexus_of_disk(const char *block, struct nexus *ret);

/* Whether a registration is a nexus's. SPC-4 6.15.5. */
enum nexus_fit {
    NEXUS_OTHER,  /* it is of another one */
    NEXUS_MAYBE,  /* it cannot be told */
    NEXUS_CERTAIN /* it is */
};
enum nexus_fit nexus_fit(const struct nexus *nexus, const struct prin_registrant *one);

/* Whether it may be of the nexus's initiator port, by any target port. */
bool nexus_may_be_initiator(const struct nexus *nexus, const struct prin_registrant *one);

#endif
