// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names of logical units as sysfs has them: of a SCSI device (its wwid, "naa.6001405...") and of a
 * multipath map (the uuid of its device-mapper table, "mpath-36001405...").
 *
 * Pure; any thread.
 */
#ifndef LEDGER_WWN_H
#define LEDGER_WWN_H

#include <stdbool.h>

/* Is it the uuid of a multipath map? */
bool wwn_is_of_map(const char *wwn);

/*
 * Do both name the same logical unit? The part of a map's uuid behind "mpath-" is what udev's
 * scsi_id says of its paths: a digit for the type of the designator (SPC-4 7.8.6.1: 1 T10 vendor, 2
 * EUI-64, 3 NAA), and the designator, in which white space became '_'. False where either is
 * unknown, or is of another kind.
 */
bool wwn_is_same(const char *a, const char *b);

#endif
