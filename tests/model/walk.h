// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef MODEL_WALK_H
#define MODEL_WALK_H

#include <stdint.h>

/* Random runs, of about `steps` steps in all. Returns an exit status; prints TAP. */
int walk(uint64_t steps, uint64_t seed);

/* Tell the one run that begins with this seed. */
int walk_replay(uint64_t seed);

#endif
