// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The worker's assumptions about its machine. Separate, because the tests build
 * the worker with another host.c: a machine without root, device-mapper or SCSI.
 */
#ifndef MPATH_HOST_H
#define MPATH_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

extern const char host_sysfs[];        /* directory: a link MAJOR:MINOR for each block device */
extern const char host_class[];        /* directory: classes of devices */
extern const char host_landlock_sys[]; /* directory: above both */
extern const char host_dev[];          /* directory: the device nodes */
extern const char host_journal[]; /* directory: what is remembered of maps, until the next boot */

/* multipathd's sockets, in the order in which they are tried; '@' begins an abstract name. */
#define HOST_MULTIPATHD_SOCKETS 2
extern const char *const host_multipathd[HOST_MULTIPATHD_SOCKETS];

/* Is it a block device? */
bool host_is_disk(const struct stat *status);

/*
 * Keep what the worker needs and nothing else: user 0 and CAP_SYS_RAWIO (SG_IO), no way to get
 * more. Returns 0, or a negative errno with ret_error saying what is missing.
 */
int host_take_rights(char *ret_error, size_t error_size);

/* Also drop the capability. Returns 0 or a negative errno. */
int host_drop_rights(void);

#endif
