// SPDX-License-Identifier: LGPL-2.1-or-later
/* The fence itself: what is sent, and the check afterwards. */
#ifndef CTL_FENCE_ACT_H
#define CTL_FENCE_ACT_H

#include "ctl/fence.h"

/*
 * Register where this host is not, reserve where no host does, PREEMPT AND ABORT each key, and see
 * that nothing of the host is left by any path; then leave the device, unless the reservation would
 * end by it. The outcome says what came of it.
 */
void fence_act(struct fence *fence);

#endif
