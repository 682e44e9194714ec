// SPDX-License-Identifier: LGPL-2.1-or-later
/* Registrations that outlive the simulator, as with APTPL: a file for each LUN in one directory. */
#ifndef SIMULATOR_STORE_H
#define SIMULATOR_STORE_H

#include <sys/types.h>

#include "simulator/lu.h"

/*
 * Write the LU's state for the LUN with this device and inode into directory fd `directory`: to a
 * temporary file, synced, renamed, the directory synced. When it returns 0, it is there to stay.
 * Returns 0 or a negative errno; then the old state is still there.
 */
int store_save(int directory, dev_t device, ino_t inode, const struct lu *lu);

/*
 * Read it into an LU that was just initialised. Nothing saved is no error. Returns 0 or a negative
 * errno; -EBADMSG for a file that is not ours or was damaged.
 */
int store_load(int directory, dev_t device, ino_t inode, struct lu *lu);

#endif
