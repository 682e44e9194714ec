// SPDX-License-Identifier: LGPL-2.1-or-later
/* By which initiator port does this host reach a device? */
#ifndef SG_INITIATOR_H
#define SG_INITIATOR_H

#include "scsi/transportid.h"
#include "sg/device.h"

/*
 * Read it from sysfs, for Fibre Channel and iSCSI. For iSCSI it is the name alone, which stands for
 * every port of the host (SPC-4 7.6.4), since the ISID is not in sysfs. May block. ret->size is 0
 * if it is not known, as for a device-mapper map.
 */
void initiator_of(const struct device_sources *sources, enum device_kind kind, dev_t number,
                  struct transportid *ret);

#endif
