// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Parameter lists: which of them the library can carry out, and how it wants them. Pure, but for
 * malloc().
 */
#ifndef MPATH_LIST_H
#define MPATH_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "scsi/prout.h"

struct prout_param_descriptor; /* the library's */

/*
 * Look at a PERSISTENT RESERVE OUT for a map. Returns whether it can be carried out, with ret as
 * prout_decode() makes it (pointers into data); else ret_code says why not.
 */
bool list_accept(uint8_t service_action, const uint8_t *data, uint32_t length, struct prout *ret,
                 struct spc_sense *ret_code);

/* The same for the library: one block, to be freed; NULL without memory. */
struct prout_param_descriptor *list_convert(const struct prout *prout);

#endif
