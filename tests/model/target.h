// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef MODEL_TARGET_H
#define MODEL_TARGET_H

/*
 * A logical unit of few nexuses and small keys, in a handful of bytes, whose every command is
 * processed by the real src/lu. What a command does to such a state is remembered, since it is
 * always the same.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/transportid.h"

#define TARGET_NEXUSES 6

struct lun {
    uint8_t key[TARGET_NEXUSES]; /* of each nexus; 0: not registered */
    uint8_t type;                /* of the reservation; 0: none */
    int8_t holder;               /* nexus; -1: none, or all registrants */
};

/* How a target departs from the standard, or from what all the others do. */
struct target_quirks {
    bool no_full_status;           /* READ FULL STATUS: 5/24/00 */
    bool swapped_keys;             /* its keys come in another byte order there */
    uint8_t group[TARGET_NEXUSES]; /* nexuses with the same one share a registration; from 0 on */
};

/* PERSISTENT RESERVE OUT, as far as it matters here. */
struct prcommand {
    uint8_t action, key, sa_key, type;
};

/* A nexus as the target knows it. */
struct transportid target_initiator(unsigned nexus);
uint16_t target_port(unsigned nexus);

/* Process it; returns the SCSI status, and the sense key that comes with CHECK CONDITION. */
uint8_t target_execute(const struct target_quirks *quirks, struct lun *lun, unsigned nexus,
                       struct prcommand command, uint16_t *ret_asc);

/* PERSISTENT RESERVE IN. Data of at most `size` bytes; returns its length, or -1 for 5/24/00. */
int target_read(const struct target_quirks *quirks, const struct lun *lun, unsigned nexus,
                uint8_t action, uint32_t generation, uint8_t *data, size_t size);

bool target_may_write(const struct target_quirks *quirks, const struct lun *lun, unsigned nexus);

#endif
