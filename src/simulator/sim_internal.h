// SPDX-License-Identifier: LGPL-2.1-or-later
/* A simulated LUN, for the files that simulate it. */
#ifndef SIMULATOR_SIM_INTERNAL_H
#define SIMULATOR_SIM_INTERNAL_H

#include "simulator/sim.h"
#include "simulator/store.h"

#define SIM_NAME_MAX 64

struct sim_unit {
    struct sim_unit *next;
    struct store_lun lun;
    char name[SIM_NAME_MAX]; /* of its file, constant; may be cut */
    pthread_mutex_t lock;    /* of everything below */
    unsigned turn;           /* of a quirk */
    bool unreadable;         /* its saved state is there and cannot be used */
    struct lu lu;
};

#endif
