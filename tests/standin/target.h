/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_H
#define TARGET_H

/*
 * A simulated target behind several paths, shared by the program under test, which has the library
 * preloaded, and the test, which calls the functions below by ctypes (tests/support/target.py). The
 * logical unit is src/lu; what is added is what targets and paths do beside it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lu/lu.h"

#define TARGET_MAGIC     0x7461726765743031u
#define TARGET_PATHS_MAX 256
#define TARGET_LOG_MAX   4096
#define TARGET_HANG      1u /* no answer, and not executed, while it is set */
#define TARGET_LATE      2u /* executed at once, the answer is held back */

struct target_path {
    uint64_t rdev;
    uint32_t nexus;       /* of the logical unit; paths that share a registration have the same */
    uint32_t target_port; /* as INQUIRY tells it; 0: it does not */
    uint32_t hang;        /* futex: TARGET_HANG or TARGET_LATE */
    uint32_t only_out;    /* that is for PERSISTENT RESERVE OUT alone */
    uint32_t error;       /* of the ioctl */
    uint32_t host_status;
    uint32_t status;
    struct spc_sense sense; /* of CHECK CONDITION */
    uint32_t times;         /* of what is above, from now on; 0: always */
};

struct target_record {
    uint32_t path, opcode, service_action, status;
};

struct target {
    uint64_t magic;
    uint32_t lock; /* futex */
    uint32_t n_paths;
    uint32_t no_full_status; /* 5/24/00 */
    uint32_t swapped;        /* READ FULL STATUS has its keys the wrong way round */
    uint32_t logged;
    struct target_path path[TARGET_PATHS_MAX];
    struct target_record log[TARGET_LOG_MAX];
    struct lu lu;
};

/* Make the file and map it, with `ports` target ports; or map one. NULL on failure. */
struct target *target_new(const char *file, unsigned ports);
struct target *target_open(const char *file);

/* An initiator port (text of transportid_parse) that comes in by a target port. The nexus' index,
 * or -1. */
int target_login(struct target *target, unsigned nexus, const char *initiator, unsigned port);

/* One command by a nexus. Status, sense as key << 16 | asc << 8 | ascq; bytes of data. */
unsigned target_execute(struct target *target, unsigned nexus, const uint8_t *cdb,
                        const uint8_t *parameters, unsigned length, uint8_t *data, unsigned size,
                        uint32_t *ret_sense, uint32_t *ret_size);

/* Whether the nexus may write now. */
bool target_may_write(struct target *target, unsigned nexus);

/* Have a path hang, or let it go on. */
void target_set_hang(struct target *target, unsigned path, uint32_t how, uint32_t only_out);

#endif
