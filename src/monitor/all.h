// SPDX-License-Identifier: LGPL-2.1-or-later
/* All helpers of this node, for `status --all` and `metrics --all`. */
#ifndef MONITOR_ALL_H
#define MONITOR_ALL_H

#include <stdio.h>

#include "node/look.h"

struct options;
struct outcome;

/*
 * Ask those whose status sockets are where helpers make them, or in the place that the options
 * name. Returns 0, and the caller gives *ret_look back; or a negative errno, and the outcome says
 * why.
 */
int all_look(const struct options *options, struct outcome *outcome, struct look *ret_look);

/* For people: what needs attention, the logical units, the helpers. */
void all_print(const struct look *look, FILE *file);

#endif
