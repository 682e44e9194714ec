// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which version of multipath-tools is installed, and what is known to be wrong with it. */
#ifndef DOCTOR_MPATH_LIBRARY_H
#define DOCTOR_MPATH_LIBRARY_H

#include <stddef.h>

#define MPATH_LIBRARY_VERSION(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))

/* The oldest whose library the helper's worker takes. */
#define MPATH_LIBRARY_VERSION_MIN MPATH_LIBRARY_VERSION(0, 8, 6)

/* From which on it looks for multipathd at /run/multipathd.socket as well. */
#define MPATH_LIBRARY_VERSION_SOCKET MPATH_LIBRARY_VERSION(0, 12, 0)

/*
 * Ask multipath(8), which is of the same package as the library; the library itself does not say
 * it. 0, or a negative errno: -ENOENT (there is none in PATH), -EPROTO (it says something else).
 */
int mpath_library_version(unsigned *ret_version);

/* The next fault of a version, beginning with *cursor = 0; NULL: there are no more. */
const char *mpath_library_fault(unsigned version, unsigned *cursor);

#endif
