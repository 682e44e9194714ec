// SPDX-License-Identifier: LGPL-2.1-or-later
/* The library's header, with its struct transportid under another name: src/scsi has one, too. */
#ifndef MPATH_MULTIPATH_H
#define MPATH_MULTIPATH_H

#define transportid multipath_transportid
#include <mpath_persist.h>
#undef transportid

#endif
