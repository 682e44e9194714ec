// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whom the command fence is about: who it is, what may be fenced, and whether it is alive. */
#ifndef CTL_FENCE_WHOM_H
#define CTL_FENCE_WHOM_H

#include <stddef.h>

#include "ctl/fence.h"

/* Find the host, and make sure that no other host is affected. False: the outcome says why. */
bool fence_whom_find(struct fence *fence);

/* Print its registrations, or add them to the JSON object. */
void fence_whom_tell(const struct fence *fence);

/*
 * Does anything tell that it is alive? Only what is on the device can be seen from here. Takes some
 * seconds; `text` has room for `size` bytes.
 */
void fence_whom_watch(struct fence *fence, char *text, size_t size);

#endif
