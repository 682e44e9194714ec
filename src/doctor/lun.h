// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ways to a logical unit that a device node stands for. */
#ifndef DOCTOR_LUN_H
#define DOCTOR_LUN_H

#include <stdbool.h>
#include <sys/types.h>

#define LUN_PATHS_MAX  32
#define LUN_PLACE_SIZE 320

struct lun {
    mode_t mode;
    dev_t number;
    unsigned count; /* SCSI devices: one, of a multipath map its paths, otherwise none */
    char places[LUN_PATHS_MAX][LUN_PLACE_SIZE]; /* in the tree of devices */
};

/* Of a block or character device. */
void lun_find(mode_t mode, dev_t number, struct lun *ret);

/* Whether two nodes are one, or have an I_T nexus in common. */
bool lun_is_shared(const struct lun *a, const struct lun *b);

#endif
