// SPDX-License-Identifier: LGPL-2.1-or-later
/* Registrations that outlive the simulator, as with APTPL: a file for each LUN in one directory. */
#ifndef SIMULATOR_STORE_H
#define SIMULATOR_STORE_H

#include <stdint.h>
#include <sys/types.h>

#include "lu/lu.h"

/*
 * Which LUN: the file's device and inode, and when it was made, since the inode of a file that was
 * removed is soon that of another. All 0 where the file system does not say.
 */
struct store_lun {
    dev_t device;
    ino_t inode;
    int64_t born_s;
    uint32_t born_ns;
};

/* The new state is in place, but a loss of power may bring back the old one; errno says why. */
#define STORE_UNSURE 1

/*
 * Write the LU's state into directory fd `directory`: to a temporary file, synced, renamed, the
 * directory synced. When it returns 0, it is there to stay. Returns 0, STORE_UNSURE, or a negative
 * errno; then the old state is still there.
 */
int store_save(int directory, const struct store_lun *lun, const struct lu *lu);

/*
 * Read it into an LU that was just initialised. Nothing saved is no error. Returns 0 or a negative
 * errno; -EBADMSG for a file that is not ours or was damaged.
 */
int store_load(int directory, const struct store_lun *lun, struct lu *lu);

#endif
