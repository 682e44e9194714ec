// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a helper that has gone cannot tell any more: that its virtual machines still run. Of each
 * helper that has answered its clients' processes are remembered, by pid and start time; when it
 * answers no more, those that still run and are not clients of another helper have lost theirs.
 */
#ifndef EXPORTER_PAST_H
#define EXPORTER_PAST_H

#include <stdint.h>

#include "node/crowd.h"

struct past_client {
    int64_t pid;
    uint64_t started; /* /proc/PID/stat's field 22: ticks since the start of the system */
};

struct past_helper {
    char name[CROWD_NAME_MAX];
    unsigned n_clients, n_orphans;
    struct past_client *clients; /* owned; those with a name */
};

struct past {
    unsigned n;
    struct past_helper *helpers; /* owned */
};

/*
 * Take note of a crowd. Afterwards n_orphans of each helper says how many of its clients have lost
 * it; helpers without any that are gone are forgotten. Without memory less is remembered.
 */
void past_update(struct past *past, const struct crowd *crowd);
void past_deinit(struct past *past);

#endif
