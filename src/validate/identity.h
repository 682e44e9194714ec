// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which logical unit is it, in the world? */
#ifndef VALIDATE_IDENTITY_H
#define VALIDATE_IDENTITY_H

#include <stddef.h>

/*
 * The designator of page 83h by which the kernel knows the logical unit of an open device, of any
 * of its paths: "naa.6001405...", "eui.", "t10.". "file DEVICE:INODE" for a regular file. Empty if
 * the kernel does not tell. `device` is the kernel's name of a block device, or empty.
 */
void identity_find(int fd, char *text, size_t size, char *device, size_t device_size);

#endif
