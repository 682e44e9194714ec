// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which logical units this host has: SCSI disks and multipath maps, as /sys lists them. */
#ifndef INVENTORY_SCAN_H
#define INVENTORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define SCAN_MAX 8192 /* devices; beyond it they are counted */

struct scan_device {
    char kernel[32]; /* "sda", "dm-0" */
    char name[128];  /* what people call it: the map's name, or `kernel`; as it is */
    char number[24]; /* MAJOR:MINOR */
    char path[192];  /* to open it by */
    char unit[160];  /* the logical unit's name, of page 83h; "" if unknown; as it is */
    bool is_map;
};

struct scan {
    size_t count;
    size_t left_out;
    struct scan_device *devices; /* owned; by name */
};

/*
 * Find them. A path of a multipath map is no device of its own. Reads /sys only, and so does not
 * wait for a device. Returns 0 or a negative errno; the caller gives *ret_scan to scan_deinit().
 */
int scan_host(struct scan *ret_scan);
void scan_deinit(struct scan *scan);

#endif
