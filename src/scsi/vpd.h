// SPDX-License-Identifier: LGPL-2.1-or-later
/* Vital product data of INQUIRY. Pure functions, safe in any thread. */
#ifndef SCSI_VPD_H
#define SCSI_VPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The relative target port identifier in `size` bytes of the Device Identification page, 83h (SPC-4
 * 7.8.6.6): the designator of type 4h that is of the target port. Returns whether there is one.
 */
bool vpd_target_port(const uint8_t *page, size_t size, uint16_t *ret);

#endif
