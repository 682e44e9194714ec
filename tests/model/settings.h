// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef MODEL_SETTINGS_H
#define MODEL_SETTINGS_H

#include "world.h"

extern const struct setting settings[];
extern const unsigned settings_count;

#endif
