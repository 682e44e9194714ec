// SPDX-License-Identifier: LGPL-2.1-or-later
/* Information about devices in /sys. */
#ifndef CTL_SYSFS_H
#define CTL_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The contents of a small file whose path is formatted, without blanks and newlines at both ends;
 * what does not fit is cut. False, and an empty text, if it cannot be read.
 */
__attribute__((format(printf, 3, 4))) bool sysfs_read(char *text, size_t size, const char *format,
                                                      ...);

/* The kernel's name of a block device, such as "sda" or "dm-0". */
bool sysfs_block_name(dev_t number, char *text, size_t size);

/* The name of the multipath map that a disk ("sda") is a path of. False: of none. */
bool sysfs_map_above(const char *block, char *text, size_t size);

/*
 * Where in the tree of devices a SCSI disk ("sda") is: a path with the numbers of host, target and
 * LUN, which two nodes have in common if they are one I_T nexus.
 */
bool sysfs_scsi_device(const char *block, char *text, size_t size);

/* The same for an open or a named node, which may be a SCSI generic device. */
bool sysfs_scsi_device_of(mode_t mode, dev_t number, char *text, size_t size);

#endif
